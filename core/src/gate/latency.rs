//! Is v2 slower? Thresholds frozen from v1's past; beyond each, requests are counted
//! like failures.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::cap::MILLI;
use super::config::BucketTolerance;
use super::mixture::log_mean_exp;
use super::segment::{Arm, Counts};
use super::tally::Mergeable;
use super::windows::{WindowTest, written_as};
use crate::latency::{Histogram, LATENCY_BUCKETS, LOWER_MS};

/// Thresholds looked at.
pub const THRESHOLDS: usize = 5;

/// The share of v1's requests that took longer than each threshold when it was frozen.
pub const EXCEEDED_BY: [f64; THRESHOLDS] = [0.5, 0.25, 0.1, 0.05, 0.01];

/// Control requests without which no threshold is frozen: 20 beyond the last one.
pub const FREEZE_REQUESTS_MIN: u64 = 2_000;

/// Odds of exceeding a threshold, canary to control, that are bet on.
const SLOWER_ODDS: [f64; 8] = [1.1, 1.25, 1.5, 2.0, 3.0, 6.0, 20.0, 1000.0];

/// The same where "not slower" is to be proven.
const FASTER_ODDS: [f64; 6] = [0.9, 0.75, 0.5, 0.3, 0.1, 0.02];

/// Components of the mixture against "not slower".
pub const COMPONENTS: usize = THRESHOLDS * SLOWER_ODDS.len();

/// Five latencies that v1 exceeded half, a quarter, a tenth, a twentieth and a
/// hundredth of the time. Frozen before the requests they judge were made: a threshold
/// that moves with the data would make the test invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Thresholds {
    /// A request exceeds threshold `i` when it lies in a bucket above this one.
    buckets: [u8; THRESHOLDS],
}

impl Thresholds {
    /// Freezes the quantiles of v1's latencies; `None` with fewer than
    /// [`FREEZE_REQUESTS_MIN`] requests.
    pub fn freeze(control: &Histogram) -> Option<Thresholds> {
        let total = control.total();
        if total < FREEZE_REQUESTS_MIN {
            return None;
        }
        let buckets = EXCEEDED_BY.map(|exceeded| {
            // In whole percent, so that no rounding decides.
            let within = u128::from(total) * u128::from(100 - (exceeded * 100.0) as u64);
            let mut seen = 0u128;
            let reached = control.counts().iter().position(|count| {
                seen += u128::from(*count) * 100;
                seen >= within
            });
            reached.unwrap_or(LATENCY_BUCKETS - 1) as u8
        });
        Some(Thresholds { buckets })
    }

    /// The thresholds in milliseconds: the upper ends of their buckets, `None` for the
    /// last bucket, which has none.
    pub fn latencies_ms(&self) -> [Option<f64>; THRESHOLDS] {
        self.buckets.map(|bucket| LOWER_MS.get(usize::from(bucket) + 1).copied())
    }
}

/// Requests of both versions, and how many of them exceeded each threshold.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize,
)]
pub struct Exceedances {
    canary_requests: u64,
    control_requests: u64,
    canary: [u64; THRESHOLDS],
    control: [u64; THRESHOLDS],
    /// Thousandths of the canary's that do not count towards "slower".
    withheld_milli: [u64; THRESHOLDS],
}

impl Exceedances {
    /// Counts `count` requests with a latency in `bucket`. The canary is measured at
    /// thresholds `tolerance` buckets higher: so much slower is not "slower".
    pub fn record(
        &mut self,
        thresholds: &Thresholds,
        tolerance: BucketTolerance,
        version: Arm,
        bucket: usize,
        count: u64,
    ) {
        let (requests, exceeded, shift) = match version {
            Arm::Canary => (&mut self.canary_requests, &mut self.canary, tolerance.buckets()),
            Arm::Control => (&mut self.control_requests, &mut self.control, 0),
        };
        *requests = requests.saturating_add(count);
        for (exceeded, threshold) in exceeded.iter_mut().zip(thresholds.buckets) {
            if bucket > usize::from(threshold) + usize::from(shift) {
                *exceeded = exceeded.saturating_add(count);
            }
        }
    }

    /// Counts made elsewhere: requests of each version, and how many exceeded each
    /// threshold; `None` when more exceeded one than there were.
    pub fn from_counts(
        canary: (u64, [u64; THRESHOLDS]),
        control: (u64, [u64; THRESHOLDS]),
    ) -> Option<Exceedances> {
        let fits = |(requests, exceeded): &(u64, [u64; THRESHOLDS])| {
            exceeded.iter().all(|count| count <= requests)
        };
        (fits(&canary) && fits(&control)).then_some(Exceedances {
            canary_requests: canary.0,
            control_requests: control.0,
            canary: canary.1,
            control: control.1,
            withheld_milli: [0; THRESHOLDS],
        })
    }

