//! What each client did in each minute, gathered until it is handed on in order of time.
//!
//! A log may be out of order by hours. So minutes are held back for as long as there is
//! room for them, and given out from the oldest on; what comes for a minute that has been
//! given out is late. It counts all the same, in a report of its own.

use std::collections::HashMap;

use crossfade_protocol::clients::{ClientCount, ClientRow, ClientsReport, Identity};
use crossfade_protocol::limits::{CLIENTS_REPORT_BYTES_MAX, KEY_BYTES_MAX};
use foldhash::fast::RandomState;

use crate::replay::ReplayError;

/// Visits that are held back at most: some 60 MB.
const HELD_MAX: usize = 1 << 20;

/// A log that is out of order by more than this has late lines.
const HELD_BACK_S: u32 = 24 * 60 * 60;

/// What a row takes beside its names, written as JSON.
const ROW_BYTES: usize = 160;

/// One request of a known version.
pub(super) struct Call<'a> {
    pub(super) key: &'a str,
    /// Its software, `name/version`.
    pub(super) agent: Option<&'a str>,
    /// Place of the version.
    pub(super) version: u8,
    pub(super) failed: bool,
    pub(super) time_ms: u64,
}

/// A client's calls to one version in one minute.
#[derive(Debug, Clone, Copy)]
struct Visit {
    client: u32,
    version: u8,
    minute: u32,
    requests: u32,
    failures: u32,
    first_s: u32,
    last_s: u32,
}

#[derive(Debug)]
struct Client {
    key: Box<str>,
    agent: Option<Box<str>>,
    /// The report that has it already.
    reported: u64,
}

type Map<K, V> = HashMap<K, V, RandomState>;

/// See the module.
pub(super) struct Visits {
    pub(super) versions: Vec<String>,
    /// By key; the place among `clients`.
    places: Map<Box<str>, u32>,
    clients: Vec<Client>,
    visits: Vec<Visit>,
    /// By client, version and minute; the place among `visits`.
    open: Map<(u32, u8, u32), u32>,
    held_max: usize,
    newest_s: u32,
    /// Minutes before this one have been handed on.
    given_minute: u32,
    late: u64,
    sequence: u64,
}

impl Visits {
    pub(super) fn new(versions: Vec<String>) -> Visits {
        Visits::holding(versions, HELD_MAX)
    }

    fn holding(versions: Vec<String>, held_max: usize) -> Visits {
        Visits {
            versions,
            places: Map::default(),
            clients: Vec::new(),
            visits: Vec::new(),
            open: Map::default(),
            held_max,
            newest_s: 0,
            given_minute: 0,
            late: 0,
            sequence: 0,
        }
    }

    /// Counts a request.
    pub(super) fn call(&mut self, call: Call<'_>) {
        // The year 2106 is soon enough.
        let at_s = u32::try_from(call.time_ms / 1000).unwrap_or(u32::MAX);
        let client = self.client(call.key, call.agent);
        let minute = at_s / 60;
        self.late += u64::from(minute < self.given_minute);
        self.newest_s = self.newest_s.max(at_s);
        let place = *self.open.entry((client, call.version, minute)).or_insert_with(|| {
            self.visits.push(Visit {
                client,
                version: call.version,
                minute,
                requests: 0,
                failures: 0,
                first_s: at_s,
                last_s: at_s,
            });
            // Fewer than `held_max` of them.
            (self.visits.len() - 1) as u32
        });
        if let Some(visit) = self.visits.get_mut(place as usize) {
            visit.requests += 1;
            visit.failures += u32::from(call.failed);
            visit.first_s = visit.first_s.min(at_s);
            visit.last_s = visit.last_s.max(at_s);
        }
    }

