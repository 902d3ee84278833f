//! Brownouts, and the phases of a migration's life.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every brownout.
#[derive(ToSchema)]
pub(crate) struct Brownouts {
    brownouts: Vec<Brownout>,
}

/// A window in which a share of the old version's calls is refused.
#[derive(ToSchema)]
pub(crate) struct Brownout {
    name: String,
    /// `planned`, `announced`, `running`, `over` or `stopped`.
    state: String,
    start_ms: u64,
    end_ms: u64,
    /// Share of the old version's clients.
    percentage: f64,
    /// What refused calls get.
    status: u16,
    /// Clients that are spared by name.
    exempt: u64,
    /// Clients that had a call refused.
    hit_clients: u64,
    /// Whether these are all of them.
    exact: bool,
    /// Calls that were refused.
    refused_calls: u64,
    /// Of those that were hit: on the new version since.
    moved: u64,
    /// On the old version again after the end.
    unchanged: u64,
    /// Not seen since.
    silent: u64,
    /// Why it was stopped.
    because: Option<String>,
}

/// A phase of a migration's life.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifePhase {
    /// Nobody is on the new version; edges mirror
    Shadow,
    /// The share of the new version is set by hand
    Canary,
    /// A rollout runs
    Rollout,
    /// Everybody is on the new version
    Complete,
    /// Clients are told that the old version will go
    Deprecated,
    /// A share of the old version's calls is refused
    Brownout,
    /// The day of the old version's end is settled
    Sunset,
    /// The old version is switched off
    Gone,
}

/// Where a migration stands.
#[derive(ToSchema)]
pub(crate) struct Life {
    #[schema(inline)]
    phase: LifePhase,
    since_ms: u64,
    /// Where the plan has a shadow.
    shadow: Option<Shadow>,
    next: Vec<NextPhase>,
}

/// What was compared since the shadow was entered, and what is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct Shadow {
    /// Answers of both versions that were compared.
    pub(crate) compared: u64,
    /// Those that differed.
    pub(crate) differed: u64,
    /// Of those: answers 500 to 599, or none in time.
    pub(crate) failures: u64,
    /// Requests that should have been mirrored and were not.
    pub(crate) dropped: u64,
    pub(crate) min_requests: u64,
    pub(crate) max_mismatch: f64,
}

/// Where it may go.
#[derive(ToSchema)]
pub(crate) struct NextPhase {
    #[schema(inline)]
    to: LifePhase,
    allowed: bool,
    /// Whether force would do it.
    by_force: bool,
    /// What stands in the way, or why it is safe.
    why: String,
}
