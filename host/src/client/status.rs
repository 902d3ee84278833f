//! The status document of `GET /v1/status`, and the reply to every command of a rollout.
//!
//! What is not shown is not read. Beyond the rollout itself everything may be absent, so
//! that a newer or older server can be looked at, too.

use serde::{Deserialize, Deserializer};

use super::shadow::Shadow;
use crate::clients::Sunset;

/// Everything about a migration at one moment.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) api: String,
    pub(crate) revision: u64,
    /// Oldest first.
    #[serde(deserialize_with = "versions")]
    pub(crate) versions: Vec<String>,
    /// The server's time, in Unix milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) rollout: Rollout,
    /// The steps of the plan, as they are written.
    #[serde(default)]
    pub(crate) plan: Vec<PlanStep>,
    #[serde(default)]
    pub(crate) migration: Option<Migration>,
    #[serde(default)]
    pub(crate) sunset: Option<Sunset>,
    /// While the migration is in the shadow.
    #[serde(default)]
    pub(crate) shadow: Option<Shadow>,
    #[serde(default)]
    pub(crate) nodes: Option<Nodes>,
    #[serde(default)]
    pub(crate) engine: Option<Engine>,
    #[serde(default)]
    pub(crate) store: Option<StoreState>,
    #[serde(default)]
    pub(crate) clock_offset_ms: i64,
}

/// The reply `rollout`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) phase: Phase,
    /// From 1; 0 without a rollout.
    pub(crate) step: usize,
    pub(crate) steps: usize,
    /// The newest version's share now.
    pub(crate) percentage: f64,
    #[serde(default)]
    pub(crate) verdict: Option<Verdict>,
    #[serde(default)]
    pub(crate) evidence: Option<Evidence>,
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) step_minutes: f64,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Idle,
    Progressing,
    Held,
    TimedOut,
    AwaitingApproval,
    Frozen,
    Paused,
    Watching,
    RollingBack,
    Completed,
    RolledBack,
    Aborted,
    Undone,
    /// One that this program does not know.
    #[serde(other)]
    Other,
}

/// What whoever waits for a rollout is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may end by itself.
    Running,
    /// It will not, before a person does something.
    NeedsPerson,
    /// The new version has arrived.
    Completed,
    /// The new version was taken back.
    TakenBack,
}

impl Phase {
    pub(crate) fn standing(self) -> Standing {
        match self {
            Phase::Progressing
            | Phase::Held
            | Phase::Frozen
            | Phase::Watching
            | Phase::RollingBack
            | Phase::Other => Standing::Running,
            Phase::Idle | Phase::TimedOut | Phase::AwaitingApproval | Phase::Paused => {
                Standing::NeedsPerson
            }
            Phase::Completed => Standing::Completed,
            Phase::RolledBack | Phase::Aborted | Phase::Undone => Standing::TakenBack,
        }
    }

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Idle => "no rollout",
            Phase::Progressing => "progressing",
            Phase::Held => "held",
            Phase::TimedOut => "timed out",
            Phase::AwaitingApproval => "awaiting approval",
            Phase::Frozen => "frozen",
            Phase::Paused => "paused",
            Phase::Watching => "watching",
            Phase::RollingBack => "rolling back",
            Phase::Completed => "completed",
            Phase::RolledBack => "rolled back",
            Phase::Aborted => "aborted",
            Phase::Undone => "undone",
            Phase::Other => "in a phase that this program does not know",
        }
    }
}

/// The gate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Healthy,
    Unhealthy,
    Inconclusive,
    #[serde(other)]
    Other,
}

/// A step as the plan has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct PlanStep {
    pub(crate) percentage: f64,
    #[serde(default)]
    pub(crate) duration_minutes: Option<f64>,
    #[serde(default)]
    pub(crate) max_minutes: Option<f64>,
    #[serde(default)]
    pub(crate) watch_minutes: Option<f64>,
    #[serde(default)]
    pub(crate) approval: Option<String>,
    #[serde(default)]
    pub(crate) evidence: Option<String>,
}

/// The numbers behind a verdict.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Evidence {
    #[serde(default)]
    pub(crate) failures: Option<Failures>,
    #[serde(default)]
    pub(crate) latency: Option<Latency>,
    #[serde(default)]
    pub(crate) slo: Option<Bound>,
    #[serde(default)]
    pub(crate) latency_slo: Option<Bound>,
    #[serde(default)]
    pub(crate) sample_ratio: Option<SampleRatio>,
}

/// Failures of the new version against the old one's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Failures {
    pub(crate) step: Segment,
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_interval: Interval,
    pub(crate) interval_alpha: f64,
    pub(crate) log_e_worse: f64,
    pub(crate) threshold_worse: f64,
    pub(crate) log_e_ok: f64,
    pub(crate) threshold_ok: f64,
}

/// Counts of one step.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct Segment {
    pub(crate) canary_requests: u64,
    pub(crate) canary_failures: u64,
    pub(crate) control_requests: u64,
    pub(crate) control_failures: u64,
}

/// Between these; without a high end there is none.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct Interval {
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
}

/// Latency of the new version against the old one's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Latency {
    pub(crate) log_e_slower: f64,
    pub(crate) threshold_slower: f64,
    pub(crate) log_e_not_slower: f64,
    pub(crate) threshold_not_slower: f64,
}

/// The new version against a bound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Bound {
    pub(crate) log_e_bad: f64,
    pub(crate) threshold_bad: f64,
    pub(crate) log_e_ok: f64,
    pub(crate) threshold_ok: f64,
}

/// Whether the share is the one asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SampleRatio {
    pub(crate) log_bf: f64,
    pub(crate) threshold: f64,
}

/// The reply `migration_stats`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Migration {
    #[serde(default)]
    pub(crate) total_clients: u64,
    /// Clients by version, oldest version first.
    #[serde(default)]
    pub(crate) clients: serde_json::Map<String, serde_json::Value>,
}

/// Who reports.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Nodes {
    pub(crate) known: u64,
    pub(crate) reporting: u64,
    #[serde(default)]
    pub(crate) oldest_ms: Option<u64>,
    #[serde(default)]
    pub(crate) behind: u64,
}

/// What runs the decisions.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Engine {
    #[serde(default)]
    pub(crate) restarts: u64,
    #[serde(default)]
    pub(crate) calls_lost: u64,
}

/// What remembers them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StoreState {
    #[serde(default)]
    pub(crate) lead: String,
}

/// A list, or an object of two, as plans have them.
fn versions<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Versions {
        List(Vec<String>),
        Two { from: String, to: String },
    }
    Ok(match Versions::deserialize(reader)? {
        Versions::List(versions) => versions,
        Versions::Two { from, to } => vec![from, to],
    })
}

impl PlanStep {
    /// How long it lasts at least, if it says.
    pub(crate) fn least_minutes(&self) -> Option<f64> {
        self.duration_minutes.filter(|minutes| *minutes > 0.0)
    }
}

impl Status {
    /// The version that clients move to.
    pub(crate) fn new_version(&self) -> &str {
        self.versions.last().map_or("the new version", String::as_str)
    }

    /// The version that they come from.
    pub(crate) fn old_version(&self) -> &str {
        self.versions.first().map_or("the old version", String::as_str)
    }

    /// The step of the plan that the rollout is in. `None` without a rollout, and when the
    /// plan is another one by now.
    pub(crate) fn current_step(&self) -> Option<&PlanStep> {
        let fits = self.plan.len() == self.rollout.steps;
        self.plan.get(self.rollout.step.checked_sub(1)?).filter(|_| fits)
    }
}
