//! One version against a declared bound: what is left when no control is served.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::config::{Bound, Level};
use super::mixture::log_mean_exp;
use super::tally::Trials;
use super::windows::{WindowTest, written_as};

/// Odds, relative to the bound's, that an exceeded bound is betted to have.
const WORSE_ODDS: [f64; 7] = [1.25, 1.5, 2.0, 4.0, 10.0, 50.0, 1000.0];

/// Odds, relative to the bound's, that a kept bound is betted to have.
const BETTER_ODDS: [f64; 6] = [0.9, 0.7, 0.5, 0.25, 0.1, 0.02];

/// Components of the mixture against a kept bound.
pub const COMPONENTS: usize = WORSE_ODDS.len();

/// Log e-value against H0: at most `bound` of all requests fail.
pub fn log_e_slo_bad(trials: Trials, bound: Bound) -> f64 {
    log_mean_exp(&SloTest::from(bound).log_components(&trials))
}

/// Log e-value against H0: at least `bound` of all requests fail.
pub fn log_e_slo_ok(trials: Trials, bound: Bound) -> f64 {
    let (requests, failures) = (trials.requests() as f64, trials.failures() as f64);
    log_mean_exp(&BETTER_ODDS.map(|odds| {
        failures * libm::log(odds) - requests * libm::log1p(bound.get() * (odds - 1.0))
    }))
}

/// The highest failure rate these trials leave possible, at level `alpha` and however
/// often it was looked at; 1 without requests.
///
/// The bounds [`log_e_slo_ok`] has not rejected; it is monotone in the bound.
pub fn highest_rate(trials: Trials, alpha: Level) -> f64 {
    let threshold = alpha.threshold();
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match Bound::new(middle) {
            Ok(bound) if log_e_slo_ok(trials, bound) < threshold => low = middle,
            Ok(_) => high = middle,
            Err(_) => break,
        }
    }
    0.5 * (low + high)
}

/// Where a bound comes from. The two are never mixed up: one was promised, the other
/// was measured on another day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum SloBound {
    /// Written in the plan.
    Declared {
        /// The share of requests that may fail.
        bound: Bound,
    },
    /// The upper confidence bound of v1, from when it was last served.
    LastBaseline {
        /// The share of requests that may fail.
        bound: Bound,
        /// What it was computed from.
        baseline: Baseline,
    },
}

impl SloBound {
    /// The share of requests that may fail.
    pub fn bound(&self) -> Bound {
        match self {
            SloBound::Declared { bound } | SloBound::LastBaseline { bound, .. } => *bound,
        }
    }
}

/// The last that was seen of v1, kept for the time when it is served no more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Baseline {
    /// Requests and failures of v1 in its last step.
    pub trials: Trials,
    /// When it was last served, in unix milliseconds.
    pub measured_at_ms: u64,
}

impl Baseline {
    /// A bound for v2 from v1's past: v1 may have been this bad, at level `alpha`.
    ///
    /// `None` when so little was seen that any rate is possible.
    pub fn bound(self, alpha: Level) -> Option<SloBound> {
        let highest = highest_rate(self.trials, alpha);
        // One half is no bound anybody would want; it means "unknown".
        let bound = Bound::new(highest).ok().filter(|bound| bound.get() < 0.5)?;
        Some(SloBound::LastBaseline { bound, baseline: self })
    }
}

/// [`log_e_slo_bad`] with everything computed beforehand that depends on the bound only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SloTest {
    bound: Bound,
    ln_odds: [f64; COMPONENTS],
    ln_scale: [f64; COMPONENTS],
}

written_as!(SloTest, Bound);

impl From<Bound> for SloTest {
    fn from(bound: Bound) -> SloTest {
        SloTest {
            bound,
            ln_odds: WORSE_ODDS.map(libm::log),
            ln_scale: WORSE_ODDS.map(|odds| libm::log1p(bound.get() * (odds - 1.0))),
        }
    }
}

impl From<SloTest> for Bound {
    fn from(test: SloTest) -> Bound {
        test.bound
    }
}

impl WindowTest<COMPONENTS> for SloTest {
    type Tally = Trials;

    fn log_components(&self, trials: &Trials) -> [f64; COMPONENTS] {
        let (requests, failures) = (trials.requests() as f64, trials.failures() as f64);
        std::array::from_fn(|i| failures * self.ln_odds[i] - requests * self.ln_scale[i])
    }

    fn upper_bound(&self, trials: &Trials) -> f64 {
        let allowed = trials.requests() as f64 * self.bound.get();
        let excess = trials.failures() as f64 - allowed;
        if excess <= 0.0 { 0.0 } else { excess * excess / (allowed * (1.0 - self.bound.get())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_lies_above_the_observed_one_and_comes_closer() {
        let alpha = Level::new(0.05).unwrap();
        let few = highest_rate(Trials::new(1_000, 10).unwrap(), alpha);
        let many = highest_rate(Trials::new(1_000_000, 10_000).unwrap(), alpha);
        assert!(0.01 < many && many < few && few < 0.04, "{few} {many}");
        assert!(highest_rate(Trials::default(), alpha) > 0.999);
    }

    #[test]
    fn a_baseline_nobody_measured_is_no_bound() {
        let alpha = Level::new(0.05).unwrap();
        let unknown = Baseline { trials: Trials::default(), measured_at_ms: 0 };
        assert_eq!(unknown.bound(alpha), None);
        let known = Baseline { trials: Trials::new(10_000, 10).unwrap(), measured_at_ms: 7 };
        let json = serde_json::to_string(&known.bound(alpha).unwrap()).unwrap();
        assert!(json.starts_with(r#"{"source":"last_baseline","bound":0.00"#), "{json}");
    }
}
