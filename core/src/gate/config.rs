//! What a gate is asked: levels, margins, tolerances, and the defaults with their reasons.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

/// A number in a gate's configuration that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GateConfigError {
    /// An alpha or beta that is not a probability strictly between 0 and 1.
    #[error(
        "a level must lie strictly between 0 and 1, not {0}; 0.005 is one false alarm in 200 rollouts"
    )]
    Level(f64),
    /// A margin or tolerated ratio that makes no sense, or is beyond what the tests know.
    #[error("a ratio of failure rates must lie between 1 and 10, not {0}; 1 means no worse at all")]
    Margin(f64),
    /// A difference that is not between 0 and 100 percentage points.
    #[error("points must be percentage points from 0 up to, but not including, 100, not {0}")]
    Points(f64),
    /// A share of failures or slow requests that is not strictly between 0 and 1.
    #[error("a bound on a share must lie strictly between 0 and 1, not {0}; 0.005 is 0.5 %")]
    Bound(f64),
    /// A bin cap below 0 or not a number.
    #[error("the bin cap must be a positive number of nats, not {0}; 3.5 is the default")]
    Cap(f64),
    /// A latency tolerance beyond the histogram.
    #[error("a latency tolerance of {0} buckets is beyond doubling; use at most 7 (each is 10 %)")]
    Tolerance(u8),
}

macro_rules! checked_number {
    ($(#[$meta:meta])* $name:ident, $error:ident, $holds:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, BorshSerialize, BorshDeserialize)]
        #[serde(into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Checks a number from outside.
            ///
            /// # Errors
            /// When it lies outside the range; NaN always does.
            pub fn new(number: f64) -> Result<$name, GateConfigError> {
                let holds: fn(f64) -> bool = $holds;
                if holds(number) { Ok($name(number)) } else { Err(GateConfigError::$error(number)) }
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = GateConfigError;
            fn try_from(number: f64) -> Result<$name, GateConfigError> {
                $name::new(number)
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> f64 {
                number.0
            }
        }
    };
}

checked_number! {
    /// How often a test may be wrong: strictly between 0 and 1.
    Level, Level, |x| x > 0.0 && x < 1.0
}
checked_number! {
    /// A ratio of failure rates, canary to control: from 1 to 10.
    ///
    /// The upper end keeps the outage alternative (90 % against 1 %) outside of every
    /// null hypothesis; inside it the test would not be valid.
    Margin, Margin, |x| (1.0..=10.0).contains(&x)
}
checked_number! {
    /// Percentage points, canary minus control: 0.5 means 1.5 % against 1.0 %.
    Points, Points, |x| (0.0..100.0).contains(&x)
}
checked_number! {
    /// A bound on a share of requests: strictly between 0 and 1.
    Bound, Bound, |x| x > 0.0 && x < 1.0
}
checked_number! {
    /// What one bin may say at most, in nats.
    Cap, Cap, |x| x > 0.0 && x.is_finite()
}

impl Level {
    /// The evidence from which on one acts: `ln(1 / level)`.
    pub fn threshold(self) -> f64 {
        -libm::log(self.0)
    }

    /// The part of this level that belongs to something of this weight, 0 to 1.
    #[must_use]
    pub(crate) fn times(self, weight: f64) -> Level {
        Level((self.0 * weight).max(f64::MIN_POSITIVE))
    }

    /// This level split evenly over `parts` tests, so that all of them together are
    /// wrong at most this often (Bonferroni). None is taken as one.
    #[must_use]
    pub fn split(self, parts: u32) -> Level {
        Level(self.0 / f64::from(parts.max(1)))
    }
}

impl Margin {
    /// No worse at all.
    pub const NONE: Margin = Margin(1.0);
}

impl Points {
    /// As a fraction: 0.5 points are 0.005.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

/// What still counts as "not worse": at most this many times as often, or at most
/// this many points more, whichever allows more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Tolerance {
    ratio: Margin,
    points: Points,
}

impl Tolerance {
    /// A tolerance of these.
    pub fn new(ratio: Margin, points: Points) -> Tolerance {
        Tolerance { ratio, points }
    }

    /// The tolerated ratio.
    pub fn ratio(self) -> f64 {
        self.ratio.0
    }

    /// The tolerated difference.
    pub fn points(self) -> Points {
        self.points
    }
}

impl Default for Tolerance {
    /// Half again as bad, or half a point worse.
    fn default() -> Tolerance {
        Tolerance { ratio: Margin(1.5), points: Points(0.5) }
    }
}

/// The test of failures against the version that is served beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct FailureConfig {
    /// Worse means: more than this many times as often (r0).
    pub margin: Margin,
    /// What `Healthy` has to prove.
    pub not_worse: Tolerance,
    /// False "unhealthy", over the whole rollout.
    pub alpha: Level,
    /// False "healthy", per step.
    pub beta: Level,
    /// Below this estimated ratio v2 is not called unhealthy, however sure it is that
    /// it is worse: a real but irrelevant 3 % is no reason to roll back.
    pub min_effect: Margin,
    /// Canary failures that must have been seen before v2 is called unhealthy.
    pub min_failures: u64,
    /// What one 5 s bin may say at most, in nats.
    pub bin_cap: Cap,
}

impl Default for FailureConfig {
    fn default() -> FailureConfig {
        FailureConfig {
            margin: Margin::NONE,
            not_worse: Tolerance::default(),
            alpha: Level(0.005),
            beta: Level(0.05),
            min_effect: Margin(1.1),
            min_failures: 3,
            bin_cap: Cap(3.5),
        }
    }
}

/// The test of latency against the version that is served beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct LatencyConfig {
    /// False "slower", over the whole rollout.
    pub alpha: Level,
    /// False "not slower", per step.
    pub beta: Level,
    /// How much slower is tolerated, in histogram buckets of 10 % each. Both questions
    /// use it: "slower" means slower than this, "not slower" not slower than this.
    pub tolerance: BucketTolerance,
    /// The quantile at which "not slower" has to be proven.
    pub not_slower_at: Quantile,
    /// What one bin may say at most about one threshold, in nats.
    pub bin_cap: Cap,
}

