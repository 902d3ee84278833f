//! What a control server makes of reports of clients: of each node and epoch the highest
//! number counts, so that a report is taken in once.

use std::collections::{BTreeMap, BTreeSet};

use crossfade_protocol::clients::{ClientsReport, Declared, Identity};
use crossfade_protocol::limits::CLIENTS_REPORT_BYTES_MAX;

/// How the server treats the next reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taking {
    /// As it should.
    #[default]
    Well,
    /// It takes none, and answers with this status.
    Refusing(u16),
    /// It takes each, and answers with this status all the same.
    Lying(u16),
    /// It sees each twice.
    Twice,
}

/// Of one client at all nodes together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Requests by version.
    pub requests: BTreeMap<String, u64>,
    /// Failures, of all versions.
    pub failures: u64,
    /// Refused ones among the requests.
    pub refused: u64,
    /// The software, the last that was told.
    pub agent: Option<String>,
    /// What it says, the last that was told.
    pub says: Option<Declared>,
}

impl Seen {
    /// Requests to all versions.
    pub fn all(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// All that was taken in.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    /// The highest number of each node and epoch.
    sequences: BTreeMap<(String, u64), u64>,
    /// Clients by key and kind.
    pub clients: BTreeMap<(String, Identity), Seen>,
    /// Requests that reports left out.
    pub dropped: u64,
    /// The lowest bound of a sample.
    pub theta: Option<u64>,
    /// Reports taken in.
    pub reports: u64,
    /// Reports that were there before.
    pub repeated: u64,
    /// Reports that were not taken because of [`Taking::Refusing`].
    pub refused: u64,
    /// Bytes of the longest.
    pub longest: usize,
    /// Each text that came for a number, where there was more than one.
    pub differing: u64,
    texts: BTreeMap<(String, u64, u64), BTreeSet<Vec<u8>>>,
}

impl Collector {
    /// Takes a report in, or says what is wrong with it.
    pub(crate) fn take(&mut self, line: &[u8], taking: Taking) -> Result<u16, String> {
        let report = ClientsReport::read(line).map_err(|fault| fault.text)?;
        self.longest = self.longest.max(line.len());
        if line.len() > CLIENTS_REPORT_BYTES_MAX {
            return Err(format!("{} bytes", line.len()));
        }
        let number = (report.node.clone(), report.epoch, report.sequence);
        let texts = self.texts.entry(number).or_default();
        if texts.insert(line.to_vec()) && texts.len() > 1 {
            self.differing += 1;
        }
        match taking {
            Taking::Refusing(status) => {
                self.refused += 1;
                return Ok(status);
            }
            Taking::Twice => self.count(&report),
            Taking::Well | Taking::Lying(_) => {}
        }
        self.count(&report);
        Ok(if let Taking::Lying(status) = taking { status } else { 200 })
    }

    fn count(&mut self, report: &ClientsReport) {
        let highest = self.sequences.entry((report.node.clone(), report.epoch)).or_default();
        if report.sequence <= *highest {
            self.repeated += 1;
            return;
        }
        *highest = report.sequence;
        self.reports += 1;
        self.dropped += report.dropped;
        self.theta = Some(self.theta.map_or(report.theta, |theta| theta.min(report.theta)));
        for row in &report.clients {
            let seen = self.clients.entry((row.key.clone(), row.identity)).or_default();
            for count in &row.counts {
                let version = report.versions[usize::from(count.version)].clone();
                *seen.requests.entry(version).or_default() += count.requests;
                seen.failures += count.failures;
            }
            seen.refused += row.refused;
            seen.agent = row.agent.clone().or_else(|| seen.agent.take());
            seen.says = row.says.clone().or_else(|| seen.says.take());
        }
    }

    /// One client; nothing for one that never was reported.
    pub fn seen(&self, key: &str, identity: Identity) -> Seen {
        self.clients.get(&(key.to_owned(), identity)).cloned().unwrap_or_default()
    }

    /// Requests of all clients, and those that were left out.
    pub fn requests(&self) -> u64 {
        self.clients.values().map(Seen::all).sum::<u64>() + self.dropped
    }

    /// Nodes and epochs.
    pub fn sources(&self) -> usize {
        self.sequences.len()
    }
}
