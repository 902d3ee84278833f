//! The names and numbers of the module's exports. `docs/abi.md` tells the story.
//!
//! A host calls `crossfade_input(len)`, writes `len` bytes at the address it
//! returned, then calls the export that reads them. Every other result is the
//! address of two little-endian words `[address, length]`, valid until the next
//! call; `0` stands for "no output".

use crate::Reason;

/// The ABI this crate describes. A host refuses a module that returns another.
pub const ABI_VERSION: u32 = 1;

/// The custom section with exchanges by which a host sees that a module works: lines after
/// `> ` are sent, each in a call of its own to a new instance with seed 0 at time 0, and the
/// line after `< ` is the whole answer.
pub const VECTORS_SECTION: &str = "crossfade.vectors";

/// The guest's linear memory.
pub const MEMORY: &str = "memory";
/// `() -> u32`: [`ABI_VERSION`]; called before anything else.
pub const VERSION: &str = "crossfade_abi_version";
/// `(len: u32) -> u32`: where to write `len` bytes of input; 0 when `len` is over
/// [`limits::INPUT_BYTES_MAX`](crate::limits::INPUT_BYTES_MAX). The room is the host's
/// until it asks again: for as many bytes or fewer it need not.
pub const INPUT: &str = "crossfade_input";
/// `(len: u32, now_ms: f64, seed_lo: u32, seed_hi: u32) -> u32`: starts the engine.
/// Input: an [init document](crate::request::InitDocument), or nothing.
pub const INIT: &str = "crossfade_init";
/// `(len: u32, now_ms: f64) -> u32`: JSON lines in, JSON lines out.
pub const HANDLE: &str = "crossfade_handle";
/// `(len: u32, draw: u32) -> u32`: the routing key in, a [`RouteWord`] out.
pub const ROUTE: &str = "crossfade_route";
/// `(now_ms: f64) -> u32`: lets time act; events and late replies out.
pub const TICK: &str = "crossfade_tick";
/// `() -> u32`: this instance's [`Totals`](crate::totals::Totals) as JSON.
pub const TOTALS: &str = "crossfade_totals";
/// `(len: u32) -> u32`: takes in another node's totals; a reply line out.
pub const MERGE: &str = "crossfade_merge";
/// `() -> u32`: the whole state as bytes that only [`RESTORE`] reads.
pub const SNAPSHOT: &str = "crossfade_snapshot";
/// `(len: u32) -> u32`: takes a snapshot back; nothing out on success, else an error line.
pub const RESTORE: &str = "crossfade_restore";
/// `() -> u32`: after a trap, the panic message if one was written.
pub const LAST_PANIC: &str = "crossfade_last_panic";

/// Every function a module must export, in the order of `docs/abi.md`.
pub const FUNCTIONS: [&str; 11] =
    [VERSION, INPUT, INIT, HANDLE, ROUTE, TICK, TOTALS, MERGE, SNAPSHOT, RESTORE, LAST_PANIC];

/// The answer of `crossfade_route`, packed in 32 bits.
///
/// Bits 0-15 are the index of the version in the policy's list, bit 16 says that a
/// canary percentage chose the new version, bits 17-23 are [`Reason::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteWord(pub u32);

impl RouteWord {
    /// The policy needs attributes, no engine is running, or the key is over its
    /// limit: ask `crossfade_handle` instead.
    pub const CANNOT: RouteWord = RouteWord(u32::MAX);

    /// Packs a decision.
    pub fn new(version: u16, canary: bool, reason: Reason) -> RouteWord {
        RouteWord(u32::from(version) | u32::from(canary) << 16 | u32::from(reason.code()) << 17)
    }

    /// Index of the version in the policy's list, or `None` when the word is
    /// [`CANNOT`](Self::CANNOT).
    pub fn version(self) -> Option<u16> {
        (self != RouteWord::CANNOT).then_some((self.0 & 0xFFFF) as u16)
    }

    /// Whether a canary percentage chose the new version.
    pub fn canary(self) -> bool {
        self != RouteWord::CANNOT && self.0 & (1 << 16) != 0
    }

    /// Whether the call is to be refused.
    #[inline]
    pub fn refuses(self) -> bool {
        self.reason().is_some_and(Reason::refuses)
    }

    /// Why, or `None` for a code this host does not know.
    pub fn reason(self) -> Option<Reason> {
        (self != RouteWord::CANNOT)
            .then(|| Reason::from_code((self.0 >> 17 & 0x7F) as u8))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_word_unpacks_to_what_was_packed() {
        for reason in Reason::ALL {
            for (version, canary) in [(0, false), (1, true), (u16::MAX, true)] {
                let word = RouteWord::new(version, canary, reason);
                assert_eq!(word.version(), Some(version));
                assert_eq!(word.canary(), canary);
                assert_eq!(word.refuses(), reason.refuses());
                assert_eq!(word.reason(), Some(reason));
            }
        }
        assert_eq!(RouteWord::CANNOT.version(), None);
        assert_eq!(RouteWord::CANNOT.reason(), None);
    }
}