    /// Counts two whole histograms, the canary's and the control's.
    pub fn of(
        thresholds: &Thresholds,
        tolerance: BucketTolerance,
        canary: &[u64; LATENCY_BUCKETS],
        control: &[u64; LATENCY_BUCKETS],
    ) -> Exceedances {
        let mut counted = Exceedances::default();
        for (version, counts) in [(Arm::Canary, canary), (Arm::Control, control)] {
            for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                counted.record(thresholds, tolerance, version, bucket, *count);
            }
        }
        counted
    }

    /// Requests of a version.
    pub fn requests(&self, version: Arm) -> u64 {
        match version {
            Arm::Canary => self.canary_requests,
            Arm::Control => self.control_requests,
        }
    }

    /// How many of them exceeded each threshold.
    pub fn exceeded(&self, version: Arm) -> [u64; THRESHOLDS] {
        match version {
            Arm::Canary => self.canary,
            Arm::Control => self.control,
        }
    }

    /// Withholds a part of what the canary exceeded; see [`cap`](super::cap).
    pub(crate) fn withhold(&mut self, milli: [u64; THRESHOLDS]) {
        self.withheld_milli = milli;
    }

    /// One threshold in the letters of the formulas; with nothing withheld if `all`.
    fn counts(&self, threshold: usize, all: bool) -> Counts {
        let withheld = if all { 0 } else { self.withheld_milli[threshold] };
        Counts {
            n_t: self.canary_requests as f64,
            e_t: (self.canary[threshold] as f64 - withheld as f64 / MILLI as f64).max(0.0),
            n_c: self.control_requests as f64,
            e_c: self.control[threshold] as f64,
        }
    }
}

impl Mergeable for Exceedances {
    fn merge(&mut self, other: &Exceedances) {
        let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
        add(&mut self.canary_requests, other.canary_requests);
        add(&mut self.control_requests, other.control_requests);
        for i in 0..THRESHOLDS {
            add(&mut self.canary[i], other.canary[i]);
            add(&mut self.control[i], other.control[i]);
            add(&mut self.withheld_milli[i], other.withheld_milli[i]);
        }
    }
}

/// Log e-value against H0: at every threshold the canary exceeds no more often than
/// the control. Each element is a stratum with its own share and its own thresholds.
pub fn log_e_slower(strata: &[Exceedances]) -> f64 {
    let test = SlowerTest::default();
    let mut sums = [0.0; COMPONENTS];
    for stratum in strata {
        let parts = test.log_components(stratum);
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    log_mean_exp(&sums)
}

/// Log e-value against H0: at one threshold, given by its number, the canary exceeds at
/// least as often as the control. With a tolerance: as often as the control exceeds a
/// threshold that much lower.
///
/// Says 0 for a threshold that does not exist. Nothing is withheld: leaving slow
/// canary requests out would make the canary look better.
pub fn log_e_not_slower(stratum: &Exceedances, threshold: usize) -> f64 {
    let Some(exceeded_by) = EXCEEDED_BY.get(threshold) else {
        return 0.0;
    };
    let counts = stratum.counts(threshold, true);
    log_mean_exp(&FASTER_ODDS.map(|odds| Odds::new(odds, *exceeded_by).log_ratio(&counts)))
}

/// Log-likelihood ratio of one odds ratio at one threshold. An e-value whatever the
/// true exceedance is; most powerful where it is `exceeded_by`.
pub fn log_odds_ratio(stratum: &Exceedances, threshold: usize, odds: f64, exceeded_by: f64) -> f64 {
    if threshold >= THRESHOLDS {
        return 0.0;
    }
    Odds::new(odds, exceeded_by).log_ratio(&stratum.counts(threshold, false))
}

/// One alternative: the canary's odds of exceeding are `odds` times the control's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Odds {
    exceeded_by: f64,
    /// The ratio η of the exceedances at these odds.
    ratio: f64,
    ln_ratio: f64,
    /// `ln` of the shares that do not exceed: control, canary.
    ln_control_within: f64,
    ln_canary_within: f64,
}

impl Odds {
    fn new(odds: f64, exceeded_by: f64) -> Odds {
        let scale = exceeded_by * (odds - 1.0);
        let ln_control_within = libm::log1p(-exceeded_by);
        Odds {
            exceeded_by,
            ratio: odds / (1.0 + scale),
            ln_ratio: libm::log(odds) - libm::log1p(scale),
            ln_control_within,
            ln_canary_within: ln_control_within - libm::log1p(scale),
        }
    }

