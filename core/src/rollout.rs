//! The rollout: a pure transition table over steps.
//!
//! A rollback dominates every other command and latches: only `retry` leaves it. Time
//! comes in as an argument; what happened comes out as events.

use crossfade_protocol::Share;
use crossfade_protocol::plan::{OnInconclusive, Step};
use crossfade_protocol::request::Command;
use crossfade_protocol::share::Minutes;
use serde::{Deserialize, Serialize};

use crate::event::What;
use crate::health::{Judgement, Verdict};

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The step's clock runs.
    Progressing,
    /// An operator stopped the step's clock.
    Paused,
    /// The step's time is over, evidence is missing.
    Held,
    /// The last step has passed.
    Completed,
    /// The gate took the new version back.
    RolledBack,
    /// An operator took the new version back.
    Aborted,
    /// An operator restored the share from before.
    Undone,
}

impl Phase {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Held => "held",
            Phase::Completed => "completed",
            Phase::RolledBack => "rolled_back",
            Phase::Aborted => "aborted",
            Phase::Undone => "undone",
        }
    }

    /// Whether time or evidence can still change something.
    pub fn is_active(self) -> bool {
        matches!(self, Phase::Progressing | Phase::Paused | Phase::Held)
    }
}

/// One rollout from its first step to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    steps: Vec<Step>,
    on_inconclusive: OnInconclusive,
    phase: Phase,
    /// Place in `steps`.
    at: usize,
    /// Share from before the rollout.
    before: Share,
    /// Share in force.
    share: Share,
    started_ms: u64,
    /// When the step began, moved forward by every pause.
    entered_ms: u64,
    paused_ms: u64,
    passed: usize,
}

