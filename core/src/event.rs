//! What happened, as values. Adapters choose levels; the words are here, so that they are
//! the same everywhere.

use serde::Serialize;

use crate::gate::Evidence;
use crate::gate::sentence::Names;
use crate::rollout::{BackBecause, Change};

/// Something that happened, when, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Milliseconds of the engine's clock.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// The evidence that led to it, where evidence did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum What {
    /// To the rollout.
    Rollout(Change),
    /// To the node.
    Node(NodeChange),
}

/// What happened to a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum NodeChange {
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

impl Event {
    /// One or a few sentences for people, without the time.
    pub fn sentence(&self, names: Names<'_>) -> String {
        let because =
            self.evidence.as_ref().map(|evidence| evidence.sentence(names)).unwrap_or_default();
        match &self.what {
            What::Rollout(change) => rollout_sentence(change, &because),
            What::Node(change) => node_sentence(change),
        }
    }
}

fn rollout_sentence(change: &Change, because: &str) -> String {
    let text = match change {
        Change::StepStarted { step, percentage } => {
            format!("Step {step} began: {percentage} to the new version.")
        }
        Change::Frozen { step, .. } => format!("Step {step} waits for the end of a freeze window."),
        Change::StepPassed { step } => format!("Step {step} passed."),
        Change::Held { step } => format!("Step {step} has had its time and waits for evidence."),
        Change::ApprovalNeeded { step } => format!("Step {step} waits for a person to promote it."),
        Change::TimedOut { step, max_minutes } => format!(
            "Step {step} timed out: no evidence either way within {} minutes. It goes on when a person promotes or resumes it.",
            max_minutes.minutes()
        ),
        Change::Paused => "Paused by an operator.".to_owned(),
        Change::Resumed => "Resumed by an operator.".to_owned(),
        Change::Promoted { full: false } => "Promoted to the next step by an operator.".to_owned(),
        Change::Promoted { full: true } => "Promoted to the last step by an operator.".to_owned(),
        Change::RollbackStarted { step, from, because } => match because {
            BackBecause::Unhealthy => format!("Rollback from {from} in step {step}."),
            BackBecause::MissingData => {
                format!("Rollback from {from} in step {step}: data were missing for too long.")
            }
            BackBecause::Operator => format!("Aborted by an operator at {from} in step {step}."),
        },
        Change::SteppedBack { percentage } => format!("Taken back to {percentage}."),
        Change::RolledBack { .. } => "Rolled back: everything goes to the old version.".to_owned(),
        Change::Aborted { .. } => "Everything goes to the old version.".to_owned(),
        Change::Retried => "Begun again by an operator, with the same clients.".to_owned(),
        Change::Undone { percentage } => format!("Undone by an operator: back to {percentage}."),
        Change::WatchStarted { watch_minutes } => {
            format!("Health is watched for {} more minutes.", watch_minutes.minutes())
        }
        Change::Completed { percentage, duration_minutes } => {
            format!("Completed at {percentage} after {} minutes.", duration_minutes.minutes())
        }
    };
    if because.is_empty() { text } else { format!("{text} {because}") }
}

fn node_sentence(change: &NodeChange) -> String {
    match change {
        NodeChange::Configured { revision } => format!("Policy revision {revision} is in force."),
        NodeChange::GuardTripped { failures, requests, max_failure_ratio } => format!(
            "The local guard tripped: {failures} of {requests} requests failed on the new version, more than {} %. Everything goes to the stable version until a newer policy comes.",
            100.0 * max_failure_ratio
        ),
        NodeChange::ClientsFull { clients } => {
            format!("The table of clients is full at {clients}: new clients are no longer counted.")
        }
    }
}
