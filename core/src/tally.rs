//! Tallies: what was counted per version, here and by other nodes.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crossfade_protocol::clients::{Identity, client_hash};
use crossfade_protocol::limits::{SOURCE_SILENT_MS, TOTALS_SOURCES_MAX};
use crossfade_protocol::request::Outcome;
use crossfade_protocol::totals::{ShadowTotals, Totals, VersionTotals};

use crate::latency::Histogram;

/// Counts of one version. Adding is merging.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Tally {
    /// Requests decided to go to it.
    pub routed: u64,
    /// Requests whose outcome was reported.
    pub requests: u64,
    /// How many of those failed.
    pub failures: u64,
    /// Latencies, of the outcomes that carried one.
    pub latency: Histogram,
    /// What it answered that nobody got. A snapshot keeps it in a part of its own.
    #[borsh(skip)]
    pub shadow: ShadowTotals,
}

impl Tally {
    /// Counts an outcome.
    pub fn record(&mut self, outcome: &Outcome) {
        let count = outcome.requests();
        self.requests = self.requests.saturating_add(count);
        if outcome.failed {
            self.failures = self.failures.saturating_add(count);
        }
        if let Some(latency_ms) = outcome.latency_ms {
            self.latency.record(latency_ms, count);
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Tally) {
        self.routed = self.routed.saturating_add(other.routed);
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        self.latency.merge(&other.latency);
        self.shadow = self.shadow.plus(other.shadow);
    }

    /// Share of the reported requests that failed, 0 to 1; `None` while there is none.
    pub fn failure_ratio(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failures as f64 / self.requests as f64)
    }

    /// As it is sent.
    pub fn to_totals(&self, version: &str) -> VersionTotals {
        VersionTotals {
            version: version.to_owned(),
            routed: self.routed,
            requests: self.requests,
            failures: self.failures,
            latency: self.latency.sparse(),
            shadow: self.shadow,
        }
    }

    /// As it was sent. More failures than requests are as many as there are requests.
    pub fn from_totals(totals: &VersionTotals) -> Tally {
        Tally {
            routed: totals.routed,
            requests: totals.requests,
            failures: totals.failures.min(totals.requests),
            latency: Histogram::from_sparse(&totals.latency),
            shadow: totals.shadow.bounded(),
        }
    }
}

/// What the later of two reports has counted beyond the earlier, for the versions before
/// `newest` together and for `newest`; and whether some count went back. What went back
/// counts as nothing.
pub fn growth(earlier: Option<&Totals>, later: &Totals, versions: &[String]) -> Growth {
    let mut growth = Growth::default();
    let newest = versions.last();
    for counted in &later.versions {
        let before = earlier.and_then(|e| e.versions.iter().find(|v| v.version == counted.version));
        let before = before.map(Tally::from_totals).unwrap_or_default();
        let now = Tally::from_totals(counted);
        growth.went_back |= now.requests < before.requests || now.failures < before.failures;
        let mut latency = Histogram::default();
        for (bucket, (now, before)) in
            now.latency.counts().iter().zip(before.latency.counts()).enumerate()
        {
            latency.add(bucket, now.saturating_sub(*before));
        }
        let requests = now.requests.saturating_sub(before.requests);
        let grown = Tally {
            routed: now.routed.saturating_sub(before.routed),
            requests,
            failures: now.failures.saturating_sub(before.failures).min(requests),
            latency,
            // No gate looks at answers that nobody got.
            shadow: ShadowTotals::default(),
        };
        let side =
            if Some(&counted.version) == newest { &mut growth.canary } else { &mut growth.control };
        side.merge(&grown);
    }
    growth
}

/// See [`growth`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    /// Of all versions but the newest.
    pub control: Tally,
    /// Of the newest version.
    pub canary: Tally,
    /// Whether some count was smaller than before.
    pub went_back: bool,
}