    fn client(&mut self, key: &str, agent: Option<&str>) -> u32 {
        if let Some(place) = self.places.get(key) {
            let client = &mut self.clients[*place as usize];
            if agent.is_some() && client.agent.as_deref() != agent {
                client.agent = agent.map(Box::from);
            }
            return *place;
        }
        let place = self.clients.len() as u32;
        self.places.insert(key.into(), place);
        let agent = agent.map(Box::from);
        self.clients.push(Client { key: key.into(), agent, reported: 0 });
        place
    }

    /// Nobody has called.
    pub(super) fn forget(&mut self) {
        *self = Visits::holding(std::mem::take(&mut self.versions), self.held_max);
    }

    /// Whether some must be handed on before more is counted.
    pub(super) fn is_full(&self) -> bool {
        self.visits.len() >= self.held_max
    }

    /// Requests that were late.
    pub(super) fn late(&self) -> u64 {
        self.late
    }

    /// Hands on all visits, or those that are old enough, which is half of them at least.
    ///
    /// # Errors
    /// Those of `give`.
    pub(super) fn hand_on(
        &mut self,
        all: bool,
        identity: Identity,
        give: &mut impl FnMut(&ClientsReport) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        self.open = Map::default();
        let mut visits = std::mem::take(&mut self.visits);
        visits.sort_unstable_by_key(|visit| {
            (visit.minute, visit.client, visit.last_s, visit.version)
        });
        let old = self.newest_s.saturating_sub(HELD_BACK_S) / 60;
        let mut until = visits.partition_point(|visit| visit.minute < old);
        if all {
            until = visits.len();
        } else if until < visits.len() / 2 {
            // No minute is given out in two parts.
            let minute = visits[visits.len() / 2].minute;
            until = visits.partition_point(|visit| visit.minute <= minute);
        }
        let kept = visits.split_off(until);
        self.given_minute = visits.last().map_or(self.given_minute, |last| last.minute + 1);
        self.report(&visits, identity, give)?;
        self.keep(&kept);
        Ok(())
    }

    /// Goes on with these visits alone, and with nobody but their clients.
    fn keep(&mut self, kept: &[Visit]) {
        self.places = Map::default();
        let before = std::mem::take(&mut self.clients);
        for visit in kept {
            let known = &before[visit.client as usize];
            let client = self.client(&known.key, known.agent.as_deref());
            let visit = Visit { client, ..*visit };
            let place = self.visits.len() as u32;
            self.open.insert((client, visit.version, visit.minute), place);
            self.visits.push(visit);
        }
    }

    fn report(
        &mut self,
        visits: &[Visit],
        identity: Identity,
        give: &mut impl FnMut(&ClientsReport) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        let mut report = self.empty_report();
        let mut bytes = 0;
        for visits in visits.chunk_by(|a, b| (a.client, a.minute) == (b.client, b.minute)) {
            let Some(last) = visits.last() else { continue };
            let client = &mut self.clients[last.client as usize];
            let more = ROW_BYTES + client.key.len();
            // Each client once; so time does not go back within a report, either.
            let twice = client.reported == report.sequence;
            if twice || bytes + more > CLIENTS_REPORT_BYTES_MAX {
                give(&report)?;
                self.sequence += 1;
                (report.sequence, bytes) = (self.sequence, 0);
                report.clients.clear();
            }
            bytes += more;
            client.reported = report.sequence;
            report.clients.push(ClientRow {
                key: client.key.to_string(),
                identity,
                agent: client.agent.as_deref().map(str::to_owned),
                on: last.version,
                counts: visits.iter().map(count).collect(),
                refused: 0,
                says: None,
            });
        }
        if report.clients.is_empty() { Ok(()) } else { give(&report) }
    }

    fn empty_report(&mut self) -> ClientsReport {
        self.sequence += 1;
        ClientsReport {
            node: "census".to_owned(),
            epoch: 1,
            sequence: self.sequence,
            revision: 1,
            more: false,
            theta: u64::MAX,
            dropped: 0,
            versions: self.versions.clone(),
            clients: Vec::new(),
        }
    }
}

