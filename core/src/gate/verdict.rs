//! From numbers to a verdict.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::config::{FailureConfig, LatencyConfig, SloConfig};

/// What the gate says. There is no fourth answer, and the third is an honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Proven: v2 is not worse than tolerated.
    Healthy,
    /// Proven: v2 is worse than the margin.
    Unhealthy,
    /// Neither is proven yet.
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

/// Which rule led to a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Unhealthy: v2 fails more often than the margin allows.
    Worse,
    /// Unhealthy: v2 is slower than tolerated.
    Slower,
    /// Unhealthy: more of v2's requests fail than the bound allows.
    BoundExceeded,
    /// Healthy: everything asked was proven.
    NotWorse,
    /// Healthy: v2 keeps the bound, and nothing else could be asked.
    BoundKept,
    /// Inconclusive: worse, but by less than is worth a rollback.
    BelowMinEffect,
    /// Inconclusive: worse, but on fewer failures than anybody should act on.
    TooFewFailures,
    /// Inconclusive: the evidence on failures suffices for neither answer yet.
    FailuresUndecided,
    /// Inconclusive: the evidence on latency suffices for neither answer yet.
    LatencyUndecided,
    /// Inconclusive: the evidence on the bound suffices for neither answer yet.
    BoundUndecided,
    /// Inconclusive: v1's latency has not been measured yet.
    LatencyUnmeasured,
    /// Inconclusive: the share observed is not the share asked for.
    SampleRatioMismatch,
    /// Inconclusive: the data are missing, stale or suspect; see the data's state.
    Data,
}

/// A verdict and the rule that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule.
    pub rule: Rule,
}

impl Finding {
    pub(crate) fn healthy(rule: Rule) -> Finding {
        Finding { verdict: Verdict::Healthy, rule }
    }

    pub(crate) fn unhealthy(rule: Rule) -> Finding {
        Finding { verdict: Verdict::Unhealthy, rule }
    }

    pub(crate) fn inconclusive(rule: Rule) -> Finding {
        Finding { verdict: Verdict::Inconclusive, rule }
    }
}

/// What the verdict on failures rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failures {
    /// Whether the evidence that v2 is worse, over the whole rollout, suffices.
    pub worse: bool,
    /// Log e-value that v2 is not worse than tolerated, over the current step.
    pub log_e_ok: f64,
    /// Canary failures seen over the whole rollout.
    pub canary_failures: u64,
    /// The estimated ratio in the leading window; `None` counts as no effect.
    pub ratio: Option<f64>,
}

impl Failures {
    /// Unhealthy, if proven, seen often enough and worth it; else Healthy, if proven.
    pub fn judge(&self, config: &FailureConfig) -> Finding {
        let worse = self.worse;
        let seen = self.canary_failures >= config.min_failures;
        let worth_it = self.ratio.is_some_and(|ratio| ratio >= config.min_effect.get());
        if worse && seen && worth_it {
            Finding::unhealthy(Rule::Worse)
        } else if self.log_e_ok >= config.beta.threshold() {
            Finding::healthy(Rule::NotWorse)
        } else if worse && !seen {
            Finding::inconclusive(Rule::TooFewFailures)
        } else if worse {
            Finding::inconclusive(Rule::BelowMinEffect)
        } else {
            Finding::inconclusive(Rule::FailuresUndecided)
        }
    }
}

/// What the verdict on latency rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    /// Whether there are thresholds to measure at.
    pub measured: bool,
    /// Whether the evidence that v2 is slower, over the whole rollout, suffices.
    pub slower: bool,
    /// Log e-value that v2 is not slower than tolerated, over the current step.
    pub log_e_not_slower: f64,
}

impl Latencies {
    /// Unhealthy, if proven; else Healthy, if proven.
    pub fn judge(&self, config: &LatencyConfig) -> Finding {
        if !self.measured {
            Finding::inconclusive(Rule::LatencyUnmeasured)
        } else if self.slower {
            Finding::unhealthy(Rule::Slower)
        } else if self.log_e_not_slower >= config.beta.threshold() {
            Finding::healthy(Rule::NotWorse)
        } else {
            Finding::inconclusive(Rule::LatencyUndecided)
        }
    }
}

/// What the verdict on a bound rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// Whether the evidence that the bound is exceeded, over the whole rollout, suffices.
    pub exceeded: bool,
    /// Log e-value that the bound is kept, over the current step.
    pub log_e_ok: f64,
    /// Failures seen over the whole rollout.
    pub failures: u64,
}

impl Bounded {
    /// Unhealthy, if proven and seen often enough; else Healthy, if proven.
    pub fn judge(&self, config: &SloConfig) -> Finding {
        let exceeded = self.exceeded;
        let seen = self.failures >= config.min_failures;
        if exceeded && seen {
            Finding::unhealthy(Rule::BoundExceeded)
        } else if self.log_e_ok >= config.beta.threshold() {
            Finding::healthy(Rule::BoundKept)
        } else if exceeded {
            Finding::inconclusive(Rule::TooFewFailures)
        } else {
            Finding::inconclusive(Rule::BoundUndecided)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(log_e_worse: f64, log_e_ok: f64, canary_failures: u64, ratio: f64) -> Finding {
        let config = FailureConfig::default();
        let worse = log_e_worse >= config.alpha.threshold();
        Failures { worse, log_e_ok, canary_failures, ratio: Some(ratio) }.judge(&config)
    }

    #[test]
    fn unhealthy_needs_evidence_failures_and_an_effect_each_just_reached() {
        let worse = FailureConfig::default().alpha.threshold();
        let healthy = FailureConfig::default().beta.threshold();
        let check = |finding: Finding, rule| assert_eq!(finding.rule, rule);
        check(judged(worse, 0.0, 3, 1.1), Rule::Worse);
        check(judged(worse - 1e-9, 0.0, 3, 1.1), Rule::FailuresUndecided);
        check(judged(worse, 0.0, 2, 1.1), Rule::TooFewFailures);
        check(judged(worse, 0.0, 3, 1.099), Rule::BelowMinEffect);
        check(judged(worse, healthy, 3, 1.099), Rule::NotWorse);
        check(judged(0.0, healthy, 0, 0.0), Rule::NotWorse);
        check(judged(0.0, healthy - 1e-9, 0, 0.0), Rule::FailuresUndecided);
        check(judged(worse, healthy, 3, 1.1), Rule::Worse);
        check(judged(worse, healthy, 3, f64::INFINITY), Rule::Worse);
    }
}
