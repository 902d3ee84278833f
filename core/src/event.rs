//! What happened, as values. Adapters choose levels; the words are here, so that they are
//! the same everywhere.

use crossfade_protocol::Share;
use crossfade_protocol::plan::Instant;
use crossfade_protocol::words::{counted, measured};
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
    /// To a client, or to many of them.
    Client(ClientChange),
}

/// What happened to clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ClientChange {
    /// The new version fails this client more often than the others.
    ClientSick {
        /// Whom.
        client: String,
        /// Its requests to the new version since it is watched.
        requests: u64,
        /// How many of them failed.
        failures: u64,
        /// What would have been nothing out of the ordinary.
        expected_ratio: f64,
        /// The evidence, as an e-value.
        e_value: f64,
        /// What it takes among so many clients.
        threshold: f64,
    },
    /// It gets the old version whatever the policy says of others.
    ClientPinnedBack {
        /// Whom.
        client: String,
        /// Why.
        reason: String,
    },
    /// It gets what the policy says again.
    ClientLifted {
        /// Whom.
        client: String,
        /// Why.
        reason: String,
    },
    /// It said of itself that it is ready, or blocked.
    ClientDeclared {
        /// Whom.
        client: String,
        /// `ready`, `blocked` or `nothing`.
        says: &'static str,
        /// Why.
        #[serde(skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Another version is the newest: what was found against the one before is forgotten.
    JudgedAnew {
        /// The newest.
        version: String,
        /// Clients that were pinned back and are not any more.
        lifted: u64,
    },
    /// Calls to the old version are refused from now on.
    BrownoutStarted {
        /// Which.
        name: String,
        /// Share of the clients.
        percentage: Share,
        /// Until then.
        until_ms: u64,
    },
    /// They are not any longer, as planned.
    BrownoutEnded {
        /// Which.
        name: String,
        /// Whom it hit.
        clients: u64,
        /// Calls that were refused.
        refused: u64,
    },
    /// They are not any longer, before the planned end.
    BrownoutStopped {
        /// Which.
        name: String,
        /// Why.
        reason: String,
        /// Whom it hit.
        clients: u64,
        /// Calls that were refused.
        refused: u64,
    },
    /// The migration went from one phase of its life to another.
    Life {
        /// From here.
        from: &'static str,
        /// To there.
        to: &'static str,
        /// Why.
        reason: String,
    },
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
        /// Whether the sunset has passed, so that nobody is sent to the old version.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        gone: bool,
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
            What::Client(change) => client_sentence(change),
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
            "Step {step} timed out: no evidence either way within {}. It goes on when a person promotes or resumes it.",
            measured(max_minutes.minutes(), "minute")
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
            let minutes = watch_minutes.minutes();
            format!("Health is watched for {}.", measured(minutes, "more minute"))
        }
        Change::Completed { percentage, duration_minutes } => {
            // To the hundredth: what lasted so long was measured by a clock.
            let hundredths = duration_minutes.ms() / 600;
            let lasted = measured(hundredths as f64 / 100.0, "minute");
            format!("Completed at {percentage} after {lasted}.")
        }
    };
    if because.is_empty() { text } else { format!("{text} {because}") }
}

fn node_sentence(change: &NodeChange) -> String {
    match change {
        NodeChange::Configured { revision } => format!("Policy revision {revision} is in force."),
        NodeChange::GuardTripped { failures, requests, max_failure_ratio, gone } => format!(
            "The local guard tripped: {failures} of {} failed on the new version, more than {} %. {}",
            counted(*requests, "request"),
            100.0 * max_failure_ratio,
            match gone {
                false => "Everything goes to the stable version until a newer policy comes.",
                true =>
                    "The old version is gone since the sunset, so everything stays: if it still runs, move `sunset_at`.",
            }
        ),
        NodeChange::ClientsFull { clients } => {
            format!("The table of clients is full at {clients}: new clients are no longer counted.")
        }
    }
}

fn client_sentence(change: &ClientChange) -> String {
    let because = |reason: &str| {
        if reason.is_empty() { ".".to_owned() } else { format!(": {reason}") }
    };
    match change {
        ClientChange::ClientSick {
            client,
            requests,
            failures,
            expected_ratio,
            e_value,
            threshold,
        } => {
            format!(
                "The new version fails {client}: {failures} of {}, where {} % would be nothing out of the ordinary (e-value {e_value:.0}, {threshold:.0} are needed among all clients).",
                counted(*requests, "request"),
                libm::round(1000.0 * expected_ratio) / 10.0
            )
        }
        ClientChange::ClientPinnedBack { client, reason } => {
            format!("{client} is pinned back to the old version{}", because(reason))
        }
        ClientChange::ClientLifted { client, reason } => {
            format!("{client} goes where the policy says again{}", because(reason))
        }
        ClientChange::ClientDeclared { client, says, reason } => match *says {
            "nothing" => format!("{client} takes back what it said."),
            says => format!("{client} says that it is {says}{}", because(reason)),
        },
        ClientChange::JudgedAnew { version, lifted } => format!(
            "Every client is judged anew on {version}; those pinned back from the version before are lifted: {lifted}."
        ),
        ClientChange::BrownoutStarted { name, percentage, until_ms } => format!(
            "Brownout {name} began: {percentage} of the old version's clients are refused until {}.",
            Instant::of_ms(*until_ms)
        ),
        ClientChange::BrownoutEnded { name, clients, refused } => {
            let (calls, clients) = (counted(*refused, "call"), counted(*clients, "client"));
            format!("Brownout {name} ended: it refused {calls} of {clients}.")
        }
        ClientChange::BrownoutStopped { name, reason, clients, refused } => format!(
            "Brownout {name} was stopped after {} of {}{}",
            counted(*refused, "refused call"),
            counted(*clients, "client"),
            because(reason)
        ),
        ClientChange::Life { from, to, reason } => {
            format!("The migration went from {from} to {to}{}", because(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use crossfade_protocol::share::Minutes;

    use super::*;

    #[test]
    fn one_is_told_as_one() {
        let minute = Minutes::from_ms(60_000);
        let rollout = |change| rollout_sentence(&change, "");
        let half = Share::from_buckets(5_000).expect("half of all");
        for (said, wanted) in [
            (rollout(Change::TimedOut { step: 2, max_minutes: minute }), "within 1 minute. It"),
            (rollout(Change::WatchStarted { watch_minutes: minute }), "for 1 more minute."),
            (
                rollout(Change::Completed { percentage: half, duration_minutes: minute }),
                "after 1 minute.",
            ),
            (
                node_sentence(&NodeChange::GuardTripped {
                    failures: 1,
                    requests: 1,
                    max_failure_ratio: 0.2,
                    gone: false,
                }),
                "1 of 1 request failed",
            ),
            (
                client_sentence(&ClientChange::BrownoutEnded {
                    name: "b".into(),
                    clients: 1,
                    refused: 1,
                }),
                "it refused 1 call of 1 client.",
            ),
            (
                client_sentence(&ClientChange::BrownoutEnded {
                    name: "b".into(),
                    clients: 2,
                    refused: 7,
                }),
                "it refused 7 calls of 2 clients.",
            ),
        ] {
            assert!(said.contains(wanted), "{said}");
        }
    }
}
