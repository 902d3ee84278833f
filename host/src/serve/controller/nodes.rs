//! Who has reported.

use std::collections::BTreeMap;

use crossfade_protocol::clients::ClientsReport;
use crossfade_protocol::limits::{SOURCE_SILENT_MS, TOTALS_SOURCES_MAX};
use crossfade_protocol::totals::Totals;
use serde_json::{Value, json};

use crate::serve::job::{Of, Report, is_hash};

/// A node that has not reported for so long is not counted among those that do.
const REPORTING_MS: u64 = 30_000;

/// The nodes that have reported since this process leads.
#[derive(Debug, Default)]
pub(super) struct Nodes(BTreeMap<(String, u64), Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    sequence: u64,
    revision: u64,
    at_ms: u64,
}

impl Nodes {
    /// Takes note of a report that the engine took in. Of one that was overtaken only
    /// the time counts, and reports of clients, which have numbers of their own, do not.
    pub(super) fn reported(&mut self, report: &Report, now_ms: u64) {
        if report.of == Of::Clients {
            return;
        }
        let key = (report.node.clone(), report.epoch);
        let seen = Seen { sequence: report.sequence, revision: report.revision, at_ms: now_ms };
        let full = |nodes: &Nodes| nodes.0.len() >= TOTALS_SOURCES_MAX;
        if full(self) && !self.0.contains_key(&key) {
            self.0.retain(|_, seen| now_ms.saturating_sub(seen.at_ms) < SOURCE_SILENT_MS);
        }
        let has_room = !full(self);
        match self.0.get_mut(&key) {
            Some(known) if known.sequence > seen.sequence => known.at_ms = now_ms,
            Some(known) => *known = seen,
            // The engine has the same bound.
            None if has_room => drop(self.0.insert(key, seen)),
            None => {}
        }
    }

    /// All of them.
    pub(super) fn listed(&self, now_ms: u64) -> Value {
        let nodes = self.0.iter().map(|((node, epoch), seen)| {
            json!({
                "node": node,
                "epoch": format!("{epoch:016x}"),
                "sequence": seen.sequence,
                "revision": seen.revision,
                "age_ms": now_ms.saturating_sub(seen.at_ms),
            })
        });
        json!({ "nodes": nodes.collect::<Vec<_>>() })
    }

    /// How many there are, report, and decide by an older policy than this.
    pub(super) fn summary(&self, revision: u64, now_ms: u64) -> Value {
        let age = |seen: &Seen| now_ms.saturating_sub(seen.at_ms);
        let reporting = || self.0.values().filter(|seen| age(seen) <= REPORTING_MS);
        json!({
            "known": self.0.len(),
            "reporting": reporting().count(),
            "behind": reporting().filter(|seen| seen.revision < revision).count(),
            "oldest_ms": reporting().map(age).max(),
        })
    }
}

/// A line of totals, looked at.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(line: &[u8]) -> Result<Report, String> {
    let totals = Totals::read(line).map_err(|fault| fault.text)?;
    let Totals { node, epoch, sequence, revision, .. } = totals;
    let line = line.to_vec();
    Ok(Report { of: Of::Totals, line, node, epoch, sequence, revision, has_names: false })
}

/// The same of a report of clients that has been read; `line` is that report.
pub(crate) fn of_clients(report: &ClientsReport, line: Vec<u8>) -> Report {
    let ClientsReport { node, epoch, sequence, revision, .. } = report;
    let (epoch, sequence, revision) = (*epoch, *sequence, *revision);
    let has_names = !report.clients.iter().all(|row| is_hash(&row.key));
    let node = node.clone();
    Report { of: Of::Clients, line, node, epoch, sequence, revision, has_names }
}

/// A line of either kind, which a server that stands by has handed on.
///
/// # Errors
/// What is wrong with it as totals.
pub(crate) fn read_any(line: &[u8]) -> Result<Report, String> {
    match ClientsReport::read(line) {
        Ok(report) => Ok(of_clients(&report, line.to_vec())),
        Err(_) => read(line),
    }
}