/// What other nodes have counted: of each node and epoch the newest report.
///
/// Taking in is associative, commutative and idempotent: of two reports of one node
/// and epoch the one with the higher sequence stays, and two of the same sequence
/// become the larger of each count.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Fleet {
    /// Under no name, which no node has: the sum of those that made room for others.
    newest: BTreeMap<(String, u64), Source>,
    /// Who these were, by their hashes, the last of them last. A snapshot keeps it in a part
    /// of its own.
    #[borsh(skip)]
    pub(crate) folded: Vec<u64>,
}

/// What is known of one run of a node.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Source {
    totals: Totals,
    /// When it was heard last. A snapshot keeps it in a part of its own.
    #[borsh(skip)]
    heard_ms: u64,
}

/// Why a report was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It comes from a newcomer, and there are too many who were heard within a day.
    Full,
    /// Its run of a node was silent for so long that it made room for others.
    Folded,
}

fn hash(node: &str, epoch: u64) -> u64 {
    client_hash(node.as_bytes(), Identity::Key) ^ epoch
}

impl Fleet {
    /// Takes in a report; `Ok(false)` when a newer one, or the same, was there already.
    ///
    /// # Errors
    /// [`NotTaken`] when it comes from a new source and the limit is reached, or from one
    /// whose counts were folded into the sum.
    pub fn merge(&mut self, report: Totals, now_ms: u64) -> Result<bool, NotTaken> {
        let key = (report.node.clone(), report.epoch);
        if self.newest.len() >= TOTALS_SOURCES_MAX && !self.newest.contains_key(&key) {
            self.fold(now_ms);
        }
        let full = self.newest.len() >= TOTALS_SOURCES_MAX;
        match self.newest.entry(key) {
            Entry::Vacant(slot) => {
                let hash = hash(&report.node, report.epoch);
                if self.folded.contains(&hash) {
                    return Err(NotTaken::Folded);
                }
                if full {
                    return Err(NotTaken::Full);
                }
                slot.insert(Source { totals: normalised(report), heard_ms: now_ms });
                Ok(true)
            }
            Entry::Occupied(mut slot) => {
                let Source { totals: known, heard_ms } = slot.get_mut();
                *heard_ms = now_ms.max(*heard_ms);
                let report = normalised(report);
                if report.sequence < known.sequence || report == *known {
                    return Ok(false);
                }
                if report.sequence > known.sequence {
                    *known = report;
                } else {
                    *known = larger(known, &report);
                }
                Ok(true)
            }
        }
    }

    /// Makes room: what was counted by runs that were silent for a day is kept as one sum.
    fn fold(&mut self, now_ms: u64) {
        let mut sum: Vec<VersionTotals> = Vec::new();
        for ((node, epoch), source) in std::mem::take(&mut self.newest) {
            let silent = now_ms.saturating_sub(source.heard_ms) >= SOURCE_SILENT_MS;
            if !silent && !node.is_empty() {
                self.newest.insert((node, epoch), source);
                continue;
            }
            if !node.is_empty() {
                self.folded.push(hash(&node, epoch));
            }
            for counted in source.totals.versions {
                match sum.iter_mut().find(|known| known.version == counted.version) {
                    None => sum.push(counted),
                    Some(known) => {
                        let mut both = Tally::from_totals(known);
                        both.merge(&Tally::from_totals(&counted));
                        *known = both.to_totals(&counted.version);
                    }
                }
            }
        }
        let totals = Totals { versions: sum, ..Totals::default() };
        self.newest.insert(Default::default(), Source { totals, heard_ms: now_ms });
        let more = self.folded.len().saturating_sub(2 * TOTALS_SOURCES_MAX);
        self.folded.drain(..more);
    }

    /// When each source was heard last, in a fixed order.
    pub(crate) fn heard_ms(&self) -> Vec<u64> {
        self.newest.values().map(|source| source.heard_ms).collect()
    }

    /// The same, to be put back; `now_ms` for those of which it is not known.
    pub(crate) fn set_heard_ms(&mut self, heard_ms: Vec<u64>, now_ms: u64) {
        let heard_ms = heard_ms.into_iter().chain(std::iter::repeat(now_ms));
        for (source, heard_ms) in self.newest.values_mut().zip(heard_ms) {
            source.heard_ms = heard_ms;
        }
    }

