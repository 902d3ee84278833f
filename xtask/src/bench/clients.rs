//! The ledger of clients, beside maps of the standard library.

use std::path::Path;

use serde::Deserialize;

use super::table::{Limit, Row};
use crate::command::{Run, TaskError};

/// The last line of the ledger's example `ledger_speed`.
#[derive(Debug, Deserialize)]
struct Figures {
    record_ns: f64,
    over_map_by_key: f64,
    over_map_by_number: f64,
    bytes_per_client: f64,
    reports_ms: f64,
}

/// Runs it with so many clients.
pub(super) fn rows(built: &Path, clients: u64) -> Result<Vec<Row>, TaskError> {
    let program = built.join("examples/ledger_speed");
    let told = Run::built(program).args(&[&clients.to_string()]).output()?;
    let told = told.lines().last().unwrap_or_default();
    let figures: Figures =
        serde_json::from_str(told).map_err(|source| TaskError::Figures { source })?;
    let of = format!("ns, {clients} clients");
    Ok(vec![
        Row::new("ledger, a request", figures.record_ns, &of, Limit::None),
        Row::new("  over a hashbrown map by key", figures.over_map_by_key, "x", Limit::AtMost(1.5)),
        Row::new("  over one by number", figures.over_map_by_number, "x", Limit::AtMost(1.5)),
        Row::new("  a client with rhythm", figures.bytes_per_client, "bytes", Limit::AtMost(64.0)),
        Row::new(
            "1,000 edge reports into a ledger of a million",
            figures.reports_ms,
            "ms",
            Limit::Below(1_000.0),
        ),
    ])
}