/// A command that does not fit the phase, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Rollout {
    /// Begins with the first of `steps`, of which there is at least one.
    pub fn start(
        steps: Vec<Step>,
        on_inconclusive: OnInconclusive,
        before: Share,
        now_ms: u64,
    ) -> (Rollout, Vec<What>) {
        let mut rollout = Rollout {
            steps,
            on_inconclusive,
            phase: Phase::Progressing,
            at: 0,
            before,
            share: before,
            started_ms: now_ms,
            entered_ms: now_ms,
            paused_ms: now_ms,
            passed: 0,
        };
        let mut events = Vec::new();
        rollout.enter(0, now_ms, &mut events);
        (rollout, events)
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share of the new version that is in force.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The current step, from 1, and how many there are.
    pub fn step(&self) -> (usize, usize) {
        (self.at + 1, self.steps.len())
    }

    /// Steps that were passed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// How long the step has lasted, pauses left out.
    pub fn step_elapsed(&self, now_ms: u64) -> Minutes {
        let until = if self.phase == Phase::Paused { self.paused_ms } else { now_ms };
        Minutes::from_ms(until.saturating_sub(self.entered_ms))
    }

    /// How long the rollout has lasted, pauses included.
    pub fn elapsed(&self, now_ms: u64) -> Minutes {
        Minutes::from_ms(now_ms.saturating_sub(self.started_ms))
    }

    /// When time alone will change something next; `None` when it will not.
    pub fn next_ms(&self) -> Option<u64> {
        (self.phase == Phase::Progressing)
            .then(|| self.entered_ms.saturating_add(self.duration_ms()))
    }

    fn duration_ms(&self) -> u64 {
        self.steps.get(self.at).map_or(0, |step| step.duration_minutes.ms())
    }

    /// Lets time and evidence act. Calling it again with the same arguments does nothing.
    pub fn advance(&mut self, judgement: &Judgement, now_ms: u64) -> Vec<What> {
        let mut events = Vec::new();
        if !self.phase.is_active() {
            return events;
        }
        if judgement.verdict == Verdict::Unhealthy {
            self.roll_back(judgement, &mut events);
            return events;
        }
        let over = now_ms >= self.entered_ms.saturating_add(self.duration_ms());
        if self.phase == Phase::Paused || !over {
            return events;
        }
        let enough = judgement.verdict == Verdict::Healthy
            || self.on_inconclusive == OnInconclusive::Advance;
        if enough {
            events.push(What::StepPassed {
                step: self.at + 1,
                because: judgement.because.clone(),
                evidence: judgement.evidence.clone(),
            });
            self.passed = self.at + 1;
            self.enter(self.at + 1, now_ms, &mut events);
        } else if self.phase == Phase::Progressing {
            self.phase = Phase::Held;
            events.push(What::Held { step: self.at + 1, because: judgement.because.clone() });
        }
        events
    }

    /// Carries out an operator's command.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed, when the phase does not allow it.
    pub fn command(&mut self, command: Command, now_ms: u64) -> Result<Vec<What>, Refused> {
        let mut events = Vec::new();
        match (command, self.phase) {
            (Command::Pause, Phase::Progressing | Phase::Held) => {
                self.phase = Phase::Paused;
                self.paused_ms = now_ms;
                events.push(What::Paused);
            }
            (Command::Resume, Phase::Paused) => {
                self.entered_ms += now_ms.saturating_sub(self.paused_ms);
                self.phase = Phase::Progressing;
                events.push(What::Resumed);
            }
            (Command::Promote { full }, phase) if phase.is_active() => {
                events.push(What::Promoted { full });
                if full {
                    self.at = self.steps.len() - 1;
                    self.share = self.steps.last().map_or(self.share, |step| step.percentage);
                    self.complete(now_ms, &mut events);
                } else {
                    self.enter(self.at + 1, now_ms, &mut events);
                }
            }
            (Command::Abort, phase) if phase.is_active() => {
                events.push(What::Aborted { from: self.share });
                self.phase = Phase::Aborted;
                self.share = Share::ZERO;
            }
            (Command::Retry, Phase::Aborted | Phase::RolledBack | Phase::Undone) => {
                events.push(What::Retried);
                self.started_ms = now_ms;
                self.passed = 0;
                self.enter(0, now_ms, &mut events);
            }
            (Command::Undo, phase) if phase.is_active() || phase == Phase::Completed => {
                self.phase = Phase::Undone;
                self.share = self.before;
                events.push(What::Undone { percentage: self.before });
            }
            (command, phase) => return Err(Refused(refusal(command, phase))),
        }
        Ok(events)
    }

    /// Begins the step at `place`, or ends the rollout when there is none.
    fn enter(&mut self, place: usize, now_ms: u64, events: &mut Vec<What>) {
        match self.steps.get(place) {
            Some(step) => {
                self.phase = Phase::Progressing;
                self.at = place;
                self.share = step.percentage;
                self.entered_ms = now_ms;
                events.push(What::StepStarted { step: place + 1, percentage: step.percentage });
            }
            None => self.complete(now_ms, events),
        }
    }

    fn complete(&mut self, now_ms: u64, events: &mut Vec<What>) {
        self.phase = Phase::Completed;
        let duration_minutes = self.elapsed(now_ms);
        events.push(What::Completed { percentage: self.share, duration_minutes });
    }

    fn roll_back(&mut self, judgement: &Judgement, events: &mut Vec<What>) {
        events.push(What::RolledBack {
            step: self.at + 1,
            from: self.share,
            because: judgement.because.clone(),
            evidence: judgement.evidence.clone(),
        });
        self.phase = Phase::RolledBack;
        self.share = Share::ZERO;
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
        Phase::Aborted | Phase::Undone => "`retry_rollout` begins again",
        Phase::Completed => "`undo_rollout` restores the share from before",
        Phase::Progressing | Phase::Held => "`pause_rollout` or `abort_rollout` stops it first",
        Phase::Paused => "`resume_rollout` lets it go on, `abort_rollout` ends it",
    };
    format!("cannot {command} a rollout that is {}: {hint}", phase.as_str())
}

#[cfg(test)]
#[path = "rollout/tests.rs"]
mod tests;