    /// The newest report of a node and epoch.
    pub fn newest(&self, node: &str, epoch: u64) -> Option<&Totals> {
        self.newest.get(&(node.to_owned(), epoch)).map(|source| &source.totals)
    }

    /// The versions that have served more in `report` than was known of its node and epoch.
    pub fn served_since<'r>(&self, report: &'r Totals) -> Vec<&'r str> {
        let known = self.newest(&report.node, report.epoch);
        if known.is_some_and(|known| known.sequence > report.sequence) {
            return Vec::new();
        }
        let routed = |version: &str| {
            let versions = known.map_or(&[][..], |known| &known.versions);
            versions.iter().find(|v| v.version == version).map_or(0, |v| v.routed)
        };
        let grown = report.versions.iter().filter(|v| v.routed > routed(&v.version));
        grown.map(|v| v.version.as_str()).collect()
    }

    /// Sum over all nodes for each of `versions`. Counts of other versions are left out.
    pub fn sum(&self, versions: &[String]) -> Vec<Tally> {
        let mut sum = vec![Tally::default(); versions.len()];
        for counted in self.newest.values().flat_map(|source| &source.totals.versions) {
            if let Some(place) = versions.iter().position(|version| *version == counted.version) {
                sum[place].merge(&Tally::from_totals(counted));
            }
        }
        sum
    }

    /// What was compared of each version's answers, report by report, in a fixed order.
    pub(crate) fn shadows(&self) -> impl Iterator<Item = &ShadowTotals> {
        let versions = self.newest.values().flat_map(|source| &source.totals.versions);
        versions.map(|counted| &counted.shadow)
    }

    /// The same, to be put back.
    pub(crate) fn shadows_mut(&mut self) -> impl Iterator<Item = &mut ShadowTotals> {
        let versions = self.newest.values_mut().flat_map(|source| &mut source.totals.versions);
        versions.map(|counted| &mut counted.shadow)
    }

    /// How many nodes and epochs have reported.
    pub fn sources(&self) -> usize {
        self.newest.len() - usize::from(self.newest.contains_key(&Default::default()))
    }
}

/// One entry a version, sorted, latency buckets sorted and each once, so that equal
/// reports are equal values.
fn normalised(mut report: Totals) -> Totals {
    let mut versions: BTreeMap<String, VersionTotals> = BTreeMap::new();
    for mut counted in report.versions {
        counted.latency = Histogram::from_sparse(&counted.latency).sparse();
        counted.failures = counted.failures.min(counted.requests);
        counted.shadow = counted.shadow.bounded();
        match versions.entry(counted.version.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(counted);
            }
            Entry::Occupied(mut slot) => {
                let both = larger_version(slot.get(), &counted);
                slot.insert(both);
            }
        }
    }
    report.versions = versions.into_values().collect();
    report
}

fn larger(a: &Totals, b: &Totals) -> Totals {
    let versions = a.versions.iter().chain(&b.versions).cloned().collect();
    normalised(Totals { versions, revision: a.revision.max(b.revision), ..a.clone() })
}

