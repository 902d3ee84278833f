//! What would have happened, as data. `--output json` prints it as it stands here: a
//! field may be added, but none is renamed or changes its meaning without a new number
//! in `report`.

use serde::Serialize;
use serde_json::Value;

/// The name and number of the report's shape.
pub(super) const SHAPE: &str = "crossfade-replay/1";

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// Always [`SHAPE`].
    pub(super) report: &'static str,
    pub(super) policy: PolicyReport,
    pub(super) input: Input,
    /// Requests that were decided.
    pub(super) requests: u64,
    /// Distinct clients among them.
    pub(super) clients: u64,
    /// Oldest first.
    pub(super) versions: Vec<VersionRow>,
    /// Most frequent first.
    pub(super) reasons: Vec<ReasonRow>,
    pub(super) ramp: Vec<RampRow>,
    /// Most requests first.
    pub(super) top: Vec<ClientRow>,
    /// The first of them.
    pub(super) bad_lines: Vec<BadLineRow>,
    /// What a reader must know to read the numbers right.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PolicyReport {
    /// For people: `canary 10 %`, or a file's name.
    pub(super) name: String,
    pub(super) document: Value,
    /// What tells clients apart, as given to `--key`.
    pub(super) key: String,
    pub(super) seed: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Input {
    pub(super) files: Vec<FileRow>,
    /// All lines; each is a request, bad or blank.
    pub(super) lines: u64,
    pub(super) bad: u64,
    pub(super) blank: u64,
    /// Requests whose line is earlier than the line before.
    pub(super) out_of_order: u64,
    /// Requests without a client key.
    pub(super) without_key: u64,
    /// Requests whose line has no status.
    pub(super) without_status: u64,
    /// Earliest and latest time, RFC 3339.
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
    pub(super) span_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) lines: u64,
    pub(super) requests: u64,
    pub(super) bad: u64,
    /// Why it was not read, or not to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct VersionRow {
    pub(super) version: String,
    pub(super) requests: u64,
    pub(super) request_percent: f64,
    /// Clients that were last served by it.
    pub(super) clients: u64,
    pub(super) client_percent: f64,
    /// Of its requests, those whose outcome the log has, and how many of them failed.
    pub(super) outcomes: u64,
    pub(super) failures: u64,
    pub(super) failure_percent: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ReasonRow {
    pub(super) reason: String,
    pub(super) requests: u64,
    pub(super) percent: f64,
}

/// One step of a ramp: what it moves, and what is on the new version then.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RampRow {
    pub(super) percentage: f64,
    pub(super) clients_moved: u64,
    pub(super) requests_moved: u64,
    pub(super) clients: u64,
    pub(super) client_percent: f64,
    pub(super) requests: u64,
    pub(super) request_percent: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ClientRow {
    pub(super) client: String,
    /// The version that served it last.
    pub(super) version: String,
    /// All versions that served it, oldest first.
    pub(super) versions: Vec<String>,
    pub(super) requests: u64,
    pub(super) percent: f64,
    pub(super) failures: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct BadLineRow {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) why: String,
    /// Its beginning, unprintable characters escaped.
    pub(super) text: String,
}

impl BadLineRow {
    /// As it is printed: `access.log:7: no request in quotes: 10.0.0.1 - - […`.
    pub(super) fn message(&self) -> String {
        let BadLineRow { file, line, why, text } = self;
        format!("{file}:{line}: {why}: {text}")
    }
}

/// A share in percent, to two places; 0 of nothing is 0.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    // In integers, so that no platform rounds another way.
    let hundredths = (u128::from(part) * 20_000 + u128::from(whole)) / (u128::from(whole) * 2);
    hundredths as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_to_hundredths() {
        for (part, whole, expected) in [
            (0, 0, 0.0),
            (1, 3, 33.33),
            (2, 3, 66.67),
            (1, 20_000, 0.01),
            (1, 20_001, 0.0),
            (u64::MAX, u64::MAX, 100.0),
        ] {
            assert_eq!(percent(part, whole), expected, "{part}/{whole}");
        }
    }
}
