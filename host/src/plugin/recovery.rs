//! Bringing a fallen engine back, and finding the line that felled it.
//!
//! Back: a new instance, its start, the last snapshot, every call accepted since.
//!
//! The guilty line: the batch is served again line by line. Halving it would need a
//! restore for each half that fails, about log2(lines) of them; line by line needs one
//! for the batch and one for each guilty line, and a call costs a tenth of a
//! microsecond where a restore costs up to tens of milliseconds. A batch that only took
//! too long as a whole, none of its lines to blame, is answered in full.

use tracing::{error, warn};

use super::instance::Instance;
use super::journal::Call;
use super::{Addressee, CODE_CRASH, Fault, Plugin, PluginError};

/// A replay that fails is tried again without the call on which it failed, this often.
/// One is bad luck (a deadline missed on a busy machine); more is a sick state.
const REPLAYS_MAX: usize = 3;

/// A replay over this length is not made twice: a snapshot is taken after it. It costs
/// some milliseconds.
const REPLAY_BYTES_MAX: usize = 64 << 10;

/// Where a replay got stuck.
enum Stuck {
    /// At a call that failed.
    Call(std::ops::Range<usize>, PluginError),
    /// At the snapshot.
    Snapshot(PluginError),
    /// At the start.
    Start(PluginError),
}

impl Plugin {
    /// Serves a batch that felled the engine, into `self.replies`.
    pub(super) fn serve_one_by_one(
        &mut self,
        lines: &[u8],
        now_ms: u64,
        fault: Fault,
    ) -> Result<(), PluginError> {
        self.replies.clear();
        self.recover(&fault)?;
        let lines: Vec<&[u8]> = lines
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .collect();
        // A line that is alone is guilty, unless another module serves now.
        if let [line] = lines[..]
            && !self.has_fallen_back()
        {
            return self.refuse(line, now_ms, &fault);
        }
        for line in lines {
            match self.serve(line, now_ms) {
                Ok(()) => {}
                Err(PluginError::Fault(fault)) => {
                    self.recover(&fault)?;
                    self.refuse(line, now_ms, &fault)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One call whose answer is added to the replies.
    fn serve(&mut self, line: &[u8], now_ms: u64) -> Result<(), PluginError> {
        let instance = self.instance.as_mut().ok_or_else(super::gone)?;
        let answer = instance.handle(line, now_ms)?;
        self.replies.extend_from_slice(instance.read(&answer));
        self.journal.accept(Call::Handle { lines: line, now_ms });
        Ok(())
    }

    /// Answers a guilty line with error 13. The journal keeps the refusal in its place.
    fn refuse(&mut self, line: &[u8], now_ms: u64, fault: &Fault) -> Result<(), PluginError> {
        let addressee = Addressee::of(line);
        let text = format!("the engine trapped on this line: {}; it was replaced", fault.cause);
        let replies = self.replies.len();
        match self.serve(&addressee.refuse_line(CODE_CRASH, &text), now_ms) {
            Ok(()) if self.replies.len() > replies => Ok(()),
            Ok(()) => {
                self.replies.extend(addressee.error_line(CODE_CRASH, &text));
                Ok(())
            }
            Err(PluginError::Fault(again)) => {
                self.replies.extend(addressee.error_line(CODE_CRASH, &text));
                self.recover(&again)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a new instance in the place of one that failed, in the state it had before
    /// the call that felled it.
    pub(super) fn recover(&mut self, fault: &Fault) -> Result<(), PluginError> {
        warn!("the engine failed and is replaced: {fault}");
        self.fall_back(fault);
        self.restarts += 1;
        self.revive()?;
        if self.journal.calls_bytes() > REPLAY_BYTES_MAX {
            self.compact();
        }
        Ok(())
    }

    /// Starts an instance from the best state there is: everything, else everything
    /// but the calls that fail, else the snapshot, else nothing.
    pub(super) fn revive(&mut self) -> Result<(), PluginError> {
        self.instance = None;
        for _ in 0..REPLAYS_MAX {
            match self.replay() {
                Ok(instance) => {
                    self.instance = Some(instance);
                    return Ok(());
                }
                Err(Stuck::Call(place, error)) => {
                    error!("an accepted call fails when replayed, and is left out: {error}");
                    self.journal.forget(place);
                    self.calls_lost += 1;
                }
                Err(Stuck::Snapshot(error)) => {
                    self.calls_lost += self.journal.forget_calls();
                    self.journal.forget_everything();
                    error!(
                        "the snapshot cannot be restored; the engine starts empty \
                         ({} calls lost since): {error}",
                        self.calls_lost
                    );
                }
                Err(Stuck::Start(error)) => {
                    return Err(PluginError::Unrecoverable(Box::new(error)));
                }
            }
        }
        let dropped = self.journal.forget_calls();
        self.calls_lost += dropped;
        error!("{REPLAYS_MAX} replays failed: the engine goes on without its last {dropped} calls");
        match self.replay() {
            Ok(instance) => {
                self.instance = Some(instance);
                Ok(())
            }
            Err(Stuck::Call(_, error) | Stuck::Snapshot(error) | Stuck::Start(error)) => {
                self.journal.forget_everything();
                Err(PluginError::Unrecoverable(Box::new(error)))
            }
        }
    }

    fn replay(&self) -> Result<Instance, Stuck> {
        let mut instance = match Instance::start(&self.module, &self.options, &self.start) {
            Ok((instance, _)) => instance,
            Err(error) => return Err(Stuck::Start(error)),
        };
        if let Some(snapshot) = self.journal.snapshot()
            && let Err(error) = instance.restore(snapshot)
        {
            return Err(Stuck::Snapshot(error));
        }
        for (place, call) in self.journal.calls() {
            let accepted = match call {
                Call::Handle { lines, now_ms } => instance.handle(lines, now_ms).map(drop),
                Call::Route { key, draw } => instance.route(key, draw).map(drop),
                Call::Tick { now_ms } => instance.tick(now_ms).map(drop),
                Call::Merge { totals } => instance.merge(totals).map(drop),
                Call::Totals => instance.totals().map(drop),
            };
            if let Err(error) = accepted {
                return Err(Stuck::Call(place, error));
            }
        }
        Ok(instance)
    }

    /// Takes a snapshot straight after a long replay, lest the next fault repeat it. It
    /// may fail, the journal is still there.
    fn compact(&mut self) {
        let Some(instance) = &mut self.instance else { return };
        match instance.snapshot() {
            Ok(answer) => self.journal.checkpoint(instance.read(&answer)),
            Err(error) => {
                warn!("no snapshot could be taken after a recovery: {error}");
                // The failed instance is dropped; the next call starts another.
                self.instance = None;
            }
        }
    }
}