fn larger_version(a: &VersionTotals, b: &VersionTotals) -> VersionTotals {
    let (left, right) = (Histogram::from_sparse(&a.latency), Histogram::from_sparse(&b.latency));
    let mut latency = Histogram::default();
    for (bucket, (x, y)) in left.counts().iter().zip(right.counts()).enumerate() {
        latency.add(bucket, *x.max(y));
    }
    VersionTotals {
        version: a.version.clone(),
        routed: a.routed.max(b.routed),
        requests: a.requests.max(b.requests),
        failures: a.failures.max(b.failures),
        latency: latency.sparse(),
        shadow: a.shadow.max(b.shadow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report() -> impl Strategy<Value = Totals> {
        let version = (
            0usize..3,
            0u64..50,
            0u64..50,
            0u64..50,
            prop::collection::vec((0u8..4, 1u64..9), 0..4),
            (0u64..9, 0u64..9, 0u64..9, 0u64..9),
        );
        let versions = prop::collection::vec(version, 0..4);
        (0u8..2, 0u64..2, 0u64..4, 0u64..3, versions).prop_map(
            |(node, epoch, sequence, revision, versions)| Totals {
                node: format!("n{node}"),
                epoch,
                sequence,
                revision,
                versions: versions
                    .into_iter()
                    .map(|(version, routed, requests, failures, latency, shadow)| VersionTotals {
                        version: format!("v{version}"),
                        routed,
                        requests,
                        failures,
                        latency,
                        shadow: ShadowTotals {
                            compared: shadow.0,
                            differed: shadow.1,
                            failures: shadow.2,
                            dropped: shadow.3,
                        },
                    })
                    .collect(),
            },
        )
    }

    fn fleet(reports: &[Totals]) -> Fleet {
        let mut fleet = Fleet::default();
        for report in reports {
            fleet.merge(report.clone(), 0).unwrap();
        }
        fleet
    }

    proptest! {
        #[test]
        fn reports_may_come_in_any_order_any_number_of_times(
            reports in prop::collection::vec(report(), 0..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let once = fleet(&reports);
            // Any order, with repeats, as long as each comes at least once.
            let mut shuffled = reports.clone();
            for (i, index) in order.iter().enumerate() {
                if !reports.is_empty() {
                    let j = index.index(shuffled.len());
                    let i = i % shuffled.len();
                    shuffled.swap(i, j);
                    shuffled.push(reports[index.index(reports.len())].clone());
                }
            }
            prop_assert_eq!(fleet(&shuffled), once);
        }
    }

    fn counted(sequence: u64, requests: u64) -> Totals {
        let version = VersionTotals { version: "v1".into(), requests, ..VersionTotals::default() };
        Totals { node: "n".into(), epoch: 1, sequence, revision: 1, versions: vec![version] }
    }

    #[test]
    fn a_late_report_changes_nothing_and_a_restarted_node_adds() {
        let mut fleet = fleet(&[counted(2, 20)]);
        assert_eq!(fleet.merge(counted(1, 10), 0), Ok(false));
        assert_eq!(fleet.merge(Totals { epoch: 2, ..counted(1, 5) }, 0), Ok(true));
        assert_eq!(fleet.sum(&["v1".to_owned()])[0].requests, 25);
    }

    #[test]
    fn sources_are_bounded() {
        let mut fleet = Fleet::default();
        for epoch in 0..TOTALS_SOURCES_MAX as u64 {
            fleet.merge(Totals { epoch, ..counted(1, 1) }, 0).unwrap();
        }
        let newcomer = Totals { epoch: u64::MAX, ..counted(1, 1) };
        let early = fleet.merge(newcomer.clone(), SOURCE_SILENT_MS - 1);
        assert_eq!(early, Err(NotTaken::Full));
        assert_eq!(fleet.merge(counted(2, 2), 1), Ok(true), "known sources still report");
        let versions = ["v1".to_owned()];
        let all = fleet.sum(&versions);
        assert_eq!(all[0].requests, TOTALS_SOURCES_MAX as u64 + 1);
        // A day later all but that one are silent: what they counted stays, as one sum.
        assert_eq!(fleet.merge(newcomer, SOURCE_SILENT_MS), Ok(true));
        assert_eq!((fleet.sources(), fleet.sum(&versions)[0].requests), (2, all[0].requests + 1));
        let again = Totals { epoch: 7, ..counted(9, 5) };
        assert_eq!(fleet.merge(again, SOURCE_SILENT_MS), Err(NotTaken::Folded), "counted twice");
        assert_eq!(fleet.merge(counted(3, 4), SOURCE_SILENT_MS), Ok(true));
        assert_eq!(fleet.sum(&versions)[0].requests, all[0].requests + 3);
    }
}
