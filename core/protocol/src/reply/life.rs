//! Parts of replies about brownouts, and about the life of a migration.

use serde::Serialize;

use crate::Share;

/// A brownout, whom it hit, and what became of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrownoutSeen {
    /// What it is called.
    pub name: String,
    /// `planned`, `announced`, `running`, `over` or `stopped`.
    pub state: &'static str,
    /// Its first moment.
    pub start_ms: u64,
    /// The first moment after it.
    pub end_ms: u64,
    /// Share of the old version's clients that are refused.
    pub percentage: Share,
    /// What they get.
    pub status: u16,
    /// How many are spared by name.
    pub exempt: u64,
    /// Clients that were refused.
    pub hit_clients: u64,
    /// Whether that is all of them.
    pub exact: bool,
    /// Calls that were refused.
    pub refused_calls: u64,
    /// Of the clients: those who call the new version since.
    pub moved: u64,
    /// Those who called the old one again after the end.
    pub unchanged: u64,
    /// Those who were not heard of since.
    pub silent: u64,
    /// Why it was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What a shadow has compared, and what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShadowSeen {
    /// Answers that were compared.
    pub compared: u64,
    /// How many of those differed.
    pub differed: u64,
    /// How many of those were failures.
    pub failures: u64,
    /// Requests that should have been mirrored and were not.
    pub dropped: u64,
    /// How many have to be compared.
    pub min_requests: u64,
    /// The share that may differ.
    pub max_mismatch: f64,
}

/// A phase that a migration may go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifeStep {
    /// Its name.
    pub to: &'static str,
    /// Whether it may go there now.
    pub allowed: bool,
    /// Whether it may go there by force.
    pub by_force: bool,
    /// Why not, or what it would mean.
    pub why: String,
}
