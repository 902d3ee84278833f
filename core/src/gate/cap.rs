//! What one bin may say at most: a pod that fails for five seconds is one event, not
//! five hundred.

use super::config::Cap;

/// Thousandths of a failure in one failure: how finely [`withheld_milli`] counts.
pub(crate) const MILLI: u64 = 1000;

/// Newton steps at most; the curve is convex, so each comes closer, and ten are many.
const STEPS_MAX: u32 = 80;

/// Canary failures of one bin that count: the largest `x <= canary_failures` whose
/// deviation from the share is worth at most `max(cap, ln(1 / share))` nats.
///
/// Nothing is taken away when the canary failed no more than its share. Leaving canary
/// failures out only lowers the evidence that v2 is worse, so the test stays valid; it
/// must *not* be used where v2 is to be proven good.
pub fn cap_failures(canary_failures: u64, control_failures: u64, share: f64, cap: Cap) -> f64 {
    failures_within(canary_failures, control_failures, share, bin_limit(share, cap))
}

/// What one bin may say at most, in nats: at least as much as one lone failure.
pub(crate) fn bin_limit(share: f64, cap: Cap) -> f64 {
    cap.get().max(-libm::log(share))
}

/// [`cap_failures`] with any limit in nats, 0 included.
fn failures_within(canary_failures: u64, control_failures: u64, share: f64, limit: f64) -> f64 {
    let (e_t, e_c) = (canary_failures as f64, control_failures as f64);
    if e_t == 0.0 || share.is_nan() || share <= 0.0 || share >= 1.0 || e_t <= (e_t + e_c) * share {
        return e_t;
    }
    let (ln_share, ln_rest) = (libm::log(share), libm::log1p(-share));
    if control_failures == 0 {
        return e_t.min(limit / -ln_share);
    }
    // The deviation and its derivative at x > 0.
    let deviation = |x: f64| {
        let ln_canary = libm::log(x / (x + e_c)) - ln_share;
        let ln_control = libm::log(e_c / (x + e_c)) - ln_rest;
        (x * ln_canary + e_c * ln_control, ln_canary)
    };
    // Start within a factor of two: from a burst of 1e19 a step would lose every digit.
    let expected = e_c * share / (1.0 - share);
    let mut x = expected;
    while x < e_t && deviation(x).0 <= limit {
        x *= 2.0;
    }
    x = x.min(e_t);
    for _ in 0..STEPS_MAX {
        let (nats, slope) = deviation(x);
        // From the right on a convex curve every step stays on the right of the root.
        let step = (nats - limit) / slope;
        if step.is_nan() || step <= 1e-15 * x {
            break;
        }
        // Beside counts of 1e16 rounding may throw a step anywhere; the root lies between.
        x = (x - step).clamp(expected.min(e_t), e_t);
    }
    x
}

/// Thousandths of the bin's canary failures that a limit in nats withholds, rounded up.
pub(crate) fn withheld_milli(
    canary_failures: u64,
    control_failures: u64,
    share: f64,
    limit: f64,
) -> u64 {
    let counted = failures_within(canary_failures, control_failures, share, limit);
    if counted >= canary_failures as f64 {
        return 0;
    }
    canary_failures.saturating_mul(MILLI).saturating_sub((counted * MILLI as f64) as u64)
}

/// What a bin says in which so many canary failures count, in nats: 0 when the canary
/// failed no more than its share.
pub(crate) fn nats(canary_counted: f64, control_failures: u64, share: f64) -> f64 {
    let (e_t, e_c) = (canary_counted, control_failures as f64);
    if share.is_nan() || share <= 0.0 || share >= 1.0 || e_t <= (e_t + e_c) * share {
        return 0.0;
    }
    let control = e_c * (libm::log(e_c / (e_t + e_c)) - libm::log1p(-share));
    let canary = e_t * (libm::log(e_t / (e_t + e_c)) - libm::log(share));
    canary + if control_failures == 0 { 0.0 } else { control }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap() -> Cap {
        Cap::new(3.5).unwrap()
    }

    #[test]
    fn nothing_is_withheld_from_a_canary_within_its_share() {
        assert_eq!(cap_failures(10, 90, 0.1, cap()), 10.0);
        assert_eq!(withheld_milli(10, 90, 0.1, 0.0), 0);
        assert_eq!(withheld_milli(0, 0, 0.1, 0.0), 0);
        assert_eq!(withheld_milli(7, 0, 1.0, 0.0), 0);
    }

    #[test]
    fn one_failure_always_counts_in_full() {
        for share in [0.0001, 0.01, 0.1, 0.5, 0.99] {
            assert_eq!(withheld_milli(1, 0, share, bin_limit(share, cap())), 0, "{share}");
        }
        assert_eq!(withheld_milli(5, 0, 0.01, bin_limit(0.01, cap())), 4000);
    }

    #[test]
    fn counts_beyond_all_bins_still_give_a_number() {
        let (e_t, e_c) = (54_800_936_092_152_693, 50_567_930_410_074_453);
        let counted = cap_failures(e_t, e_c, 0.040_255_326_623_479_144, cap());
        assert!((2.0e15..=2.2e15).contains(&counted), "{counted}");
    }

    #[test]
    fn a_burst_of_any_size_says_no_more_than_the_cap() {
        for burst in [50, 5_000, 1 << 40, u64::MAX] {
            let counted = cap_failures(burst, 5, 0.1, cap());
            assert!((counted - 3.963_408_3).abs() < 1e-6, "{burst}: {counted}");
        }
    }

    #[test]
    fn what_is_left_by_a_limit_says_just_as_much() {
        for (e_t, e_c, share) in [(40, 3, 0.1), (9, 0, 0.5), (700, 300, 0.2)] {
            for limit in [0.0, 0.3, 2.0, 5.0] {
                let counted = failures_within(e_t, e_c, share, limit);
                let said = nats(counted, e_c, share);
                // A curve that is flat where it touches zero: the root is known to 1e-8.
                assert!((said - limit).abs() < 1e-6, "{e_t} {e_c} {share} {limit}: {said}");
            }
        }
        assert_eq!(nats(1.0, 30, 0.1), 0.0);
        assert_eq!(withheld_milli(40, 0, 0.1, 0.0), 40_000);
    }
}
