//! What is counted: requests and failures of both versions while the share was constant.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

/// Requests and failures of both versions over a stretch with a constant share.
///
/// Segments of the *same* stretch merge by addition, from any number of nodes, in any
/// order; sums stop at `u64::MAX` instead of wrapping. Segments of different shares
/// (steps, sites, policy revisions) must never be added up: judge them side by side,
/// as a slice.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, BorshSerialize, BorshDeserialize,
)]
#[serde(into = "Counted")]
pub struct Segment {
    canary_requests: u64,
    canary_failures: u64,
    control_requests: u64,
    control_failures: u64,
}

/// Why four numbers are not a [`Segment`], or not a later reading of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A version failed more often than it was asked.
    #[error(
        "{version} has {failures} failures in {requests} requests; count each failed request as a request too"
    )]
    FailuresAboveRequests {
        /// `canary` or `control`.
        version: &'static str,
        /// Requests counted.
        requests: u64,
        /// Failures counted.
        failures: u64,
    },
    /// A cumulative count is smaller than it was.
    #[error(
        "a total went back from {earlier} to {now}; a process that restarts must send a new epoch"
    )]
    WentBack {
        /// The larger, earlier count.
        earlier: u64,
        /// The smaller, later count.
        now: u64,
    },
}

impl Segment {
    /// A segment of these counts.
    ///
    /// # Errors
    /// When a version has more failures than requests.
    pub fn new(
        canary_requests: u64,
        canary_failures: u64,
        control_requests: u64,
        control_failures: u64,
    ) -> Result<Segment, SegmentError> {
        let check = |version, requests, failures| {
            if failures > requests {
                return Err(SegmentError::FailuresAboveRequests { version, requests, failures });
            }
            Ok(())
        };
        check("canary", canary_requests, canary_failures)?;
        check("control", control_requests, control_failures)?;
        Ok(Segment { canary_requests, canary_failures, control_requests, control_failures })
    }

    /// Requests the canary served.
    pub fn canary_requests(&self) -> u64 {
        self.canary_requests
    }

    /// Requests of the canary that failed.
    pub fn canary_failures(&self) -> u64 {
        self.canary_failures
    }

    /// Requests the control served.
    pub fn control_requests(&self) -> u64 {
        self.control_requests
    }

    /// Requests of the control that failed.
    pub fn control_failures(&self) -> u64 {
        self.control_failures
    }

    /// Counts `requests` more on one version, `failures` of them failed (at most all).
    pub fn count(&mut self, version: Arm, requests: u64, failures: u64) {
        let failures = failures.min(requests);
        let (all, failed) = match version {
            Arm::Canary => (&mut self.canary_requests, &mut self.canary_failures),
            Arm::Control => (&mut self.control_requests, &mut self.control_failures),
        };
        *all = all.saturating_add(requests);
        *failed = failed.saturating_add(failures);
    }

    /// Counts the parts of one request that are new: a client's first failure in a bin
    /// may come after its first request, which was counted already.
    pub(crate) fn count_parts(&mut self, version: Arm, request: bool, failure: bool) {
        self.count(version, u64::from(request), 0);
        let (all, failed) = match version {
            Arm::Canary => (self.canary_requests, &mut self.canary_failures),
            Arm::Control => (self.control_requests, &mut self.control_failures),
        };
        *failed = failed.saturating_add(u64::from(failure)).min(all);
    }

    /// Adds another reading of the same stretch.
    pub fn merge(&mut self, other: &Segment) {
        self.count(Arm::Canary, other.canary_requests, other.canary_failures);
        self.count(Arm::Control, other.control_requests, other.control_failures);
    }

    /// What was counted between an earlier reading of the same totals and this one.
    ///
    /// # Errors
    /// When a count shrank, or the failures grew by more than the requests. Nothing
    /// negative is ever counted.
    pub fn since(&self, earlier: &Segment) -> Result<Segment, SegmentError> {
        let minus = |now: u64, earlier: u64| {
            now.checked_sub(earlier).ok_or(SegmentError::WentBack { earlier, now })
        };
        Segment::new(
            minus(self.canary_requests, earlier.canary_requests)?,
            minus(self.canary_failures, earlier.canary_failures)?,
            minus(self.control_requests, earlier.control_requests)?,
            minus(self.control_failures, earlier.control_failures)?,
        )
    }

