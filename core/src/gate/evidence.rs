//! Every number a verdict was made of.

use serde::Serialize;

use super::bins::Irregular;
use super::config::{FailureConfig, LatencyConfig, Level, SloConfig};
use super::data::DataState;
use super::difference::difference_cs;
use super::interval::{Interval, ratio_cs};
use super::latency::{Exceedances, THRESHOLDS};
use super::not_worse::log_e_ok;
use super::sample_ratio::log_bf_sample_ratio;
use super::segment::Segment;
use super::slo::SloBound;
use super::tally::Trials;
use super::verdict::{Failures, Finding, Rule, Verdict};
use super::worse::{log_e_worse, mantel_haenszel_ratio};

/// What was found about failures, and from what. Evidence is in natural logarithms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureEvidence {
    /// Verdict and rule of this test alone.
    #[serde(flatten)]
    pub finding: Finding,
    /// Counts of the current step: what "healthy" is proven with.
    pub step: Segment,
    /// Counts that the ratio and its interval are computed from: the leading window if v2 seems worse, everything otherwise. Added up over strata for
    /// reading; the tests never add them up.
    pub window: Segment,
    /// The slot with which that window begins; 0 is the beginning of the rollout.
    pub window_from_slot: u32,
    /// Slots begun so far.
    pub slots: u32,
    /// Strata in the window.
    pub strata: usize,
    /// Canary failures of the whole rollout.
    pub canary_failures: u64,
    /// How many of the window's canary failures the bin cap left out.
    pub withheld_failures: f64,
    /// That v2 is worse than the margin, over all windows.
    pub log_e_worse: f64,
    /// From here on v2 is worse: `ln(1 / alpha)`.
    pub threshold_worse: f64,
    /// That v2 is not worse than tolerated.
    pub log_e_ok: f64,
    /// Its half on the ratio.
    pub log_e_ok_ratio: f64,
    /// Its half on the difference.
    pub log_e_ok_difference: f64,
    /// From here on v2 is healthy: `ln(1 / beta)`.
    pub threshold_ok: f64,
    /// How many times as often v2 fails (Mantel-Haenszel); `null` when unknown or
    /// infinite.
    pub ratio: Option<f64>,
    /// Confidence sequence for the ratio.
    pub ratio_interval: Interval,
    /// Confidence sequence at alpha for the difference of the failure rates in the
    /// current step, as a fraction.
    pub difference_interval: Interval,
    /// How often the interval of the ratio may miss the truth, over all looks.
    pub interval_alpha: Level,
    /// What was asked.
    pub config: FailureConfig,
    /// Reports that were late, ahead, or too many.
    pub irregular: Irregular,
}

impl FailureEvidence {
    /// Judges counts as they are: no bins, no windows. The last segment is the current
    /// step.
    pub fn of_segments(segments: &[Segment], config: &FailureConfig) -> FailureEvidence {
        let step = segments.last().copied().unwrap_or_default();
        let mut window = Segment::default();
        segments.iter().for_each(|segment| window.merge(segment));
        let not_worse = log_e_ok(&step, config.not_worse);
        let ratio = mantel_haenszel_ratio(segments);
        let log_e_worse = log_e_worse(segments, config.margin);
        let numbers = Failures {
            worse: log_e_worse >= config.alpha.threshold(),
            log_e_ok: not_worse.combined,
            canary_failures: window.canary_failures(),
            ratio,
        };
        FailureEvidence {
            finding: numbers.judge(config),
            step,
            window,
            window_from_slot: 0,
            slots: 1,
            strata: segments.len(),
            canary_failures: numbers.canary_failures,
            withheld_failures: 0.0,
            log_e_worse,
            threshold_worse: config.alpha.threshold(),
            log_e_ok: not_worse.combined,
            log_e_ok_ratio: not_worse.ratio,
            log_e_ok_difference: not_worse.difference,
            threshold_ok: config.beta.threshold(),
            ratio: ratio.filter(|ratio| ratio.is_finite()),
            ratio_interval: ratio_cs(segments, config.alpha),
            difference_interval: difference_cs(&step, config.alpha),
            interval_alpha: config.alpha,
            config: *config,
            irregular: Irregular::default(),
        }
    }
}

/// What was found about latency, and from what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyEvidence {
    /// Verdict and rule of this test alone.
    #[serde(flatten)]
    pub finding: Finding,
    /// The thresholds in force, in milliseconds, lowest first; `null` before v1 was
    /// measured. One beyond the histogram is `null` in its place.
    pub thresholds_ms: Option<[Option<f64>; THRESHOLDS]>,
    /// Counts of the current step.
    pub step: Exceedances,
    /// Counts of the leading window, added up over strata for reading.
    pub window: Exceedances,
    /// The slot with which that window begins.
    pub window_from_slot: u32,
    /// That v2 is slower than tolerated, over all windows.
    pub log_e_slower: f64,
    /// From here on v2 is slower.
    pub threshold_slower: f64,
    /// That v2 is not slower than tolerated at the configured quantile.
    pub log_e_not_slower: f64,
    /// From here on v2 is not slower.
    pub threshold_not_slower: f64,
    /// What was asked.
    pub config: LatencyConfig,
}

/// What was found about a bound, and from what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SloEvidence {
    /// Verdict and rule of this test alone.
    #[serde(flatten)]
    pub finding: Finding,
    /// The bound, and where it comes from.
    pub source: SloBound,
    /// v2's requests and failures in the current step.
    pub step: Trials,
    /// v2's requests and failures in the leading window.
    pub window: Trials,
    /// The slot with which that window begins.
    pub window_from_slot: u32,
    /// That the bound is exceeded, over all windows.
    pub log_e_bad: f64,
    /// From here on it is exceeded.
    pub threshold_bad: f64,
    /// That the bound is kept.
    pub log_e_ok: f64,
    /// From here on it is kept.
    pub threshold_ok: f64,
    /// What was asked.
    pub config: SloConfig,
}

