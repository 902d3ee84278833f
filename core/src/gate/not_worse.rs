//! Is v2 *not* worse? The e-value against "half again as bad, and half a point worse".

use super::config::Tolerance;
use super::mixture::{log_mean_exp, log_sum_exp};
use super::segment::{Counts, Segment};

/// Ratios to the tolerated ratio that are bet on.
const RATIOS: [f64; 6] = [0.95, 0.85, 0.7, 0.5, 0.25, 0.05];

/// Fractions of the largest possible stake that are bet on the difference.
const STAKES: [f64; 8] = [0.98, 0.9, 0.75, 0.5, 0.3, 0.15, 0.07, 0.03];

/// Log e-value that the canary is not worse than tolerated, and its two halves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotWorse {
    /// Against `p_canary >= ratio * p_control`.
    pub ratio: f64,
    /// Against `p_canary >= p_control + points`.
    pub difference: f64,
    /// The average of the two e-values: against both at once.
    pub combined: f64,
}

/// Log e-value against H0: `p_canary >= max(ratio * p_control, p_control + points)`.
///
/// Either half may prove it: with many failures the ratio does, with few the
/// difference. All 0 without traffic on both versions. Failures must not be capped
/// here: leaving canary failures out would make the canary look better.
pub fn log_e_ok(segment: &Segment, tolerance: Tolerance) -> NotWorse {
    let counts = Counts::from(segment);
    if counts.is_one_sided() {
        return NotWorse { ratio: 0.0, difference: 0.0, combined: 0.0 };
    }
    let ratio = log_e_ratio_below(&counts, tolerance.ratio());
    let difference = log_e_difference_below(&counts, tolerance.points().fraction());
    let combined = log_sum_exp(&[ratio, difference]) - std::f64::consts::LN_2;
    NotWorse { ratio, difference, combined }
}

fn log_e_ratio_below(counts: &Counts, tolerated: f64) -> f64 {
    let failures = counts.failures();
    let share = counts.share();
    let scale = share * tolerated / (1.0 + share * (tolerated - 1.0));
    log_mean_exp(
        &RATIOS.map(|ratio| {
            counts.e_t * libm::log(ratio) - failures * libm::log1p(scale * (ratio - 1.0))
        }),
    )
}

fn log_e_difference_below(counts: &Counts, points: f64) -> f64 {
    log_mean_exp(&STAKES.map(|stake| log_stake_below(counts, points, stake)))
}

/// Log of the wealth of one constant bet that `p_canary - p_control < points`, which
/// may be negative.
///
/// Per request the stake pays `1 + sρδ` on a success, `1 + sρδ - s` on a canary
/// failure and `1 + sρδ + sρ/(1-ρ)` on a control failure; the expectation is
/// `1 + sρ(δ - (p_t - p_c))`, at most 1 under the null hypothesis. For δ < 0 the stake
/// is made smaller, so that no payoff is below `1 - stake`.
pub(crate) fn log_stake_below(counts: &Counts, points: f64, stake: f64) -> f64 {
    let share = counts.share();
    let stake = stake / (1.0 + share * (-points).max(0.0));
    let base = stake * share * points;
    counts.successes() * libm::log1p(base)
        + counts.e_t * libm::log1p(base - stake)
        + counts.e_c * libm::log1p(base + stake * counts.n_t / counts.n_c)
}

