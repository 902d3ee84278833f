//! Evidence in plain English, made of the same numbers.

use std::fmt::Write;

use crossfade_protocol::words::plural;

use super::data::DataState;
use super::evidence::{
    Evidence, FailureEvidence, LatencyEvidence, SampleRatioEvidence, SloEvidence,
};
use super::latency::THRESHOLDS;
use super::segment::Arm;
use super::slo::SloBound;
use super::tally::Trials;
use super::verdict::{Rule, Verdict};

/// What the versions are called that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'n> {
    /// The old version, or all but the new one.
    pub old: &'n str,
    /// The new version.
    pub new: &'n str,
}

impl Default for Names<'_> {
    fn default() -> Self {
        Names { old: "v1", new: "v2" }
    }
}

impl Evidence {
    /// What was found and why, in a few sentences.
    pub fn sentence(&self, names: Names<'_>) -> String {
        let new = names.new;
        let mut text = String::new();
        match self.finding.rule {
            Rule::Data => text += &data(&self.data, names),
            Rule::SampleRatioMismatch => {
                text += &self
                    .sample_ratio
                    .as_ref()
                    .map(|test| mismatch(test, names))
                    .unwrap_or_default();
            }
            rule => {
                let failures = self.failures.as_ref().filter(|test| test.finding.rule == rule);
                let latency = self.latency.as_ref().filter(|test| test.finding.rule == rule);
                let slo = self.slo.as_ref().filter(|test| test.finding.rule == rule);
                let slow = self.latency_slo.as_ref().filter(|test| test.finding.rule == rule);
                match (failures, latency, slo.or(slow)) {
                    (Some(test), ..) => text += &test.sentence(names),
                    (_, Some(test), _) => text += &slower(test, names),
                    (.., Some(test)) => text += &bound(test, slo.is_none(), names),
                    (None, None, None) => text += "No test was asked for, so nothing is proven.",
                }
                if let DataState::TooFew { canary_requests, needed } = self.data
                    && self.finding.verdict == Verdict::Inconclusive
                {
                    let _ = write!(
                        text,
                        " {new} has served {} of the {} requests it takes to prove a flawless version healthy.",
                        grouped(canary_requests),
                        grouped(needed)
                    );
                }
            }
        }
        text
    }
}

impl FailureEvidence {
    /// What was found about failures and why, in a few sentences.
    pub fn sentence(&self, names: Names<'_>) -> String {
        let Names { old, new } = names;
        let config = &self.config;
        let enough_worse = format!(
            "evidence {:.2}, and {:.2} is reached by chance in at most {} of rollouts",
            self.log_e_worse,
            self.threshold_worse,
            percent(config.alpha.get())
        );
        match self.finding.rule {
            Rule::Worse => format!(
                "{new} fails {}: {}{}; {enough_worse}.",
                margin(config.margin.get(), old),
                self.window_counts(names),
                self.ratio_in_words(),
            ),
            Rule::BelowMinEffect => format!(
                "{new} fails more often than {old}, but by less than the {} times worth a rollback: {}{}; {enough_worse}.",
                times(config.min_effect.get()),
                self.window_counts(names),
                self.ratio_in_words(),
            ),
            Rule::TooFewFailures => format!(
                "{new} seems to fail more often than {old}, but on {} failures, and {} are asked for: {}; {enough_worse}.",
                self.canary_failures,
                config.min_failures,
                self.window_counts(names),
            ),
            Rule::NotWorse => format!(
                "{new} is healthy: it fails at most {} times as often as {old}, or at most {} points more. In this step {}; evidence {:.2}, and {:.2} is reached by chance in at most {} of steps.",
                times(config.not_worse.ratio()),
                config.not_worse.points().get(),
                counts(self.step.canary(), self.step.control(), "", names),
                self.log_e_ok,
                self.threshold_ok,
                percent(config.beta.get()),
            ),
            _ => format!(
                "Not enough evidence yet. In this step {}{}. To call {new} worse it takes evidence {:.2}, and there is {:.2}; to call it healthy {:.2}, and there is {:.2}.",
                counts(self.step.canary(), self.step.control(), "", names),
                self.ratio_in_words(),
                self.threshold_worse,
                self.log_e_worse,
                self.threshold_ok,
                self.log_e_ok,
            ),
        }
    }