impl Default for LatencyConfig {
    fn default() -> LatencyConfig {
        LatencyConfig {
            alpha: Level(0.004),
            beta: Level(0.05),
            tolerance: BucketTolerance(1),
            not_slower_at: Quantile::P95,
            bin_cap: Cap(3.5),
        }
    }
}

/// A quantile of latency that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantile {
    /// Half of all requests are slower.
    P50,
    /// A quarter is.
    P75,
    /// A tenth is.
    P90,
    /// A twentieth is.
    P95,
    /// A hundredth is; needs five times the requests the twentieth needs.
    P99,
}

impl Quantile {
    /// The number of its threshold.
    pub(crate) fn threshold(self) -> usize {
        match self {
            Quantile::P50 => 0,
            Quantile::P75 => 1,
            Quantile::P90 => 2,
            Quantile::P95 => 3,
            Quantile::P99 => 4,
        }
    }
}

/// A latency tolerance in histogram buckets, each 10 % of the latency: 0 to 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(into = "u8")]
pub struct BucketTolerance(u8);

impl BucketTolerance {
    /// Checks a number of buckets.
    ///
    /// # Errors
    /// Above 7: that would tolerate twice the latency.
    pub fn new(buckets: u8) -> Result<BucketTolerance, GateConfigError> {
        if buckets <= 7 {
            Ok(BucketTolerance(buckets))
        } else {
            Err(GateConfigError::Tolerance(buckets))
        }
    }

    /// The number of buckets.
    pub fn buckets(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for BucketTolerance {
    type Error = GateConfigError;
    fn try_from(buckets: u8) -> Result<BucketTolerance, GateConfigError> {
        BucketTolerance::new(buckets)
    }
}

impl From<BucketTolerance> for u8 {
    fn from(tolerance: BucketTolerance) -> u8 {
        tolerance.0
    }
}

/// The test of one version against a bound, without anything to compare it with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct SloConfig {
    /// The share of requests that may fail, or be slow.
    pub bound: Bound,
    /// False "exceeded", over the whole rollout.
    pub alpha: Level,
    /// False "kept", per step.
    pub beta: Level,
    /// Failures that must have been seen before the bound is called exceeded.
    pub min_failures: u64,
}

impl SloConfig {
    /// A bound with the default levels.
    pub fn new(bound: Bound) -> SloConfig {
        SloConfig {
            bound,
            alpha: SloConfig::default_alpha(),
            beta: SloConfig::default_beta(),
            min_failures: SloConfig::default_min_failures(),
        }
    }

    fn default_alpha() -> Level {
        Level(0.001)
    }

    fn default_beta() -> Level {
        Level(0.05)
    }

    fn default_min_failures() -> u64 {
        3
    }
}

/// A whole gate. The defaults spend one percent of false rollbacks per rollout:
/// failures 0.5 %, latency 0.4 %, objectives 0.1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct GateConfig {
    /// Failures against the control.
    pub failures: FailureConfig,
    /// Latency against the control, if it is looked at.
    pub latency: Option<LatencyConfig>,
    /// An absolute bound on failures, needed where no control is left.
    pub slo: Option<SloConfig>,
    /// False alarms that the observed share is not the share asked for.
    pub sample_ratio_alpha: Level,
}

impl Default for GateConfig {
    fn default() -> GateConfig {
        GateConfig {
            failures: FailureConfig::default(),
            latency: None,
            slo: None,
            sample_ratio_alpha: Level(0.001),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_just_beyond_it() {
        for bad in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(Level::new(bad).is_err(), "{bad}");
            assert!(Bound::new(bad).is_err(), "{bad}");
        }
        for bad in [0.999, 10.001, f64::NAN] {
            assert!(Margin::new(bad).is_err(), "{bad}");
        }
        assert!(Margin::new(1.0).is_ok() && Margin::new(10.0).is_ok());
        assert!(Points::new(-0.1).is_err() && Points::new(100.0).is_err());
        assert!(BucketTolerance::new(7).is_ok() && BucketTolerance::new(8).is_err());
        assert!(Cap::new(0.0).is_err() && Cap::new(f64::INFINITY).is_err());
    }

    #[test]
    fn the_defaults_spend_one_percent_in_all() {
        let config = GateConfig::default();
        let slo = SloConfig::new(Bound::new(0.005).unwrap());
        let all =
            config.failures.alpha.get() + LatencyConfig::default().alpha.get() + slo.alpha.get();
        assert!((all - 0.01).abs() < 1e-15);
    }
}
