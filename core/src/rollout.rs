//! The rollout: a pure transition table over steps.
//!
//! A rollback dominates every other command and latches: only `retry` leaves it. Time
//! and what the gate found come in as arguments; what changed comes out as values.

mod change;
mod commands;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::Share;
use crossfade_protocol::plan::{
    Approval, EvidenceNeed, MissingData, OnInconclusive, RollbackMode, Step,
};
use crossfade_protocol::share::Minutes;
use serde::Serialize;

use crate::gate::Verdict;

pub use change::{BackBecause, Change};
pub use commands::Refused;

/// Milliseconds between two reductions of a stepped rollback.
const MINUTE_MS: u64 = 60_000;

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The next step waits for the end of a freeze window.
    Frozen,
    /// The step's clock runs.
    Progressing,
    /// The step's time is over, evidence is missing.
    Held,
    /// Time and evidence are there; a person has to promote.
    AwaitingApproval,
    /// The step's longest time is over without evidence; a person has to act.
    TimedOut,
    /// An operator stopped the clock.
    Paused,
    /// The last share is in force for good, and health is still watched.
    Watching,
    /// The last step has passed, and the watch is over.
    Completed,
    /// The new version is taken back bit by bit.
    RollingBack,
    /// The gate took the new version back.
    RolledBack,
    /// An operator took the new version back.
    Aborted,
    /// An operator restored the share from before.
    Undone,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 12] = [
        Phase::Frozen,
        Phase::Progressing,
        Phase::Held,
        Phase::AwaitingApproval,
        Phase::TimedOut,
        Phase::Paused,
        Phase::Watching,
        Phase::Completed,
        Phase::RollingBack,
        Phase::RolledBack,
        Phase::Aborted,
        Phase::Undone,
    ];

    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Frozen => "frozen",
            Phase::Progressing => "progressing",
            Phase::Held => "held",
            Phase::AwaitingApproval => "awaiting_approval",
            Phase::TimedOut => "timed_out",
            Phase::Paused => "paused",
            Phase::Watching => "watching",
            Phase::Completed => "completed",
            Phase::RollingBack => "rolling_back",
            Phase::RolledBack => "rolled_back",
            Phase::Aborted => "aborted",
            Phase::Undone => "undone",
        }
    }

    /// Whether time, evidence or a promotion can still change something.
    pub fn is_active(self) -> bool {
        !matches!(self, Phase::Completed | Phase::RolledBack | Phase::Aborted | Phase::Undone)
    }

    /// Whether the new version has been taken back, or is being.
    pub fn is_back(self) -> bool {
        matches!(self, Phase::RollingBack | Phase::RolledBack | Phase::Aborted)
    }
}

/// What a rollout is to do.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Course {
    /// At least one; percentages never fall.
    pub steps: Vec<Step>,
    /// What a step does whose time is over without evidence either way.
    pub on_inconclusive: OnInconclusive,
    /// How the new version is taken back.
    pub rollback: RollbackMode,
    /// First and last-but-one millisecond of the windows in which no step begins.
    pub freeze_ms: Vec<(u64, u64)>,
}

/// What the gate says, as far as the rollout needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// What the policy for missing data asks for, while data are missing.
    pub missing: Option<MissingData>,
    /// Whether something other than a lack of evidence forbids to go on: the share
    /// observed is not the share asked for.
    pub blocked: bool,
}

/// One rollout from its first step to its end.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Rollout {
    course: Course,
    phase: Phase,
    /// Place in `steps`.
    at: usize,
    /// Share from before the rollout.
    before: Share,
    /// Share in force.
    share: Share,
    started_ms: u64,
    /// When the step (or the watch) began, moved forward by every pause.
    entered_ms: u64,
    paused_ms: u64,
    /// The phase that a pause interrupted.
    paused: Phase,
    /// When taking back began, from which share, and where it leads.
    back: Option<Back>,
    passed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, BorshSerialize, BorshDeserialize)]
struct Back {
    since_ms: u64,
    from: Share,
    because: BackBecause,
}

