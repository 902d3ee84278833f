//! A buffer in a snapshot: as the reports that it would make.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::clients::ClientsReport;
use crossfade_protocol::reply::json_text;

use super::rows::Row;
use super::{Changes, InFlight};

/// All of a buffer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Saved {
    seed: u64,
    /// Everything that is not in flight, in one report, however long.
    report: String,
    in_flight: Option<InFlight>,
}

impl Changes {
    pub(crate) fn save(&self) -> Saved {
        let clients = self.rows.iter().map(Row::to_client).collect();
        let report = ClientsReport { clients, ..self.report("saved", 0, 0) };
        Saved {
            seed: self.rows.seed(),
            report: json_text(&report),
            in_flight: self.in_flight.clone(),
        }
    }

    /// What was saved; `None` when it is damaged.
    pub(crate) fn load(saved: Saved) -> Option<Changes> {
        let report = ClientsReport::read(saved.report.as_bytes()).ok()?;
        let mut changes = Changes {
            versions: report.versions,
            theta: report.theta,
            dropped: report.dropped,
            dropped_ever: report.dropped,
            sequence: report.sequence,
            in_flight: saved.in_flight,
            ..Changes::new(saved.seed)
        };
        for client in report.clients {
            changes.rows.insert(client);
        }
        Some(changes)
    }
}
