//! What happened, as values. Adapters choose words and levels.

use crossfade_protocol::Share;
use crossfade_protocol::share::Minutes;
use serde::Serialize;

use crate::health::Evidence;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Milliseconds of the engine's clock.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A step began.
    StepStarted {
        /// Its number, from 1.
        step: usize,
        /// The share of the new version from now on.
        percentage: Share,
    },
    /// A step ended and the next may begin.
    StepPassed {
        /// Its number, from 1.
        step: usize,
        /// What the gate said.
        because: String,
        /// Its numbers.
        evidence: Evidence,
    },
    /// A step waits for evidence that time alone will not bring.
    Held {
        /// Its number, from 1.
        step: usize,
        /// What is missing.
        because: String,
    },
    /// An operator stopped the clock of the step.
    Paused,
    /// An operator let it run again.
    Resumed,
    /// An operator skipped the rest of the step, or of the rollout.
    Promoted {
        /// All remaining steps.
        full: bool,
    },
    /// The gate took the new version back.
    RolledBack {
        /// The step it happened in, from 1.
        step: usize,
        /// The share that was taken back.
        from: Share,
        /// What the gate found.
        because: String,
        /// Its numbers.
        evidence: Evidence,
    },
    /// An operator took the new version back.
    Aborted {
        /// The share that was taken back.
        from: Share,
    },
    /// An operator began again.
    Retried,
    /// An operator restored the share from before the rollout.
    Undone {
        /// That share.
        percentage: Share,
    },
    /// The last step has passed.
    Completed {
        /// The share it ended with.
        percentage: Share,
        /// How long it took.
        duration_minutes: Minutes,
    },
    /// A new policy is in force.
    Configured {
        /// Its revision.
        revision: u64,
    },
    /// This node's guard took the new version away.
    GuardTripped {
        /// Failures it counted.
        failures: u64,
        /// Of so many requests.
        requests: u64,
        /// The ratio that is allowed.
        max_failure_ratio: f64,
    },
    /// The table of clients is full: new clients are no longer counted.
    ClientsFull {
        /// How many it holds.
        clients: u64,
    },
}

impl What {
    /// One sentence for people, without the time.
    pub fn sentence(&self) -> String {
        match self {
            What::StepStarted { step, percentage } => {
                format!("Step {step} began: {percentage} to the new version.")
            }
            What::StepPassed { step, because, .. } => format!("Step {step} passed: {because}."),
            What::Held { step, because } => format!("Step {step} is held: {because}."),
            What::Paused => "Paused by an operator.".to_owned(),
            What::Resumed => "Resumed by an operator.".to_owned(),
            What::Promoted { full: false } => {
                "Promoted to the next step by an operator.".to_owned()
            }
            What::Promoted { full: true } => "Promoted to the last step by an operator.".to_owned(),
            What::RolledBack { step, from, because, .. } => {
                format!("Rolled back from {from} in step {step}: {because}.")
            }
            What::Aborted { from } => format!("Aborted by an operator at {from}."),
            What::Retried => "Begun again by an operator, with the same clients.".to_owned(),
            What::Undone { percentage } => format!("Undone by an operator: back to {percentage}."),
            What::Completed { percentage, duration_minutes } => {
                format!("Completed at {percentage} after {} minutes.", duration_minutes.minutes())
            }
            What::Configured { revision } => format!("Policy revision {revision} is in force."),
            What::GuardTripped { failures, requests, max_failure_ratio } => format!(
                "The local guard tripped: {failures} of {requests} requests failed on the new version, more than {max_failure_ratio} of them. Everything goes to the stable version until a newer policy comes."
            ),
            What::ClientsFull { clients } => {
                format!(
                    "The table of clients is full at {clients}: new clients are no longer counted."
                )
            }
        }
    }
}
