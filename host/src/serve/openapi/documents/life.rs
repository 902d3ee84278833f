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
    /// `planned`, `announced`, `running`, `ended` or `stopped`.
    state: String,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    percentage: Option<f64>,
    /// Clients that had a call refused.
    hit_clients: Option<u64>,
    /// Calls that were refused.
    refused: Option<u64>,
    /// Of those that were hit: on the new version since.
    fixed: Option<u64>,
    /// On the old version as before.
    unchanged: Option<u64>,
    /// Not seen since.
    silent: Option<u64>,
}

/// A phase of a migration's life.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifePhase {
    Shadow,
    Canary,
    Rollout,
    Complete,
    Deprecated,
    Brownout,
    Sunset,
    Gone,
}

/// Where a migration stands.
#[derive(ToSchema)]
pub(crate) struct Life {
    #[schema(inline)]
    phase: LifePhase,
    since_ms: Option<u64>,
    next: Vec<NextPhase>,
}

/// Where it may go.
#[derive(ToSchema)]
pub(crate) struct NextPhase {
    #[schema(inline)]
    to: LifePhase,
    allowed: bool,
    /// What stands in the way, or why it is safe.
    why: Option<String>,
}
