//! The gate's answer, in words and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::exit::Exit;

/// What the engine said. Numbers stay the text it wrote, to the last digit: reading
/// them into floats and writing them again may change it.
#[derive(Debug)]
pub(super) struct Told<'r> {
    reply: Reply<'r>,
    numbers: Numbers<'r>,
}

#[derive(Debug, Deserialize)]
struct Reply<'r> {
    verdict: Verdict,
    #[serde(borrow)]
    evidence: &'r RawValue,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Healthy,
    Unhealthy,
    Inconclusive,
}

/// The part of the evidence that is shown. Docs: `FailureEvidence` in the engine.
#[derive(Debug, Deserialize)]
struct Numbers<'r> {
    #[serde(borrow)]
    log_e_worse: &'r RawValue,
    #[serde(borrow)]
    threshold_worse: &'r RawValue,
    #[serde(borrow)]
    log_e_ok: &'r RawValue,
    #[serde(borrow)]
    threshold_ok: &'r RawValue,
    #[serde(borrow)]
    ratio: &'r RawValue,
    #[serde(borrow)]
    ratio_interval: Interval<'r>,
    #[serde(borrow)]
    difference_interval: Interval<'r>,
    #[serde(borrow)]
    config: Config<'r>,
}

#[derive(Debug, Deserialize)]
struct Interval<'r> {
    #[serde(borrow)]
    low: &'r RawValue,
    #[serde(borrow)]
    high: &'r RawValue,
}

#[derive(Debug, Deserialize)]
struct Config<'r> {
    #[serde(borrow)]
    alpha: &'r RawValue,
    #[serde(borrow)]
    beta: &'r RawValue,
    #[serde(borrow)]
    margin: &'r RawValue,
}

/// The JSON output. What is not known, or infinite, is `null`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'t> {
    verdict: Verdict,
    reason: &'t str,
    log_e_worse: &'t RawValue,
    log_e_ok: &'t RawValue,
    ratio: &'t RawValue,
    ratio_low: &'t RawValue,
    ratio_high: &'t RawValue,
    margin: &'t RawValue,
    alpha: &'t RawValue,
    beta: &'t RawValue,
    evidence: &'t RawValue,
}

impl<'r> Told<'r> {
    /// Reads the reply to `evaluate_gate`.
    ///
    /// # Errors
    /// It has another shape.
    pub(super) fn read(reply: &'r str) -> serde_json::Result<Told<'r>> {
        let reply: Reply<'r> = serde_json::from_str(reply)?;
        let numbers = serde_json::from_str(reply.evidence.get())?;
        Ok(Told { reply, numbers })
    }

    /// How the program ends.
    pub(super) fn exit(&self) -> Exit {
        match self.reply.verdict {
            Verdict::Healthy => Exit::Ok,
            Verdict::Unhealthy => Exit::Unhealthy,
            Verdict::Inconclusive => Exit::Inconclusive,
        }
    }

    /// For programs.
    pub(super) fn report(&self) -> Report<'_> {
        let Numbers { log_e_worse, log_e_ok, ratio, ratio_interval, config, .. } = &self.numbers;
        Report {
            verdict: self.reply.verdict,
            reason: &self.reply.reason,
            log_e_worse,
            log_e_ok,
            ratio,
            ratio_low: ratio_interval.low,
            ratio_high: ratio_interval.high,
            margin: config.margin,
            alpha: config.alpha,
            beta: config.beta,
            evidence: self.reply.evidence,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let verdict = match self.reply.verdict {
            Verdict::Healthy => "healthy",
            Verdict::Unhealthy => "unhealthy",
            Verdict::Inconclusive => "inconclusive",
        };
        let n = &self.numbers;
        let mut text = format!("{verdict}\n{}\n\n", self.reply.reason);
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<23}  {value}");
        };
        row("evidence: worse", evidence(n.log_e_worse, n.threshold_worse, "alpha", n.config.alpha));
        row("evidence: not worse", evidence(n.log_e_ok, n.threshold_ok, "beta", n.config.beta));
        let Interval { low, high } = &n.ratio_interval;
        let (low, high) = (rounded(low, 1.0, "0"), rounded(high, 1.0, "infinity"));
        let ratio = rounded(n.ratio, 1.0, "unknown");
        row("failure rate, v2 to v1", format!("{ratio}, between {low} and {high}"));
        let Interval { low, high } = &n.difference_interval;
        let (low, high) = (rounded(low, 100.0, "-100"), rounded(high, 100.0, "100"));
        row("difference, in points", format!("between {low} and {high}"));
        text
    }
}

/// `log e 13.91, 5.30 is proof (alpha 0.005)`
fn evidence(log_e: &RawValue, threshold: &RawValue, level: &str, chance: &RawValue) -> String {
    let (log_e, threshold) = (rounded(log_e, 1.0, "unknown"), rounded(threshold, 1.0, "unknown"));
    format!("log e {log_e:>8}, proof from {threshold} on ({level} {chance})")
}

/// A number times `factor`, to two decimals, or to three digits where it is smaller.
fn rounded(number: &RawValue, factor: f64, absent: &str) -> String {
    match number.get().parse::<f64>() {
        Ok(number) => {
            let number = number * factor;
            let decimals = match number.abs() {
                small if small > 0.0 && small < 0.1 => 4,
                _ => 2,
            };
            format!("{number:.decimals$}")
        }
        Err(_) => absent.to_owned(),
    }
}