fn count(visit: &Visit) -> ClientCount {
    let Visit { version, requests, failures, first_s, last_s, .. } = *visit;
    let (requests, failures) = (requests.into(), failures.into());
    ClientCount { version, requests, failures, first_s, last_s }
}

/// A row with the longest key fits into a report.
const _: () = assert!(ROW_BYTES + KEY_BYTES_MAX < CLIENTS_REPORT_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn visits(held_max: usize) -> Visits {
        Visits::holding(vec!["v1".into(), "v2".into()], held_max)
    }

    fn call(visits: &mut Visits, key: &str, version: u8, time_ms: u64) {
        visits.call(Call { key, agent: Some("a/1"), version, failed: version == 0, time_ms });
    }

    fn handed_on(visits: &mut Visits, all: bool) -> Vec<ClientsReport> {
        let mut reports = Vec::new();
        let give = &mut |report: &ClientsReport| {
            report.check().unwrap();
            reports.push(report.clone());
            Ok(())
        };
        visits.hand_on(all, Identity::Address, give).unwrap();
        reports
    }

    #[test]
    fn a_clients_minute_is_a_row_and_time_does_not_go_back() {
        let mut visits = visits(100);
        for (key, version, at_ms) in [
            ("a", 0, 5 * MINUTE_MS),
            ("b", 1, 2 * MINUTE_MS),
            ("a", 1, 5 * MINUTE_MS + 7_000),
            ("a", 0, MINUTE_MS),
            ("a", 0, 5 * MINUTE_MS + 2_000),
        ] {
            call(&mut visits, key, version, at_ms);
        }
        let reports = handed_on(&mut visits, true);
        let rows: Vec<_> = reports
            .iter()
            .flat_map(|report| &report.clients)
            .map(|row| {
                let counts = row.counts.iter().map(|count| {
                    (count.version, count.requests, count.failures, count.first_s, count.last_s)
                });
                (row.key.as_str(), row.on, counts.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("a", 0, vec![(0, 1, 1, 60, 60)]),
                ("b", 1, vec![(1, 1, 0, 120, 120)]),
                ("a", 1, vec![(0, 2, 2, 300, 302), (1, 1, 0, 307, 307)]),
            ]
        );
        assert_eq!(reports.len(), 2, "a client is in a report once");
        assert!(reports.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        assert_eq!(visits.late(), 0);
    }

    #[test]
    fn hours_of_disorder_are_put_right_and_what_is_later_is_counted_as_late() {
        let mut visits = visits(1_000);
        // Three days, each hour's lines back to front.
        for hour in 0..72_u64 {
            for minute in (0..60).rev() {
                call(&mut visits, "a", 0, (hour * 60 + minute) * MINUTE_MS);
                if visits.is_full() {
                    let reports = handed_on(&mut visits, false);
                    let times = reports.iter().map(|report| report.clients[0].counts[0].first_s);
                    assert!(times.is_sorted(), "in order of time");
                    assert!(visits.visits.len() <= 500, "half of them went");
                }
            }
        }
        assert_eq!(visits.late(), 0);
        call(&mut visits, "a", 0, 0);
        assert_eq!(visits.late(), 1);
        let rows =
            handed_on(&mut visits, true).iter().map(|report| report.clients.len()).sum::<usize>();
        assert!(rows > 0 && visits.visits.is_empty());
    }

    #[test]
    fn a_report_stays_below_its_bytes() {
        let mut visits = visits(10_000);
        for client in 0..2_000 {
            call(&mut visits, &format!("{client:0>100}"), 0, MINUTE_MS);
        }
        let reports = handed_on(&mut visits, true);
        assert!(reports.len() > 1);
        for report in &reports {
            let bytes = serde_json::to_vec(report).unwrap().len();
            assert!(bytes <= CLIENTS_REPORT_BYTES_MAX, "{bytes}");
        }
        let rows: usize = reports.iter().map(|report| report.clients.len()).sum();
        assert_eq!(rows, 2_000);
    }
}
