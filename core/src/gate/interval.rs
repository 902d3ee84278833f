//! What people are shown: intervals that hold at every look.

use serde::Serialize;

use super::config::Level;
use super::mixture::log_mean_exp;
use super::segment::{Counts, Segment};

/// An interval. A bound that does not exist is infinite; in JSON it is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    #[serde(serialize_with = "unbounded::serialize")]
    pub high: f64,
}

impl Interval {
    /// Upper end minus lower end; may be infinite.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// True when `value` is not ruled out.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Infinity as `null`, for JSON has no word for it.
pub(crate) mod unbounded {
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        if number.is_finite() { to.serialize_some(number) } else { to.serialize_none() }
    }
}

/// Alternatives in the mixture: `64^(i/12 - 1)` for i = 0…24, from 1/64 to 64.
const ALTERNATIVES: usize = 25;

/// `ln` of the ratios between which the bounds are looked for: 1e-20 to 1e20.
const LN_RATIO_LIMIT: f64 = 46.0;

/// Halvings of [-46, 46]: exact to the last bit of the logarithm near 1.
const HALVINGS: u32 = 64;

/// Confidence sequence for the ratio of failure rates, canary to control: at no time,
/// in all the looks taken, does it miss the truth with more than probability `alpha`.
///
/// The ratios that the mixture does not reject. 0 is the lower bound when the canary
/// never failed, infinity the upper when the control never did; 0 to infinity without
/// anything to compare. Segments are assumed to have one ratio in common.
pub fn ratio_cs(segments: &[Segment], alpha: Level) -> Interval {
    let log_likelihood =
        |x: f64| -> f64 { compared(segments).map(|counts| log_likelihood(&counts, x)).sum() };
    let canary_failed = compared(segments).any(|counts| counts.e_t > 0.0);
    let control_failed = compared(segments).any(|counts| counts.e_c > 0.0);
    if !canary_failed && !control_failed {
        return Interval { low: 0.0, high: f64::INFINITY };
    }
    let step = libm::log(64.0) / 12.0;
    let mixture: [f64; ALTERNATIVES] =
        std::array::from_fn(|i| log_likelihood((i as f64 - 12.0) * step));
    let needed = log_mean_exp(&mixture) - alpha.threshold();
    let kept = |x: f64| log_likelihood(x) >= needed;

    // The curve is concave in x = ln ratio: one maximum, one crossing on each side.
    let peak = match (canary_failed, control_failed) {
        (false, _) => -LN_RATIO_LIMIT,
        (_, false) => LN_RATIO_LIMIT,
        _ => halve(-LN_RATIO_LIMIT, LN_RATIO_LIMIT, |x| slope(segments, x) <= 0.0),
    };
    let low =
        if kept(-LN_RATIO_LIMIT) { 0.0 } else { libm::exp(halve(-LN_RATIO_LIMIT, peak, kept)) };
    let high = if kept(LN_RATIO_LIMIT) {
        f64::INFINITY
    } else {
        libm::exp(halve(peak, LN_RATIO_LIMIT, |x| !kept(x)))
    };
    Interval { low, high }
}

fn compared(segments: &[Segment]) -> impl Iterator<Item = Counts> + '_ {
    segments.iter().map(Counts::from).filter(|counts| !counts.is_one_sided())
}

/// Up to a constant: the log-likelihood of `exp(x)` times the control's failure rate.
fn log_likelihood(counts: &Counts, x: f64) -> f64 {
    let failures = counts.failures();
    if failures == 0.0 {
        return 0.0;
    }
    // ln(1 + ρ(η − 1)): the first form is exact near η = 1, the second where ρ
    // rounds to 1.
    let ln_scale = if x > -1.0 {
        libm::log1p(counts.share() * libm::expm1(x))
    } else {
        libm::log(counts.rest() + counts.share() * libm::exp(x))
    };
    counts.e_t * x - failures * ln_scale
}

/// The derivative of the summed log-likelihood in x.
fn slope(segments: &[Segment], x: f64) -> f64 {
    let ratio = libm::exp(x);
    compared(segments)
        .map(|counts| {
            let canary = counts.share() * ratio;
            counts.e_t - counts.failures() * canary / (counts.rest() + canary)
        })
        .sum()
}

/// Where `holds` turns from false to true between `low` and `high`.
fn halve(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if holds(middle) { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_failures_every_ratio_is_possible() {
        let flawless = Segment::new(10, 0, 90, 0).unwrap();
        let it = ratio_cs(&[flawless], Level::new(0.05).unwrap());
        assert_eq!((it.low, it.high), (0.0, f64::INFINITY));
    }

    #[test]
    fn an_infinite_bound_is_null_in_json() {
        let it = Interval { low: 4.0, high: f64::INFINITY };
        let json = serde_json::to_string(&it).unwrap();
        assert_eq!(json, r#"{"low":4.0,"high":null}"#);
    }
}
