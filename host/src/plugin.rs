//! A running plugin: one engine, replaced when it misbehaves, with nothing lost but
//! the line that made it.
//!
//! *Does:* call a module's exports within its limits, keep what it takes to bring the
//! engine back, find the line that felled it, and swap modules under a running state.
//! *Does not:* read a clock, know what a message means, or do I/O.

mod fault;
mod instance;
mod journal;
mod recovery;
mod refusal;
mod short;
mod trial;

use std::time::Duration;

use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::INPUT_BYTES_MAX;
use tracing::warn;

use crate::module::Module;

pub use fault::{Cause, Fault};
pub use refusal::{Addressee, CODE_CRASH, CODE_MALFORMED};

use instance::Instance;
use journal::{Call, Journal};

/// What a plugin may take.
#[derive(Debug, Clone)]
pub struct PluginOptions {
    /// Linear memory of the guest, in bytes. Default 1 GiB: a full client table and its
    /// snapshot fit.
    pub memory_bytes_max: usize,
    /// Time for one call, default 1 s; a start, snapshot or restore may take 30 times
    /// as long. It is checked every 10 ms.
    pub call_deadline: Duration,
}

impl Default for PluginOptions {
    fn default() -> PluginOptions {
        PluginOptions { memory_bytes_max: 1 << 30, call_deadline: Duration::from_secs(1) }
    }
}

/// What an engine is started with.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The init document as JSON; may be empty.
    pub document: Vec<u8>,
    /// Seeds the engine's own generator.
    pub seed: u64,
    /// Unix milliseconds, or 0 on a virtual clock.
    pub now_ms: u64,
}

/// Why a call gave no answer.
///
/// The plugin serves on after every error but [`Unrecoverable`](Self::Unrecoverable),
/// with the state it had before the call.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The guest misbehaved, and was replaced.
    #[error("the engine failed: {0}")]
    Fault(#[from] Fault),
    /// The guest has no room for this input.
    #[error(
        "the engine takes no {bytes} bytes in `{export}` (a host may send {INPUT_BYTES_MAX} at most)"
    )]
    InputTooLarge {
        /// The export that was to read it.
        export: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The guest would not take the state.
    #[error("the engine refuses the state in `{export}`: {answer}")]
    Refused {
        /// The export that was called.
        export: &'static str,
        /// What it said.
        answer: String,
    },
    /// No instance could be started, not even an empty one. The next call tries again.
    #[error("the engine cannot be started again: {0}")]
    Unrecoverable(Box<PluginError>),
}

/// A running engine.
///
/// Every call borrows the plugin; the bytes it gives are valid until the next one.
///
/// ```
/// use crossfade::{Module, Plugin, PluginOptions, Start};
///
/// let module = Module::builtin()?;
/// let (mut plugin, _) = Plugin::start(module, PluginOptions::default(), Start::default())?;
/// let reply = plugin.handle(b"not JSON\n", 0)?;
/// assert!(reply.starts_with(br#"{"type":"error","#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Plugin {
    module: Module,
    options: PluginOptions,
    start: Start,
    /// `None` between a fault and the recovery, and when that failed.
    instance: Option<Instance>,
    journal: Journal,
    /// Replies that were gathered line by line.
    replies: Vec<u8>,
    restarts: u64,
    calls_lost: u64,
    /// The module that takes over again if the present one fails on trial.
    before: Option<Module>,
    /// Why it did.
    fell_back: Option<String>,
}

impl Plugin {
    /// Starts an engine. Also gives what it said while starting: nothing, or an error
    /// line about the document (it then runs with its defaults).
    ///
    /// # Errors
    /// The module cannot be instantiated, or fails while starting.
    pub fn start(
        module: Module,
        options: PluginOptions,
        start: Start,
    ) -> Result<(Plugin, Vec<u8>), PluginError> {
        let (instance, said) = Instance::start(&module, &options, &start)?;
        let plugin = Plugin {
            module,
            options,
            start,
            instance: Some(instance),
            journal: Journal::new(),
            replies: Vec::new(),
            restarts: 0,
            calls_lost: 0,
            before: None,
            fell_back: None,
        };
        Ok((plugin, said))
    }

    /// Serves whole lines, each ended by a newline, and gives the reply lines.
    ///
    /// A line on which the engine fails is answered with error 13; the others of the
    /// batch are served as if it had not been there.
    ///
    /// # Errors
    /// [`PluginError::InputTooLarge`], or [`PluginError::Unrecoverable`].
    pub fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<&[u8], PluginError> {
        self.checkpoint_if_due()?;
        let instance = self.instance()?;
        let fault = match instance.handle(lines, now_ms) {
            Ok(answer) => {
                self.journal.accept(Call::Handle { lines, now_ms });
                return self.answer(answer);
            }
            Err(PluginError::Fault(fault)) => fault,
            Err(error) => return Err(error),
        };
        self.serve_one_by_one(lines, now_ms, fault)?;
        Ok(&self.replies)
    }

