//! The world's own books: what edges reported, what was acknowledged, and what the control
//! plane must therefore have counted.

use std::collections::BTreeMap;

use crossfade_protocol::clients::ClientsReport;
use crossfade_protocol::totals::Totals;

use crate::edge::Seen;

/// One node and epoch.
#[derive(Debug, Default)]
struct Source {
    /// The worker, by its number in the world.
    uid: u64,
    sent: (u64, Seen),
    /// Acknowledged by who led.
    taken: (u64, Seen),
    /// Acknowledged by anybody.
    acknowledged: (u64, Seen),
    /// Handed on by a standby: the last that came there, which may have been overtaken by
    /// newer ones on its way. The store keeps no other, and edges repeat theirs.
    handed: (u64, Seen),
    reports: BTreeMap<u64, Report>,
}

#[derive(Debug, Default)]
struct Report {
    rows: Vec<(String, Seen)>,
    acknowledged: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Books {
    sources: BTreeMap<(String, u64), Source>,
}

/// Between which bounds a count lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) low: Seen,
    pub(crate) high: Seen,
}

fn seen_of(totals: &Totals) -> Seen {
    let mut seen = Seen::default();
    for version in &totals.versions {
        let place = usize::from(version.version == "v2");
        (seen.routed[place], seen.failures[place]) = (version.routed, version.failures);
    }
    seen
}

fn add(to: &mut Seen, seen: &Seen) {
    for place in 0..2 {
        to.routed[place] += seen.routed[place];
        to.failures[place] += seen.failures[place];
    }
}

/// Whether no count of one is over that of the other.
pub(crate) fn within(low: &Seen, high: &Seen) -> bool {
    (0..2).all(|place| {
        low.routed[place] <= high.routed[place] && low.failures[place] <= high.failures[place]
    })
}

impl Books {
    fn newer(known: &mut (u64, Seen), sequence: u64, seen: Seen) {
        if sequence >= known.0 {
            *known = (sequence, seen);
        }
    }

    /// An edge hands this to the network.
    pub(crate) fn sent(&mut self, uid: u64, path: &str, body: &[u8]) {
        match path {
            "totals" => {
                let Ok(totals) = Totals::read(body.trim_ascii()) else { return };
                let seen = seen_of(&totals);
                let source = self.sources.entry((totals.node, totals.epoch)).or_default();
                source.uid = uid;
                Books::newer(&mut source.sent, totals.sequence, seen);
            }
            "client-reports" => {
                let Ok(report) = ClientsReport::read(body.trim_ascii()) else { return };
                let ClientsReport { node, epoch, sequence, versions, clients, .. } = report;
                let source = self.sources.entry((node, epoch)).or_default();
                source.uid = uid;
                let rows = clients.into_iter().map(|row| {
                    let mut seen = Seen::default();
                    for count in &row.counts {
                        let name = versions.get(usize::from(count.version));
                        let place = usize::from(name.is_some_and(|name| name == "v2"));
                        seen.routed[place] += count.requests;
                        seen.failures[place] += count.failures;
                    }
                    (row.key, seen)
                });
                let rows = rows.collect();
                source.reports.entry(sequence).or_insert(Report { rows, acknowledged: false });
            }
            _ => {}
        }
    }

    /// A server answers 200 to it.
    pub(crate) fn acknowledged(&mut self, path: &str, body: &[u8], by_leader: bool) {
        // An edge sends one line; what else is there, a mutant has added.
        let body = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match path {
            "totals" => {
                let Ok(totals) = Totals::read(body.trim_ascii()) else { return };
                let seen = seen_of(&totals);
                let source = self.sources.entry((totals.node, totals.epoch)).or_default();
                Books::newer(&mut source.acknowledged, totals.sequence, seen);
                match by_leader {
                    true => Books::newer(&mut source.taken, totals.sequence, seen),
                    false => Books::newer(&mut source.handed, totals.sequence, seen),
                }
            }
            "client-reports" => {
                let Ok(report) = ClientsReport::read(body.trim_ascii()) else { return };
                let source = self.sources.entry((report.node, report.epoch)).or_default();
                if let Some(report) = source.reports.get_mut(&report.sequence) {
                    report.acknowledged = true;
                }
            }
            _ => {}
        }
    }

    /// What the leader must have counted, at any time.
    pub(crate) fn totals(&self) -> Bounds {
        let mut bounds = Bounds::default();
        for source in self.sources.values() {
            add(&mut bounds.low, &source.taken.1);
            add(&mut bounds.high, &source.sent.1);
        }
        bounds
    }

    /// What it must have counted when nothing is under way any more.
    pub(crate) fn settled(&self) -> Bounds {
        let mut bounds = self.totals();
        bounds.low = Seen::default();
        for source in self.sources.values() {
            let handed_is_newer = source.handed.0 > source.taken.0;
            add(&mut bounds.low, if handed_is_newer { &source.handed.1 } else { &source.taken.1 });
        }
        bounds
    }

    /// What was acknowledged to one worker.
    pub(crate) fn told(&self, uid: u64) -> Seen {
        let mut told = Seen::default();
        for source in self.sources.values().filter(|source| source.uid == uid) {
            add(&mut told, &source.acknowledged.1);
        }
        told
    }

    /// The same of each client, by key: of one worker, or of all.
    pub(crate) fn clients(&self, uid: Option<u64>) -> BTreeMap<String, Bounds> {
        let mut clients: BTreeMap<String, Bounds> = BTreeMap::new();
        let sources =
            self.sources.values().filter(|source| uid.is_none_or(|uid| uid == source.uid));
        let reports = sources.flat_map(|source| source.reports.values());
        for Report { rows, acknowledged } in reports {
            for (key, seen) in rows {
                let bounds = clients.entry(key.clone()).or_default();
                add(&mut bounds.high, seen);
                if *acknowledged {
                    add(&mut bounds.low, seen);
                }
            }
        }
        clients
    }
}
