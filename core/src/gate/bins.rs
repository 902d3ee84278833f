//! Bins of five seconds: the guard against failures that come in clusters.
//!
//! A client that retries, a pod that blips: one event makes many failures, and a test
//! that counts each of them rolls back healthy versions. In a bin a client therefore
//! counts at most once per version, as a request and as a failure; a client that failed
//! does not count again for a minute ([`repeats`](super::repeats)); what a bin says in
//! the end is capped ([`cap`](super::cap)), and so is what neighbouring bins say
//! together (`episode`).

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::clients::{Addition, ClientTable};
use super::repeats::FailedClients;
use super::segment::{Arm, Segment};

/// How long a bin stays open, in milliseconds.
pub const BIN_MS: u64 = 5_000;

/// One request that was served, reported by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// When it was served, in unix milliseconds.
    pub at_ms: u64,
    /// The version that served it.
    pub version: Arm,
    /// Whether it failed.
    pub failed: bool,
    /// A seeded 64-bit hash of the client's id.
    pub client: u64,
}

/// Reports that were not counted quite as they were meant.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize,
)]
pub struct Irregular {
    /// Came after their bin had closed, and were counted in the open one.
    pub late: u64,
    /// Carried a time still to come, and were counted in the open bin.
    pub ahead: u64,
    /// Came from a client for whom a table had no room: counted by request, or again
    /// although it failed a moment ago.
    pub overflowed: u64,
    /// Came from a client that had failed within the last minute, and were not counted.
    pub repeated: u64,
}

/// The open bin.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub struct Bins {
    start_ms: u64,
    open: Segment,
    clients: ClientTable,
    failed: FailedClients,
    irregular: Irregular,
}

impl Bins {
    /// What the open bin has counted so far, each client once.
    pub fn open(&self) -> &Segment {
        &self.open
    }

    /// When the open bin began, in unix milliseconds.
    pub(crate) fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// Reports that were late, ahead, or too many, since the beginning.
    pub fn irregular(&self) -> Irregular {
        self.irregular
    }

    /// True when the open bin has had its five seconds. A clock that went back ends no
    /// bin.
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.start_ms) >= BIN_MS
    }

    /// Closes the bin, opens the one of `now_ms`, and returns what was counted.
    pub fn close(&mut self, now_ms: u64) -> Segment {
        self.start_ms = (now_ms - now_ms % BIN_MS).max(self.start_ms);
        self.clients.clear();
        self.failed.forget(self.start_ms / BIN_MS);
        std::mem::take(&mut self.open)
    }

    /// Counts a report, and says what of it was new. [`Bins::is_over`] must have been
    /// answered before; a report that is late or ahead joins the open bin.
    pub fn record(&mut self, report: &Report, now_ms: u64) -> Addition {
        if report.at_ms < self.start_ms {
            self.irregular.late = self.irregular.late.saturating_add(1);
        } else if report.at_ms > now_ms {
            self.irregular.ahead = self.irregular.ahead.saturating_add(1);
        }
        let mut addition = self.clients.note(report.client, report.version, report.failed);
        if self.failed.contains(report.client, report.version) {
            // Its first failure is in this bin or an earlier one: nothing more is new.
            self.irregular.repeated = self.irregular.repeated.saturating_add(1);
            addition = Addition { request: false, failure: false, ..addition };
        } else if addition.failure {
            let bin = self.start_ms / BIN_MS;
            addition.overflowed |= !self.failed.remember(report.client, report.version, bin);
        }
        if addition.overflowed {
            self.irregular.overflowed = self.irregular.overflowed.saturating_add(1);
        }
        self.open.count_parts(report.version, addition.request, addition.failure);
        addition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at_ms: u64, client: u64, failed: bool) -> Report {
        Report { at_ms, version: Arm::Canary, failed, client: client << 4 }
    }

    #[test]
    fn retries_of_one_client_are_one_failure_until_the_next_bin() {
        let mut bins = Bins::default();
        for _ in 0..100 {
            bins.record(&report(10, 1, true), 10);
        }
        bins.record(&report(11, 2, false), 11);
        assert_eq!(bins.open(), &Segment::new(2, 1, 0, 0).unwrap());
        assert!(!bins.is_over(4_999) && bins.is_over(5_000));
        assert_eq!(bins.close(5_000), Segment::new(2, 1, 0, 0).unwrap());
        bins.record(&report(5_000, 2, true), 5_000);
        assert_eq!(bins.open(), &Segment::new(1, 1, 0, 0).unwrap());
    }

    #[test]
    fn retries_in_later_bins_are_no_new_failures_for_a_minute() {
        let mut bins = Bins::default();
        bins.record(&report(0, 1, true), 0);
        let mut counted = Segment::default();
        for bin in 1..=13 {
            counted.merge(&bins.close(bin * BIN_MS));
            bins.record(&report(bin * BIN_MS, 1, true), bin * BIN_MS);
        }
        counted.merge(bins.open());
        assert_eq!(counted, Segment::new(2, 2, 0, 0).unwrap());
        assert_eq!(bins.irregular().repeated, 12);
    }

    #[test]
    fn reports_from_other_times_join_the_open_bin_and_are_counted_as_such() {
        let mut bins = Bins::default();
        bins.close(20_000);
        bins.record(&report(19_999, 1, false), 20_001);
        bins.record(&report(20_000, 2, false), 20_001);
        bins.record(&report(90_000, 3, false), 20_001);
        assert_eq!(bins.open().canary_requests(), 3);
        assert_eq!(bins.irregular(), Irregular { late: 1, ahead: 1, ..Irregular::default() });
    }

    #[test]
    fn a_clock_that_went_back_ends_no_bin() {
        let mut bins = Bins::default();
        bins.close(20_000);
        assert!(!bins.is_over(3_000));
        bins.close(3_000);
        assert!(!bins.is_over(24_999) && bins.is_over(25_000));
    }
}