    /// Counts of the leading window, which are the last ones where it is not everything.
    fn window_counts(&self, names: Names<'_>) -> String {
        let last = if self.window_from_slot == 0 { "" } else { "last " };
        counts(self.window.canary(), self.window.control(), last, names)
    }

    fn ratio_in_words(&self) -> String {
        let sure = percent(1.0 - self.interval_alpha.get());
        let (low, high) = (self.ratio_interval.low, self.ratio_interval.high);
        let span = match (low > 0.0, high.is_finite()) {
            (false, false) => return String::new(),
            (true, false) => format!("at least {} times", times(low)),
            (false, true) => format!("at most {} times", times(high)),
            (true, true) => format!("between {} and {} times", times(low), times(high)),
        };
        match self.ratio {
            Some(ratio) => {
                format!(", {} times as often ({span}, {sure} sure at any time)", times(ratio))
            }
            None => format!(" ({span} as often, {sure} sure at any time)"),
        }
    }
}

fn slower(test: &LatencyEvidence, names: Names<'_>) -> String {
    let Names { old, new } = names;
    let config = &test.config;
    let tolerated = u32::from(config.tolerance.buckets()) * 10;
    match test.finding.rule {
        Rule::LatencyUnmeasured => {
            format!("{old}'s latency has not been measured yet; it takes 2,000 requests.")
        }
        Rule::Slower => format!(
            "{new} is more than {tolerated} % slower than {old}: {}; evidence {:.2}, and {:.2} is reached by chance in at most {} of rollouts.",
            worst_threshold(test, names),
            test.log_e_slower,
            test.threshold_slower,
            percent(config.alpha.get()),
        ),
        Rule::NotWorse => format!(
            "{new} is at most {tolerated} % slower than {old}; evidence {:.2}, and {:.2} is reached by chance in at most {} of steps.",
            test.log_e_not_slower,
            test.threshold_not_slower,
            percent(config.beta.get()),
        ),
        _ => format!(
            "Not enough evidence on latency yet. To call {new} slower it takes evidence {:.2}, and there is {:.2}; to call it not slower {:.2}, and there is {:.2}.",
            test.threshold_slower,
            test.log_e_slower,
            test.threshold_not_slower,
            test.log_e_not_slower,
        ),
    }
}

/// The threshold at which v2's share of slow requests exceeds v1's by most.
fn worst_threshold(test: &LatencyEvidence, names: Names<'_>) -> String {
    let Names { old, new } = names;
    let side = |version: Arm, i: usize| {
        Trials::new(test.window.requests(version), test.window.exceeded(version)[i]).ok()
    };
    let excess = |i: usize| {
        let rate = |version| side(version, i).and_then(|side| side.rate()).unwrap_or_default();
        rate(Arm::Canary) - rate(Arm::Control)
    };
    let worst =
        (1..THRESHOLDS).fold(0, |worst, i| if excess(i) > excess(worst) { i } else { worst });
    let over = match test.thresholds_ms.and_then(|all| all[worst]) {
        Some(ms) => format!("{ms:.0} ms"),
        None => "the threshold".to_owned(),
    };
    match (side(Arm::Canary, worst), side(Arm::Control, worst)) {
        (Some(canary), Some(control)) => format!(
            "{} of {new}'s requests took longer than {over}, {} of {old}'s",
            rate(canary),
            rate(control)
        ),
        _ => format!("more of {new}'s requests took longer than {over}"),
    }
}