/// Whether the share observed is the share asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SampleRatioEvidence {
    /// The canary's share that was asked for.
    pub asked_share: f64,
    /// Requests, or clients, the canary got.
    pub canary: u64,
    /// Requests, or clients, the control got.
    pub control: u64,
    /// That the share is another one.
    pub log_bf: f64,
    /// From here on it is.
    pub threshold: f64,
    /// False alarms in this step.
    pub alpha: Level,
}

impl SampleRatioEvidence {
    /// Compares the share of one step with the one asked for. `alpha` is for the whole
    /// rollout; step 0, 1, 2… may spend a half, a sixth, a twelfth… of it.
    pub fn of(
        canary: u64,
        control: u64,
        asked_share: f64,
        alpha: Level,
        step: u32,
    ) -> SampleRatioEvidence {
        // 1/(1·2) + 1/(2·3) + 1/(3·4) + … = 1
        let step = f64::from(step);
        let alpha = alpha.times(1.0 / ((step + 1.0) * (step + 2.0)));
        let log_bf = log_bf_sample_ratio(canary, control, asked_share);
        let threshold = alpha.threshold();
        SampleRatioEvidence { asked_share, canary, control, log_bf, threshold, alpha }
    }

    /// True when the share is proven to be another one.
    pub fn is_mismatch(&self) -> bool {
        self.log_bf >= self.threshold
    }
}

/// What the gate found, and every number it was made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Verdict and rule of all tests together.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether there was anything to judge.
    pub data: DataState,
    /// Failures against v1; `None` where v1 is not meant to be served.
    pub failures: Option<FailureEvidence>,
    /// Latency against v1, if it is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyEvidence>,
    /// v2's failures against a bound, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<SloEvidence>,
    /// v2's slow requests against a bound, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_slo: Option<SloEvidence>,
    /// The share, if one was asked for.
    pub sample_ratio: Option<SampleRatioEvidence>,
}

impl Evidence {
    /// Puts the tests together.
    ///
    /// Unhealthy if any test says so, whatever the state of the data: it was proven by
    /// what was seen. Healthy only if every test says so, the data are there and the
    /// share is the one asked for. Inconclusive otherwise, with the first reason.
    pub fn assemble(
        data: DataState,
        failures: Option<FailureEvidence>,
        latency: Option<LatencyEvidence>,
        slo: Option<SloEvidence>,
        latency_slo: Option<SloEvidence>,
        sample_ratio: Option<SampleRatioEvidence>,
    ) -> Evidence {
        let tests = [
            failures.as_ref().map(|test| test.finding),
            latency.as_ref().map(|test| test.finding),
            slo.as_ref().map(|test| test.finding),
            latency_slo.as_ref().map(|test| test.finding),
        ];
        let mismatch = sample_ratio.is_some_and(|share| share.is_mismatch());
        let finding = combine(&tests, &data, mismatch);
        Evidence { finding, data, failures, latency, slo, latency_slo, sample_ratio }
    }
}

/// See [`Evidence::assemble`]. Usable on its own where only the verdict is wanted.
pub fn combine(tests: &[Option<Finding>], data: &DataState, share_mismatch: bool) -> Finding {
    let is = |finding: &&Finding, verdict| finding.verdict == verdict;
    let tests = || tests.iter().flatten();
    if let Some(unhealthy) = tests().find(|test| is(test, Verdict::Unhealthy)) {
        return *unhealthy;
    }
    if data.blocks_healthy() {
        return Finding::inconclusive(Rule::Data);
    }
    if share_mismatch {
        return Finding::inconclusive(Rule::SampleRatioMismatch);
    }
    if let Some(undecided) = tests().find(|test| is(test, Verdict::Inconclusive)) {
        return *undecided;
    }
    // Nothing asked is nothing proven.
    tests().next().copied().unwrap_or(Finding::inconclusive(Rule::FailuresUndecided))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: Option<Finding> =
        Some(Finding { verdict: Verdict::Healthy, rule: Rule::NotWorse });
    const SLOWER: Option<Finding> =
        Some(Finding { verdict: Verdict::Unhealthy, rule: Rule::Slower });
    const UNDECIDED: Option<Finding> =
        Some(Finding { verdict: Verdict::Inconclusive, rule: Rule::BoundUndecided });

    fn rule(tests: [Option<Finding>; 3], data: DataState, mismatch: bool) -> Rule {
        combine(&tests, &data, mismatch).rule
    }

    #[test]
    fn unhealthy_wins_over_everything_and_healthy_over_nothing() {
        assert_eq!(rule([HEALTHY, SLOWER, UNDECIDED], DataState::NoReports, true), Rule::Slower);
        assert_eq!(rule([HEALTHY, None, None], DataState::NoReports, true), Rule::Data);
        assert_eq!(rule([HEALTHY, None, None], DataState::Ok, true), Rule::SampleRatioMismatch);
        assert_eq!(rule([HEALTHY, None, UNDECIDED], DataState::Ok, false), Rule::BoundUndecided);
        assert_eq!(rule([HEALTHY, HEALTHY, None], DataState::Ok, false), Rule::NotWorse);
        let few = DataState::TooFew { canary_requests: 1, needed: 2 };
        assert_eq!(rule([HEALTHY, None, None], few, false), Rule::NotWorse);
    }

    #[test]
    fn nothing_asked_is_nothing_proven() {
        assert_eq!(combine(&[None; 3], &DataState::Ok, false).verdict, Verdict::Inconclusive);
    }
}