    /// Decides for one key without JSON. `draw` is the caller's randomness.
    ///
    /// [`RouteWord::CANNOT`] stands for a policy that needs more than a key, and for an
    /// engine that failed on this one: `handle` gives the answer, or the error, then.
    ///
    /// # Errors
    /// As for [`handle`](Self::handle).
    #[inline]
    pub fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, PluginError> {
        self.checkpoint_if_due()?;
        match self.instance()?.route(key, draw) {
            Ok(word) => {
                self.journal.accept(Call::Route { key, draw });
                Ok(word)
            }
            Err(error) => self.route_failed(error),
        }
    }

    #[cold]
    fn route_failed(&mut self, error: PluginError) -> Result<RouteWord, PluginError> {
        match error {
            PluginError::Fault(fault) => self.recover(&fault).map(|()| RouteWord::CANNOT),
            error => Err(error),
        }
    }

    /// Lets time act, and gives events and late replies as lines.
    ///
    /// # Errors
    /// [`PluginError::Fault`]: time did not act; or as for [`handle`](Self::handle).
    pub fn tick(&mut self, now_ms: u64) -> Result<&[u8], PluginError> {
        self.checkpoint_if_due()?;
        let answer = self.instance()?.tick(now_ms);
        let answer = self.or_recover(answer)?;
        self.journal.accept(Call::Tick { now_ms });
        self.answer(answer)
    }

    /// This engine's cumulative counts, as JSON.
    ///
    /// # Errors
    /// As for [`tick`](Self::tick).
    pub fn totals(&mut self) -> Result<&[u8], PluginError> {
        self.checkpoint_if_due()?;
        let answer = self.instance()?.totals();
        let answer = self.or_recover(answer)?;
        self.journal.accept(Call::Totals);
        self.answer(answer)
    }

    /// Takes in another engine's totals, and gives the reply line.
    ///
    /// # Errors
    /// As for [`tick`](Self::tick).
    pub fn merge(&mut self, totals: &[u8]) -> Result<&[u8], PluginError> {
        self.checkpoint_if_due()?;
        let answer = self.instance()?.merge(totals);
        let answer = self.or_recover(answer)?;
        self.journal.accept(Call::Merge { totals });
        self.answer(answer)
    }

    /// The whole state, as bytes that [`restore`](Self::restore) reads.
    ///
    /// # Errors
    /// As for [`tick`](Self::tick).
    pub fn snapshot(&mut self) -> Result<&[u8], PluginError> {
        let answer = self.instance()?.snapshot();
        let answer = self.or_recover(answer)?;
        // The module before may not read a snapshot of this one.
        self.end_trial();
        let instance = self.instance.as_ref().ok_or_else(gone)?;
        self.journal.checkpoint(instance.read(&answer));
        Ok(self.journal.snapshot().unwrap_or_default())
    }

    /// Takes a state back, in place of the present one.
    ///
    /// # Errors
    /// [`PluginError::Refused`] when it is no snapshot of this engine; or as for
    /// [`tick`](Self::tick).
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), PluginError> {
        let restored = self.instance()?.restore(snapshot);
        self.or_recover(restored)?;
        self.journal.checkpoint(snapshot);
        Ok(())
    }

    /// Puts another module in this one's place, with the state carried over.
    ///
    /// # Errors
    /// The new module cannot be started, or refuses the state: the old one serves on.
    pub fn reload(&mut self, module: Module) -> Result<(), PluginError> {
        self.snapshot()?;
        let (mut instance, _) = Instance::start(&module, &self.options, &self.start)?;
        instance.restore(self.journal.snapshot().unwrap_or_default())?;
        self.instance = Some(instance);
        self.module = module;
        Ok(())
    }

    /// How often the engine failed and was replaced.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Accepted calls whose effect was lost because they could not be replayed.
    pub fn calls_lost(&self) -> u64 {
        self.calls_lost
    }

    /// The running instance; starts one if the last recovery failed.
    #[inline]
    fn instance(&mut self) -> Result<&mut Instance, PluginError> {
        if self.instance.is_none() {
            self.revive()?;
        }
        self.instance.as_mut().ok_or_else(gone)
    }

    fn answer(&self, answer: instance::Answer) -> Result<&[u8], PluginError> {
        Ok(self.instance.as_ref().ok_or_else(gone)?.read(&answer))
    }

    /// Brings the engine back if the call was its end; the error stays one.
    fn or_recover<T>(&mut self, result: Result<T, PluginError>) -> Result<T, PluginError> {
        if let Err(PluginError::Fault(fault)) = &result {
            self.recover(&fault.clone())?;
        }
        result
    }

    /// Snapshots when the journal has grown enough. Before a call, not after it: the
    /// snapshot would overwrite the answer.
    #[inline]
    fn checkpoint_if_due(&mut self) -> Result<(), PluginError> {
        if self.journal.is_due() { self.checkpoint() } else { Ok(()) }
    }

    #[cold]
    fn checkpoint(&mut self) -> Result<(), PluginError> {
        match self.snapshot() {
            Ok(_) => Ok(()),
            Err(error @ PluginError::Unrecoverable(_)) => Err(error),
            Err(error) => {
                warn!("no snapshot could be taken, a later one will be: {error}");
                self.journal.postpone();
                Ok(())
            }
        }
    }
}

/// `instance` has just been seen to; without one there is nothing to read.
fn gone() -> PluginError {
    let cause = Cause::Runtime("no instance is running".into());
    PluginError::Unrecoverable(Box::new(Fault { export: "start", cause }.into()))
}
