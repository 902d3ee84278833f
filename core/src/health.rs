//! Health: is the new version worse than the old one?
//!
//! The rollout knows only [`Gate`]: counts in, a [`Judgement`] out.

use crossfade_protocol::plan::FailureGate;
use crossfade_protocol::request::Counts;
use serde::{Deserialize, Serialize};

/// What the evidence says. There is no fourth verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Evidence that the new version is not worse than the margin.
    Healthy,
    /// Evidence that it is worse.
    Unhealthy,
    /// Neither, yet.
    Inconclusive,
}

impl Verdict {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Unhealthy => "unhealthy",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The numbers.
    pub evidence: Evidence,
    /// The same in words.
    pub because: String,
}

/// The numbers behind a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was counted.
    pub counts: Counts,
    /// Standard errors by which the new version's failure rate lies above the old one's;
    /// `None` when there is nothing to compare.
    pub z: Option<f64>,
    /// Where `z` means worse.
    pub z_limit: f64,
}

/// Judges counts.
pub trait Gate {
    /// The verdict on these counts.
    fn judge(&self, counts: &Counts) -> Judgement;
}

/// One-sided two-proportion z-test at about 0.5 %: the simplest honest gate.
///
/// Never says healthy: it has no notion of "not worse".
#[derive(Debug, Clone, Copy)]
pub struct TwoProportions {
    /// Where `z` means worse.
    pub z_limit: f64,
    /// Failures of the new version below which nothing is said.
    pub min_failures: u64,
}

impl TwoProportions {
    /// From a plan's settings.
    pub fn of(_: &FailureGate) -> TwoProportions {
        // The 99.5 % point of the normal distribution.
        TwoProportions { z_limit: 2.576, min_failures: 3 }
    }
}

impl Gate for TwoProportions {
    fn judge(&self, counts: &Counts) -> Judgement {
        let z = z(counts);
        let worse =
            counts.canary_failures >= self.min_failures && z.is_some_and(|z| z >= self.z_limit);
        let verdict = if worse { Verdict::Unhealthy } else { Verdict::Inconclusive };
        let rate = |failures: u64, requests: u64| 100.0 * failures as f64 / requests.max(1) as f64;
        let because = match z {
            None if counts.canary_requests == 0 => {
                "nothing was reported of the new version".to_owned()
            }
            None => "nothing was reported of the old version to compare with".to_owned(),
            Some(z) => format!(
                "{} of {} requests failed on the new version ({:.2} %), {} of {} on the old one ({:.2} %): {:.1} standard errors apart, limit {}",
                counts.canary_failures,
                counts.canary_requests,
                rate(counts.canary_failures, counts.canary_requests),
                counts.control_failures,
                counts.control_requests,
                rate(counts.control_failures, counts.control_requests),
                z,
                self.z_limit,
            ),
        };
        Judgement {
            verdict,
            evidence: Evidence { counts: *counts, z, z_limit: self.z_limit },
            because,
        }
    }
}

fn z(counts: &Counts) -> Option<f64> {
    let (n_t, n_c) = (counts.canary_requests as f64, counts.control_requests as f64);
    if n_t == 0.0 || n_c == 0.0 {
        return None;
    }
    let (p_t, p_c) = (counts.canary_failures as f64 / n_t, counts.control_failures as f64 / n_c);
    let pooled = (counts.canary_failures as f64 + counts.control_failures as f64) / (n_t + n_c);
    let variance = pooled * (1.0 - pooled) * (1.0 / n_t + 1.0 / n_c);
    if variance <= 0.0 { Some(0.0) } else { Some((p_t - p_c) / variance.sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: [u64; 4], expected: Verdict) {
        let [canary_requests, canary_failures, control_requests, control_failures] = counts;
        let counts =
            Counts { canary_requests, canary_failures, control_requests, control_failures };
        let judgement = TwoProportions::of(&FailureGate::default()).judge(&counts);
        assert_eq!(judgement.verdict, expected, "{}", judgement.because);
    }

    #[test]
    fn only_an_increase_beyond_chance_is_unhealthy() {
        check([1000, 100, 9000, 90], Verdict::Unhealthy);
        check([1000, 12, 9000, 90], Verdict::Inconclusive);
        check([1000, 0, 9000, 900], Verdict::Inconclusive);
        check([10, 2, 90, 0], Verdict::Inconclusive);
        check([0, 0, 0, 0], Verdict::Inconclusive);
        check([100, 100, 0, 0], Verdict::Inconclusive);
        check([100, 100, 100, 100], Verdict::Inconclusive);
    }
}
