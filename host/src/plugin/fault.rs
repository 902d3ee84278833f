//! What can go wrong inside a guest, in words that a client may be told.

use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

use crate::runtime::STACK_BYTES_MAX;

/// A call that left its instance unusable.
///
/// An instance is replaced after *every* fault: a trap does not wind back the guest's
/// own stack pointer, and whatever it was writing may be half written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The export that was called.
    pub export: &'static str,
    /// What happened in it.
    pub cause: Cause,
}

/// What a guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It panicked, with this message.
    Panic(String),
    /// It gave no answer in this time.
    Deadline(Duration),
    /// It asked for `asked_bytes` of memory and may have `bytes_max`.
    Memory {
        /// What its memory would have grown to.
        asked_bytes: usize,
        /// [`PluginOptions::memory_bytes_max`](super::PluginOptions::memory_bytes_max).
        bytes_max: usize,
    },
    /// It called itself too deeply.
    Stack,
    /// Another trap.
    Trap(Trap),
    /// It answered with an address outside its memory.
    Answer {
        /// Where the answer was said to begin.
        address: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// Wasmtime could not even make the call.
    Runtime(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Panic(message) => f.write_str(message),
            Cause::Deadline(deadline) => write!(f, "no answer within {deadline:?}"),
            Cause::Memory { asked_bytes, bytes_max } => write!(
                f,
                "asked for {} MiB of memory, the limit is {} MiB",
                asked_bytes.div_ceil(1 << 20),
                bytes_max >> 20
            ),
            Cause::Stack => {
                write!(f, "recursed beyond its stack of {} KiB", STACK_BYTES_MAX >> 10)
            }
            Cause::Trap(trap) => trap.fmt(f),
            Cause::Answer { address, len } => {
                write!(f, "answered with {len} bytes at {address}, outside its memory")
            }
            Cause::Runtime(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in `{}`", self.cause, self.export)
    }
}

impl std::error::Error for Fault {}