    fn log_ratio(&self, counts: &Counts) -> f64 {
        if counts.is_one_sided() {
            return 0.0;
        }
        let grown = counts.share() * (self.ratio - 1.0);
        let ln_exceeded = libm::log1p(grown);
        // The average of both versions' shares within: 1 − q(1 + ρ(η − 1)).
        let ln_within = libm::log1p(-self.exceeded_by * (1.0 + grown));
        counts.e_t * (self.ln_ratio - ln_exceeded) - counts.e_c * ln_exceeded
            + (counts.n_t - counts.e_t) * (self.ln_canary_within - ln_within)
            + (counts.n_c - counts.e_c) * (self.ln_control_within - ln_within)
    }
}

/// [`log_e_slower`] with everything computed beforehand that depends on nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowerTest {
    odds: [[Odds; SLOWER_ODDS.len()]; THRESHOLDS],
}

written_as!(SlowerTest, ());

impl Default for SlowerTest {
    fn default() -> SlowerTest {
        SlowerTest { odds: EXCEEDED_BY.map(|q| SLOWER_ODDS.map(|odds| Odds::new(odds, q))) }
    }
}

impl From<()> for SlowerTest {
    fn from((): ()) -> SlowerTest {
        SlowerTest::default()
    }
}

impl From<SlowerTest> for () {
    fn from(_: SlowerTest) {}
}

impl WindowTest<COMPONENTS> for SlowerTest {
    type Tally = Exceedances;

    fn log_components(&self, tally: &Exceedances) -> [f64; COMPONENTS] {
        let mut parts = [0.0; COMPONENTS];
        for (threshold, (part, odds)) in
            parts.chunks_exact_mut(SLOWER_ODDS.len()).zip(&self.odds).enumerate()
        {
            let counts = tally.counts(threshold, false);
            part.iter_mut().zip(odds).for_each(|(part, odds)| *part = odds.log_ratio(&counts));
        }
        parts
    }

    fn upper_bound(&self, tally: &Exceedances) -> f64 {
        // Two binomials: who exceeded, and who did not. Their deviations are equal.
        let bound = |threshold: usize| {
            let counts = tally.counts(threshold, false);
            let (exceeded, within) = (counts.failures(), counts.successes());
            let (share, rest) = (counts.share(), counts.rest());
            let excess = counts.e_t - exceeded * share;
            if counts.is_one_sided() || excess <= 0.0 {
                return 0.0;
            }
            // With nobody within, the second has no deviation to speak of.
            let within = if within > 0.0 { 1.0 / within } else { 0.0 };
            excess * excess * (1.0 / exceeded + within) / (share * rest)
        };
        (0..THRESHOLDS).map(bound).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread() -> Histogram {
        let mut control = Histogram::default();
        (0..100).for_each(|bucket| control.add(bucket, 100));
        control
    }

    #[test]
    fn thresholds_are_the_quantiles_of_the_control() {
        let thresholds = Thresholds::freeze(&spread()).unwrap();
        assert_eq!(thresholds.buckets, [49, 74, 89, 94, 98]);
        let mut few = Histogram::default();
        few.add(5, FREEZE_REQUESTS_MIN - 1);
        assert_eq!(Thresholds::freeze(&few), None);
        few.add(5, 1);
        assert_eq!(Thresholds::freeze(&few).unwrap().buckets, [5; 5]);
    }

    #[test]
    fn a_tolerated_bucket_is_not_an_exceedance_of_the_canary() {
        let control = spread();
        let thresholds = Thresholds::freeze(&control).unwrap();
        let one = BucketTolerance::new(1).unwrap();
        let mut slower = [0; LATENCY_BUCKETS];
        (0..100).for_each(|bucket| slower[bucket + 1] = 100);
        let tolerated = Exceedances::of(&thresholds, one, &slower, control.counts());
        assert_eq!(tolerated.exceeded(Arm::Canary), tolerated.exceeded(Arm::Control));
        let none = BucketTolerance::new(0).unwrap();
        let exact = Exceedances::of(&thresholds, none, &slower, control.counts());
        assert!(exact.exceeded(Arm::Canary) > exact.exceeded(Arm::Control));
        assert!(log_e_slower(&[exact]) > log_e_slower(&[tolerated]));
    }

    #[test]
    fn versions_of_equal_speed_prove_nothing_and_a_hang_proves_itself() {
        let control = spread();
        let thresholds = Thresholds::freeze(&control).unwrap();
        let none = BucketTolerance::new(0).unwrap();
        let same = Exceedances::of(&thresholds, none, control.counts(), control.counts());
        assert!(log_e_slower(&[same]) < 0.0);
        let mut hang = [0; LATENCY_BUCKETS];
        hang[LATENCY_BUCKETS - 1] = 30;
        let hang = Exceedances::of(&thresholds, none, &hang, control.counts());
        assert!(log_e_slower(&[hang]) > libm::log(1.0 / 0.004));
        assert!(log_e_not_slower(&hang, 2) < 0.0);
        assert_eq!(log_e_not_slower(&hang, THRESHOLDS), 0.0);
    }
}