    /// The canary's share of the requests, as it turned out; `None` before the first.
    ///
    /// This, never the share asked for, goes into every test: a configured 10 % that
    /// really is 12 % would make healthy versions look bad.
    pub fn share(&self) -> Option<f64> {
        let counts = Counts::from(self);
        (counts.n_t + counts.n_c > 0.0).then(|| counts.share())
    }

    /// True when only one version, or none, was served: nothing can be compared.
    pub fn is_one_sided(&self) -> bool {
        self.canary_requests == 0 || self.control_requests == 0
    }
}

/// One of the two versions compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The new version, v2.
    Canary,
    /// The old version, v1.
    Control,
}

/// A segment as it is told.
#[derive(Serialize)]
struct Counted {
    canary_requests: u64,
    canary_failures: u64,
    control_requests: u64,
    control_failures: u64,
}

impl From<Segment> for Counted {
    fn from(s: Segment) -> Counted {
        Counted {
            canary_requests: s.canary_requests,
            canary_failures: s.canary_failures,
            control_requests: s.control_requests,
            control_failures: s.control_failures,
        }
    }
}

/// A segment in the letters of the formulas: `n` requests, `e` failures, `_t`
/// treatment (canary), `_c` control. `e_t` may be a fraction once it was capped.
///
/// Counts above 2^53 lose their last digits here; nothing else goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) n_t: f64,
    pub(crate) e_t: f64,
    pub(crate) n_c: f64,
    pub(crate) e_c: f64,
}

impl Counts {
    /// The canary's share ρ. The control's is [`Counts::rest`], not `1 - share`, which
    /// would round to zero beside a very large canary.
    pub(crate) fn share(&self) -> f64 {
        self.n_t / (self.n_t + self.n_c)
    }

    /// The control's share, 1 − ρ.
    pub(crate) fn rest(&self) -> f64 {
        self.n_c / (self.n_t + self.n_c)
    }

    /// Failures of both versions.
    pub(crate) fn failures(&self) -> f64 {
        self.e_t + self.e_c
    }

    /// Requests of both versions that did not fail.
    pub(crate) fn successes(&self) -> f64 {
        (self.n_t - self.e_t) + (self.n_c - self.e_c)
    }

    /// True when there is nothing to compare with.
    pub(crate) fn is_one_sided(&self) -> bool {
        self.n_t == 0.0 || self.n_c == 0.0
    }
}

impl From<&Segment> for Counts {
    fn from(s: &Segment) -> Counts {
        Counts {
            n_t: s.canary_requests as f64,
            e_t: s.canary_failures as f64,
            n_c: s.control_requests as f64,
            e_c: s.control_failures as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_failures_than_requests_are_refused_for_either_version() {
        assert!(Segment::new(1, 1, 1, 1).is_ok());
        assert_eq!(
            Segment::new(1, 2, 1, 1).unwrap_err().to_string(),
            "canary has 2 failures in 1 requests; count each failed request as a request too"
        );
        assert!(matches!(
            Segment::new(1, 0, 0, 1),
            Err(SegmentError::FailuresAboveRequests { version: "control", .. })
        ));
    }

    #[test]
    fn totals_that_went_back_are_an_error_and_never_a_negative_count() {
        let earlier = Segment::new(10, 1, 20, 2).unwrap();
        let later = Segment::new(15, 1, 30, 4).unwrap();
        assert_eq!(later.since(&earlier), Segment::new(5, 0, 10, 2));
        assert_eq!(earlier.since(&later), Err(SegmentError::WentBack { earlier: 15, now: 10 }));
    }

    #[test]
    fn sums_stop_at_the_largest_count() {
        let mut huge = Segment::new(u64::MAX, u64::MAX, u64::MAX - 1, 0).unwrap();
        huge.merge(&Segment::new(5, 5, 5, 5).unwrap());
        assert_eq!(huge, Segment::new(u64::MAX, u64::MAX, u64::MAX, 5).unwrap());
    }
}