/// The fewest canary requests, at this segment's share, with which a canary that never
/// failed could be proven not worse at evidence `threshold` while nothing failed on the
/// control either. `None` without traffic on both versions, or when the tolerance
/// allows no points and only failures could prove anything.
///
/// Fewer are *too few* for an API that rarely fails.
pub fn canary_requests_needed(
    segment: &Segment,
    tolerance: Tolerance,
    threshold: f64,
) -> Option<u64> {
    let counts = Counts::from(segment);
    if counts.is_one_sided() {
        return None;
    }
    let proven = |requests| flawless_proves(&counts, requests, tolerance, threshold);
    if !proven(u64::MAX) {
        return None;
    }
    let (mut too_few, mut enough) = (0, u64::MAX);
    // An average of eight lies between its largest part and an eighth of it: that gives
    // both ends to a few hundred requests. They are tried, since they were rounded.
    let target = libm::log(2.0 * libm::exp(threshold) - 1.0);
    let one = Counts { n_t: 1.0, e_t: 0.0, n_c: counts.n_c / counts.n_t, e_c: 0.0 };
    let points = tolerance.points().fraction();
    let steepest = STAKES.map(|stake| log_stake_below(&one, points, stake));
    let steepest = steepest.into_iter().fold(0.0, f64::max);
    let least = (target / steepest) as u64;
    let most = ((target + libm::log(STAKES.len() as f64)) / steepest) as u64;
    if !proven(least) {
        too_few = least;
    }
    if proven(most.saturating_add(1)) {
        enough = most.saturating_add(1);
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if proven(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough)
}

/// Whether [`canary_requests_needed`] are there; much cheaper than to ask how many.
pub(crate) fn are_canary_requests_enough(
    segment: &Segment,
    tolerance: Tolerance,
    threshold: f64,
) -> bool {
    let counts = Counts::from(segment);
    !counts.is_one_sided()
        && flawless_proves(&counts, segment.canary_requests(), tolerance, threshold)
}

/// Whether a canary that never failed in so many requests would be proven not worse.
fn flawless_proves(counts: &Counts, requests: u64, tolerance: Tolerance, threshold: f64) -> bool {
    let n_t = requests as f64;
    let flawless = Counts { n_t, e_t: 0.0, n_c: n_t * counts.n_c / counts.n_t, e_c: 0.0 };
    let difference = log_e_difference_below(&flawless, tolerance.points().fraction());
    // The half on the ratio learns nothing without failures: its e-value stays 1.
    log_sum_exp(&[0.0, difference]) - std::f64::consts::LN_2 >= threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::{Margin, Points};

    #[test]
    fn too_little_traffic_proves_nothing_and_enough_does() {
        let tolerance = Tolerance::default();
        let threshold = libm::log(1.0 / 0.05);
        let needed =
            canary_requests_needed(&Segment::new(10, 0, 90, 0).unwrap(), tolerance, threshold)
                .unwrap();
        assert!((900..1200).contains(&needed), "{needed}");
        let flawless = |n| Segment::new(n, 0, n * 9, 0).unwrap();
        assert!(log_e_ok(&flawless(needed), tolerance).combined >= threshold);
        assert!(log_e_ok(&flawless(needed - 1), tolerance).combined < threshold);
    }

    #[test]
    fn enough_requests_are_as_many_as_are_needed() {
        for (n_t, n_c) in [(1, 1_000_000), (10, 90), (7, 7), (1_000_000, 3), (90, 10)] {
            for (points, threshold) in [(0.5, 2.996), (0.5, 0.01), (20.0, 2.996), (99.0, 30.0)] {
                let tolerance = Tolerance::new(Margin::NONE, Points::new(points).unwrap());
                let segment = Segment::new(n_t, 0, n_c, 0).unwrap();
                let needed = canary_requests_needed(&segment, tolerance, threshold).unwrap();
                let counts = Counts::from(&segment);
                let proves = |n| flawless_proves(&counts, n, tolerance, threshold);
                assert!(proves(needed), "{n_t} {n_c} {points}: {needed}");
                assert!(needed == 0 || !proves(needed - 1), "{n_t} {n_c} {points}: {needed}");
                let enough = are_canary_requests_enough(&segment, tolerance, threshold);
                assert_eq!(enough, n_t >= needed);
            }
        }
        let none = Tolerance::new(Margin::NONE, Points::new(0.0).unwrap());
        let segment = Segment::new(1_000, 0, 9_000, 0).unwrap();
        assert_eq!(canary_requests_needed(&segment, none, 3.0), None);
        assert!(!are_canary_requests_enough(&segment, none, 3.0));
    }

    #[test]
    fn a_one_sided_segment_proves_nothing() {
        let alone = Segment::new(1_000_000, 0, 0, 0).unwrap();
        assert_eq!(log_e_ok(&alone, Tolerance::default()).combined, 0.0);
        assert_eq!(canary_requests_needed(&alone, Tolerance::default(), 3.0), None);
    }
}
