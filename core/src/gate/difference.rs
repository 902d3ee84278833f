//! The difference of two failure rates in points: the absolute alarm, and the
//! confidence sequence people are shown.

use super::config::{Level, Points};
use super::interval::Interval;
use super::mixture::log_mean_exp;
use super::not_worse::log_stake_below;
use super::segment::{Counts, Segment};

/// Fractions of the largest possible stake that the alarm bets.
const ALARM_STAKES: [f64; 8] = [0.9, 0.5, 0.25, 0.1, 0.04, 0.015, 0.005, 0.002];

/// Stakes behind the confidence sequence. Large ones settle rare failures quickly,
/// small ones keep the interval shrinking when half of all requests fail.
const INTERVAL_STAKES: [f64; 12] =
    [0.98, 0.9, 0.75, 0.5, 0.3, 0.15, 0.07, 0.03, 0.01, 0.003, 0.001, 0.0003];

/// Halvings of [-1, 1]: the bounds are exact to 2^-45, a third of a trillionth of a point.
const HALVINGS: u32 = 46;

/// Log e-value against H0: `p_canary <= p_control + points`.
///
/// The optional floor for an alarm: a rate that went from 0.001 % to 0.01 % is ten
/// times as high, and may still be nobody's concern.
pub fn log_e_diff_bad(segment: &Segment, points: Points) -> f64 {
    let counts = Counts::from(segment);
    if counts.is_one_sided() {
        return 0.0;
    }
    log_mean_exp(&ALARM_STAKES.map(|stake| log_stake_above(&counts, points.fraction(), stake)))
}

/// Log of the wealth of one constant bet that `p_canary - p_control > points`, which
/// may be negative.
///
/// With `λ = s(1-ρ)/(1+δ(1-ρ))` a success pays `1 - λδ`, a canary failure
/// `1 + λ(1/ρ - δ)`, a control failure `1 - s`; the expectation is
/// `1 + λ(p_t - p_c - δ)`, at most 1 under the null hypothesis.
fn log_stake_above(counts: &Counts, points: f64, stake: f64) -> f64 {
    let rest = counts.rest();
    let stake_per_point = stake * rest / (1.0 + points * rest);
    counts.successes() * libm::log1p(-stake_per_point * points)
        + counts.e_t * libm::log1p(stake_per_point * (1.0 / counts.share() - points))
        + counts.e_c * libm::log1p(-stake)
}

/// Confidence sequence for `p_canary - p_control` (a fraction; -1 to 1): at no time, in
/// all the looks taken, does it miss the truth with more than probability `alpha`.
///
/// The differences that neither of two one-sided tests at `alpha / 2` has rejected.
/// Both e-values are monotone in the hypothesised difference, so each end is found by
/// halving. Without traffic on both versions: everything.
///
/// One segment only: over steps whose baselines differ a common *ratio* makes sense, a
/// common difference does not.
///
/// # Limits
/// The stakes are a fixed grid. It is not the narrowest interval possible, and it
/// stops shrinking once the smallest stake is too large for the amount of data: at
/// 50 % failures near 0.01 points, with rarer failures far below. Where the difference
/// changes within the segment it may come to reject every single one; both ends are
/// then the middle.
pub fn difference_cs(segment: &Segment, alpha: Level) -> Interval {
    let counts = Counts::from(segment);
    if counts.is_one_sided() {
        return Interval { low: -1.0, high: 1.0 };
    }
    let threshold = alpha.split(2).threshold();
    let log_e = |points: f64, log_stake: fn(&Counts, f64, f64) -> f64| {
        log_mean_exp(&INTERVAL_STAKES.map(|stake| log_stake(&counts, points, stake)))
    };
    // Grows with the difference: the first one rejected is the upper end.
    let high = boundary(|points| log_e(points, log_stake_below) >= threshold);
    // Shrinks with it: the first one not rejected is the lower end.
    let low = boundary(|points| log_e(points, log_stake_above) < threshold);
    if low > high {
        let middle = 0.5 * (low + high);
        return Interval { low: middle, high: middle };
    }
    Interval { low, high }
}

/// Where `holds` turns from false to true between -1 and 1.
fn boundary(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (-1.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if holds(middle) { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(n_t: u64, e_t: u64, n_c: u64, e_c: u64) -> Interval {
        let segment = Segment::new(n_t, e_t, n_c, e_c).unwrap();
        difference_cs(&segment, Level::new(0.05).unwrap())
    }

    #[test]
    fn the_interval_holds_the_observed_difference_and_shrinks_with_data() {
        let small = interval(1_000, 30, 9_000, 90);
        let large = interval(100_000, 3_000, 900_000, 9_000);
        for it in [small, large] {
            assert!(it.low < 0.02 && 0.02 < it.high, "{it:?}");
        }
        assert!(large.width() < small.width() / 5.0, "{small:?} {large:?}");
        assert!(small.low > 0.0, "3 % against 1 %: {small:?}");
    }

    #[test]
    fn an_interval_without_a_control_is_everything() {
        assert_eq!(interval(1_000_000, 10, 0, 0), Interval { low: -1.0, high: 1.0 });
    }

    #[test]
    fn swapping_the_versions_roughly_mirrors_the_interval() {
        let (it, mirrored) = (interval(5_000, 50, 5_000, 100), interval(5_000, 100, 5_000, 50));
        assert!((it.low + mirrored.high).abs() < 0.002, "{it:?} {mirrored:?}");
        assert!((it.high + mirrored.low).abs() < 0.002, "{it:?} {mirrored:?}");
    }
}
