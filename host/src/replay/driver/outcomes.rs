//! What the engine is told of how requests ended.

use serde::Serialize;

use super::write_json;
use crate::replay::ReplayError;

/// One request's outcome, or several alike.
#[derive(Serialize)]
pub(super) struct OutcomeItem<'a> {
    pub(super) version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<&'a str>,
    pub(super) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
}

/// A `report_outcomes` message as it grows.
#[derive(Debug, Default)]
pub(super) struct Outcomes(Vec<u8>);

impl Outcomes {
    pub(super) fn push(&mut self, item: &OutcomeItem<'_>) -> Result<(), ReplayError> {
        let start: &[u8] = match self.0.is_empty() {
            true => br#"{"type":"report_outcomes","outcomes":["#,
            false => b",",
        };
        self.0.extend_from_slice(start);
        write_json(&mut self.0, item)
    }

    /// The whole message; `None` when there is nothing to report.
    pub(super) fn message(&mut self) -> Option<&[u8]> {
        if self.0.is_empty() {
            return None;
        }
        self.0.extend_from_slice(b"]}\n");
        Some(&self.0)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
