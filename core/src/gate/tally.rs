//! Counts that merge by addition: what a window is made of.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::cap::MILLI;
use super::segment::{Counts, Segment};

/// Counts of one stratum in one slot. `merge` is commutative and associative to the
/// bit, which is what makes the order of reports irrelevant.
pub trait Mergeable:
    Copy + Default + PartialEq + std::fmt::Debug + BorshSerialize + BorshDeserialize
{
    /// Adds counts of the same stratum.
    fn merge(&mut self, other: &Self);
}

/// Failures against the control, and how much of them the bin cap withholds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize,
)]
pub struct FailureTally {
    /// Everything counted.
    pub segment: Segment,
    /// Thousandths of canary failures that do not count towards "worse": what the bin cap
    /// withholds, and what is excused.
    pub withheld_milli: u64,
}

impl Mergeable for FailureTally {
    fn merge(&mut self, other: &FailureTally) {
        self.segment.merge(&other.segment);
        self.withheld_milli = self.withheld_milli.saturating_add(other.withheld_milli);
    }
}

impl FailureTally {
    /// Canary failures that the cap withholds.
    pub fn withheld(&self) -> f64 {
        self.withheld_milli as f64 / MILLI as f64
    }

    /// Thousandths of canary failures that count towards "worse".
    pub(crate) fn counting_milli(&self) -> u64 {
        let all_milli = self.segment.canary_failures().saturating_mul(MILLI);
        all_milli.saturating_sub(self.withheld_milli)
    }

    /// The counts as the test for "worse" takes them.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::from(&self.segment);
        if self.withheld_milli > 0 {
            counts.e_t = (counts.e_t - self.withheld()).max(0.0);
        }
        counts
    }
}

impl From<Segment> for FailureTally {
    /// Counts that were aggregated elsewhere: nothing is withheld.
    fn from(segment: Segment) -> FailureTally {
        FailureTally { segment, withheld_milli: 0 }
    }
}

/// Requests and failures of one version.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize,
)]
#[serde(into = "(u64, u64)")]
pub struct Trials {
    requests: u64,
    failures: u64,
}

/// More failures than requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{failures} failures in {requests} requests; count each failed request as a request too")]
pub struct TrialsError {
    requests: u64,
    failures: u64,
}

impl Trials {
    /// Trials of these counts.
    ///
    /// # Errors
    /// When there are more failures than requests.
    pub fn new(requests: u64, failures: u64) -> Result<Trials, TrialsError> {
        if failures > requests {
            return Err(TrialsError { requests, failures });
        }
        Ok(Trials { requests, failures })
    }

    /// Requests made.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Share of requests that failed; `None` before the first request.
    pub fn rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failures as f64 / self.requests as f64)
    }
}

impl Mergeable for Trials {
    fn merge(&mut self, other: &Trials) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
    }
}

impl From<Trials> for (u64, u64) {
    fn from(trials: Trials) -> (u64, u64) {
        (trials.requests, trials.failures)
    }
}

impl Segment {
    /// The canary's requests and failures.
    pub fn canary(&self) -> Trials {
        Trials { requests: self.canary_requests(), failures: self.canary_failures() }
    }

    /// The control's requests and failures.
    pub fn control(&self) -> Trials {
        Trials { requests: self.control_requests(), failures: self.control_failures() }
    }
}
