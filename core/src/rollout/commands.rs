//! What an operator may tell a rollout, and when.

use crossfade_protocol::Share;
use crossfade_protocol::request::Command;

use super::{Back, BackBecause, Change, Phase, Rollout};

/// A command that does not fit the phase, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Rollout {
    /// Carries out an operator's command.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed, when the phase does not allow it.
    pub fn command(&mut self, command: Command, now_ms: u64) -> Result<Vec<Change>, Refused> {
        let allowed = match command {
            Command::Pause => {
                self.phase.is_active() && !matches!(self.phase, Phase::Paused | Phase::RollingBack)
            }
            Command::Resume => matches!(self.phase, Phase::Paused | Phase::TimedOut),
            Command::Promote { .. } => {
                self.phase.is_active() && !matches!(self.phase, Phase::Frozen | Phase::RollingBack)
            }
            Command::Abort => self.phase.is_active(),
            Command::Retry => {
                matches!(self.phase, Phase::Aborted | Phase::RolledBack | Phase::Undone)
            }
            Command::Undo => {
                self.phase == Phase::Completed
                    || (self.phase.is_active() && self.phase != Phase::RollingBack)
            }
        };
        if !allowed {
            return Err(Refused(refusal(command, self.phase)));
        }
        let mut changes = Vec::new();
        match command {
            Command::Pause => {
                self.paused = self.phase;
                self.paused_ms = now_ms;
                self.phase = Phase::Paused;
                changes.push(Change::Paused);
            }
            Command::Resume => self.resume(now_ms, &mut changes),
            Command::Promote { full } => self.promote(full, now_ms, &mut changes),
            Command::Abort => self.abort(now_ms, &mut changes),
            Command::Retry => {
                changes.push(Change::Retried);
                self.started_ms = now_ms;
                self.passed = 0;
                self.back = None;
                self.enter(0, now_ms, &mut changes);
            }
            Command::Undo => {
                self.phase = Phase::Undone;
                self.share = self.before;
                changes.push(Change::Undone { percentage: self.before });
            }
        }
        Ok(changes)
    }

    fn resume(&mut self, now_ms: u64, changes: &mut Vec<Change>) {
        changes.push(Change::Resumed);
        if self.phase == Phase::TimedOut || self.paused == Phase::TimedOut {
            // A step that ran out of time gets its time again.
            self.entered_ms = now_ms;
            self.phase = Phase::Progressing;
            return;
        }
        self.entered_ms = self.entered_ms.saturating_add(now_ms.saturating_sub(self.paused_ms));
        self.phase = match self.paused {
            Phase::Held => Phase::Progressing,
            other => other,
        };
    }

    fn promote(&mut self, full: bool, now_ms: u64, changes: &mut Vec<Change>) {
        changes.push(Change::Promoted { full });
        let watching = self.phase == Phase::Watching
            || (self.phase == Phase::Paused && self.paused == Phase::Watching);
        if full {
            self.at = self.course.steps.len() - 1;
            self.share = self.course.steps.last().map_or(self.share, |step| step.percentage);
            self.complete(now_ms, changes);
        } else if watching {
            self.complete(now_ms, changes);
        } else if self.phase == Phase::Paused && self.paused == Phase::Frozen {
            // The step it waits for has not begun yet.
            self.enter(self.at, now_ms, changes);
        } else {
            self.enter(self.at + 1, now_ms, changes);
        }
    }

    fn abort(&mut self, now_ms: u64, changes: &mut Vec<Change>) {
        if self.phase == Phase::RollingBack {
            // Told twice: no more patience. What began as a rollback stays one.
            self.share = Share::ZERO;
            self.step_back(now_ms, changes);
        } else {
            self.take_back(BackBecause::Operator, now_ms, changes);
        }
    }

    /// Whether the gate, and not a person, took the new version back.
    pub fn was_rolled_back(&self) -> bool {
        matches!(self.back, Some(Back { because, .. }) if because != BackBecause::Operator)
    }
}

fn refusal(command: Command, phase: Phase) -> String {
    let command = match command {
        Command::Pause => "pause",
        Command::Resume => "resume",
        Command::Promote { .. } => "promote",
        Command::Abort => "abort",
        Command::Retry => "retry",
        Command::Undo => "undo",
    };
    let hint = match phase {
        Phase::RolledBack => {
            "the new version was found worse; `retry_rollout` begins again once it is mended"
        }
        Phase::RollingBack => "it ends by itself; `abort_rollout` ends it at once",
        Phase::Aborted | Phase::Undone => "`retry_rollout` begins again",
        Phase::Completed => "`undo_rollout` restores the share from before",
        Phase::Frozen => "no step begins in a freeze window; `abort_rollout` gives up",
        Phase::Paused => "`resume_rollout` lets it go on, `abort_rollout` ends it",
        _ => "`pause_rollout` or `abort_rollout` stops it first",
    };
    format!("cannot {command} a rollout that is {}: {hint}", phase.as_str())
}