/// About a bound on failures, or on requests that are too `slow`.
fn bound(test: &SloEvidence, slow: bool, names: Names<'_>) -> String {
    let Names { old, new } = names;
    let config = &test.config;
    let (present, past) =
        if slow { ("exceeds its bound on latency", "took longer") } else { ("fails", "failed") };
    let allowed = match test.source {
        SloBound::Declared { bound } => {
            format!("the {} that are allowed", percent(bound.get()))
        }
        SloBound::LastBaseline { bound, baseline } => format!(
            "the {} that {old} may have had when it was last measured ({} of {})",
            percent(bound.get()),
            grouped(baseline.trials.failures()),
            grouped(baseline.trials.requests()),
        ),
    };
    let of = |trials: Trials| {
        format!(
            "{} of {} request{} {past} ({})",
            grouped(trials.failures()),
            grouped(trials.requests()),
            plural(trials.requests() == 1),
            rate(trials)
        )
    };
    match test.finding.rule {
        Rule::BoundExceeded => format!(
            "{new} {present} more often than {allowed}: {}; evidence {:.2}, and {:.2} is reached by chance in at most {} of rollouts.",
            of(test.window),
            test.log_e_bad,
            test.threshold_bad,
            percent(config.alpha.get()),
        ),
        Rule::BoundKept => format!(
            "{new} keeps within {allowed}: {}; evidence {:.2}, and {:.2} is reached by chance in at most {} of steps.",
            of(test.step),
            test.log_e_ok,
            test.threshold_ok,
            percent(config.beta.get()),
        ),
        Rule::TooFewFailures => format!(
            "{new} perhaps {present} more often than {allowed}, but too few did to tell ({} are asked for): {}.",
            config.min_failures,
            of(test.window),
        ),
        _ => format!(
            "Not enough evidence yet on {allowed}: {}. To call the bound exceeded it takes evidence {:.2}, and there is {:.2}; to call it kept {:.2}, and there is {:.2}.",
            of(test.step),
            test.threshold_bad,
            test.log_e_bad,
            test.threshold_ok,
            test.log_e_ok,
        ),
    }
}

fn mismatch(test: &SampleRatioEvidence, names: Names<'_>) -> String {
    let new = names.new;
    let total = test.canary as f64 + test.control as f64;
    format!(
        "{new} gets {} of the traffic ({} of {}), and {} were asked for; evidence {:.2}, and {:.2} is reached by chance in at most {} of steps like this. The versions cannot be compared while something else decides who gets which.",
        percent(test.canary as f64 / total),
        grouped(test.canary),
        grouped(test.canary.saturating_add(test.control)),
        percent(test.asked_share),
        test.log_bf,
        test.threshold,
        percent(test.alpha.get()),
    )
}

fn data(state: &DataState, names: Names<'_>) -> String {
    let Names { old, new } = names;
    match state {
        DataState::Ok | DataState::TooFew { .. } => String::new(),
        DataState::NoReports => {
            "Nothing was reported in this step; that is neither healthy nor unhealthy.".to_owned()
        }
        DataState::Stale { age_ms } => format!(
            "The newest report is {} s old; what {new} does now is not known.",
            age_ms / 1000
        ),
        DataState::NoControl => format!(
            "{old} gets no traffic, so there is nothing to compare {new} with; leave it a share, or declare a bound."
        ),
        DataState::NoCanary => format!("{new} gets no traffic, so there is nothing to judge."),
        DataState::Suspect { why } => format!("The reports cannot be true: {why}."),
    }
}

fn margin(margin: f64, old: &str) -> String {
    if margin == 1.0 {
        format!("more often than {old}")
    } else {
        format!("more than {} times as often as {old}", times(margin))
    }
}

fn counts(canary: Trials, control: Trials, last: &str, names: Names<'_>) -> String {
    let Names { old, new } = names;
    format!(
        "{} of {new}'s {last}{} request{} failed ({}) and {} of {old}'s {last}{} ({})",
        grouped(canary.failures()),
        grouped(canary.requests()),
        plural(canary.requests() == 1),
        rate(canary),
        grouped(control.failures()),
        grouped(control.requests()),
        rate(control)
    )
}

fn rate(trials: Trials) -> String {
    trials.rate().map_or_else(|| "none served".to_owned(), percent)
}

/// `12345678` as `12,345,678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent: two decimals, more only where they would all be 0.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = if percent == 0.0 {
        0
    } else if percent < 0.001 {
        6
    } else if percent < 0.1 {
        4
    } else {
        2
    };
    let mut text = format!("{percent:.decimals$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + " %"
}