impl Rollout {
    /// Begins with the first step of the course.
    pub fn start(course: Course, before: Share, now_ms: u64) -> (Rollout, Vec<Change>) {
        let mut rollout = Rollout {
            course,
            phase: Phase::Progressing,
            at: 0,
            before,
            share: before,
            started_ms: now_ms,
            entered_ms: now_ms,
            paused_ms: now_ms,
            paused: Phase::Progressing,
            back: None,
            passed: 0,
        };
        let mut changes = Vec::new();
        rollout.enter(0, now_ms, &mut changes);
        (rollout, changes)
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share of the new version that is in force.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The course it is on.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// The current step, from 1, and how many there are.
    pub fn step(&self) -> (usize, usize) {
        (self.at + 1, self.course.steps.len())
    }

    /// How long the current step, or the watch after it, is planned to last.
    pub fn planned_ms(&self) -> u64 {
        let Some(step) = self.course.steps.get(self.at) else { return 0 };
        let watch = step.watch_minutes.map_or(0, Minutes::ms);
        if self.phase == Phase::Watching { watch } else { step.duration_minutes.ms().max(watch) }
    }

    /// Steps that ended by themselves, with their evidence.
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

    /// When time alone will change something next, after `now_ms`; `None` when it will
    /// not.
    pub fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let step = self.course.steps.get(self.at)?;
        let after = |minutes: Minutes| self.entered_ms.saturating_add(minutes.ms());
        let times = match self.phase {
            Phase::Progressing | Phase::Held => {
                [Some(after(step.duration_minutes)), step.max_minutes.map(after)]
            }
            Phase::Frozen => [self.frozen_until(now_ms), None],
            Phase::Watching => [step.watch_minutes.map(after), None],
            Phase::RollingBack => {
                let since = self.back.map_or(now_ms, |back| back.since_ms);
                let minutes = now_ms.saturating_sub(since) / MINUTE_MS;
                [Some(since.saturating_add((minutes + 1).saturating_mul(MINUTE_MS))), None]
            }
            _ => [None, None],
        };
        times.into_iter().flatten().filter(|at| *at > now_ms).min()
    }

    /// Lets time and evidence act: at most one step further at a call. Calling it again
    /// with the same arguments after it changed nothing does nothing.
    pub fn advance(&mut self, judged: &Judged, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.phase.is_active() {
            return changes;
        }
        if self.phase == Phase::RollingBack {
            self.step_back(now_ms, &mut changes);
            return changes;
        }
        if judged.verdict == Verdict::Unhealthy {
            self.take_back(BackBecause::Unhealthy, now_ms, &mut changes);
            return changes;
        }
        if judged.missing == Some(MissingData::RollBack) && self.phase != Phase::Frozen {
            self.take_back(BackBecause::MissingData, now_ms, &mut changes);
            return changes;
        }
        match self.phase {
            Phase::Frozen if self.frozen_until(now_ms).is_none() => {
                self.enter(self.at, now_ms, &mut changes);
            }
            Phase::Progressing | Phase::Held => self.progress(judged, now_ms, &mut changes),
            Phase::Watching => self.watch(judged, now_ms, &mut changes),
            _ => {}
        }
        changes
    }

    fn progress(&mut self, judged: &Judged, now_ms: u64, changes: &mut Vec<Change>) {
        let Some(step) = self.course.steps.get(self.at).copied() else { return };
        let elapsed = self.step_elapsed(now_ms);
        let is_time = elapsed >= step.duration_minutes;
        let number = self.at + 1;
        if is_time && self.is_enough(judged, &step) {
            changes.push(Change::StepPassed { step: number });
            self.passed += 1;
            if step.approval == Approval::Manual {
                self.phase = Phase::AwaitingApproval;
                changes.push(Change::ApprovalNeeded { step: number });
            } else {
                self.enter(number, now_ms, changes);
            }
        } else if let Some(max_minutes) = step.max_minutes.filter(|max| elapsed >= *max) {
            self.phase = Phase::TimedOut;
            changes.push(Change::TimedOut { step: number, max_minutes });
        } else if is_time && self.phase == Phase::Progressing {
            self.phase = Phase::Held;
            changes.push(Change::Held { step: number });
        }
    }

