//! Lists of clients and what they mean for the old version, for people, spreadsheets and
//! programs. `crossfade clients` has them from a server, `crossfade replay --census` from
//! logs.

mod csv;
mod estimate;
mod one;
mod sunset;
mod table;

use serde::Deserialize;

pub(crate) use csv::{HEADER, csv_rows};
pub(crate) use estimate::Estimate;
pub(crate) use table::{More, rows};

/// The reply `clients`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    pub(crate) total: u64,
    pub(crate) exact: bool,
    #[serde(default)]
    pub(crate) low: Option<u64>,
    #[serde(default)]
    pub(crate) high: Option<u64>,
    pub(crate) clients: Vec<ClientView>,
}

/// One client. Of a node's own census little is known; a controller's ledger knows more.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ClientView {
    pub(crate) client: String,
    pub(crate) identity: String,
    /// The version that served it last.
    pub(crate) version: String,
    pub(crate) last_seen_ms: u64,
    pub(crate) requests: u64,
    #[serde(default)]
    pub(crate) software: Option<String>,
    /// On all versions but the newest.
    #[serde(default)]
    pub(crate) old: Option<ClientOn>,
    /// On the newest.
    #[serde(default)]
    pub(crate) new: Option<ClientOn>,
    #[serde(default)]
    pub(crate) interval_ms: Option<u64>,
    #[serde(default)]
    pub(crate) regularity: Option<f64>,
    #[serde(default)]
    pub(crate) expected_ms: Option<u64>,
    /// How likely it calls the old version again, 0 to 1.
    #[serde(default)]
    pub(crate) again: Option<f64>,
    #[serde(default)]
    pub(crate) state: Option<String>,
    #[serde(default)]
    pub(crate) says: Option<String>,
    #[serde(default)]
    pub(crate) because: Option<String>,
    #[serde(default)]
    pub(crate) refused: u64,
}

/// Calls to one side.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct ClientOn {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    #[serde(default)]
    pub(crate) first_seen_ms: Option<u64>,
    #[serde(default)]
    pub(crate) last_seen_ms: Option<u64>,
}

/// The reply `sunset`. An older engine says no more than whether it is ready.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sunset {
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) statement: String,
    #[serde(default)]
    pub(crate) confidence: f64,
    #[serde(default)]
    pub(crate) horizon_ms: u64,
    #[serde(default)]
    pub(crate) as_of_ms: Option<u64>,
    #[serde(default)]
    pub(crate) depend: Option<Depend>,
    #[serde(default)]
    pub(crate) last_expected_ms: Option<u64>,
    #[serde(default)]
    pub(crate) forecast: Option<Forecast>,
    #[serde(default)]
    pub(crate) checks: Vec<Check>,
    #[serde(default)]
    pub(crate) candidates: Vec<ClientView>,
}

/// How many clients still depend on the old version.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Depend {
    pub(crate) at_most: u64,
    pub(crate) expected: f64,
    pub(crate) exact: bool,
}

/// When the old version will be ready to go.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Forecast {
    pub(crate) low_ms: u64,
    pub(crate) ready_ms: u64,
    #[serde(default)]
    pub(crate) high_ms: Option<u64>,
}

/// What was looked at.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Check {
    pub(crate) check: String,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

/// The word for a state.
fn state_name(state: &str) -> String {
    state.replace('_', " ")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A client of which the ledger knows everything.
    pub(crate) fn known(name: &str) -> ClientView {
        serde_json::from_value(json!({
            "client": name, "identity": "key", "version": "v1",
            "last_seen_ms": 1_431_857_103_000_u64, "requests": 1_234,
            "software": "billing/2.1", "state": "silent", "again": 0.25,
            "old": { "requests": 1_200, "failures": 3, "first_seen_ms": 1_431_000_000_000_u64,
                     "last_seen_ms": 1_431_857_103_000_u64 },
            "new": { "requests": 34, "failures": 0 },
            "interval_ms": 86_400_000, "regularity": 0.9, "expected_ms": 1_431_943_503_000_u64,
        }))
        .unwrap()
    }

    /// One that only a node's census knows.
    pub(crate) fn bare(name: &str) -> ClientView {
        serde_json::from_value(json!({
            "client": name, "identity": "key", "version": "v1",
            "last_seen_ms": 1_431_857_103_000_u64, "requests": 1_234,
        }))
        .unwrap()
    }
}