/// A ratio with three digits that matter.
fn times(ratio: f64) -> String {
    let decimals = if ratio >= 100.0 {
        0
    } else if ratio >= 10.0 {
        1
    } else {
        2
    };
    format!("{ratio:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::{FailureConfig, Level};
    use crate::gate::segment::Segment;

    fn sentence(n_t: u64, e_t: u64, n_c: u64, e_c: u64) -> String {
        let segment = Segment::new(n_t, e_t, n_c, e_c).unwrap();
        FailureEvidence::of_segments(&[segment], &FailureConfig::default())
            .sentence(Names::default())
    }

    #[test]
    fn a_regression_is_told_with_its_numbers() {
        assert_eq!(
            sentence(10_000, 60, 100_000, 100),
            "v2 fails more often than v1: 60 of v2's 10,000 requests failed (0.6 %) and 100 of v1's 100,000 (0.1 %), \
             6.00 times as often (between 3.00 and 11.5 times, 99.5 % sure at any time); evidence 45.36, and 5.30 is \
             reached by chance in at most 0.5 % of rollouts."
        );
    }

    #[test]
    fn counts_of_a_window_that_is_not_everything_are_the_last_ones() {
        let segment = Segment::new(10_000, 60, 100_000, 100).unwrap();
        let mut evidence = FailureEvidence::of_segments(&[segment], &FailureConfig::default());
        (evidence.window_from_slot, evidence.slots) = (13, 15);
        let text = evidence.sentence(Names::default());
        assert!(
            text.starts_with("v2 fails more often than v1: 60 of v2's last 10,000 requests failed (0.6 %) and 100 of v1's last 100,000 (0.1 %), 6.00 times"),
            "{text}"
        );
    }

    #[test]
    fn versions_are_called_by_their_names() {
        let segment = Segment::new(10_000, 60, 100_000, 100).unwrap();
        let evidence = FailureEvidence::of_segments(&[segment], &FailureConfig::default());
        let text = evidence.sentence(Names { old: "2026-01", new: "2027-01" });
        assert!(
            text.starts_with("2027-01 fails more often than 2026-01: 60 of 2027-01's 10,000"),
            "{text}"
        );
        assert!(!text.contains("v1") && !text.contains("v2"), "{text}");
    }

    #[test]
    fn a_healthy_version_is_told_with_what_was_tolerated() {
        let text = sentence(14_000, 15, 126_000, 140);
        assert!(text.starts_with("v2 is healthy: it fails at most 1.50 times as often as v1, or at most 0.5 points more."), "{text}");
    }

    #[test]
    fn too_little_is_told_with_what_is_missing() {
        let text = sentence(300, 0, 2_700, 3);
        assert!(text.starts_with("Not enough evidence yet. In this step 0 of v2's 300 requests failed (0 %) and 3 of v1's 2,700 (0.11 %)"), "{text}");
        assert!(sentence(0, 0, 0, 0).contains("(none served)"));
    }

    #[test]
    fn missing_data_and_a_wrong_share_are_told_as_such() {
        let share = SampleRatioEvidence::of(1_200, 8_800, 0.1, Level::new(0.001).unwrap(), 0);
        let evidence = |data, share| {
            Evidence::assemble(data, None, None, None, None, share).sentence(Names::default())
        };
        let text = evidence(DataState::Ok, Some(share));
        assert!(
            text.starts_with(
                "v2 gets 12 % of the traffic (1,200 of 10,000), and 10 % were asked for;"
            ),
            "{text}"
        );
        let stale = evidence(DataState::Stale { age_ms: 61_500 }, None);
        assert!(stale.starts_with("The newest report is 61 s old"), "{stale}");
    }

    #[test]
    fn numbers_are_short_and_never_lose_their_meaning() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        for (share, text) in [
            (0.0, "0 %"),
            (0.005, "0.5 %"),
            (0.995, "99.5 %"),
            (1.0, "100 %"),
            (0.000_012_3, "0.0012 %"),
            (0.1, "10 %"),
        ] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(
            (times(1.5).as_str(), times(12.34).as_str(), times(1234.5).as_str()),
            ("1.50", "12.3", "1234")
        );
    }
}