    /// Whether the evidence lets a step end.
    fn is_enough(&self, judged: &Judged, step: &Step) -> bool {
        if judged.blocked {
            return false;
        }
        match (judged.verdict, judged.missing) {
            (Verdict::Unhealthy, _) => false,
            (_, Some(missing)) => missing == MissingData::Advance,
            (Verdict::Healthy, None) => true,
            (Verdict::Inconclusive, None) => {
                self.course.on_inconclusive == OnInconclusive::Advance
                    && step.evidence == EvidenceNeed::Default
            }
        }
    }

    fn watch(&mut self, judged: &Judged, now_ms: u64, changes: &mut Vec<Change>) {
        let watch = self.course.steps.get(self.at).and_then(|step| step.watch_minutes);
        // Nothing was watched while nothing came.
        let blind = judged.missing == Some(MissingData::Hold);
        if !blind && self.step_elapsed(now_ms) >= watch.unwrap_or_default() {
            self.complete(now_ms, changes);
        }
    }

    /// Begins the step at `place`, or what comes after the last.
    fn enter(&mut self, place: usize, now_ms: u64, changes: &mut Vec<Change>) {
        let Some(step) = self.course.steps.get(place) else {
            let watch = self.course.steps.last().and_then(|step| step.watch_minutes);
            match watch.filter(|watch| *watch > Minutes::ZERO) {
                Some(watch_minutes) => {
                    self.phase = Phase::Watching;
                    self.entered_ms = now_ms;
                    changes.push(Change::WatchStarted { watch_minutes });
                }
                None => self.complete(now_ms, changes),
            }
            return;
        };
        let percentage = step.percentage;
        self.at = place;
        self.entered_ms = now_ms;
        if let Some(until_ms) = self.frozen_until(now_ms) {
            self.phase = Phase::Frozen;
            changes.push(Change::Frozen { step: place + 1, until_ms });
            return;
        }
        self.phase = Phase::Progressing;
        self.share = percentage;
        changes.push(Change::StepStarted { step: place + 1, percentage });
    }

    /// The end of the freeze window that `now_ms` lies in; windows that meet are one.
    fn frozen_until(&self, now_ms: u64) -> Option<u64> {
        let mut until = None;
        let mut at = now_ms;
        while let Some(end) = self
            .course
            .freeze_ms
            .iter()
            .find(|(from, to)| *from <= at && at < *to)
            .map(|(_, to)| *to)
        {
            until = Some(end);
            at = end;
        }
        until
    }

    fn complete(&mut self, now_ms: u64, changes: &mut Vec<Change>) {
        self.phase = Phase::Completed;
        let duration_minutes = self.elapsed(now_ms);
        changes.push(Change::Completed { percentage: self.share, duration_minutes });
    }

    /// Begins to take the new version back.
    fn take_back(&mut self, because: BackBecause, now_ms: u64, changes: &mut Vec<Change>) {
        let step = self.at + 1;
        changes.push(Change::RollbackStarted { step, from: self.share, because });
        self.back = Some(Back { since_ms: now_ms, from: self.share, because });
        self.phase = Phase::RollingBack;
        self.step_back(now_ms, changes);
    }

    /// Takes back as much as the mode allows by now: each minute that has begun counts.
    fn step_back(&mut self, now_ms: u64, changes: &mut Vec<Change>) {
        let Some(back) = self.back else { return };
        let left = match self.course.rollback {
            RollbackMode::Instant => 0,
            RollbackMode::Stepped { percentage_per_minute } => {
                let minutes = now_ms.saturating_sub(back.since_ms) / MINUTE_MS + 1;
                let given = minutes.saturating_mul(u64::from(percentage_per_minute.buckets()));
                u64::from(back.from.buckets()).saturating_sub(given)
            }
        };
        // Never more than before, whatever the clock does.
        let left = Share::from_buckets(left as u16).unwrap_or_default().min(self.share);
        if left == self.share && left > Share::ZERO {
            return;
        }
        self.share = left;
        if left > Share::ZERO {
            changes.push(Change::SteppedBack { percentage: left });
            return;
        }
        let step = self.at + 1;
        if back.because == BackBecause::Operator {
            self.phase = Phase::Aborted;
            changes.push(Change::Aborted { step });
        } else {
            self.phase = Phase::RolledBack;
            changes.push(Change::RolledBack { step });
        }
    }
}

#[cfg(test)]
#[path = "rollout/tests.rs"]
mod tests;
