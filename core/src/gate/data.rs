//! Missing is not healthy and not unhealthy: the states data can be in, and what is
//! done about each.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::config::Level;
use super::config::Tolerance;
use super::not_worse::{are_canary_requests_enough, canary_requests_needed};
use super::segment::Segment;

/// Whether there is anything to judge. No state but `Ok` ever adds to evidence, and
/// none spends a part of alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DataState {
    /// There is enough, and it is fresh.
    Ok,
    /// Nothing was reported in this step.
    NoReports,
    /// The newest report is older than allowed.
    Stale {
        /// Its age.
        age_ms: u64,
    },
    /// v2 was served, v1 was not: there is nothing to compare with.
    NoControl,
    /// v1 was served, v2 was not.
    NoCanary,
    /// So few that not even a flawless v2 could be proven healthy.
    TooFew {
        /// Requests v2 has served.
        canary_requests: u64,
        /// Requests it would take.
        needed: u64,
    },
    /// What was reported cannot be true.
    Suspect {
        /// What is wrong with it.
        why: Suspicion,
    },
}

/// What is wrong with a report. It was not counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize, thiserror::Error,
)]
#[serde(tag = "suspicion", rename_all = "snake_case")]
pub enum Suspicion {
    /// Not a number where a count should be: often a metrics query without data.
    #[error("a count is not a number; the metrics query probably found no data")]
    NotANumber,
    /// A negative count.
    #[error("a count is negative; send totals with an epoch, not differences")]
    Negative,
    /// A count with a fraction.
    #[error("a count is not whole; send counts, not rates")]
    NotWhole,
    /// A count beyond 2^53, or infinite.
    #[error("a count is beyond 2^53; send whole requests as counted")]
    TooLarge,
    /// More failures than requests.
    #[error("there are more failures than requests; count each failed request as a request too")]
    FailuresAboveRequests,
    /// A total that shrank within one epoch.
    #[error("a total went back; a process that restarts must send a new epoch")]
    WentBack,
    /// A time still to come.
    #[error("a report is {by_ms} ms from the future; compare the clocks")]
    FromTheFuture {
        /// How far.
        by_ms: u64,
    },
}

/// A count that arrived as a floating-point number, as metrics systems send them.
///
/// # Errors
/// When it is no whole number from 0 to 2^53.
pub fn whole_count(number: f64) -> Result<u64, Suspicion> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.is_nan() {
        Err(Suspicion::NotANumber)
    } else if number < 0.0 {
        Err(Suspicion::Negative)
    } else if number > EXACT_MAX {
        Err(Suspicion::TooLarge)
    } else if number != number.trunc() {
        Err(Suspicion::NotWhole)
    } else {
        Ok(number as u64)
    }
}

/// What the state of the data is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// When the newest report of this step came in, if one did.
    pub newest_ms: Option<u64>,
    /// What was counted in this step.
    pub step: Segment,
    /// What was wrong with the newest report, if it was refused.
    pub refused: Option<Suspicion>,
    /// Whether v1 is meant to be served at all in this step.
    pub control_expected: bool,
}

/// The state of data that arrived like this. `stale_after_ms` is how old the newest
/// report may be; what `Healthy` needs comes from the tolerance and beta.
pub fn data_state(
    arrivals: &Arrivals,
    stale_after_ms: u64,
    tolerance: Tolerance,
    beta: Level,
) -> DataState {
    if let Some(why) = arrivals.refused {
        return DataState::Suspect { why };
    }
    let Some(newest_ms) = arrivals.newest_ms else {
        return DataState::NoReports;
    };
    let age_ms = arrivals.now_ms.saturating_sub(newest_ms);
    if age_ms > stale_after_ms {
        return DataState::Stale { age_ms };
    }
    let step = &arrivals.step;
    match (step.canary_requests(), step.control_requests()) {
        (0, 0) => DataState::NoReports,
        (0, _) => DataState::NoCanary,
        (_, 0) if arrivals.control_expected => DataState::NoControl,
        // Asked for at every batch, and true most of the time.
        _ if are_canary_requests_enough(step, tolerance, beta.threshold()) => DataState::Ok,
        (canary_requests, _) => match canary_requests_needed(step, tolerance, beta.threshold()) {
            Some(needed) if canary_requests < needed => {
                DataState::TooFew { canary_requests, needed }
            }
            _ => DataState::Ok,
        },
    }
}

impl DataState {
    /// True when the data may not be called healthy, whatever they seem to prove.
    ///
    /// Too few do not stand in the way: where failures are frequent they may prove
    /// something all the same.
    pub fn blocks_healthy(&self) -> bool {
        !matches!(self, DataState::Ok | DataState::TooFew { .. })
    }

    /// True when a policy for missing data applies: reports should be here and are not.
    pub fn is_missing(&self) -> bool {
        self.blocks_healthy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(newest_ms: Option<u64>, step: [u64; 4], control_expected: bool) -> DataState {
        let [n_t, e_t, n_c, e_c] = step;
        let step = Segment::new(n_t, e_t, n_c, e_c).unwrap();
        let arrivals =
            Arrivals { now_ms: 100_000, newest_ms, step, refused: None, control_expected };
        data_state(&arrivals, 60_000, Tolerance::default(), Level::new(0.05).unwrap())
    }

    #[test]
    fn every_way_to_have_no_data_has_its_own_name() {
        let full = [5_000, 5, 45_000, 45];
        assert_eq!(state(None, [0; 4], true), DataState::NoReports);
        assert_eq!(state(Some(99_000), [0; 4], true), DataState::NoReports);
        assert_eq!(state(Some(39_999), full, true), DataState::Stale { age_ms: 60_001 });
        assert_eq!(state(Some(40_000), full, true), DataState::Ok);
        assert_eq!(state(Some(100_500), full, true), DataState::Ok);
        assert_eq!(state(Some(99_000), [0, 0, 9, 0], true), DataState::NoCanary);
        assert_eq!(state(Some(99_000), [9, 0, 0, 0], true), DataState::NoControl);
        assert_eq!(state(Some(99_000), [9, 0, 0, 0], false), DataState::Ok);
        assert!(matches!(
            state(Some(99_000), [10, 0, 90, 0], true),
            DataState::TooFew { canary_requests: 10, needed: 900..1_200 }
        ));
    }

    #[test]
    fn numbers_that_are_no_counts_are_suspect() {
        assert_eq!(whole_count(9_007_199_254_740_992.0), Ok(1 << 53));
        assert_eq!(whole_count(-0.0), Ok(0));
        assert_eq!(whole_count(f64::NAN), Err(Suspicion::NotANumber));
        assert_eq!(whole_count(-1.0), Err(Suspicion::Negative));
        assert_eq!(whole_count(0.5), Err(Suspicion::NotWhole));
        assert_eq!(whole_count(f64::INFINITY), Err(Suspicion::TooLarge));
    }

    #[test]
    fn a_state_reads_well_in_json() {
        let suspect = DataState::Suspect { why: Suspicion::FromTheFuture { by_ms: 7 } };
        let json = serde_json::to_string(&suspect).unwrap();
        assert_eq!(json, r#"{"state":"suspect","why":{"suspicion":"from_the_future","by_ms":7}}"#);
    }
}
