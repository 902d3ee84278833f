//! What became of a play.

use serde::{Deserialize, Serialize};

use crate::world::Tick;

/// What became of a play, in numbers. Times are milliseconds since its beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The phase it ended in, or the last of what it waits for: `completed`,
    /// `rolled_back`, `timed_out`, `awaiting_approval`, `aborted`, `undone`, `paused`;
    /// `running` when it was not over.
    pub end: End,
    /// `unhealthy`, `missing_data` or `operator`, where v2 was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// When it ended, or when it was looked at last.
    pub ended_ms: u64,
    /// Steps that passed.
    pub steps_passed: u32,
    /// Requests of both versions.
    pub requests: u64,
    /// Requests that failed and would have gone well on v1, and clients who met one.
    pub harmed_requests: u64,
    /// See `harmed_requests`.
    pub harmed_clients: u64,
    /// When a fault of v2's own began, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regression_ms: Option<u64>,
}

/// Where a play stands at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Not over.
    #[default]
    Running,
    /// At its last share.
    Completed,
    /// Taken back by the gate.
    RolledBack,
    /// Evidence did not come within a step's longest time.
    TimedOut,
    /// A person would have to approve the next step.
    AwaitingApproval,
    /// Stopped by a person.
    Aborted,
    /// Undone by a person.
    Undone,
    /// Paused by a person.
    Paused,
}

impl Outcome {
    pub(super) fn add(&mut self, tick: &Tick) {
        self.requests += tick.old.requests + tick.new.requests;
        self.harmed_requests += tick.old.harmed + tick.new.harmed;
        self.harmed_clients += tick.harmed_clients;
        self.ended_ms = tick.to_ms;
    }

    pub(super) fn taken_back(&mut self, because: &str, now_ms: u64) {
        self.because = Some(because.to_owned());
        self.ended_ms = now_ms;
    }

    pub(super) fn heard(&mut self, event: &str, now_ms: u64) {
        self.end = match event {
            "completed" => End::Completed,
            "rollback_started" | "rolled_back" => End::RolledBack,
            "timed_out" => End::TimedOut,
            "approval_needed" => End::AwaitingApproval,
            "aborted" => End::Aborted,
            "undone" => End::Undone,
            "paused" => End::Paused,
            "step_started" | "resumed" | "retried" | "promoted" => End::Running,
            _ => return,
        };
        self.ended_ms = now_ms;
    }

    /// How long a fault of v2's own went on until v2 was taken back for it.
    pub fn detected_after_ms(&self) -> Option<u64> {
        let taken_back = self.end == End::RolledBack;
        self.regression_ms.filter(|_| taken_back).and_then(|from| self.ended_ms.checked_sub(from))
    }
}
