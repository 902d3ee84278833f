//! Is v2 worse? The e-value against `p_canary <= margin * p_control`.
//!
//! Given that a request failed, it was the canary's with a probability that depends
//! only on the share and on the ratio of the failure rates, not on the rates: a
//! baseline that drifts changes nothing. One likelihood ratio per alternative ratio,
//! one for a total outage, averaged. (Lindon & Malek 2022; Lindon, Sanden & Shirikian
//! 2022; the outage component is a reverse information projection as in Turner, Ly &
//! Grünwald 2024.)

use super::config::Margin;
use super::mixture::log_mean_exp;
use super::segment::{Counts, Segment};
use super::tally::FailureTally;
use super::windows::{WindowTest, written_as};

/// Ratios to the margin that are bet on, from "barely worse" to "everything fails".
const RATIOS: [f64; 8] = [1.1, 1.25, 1.5, 2.0, 3.0, 6.0, 20.0, 1000.0];

/// The outage alternative: nine of ten requests fail on the canary…
const OUTAGE_CANARY: f64 = 0.9;
/// …while one of a hundred fails on the control.
const OUTAGE_CONTROL: f64 = 0.01;

/// A canary that fails at most this often is no outage: up to a margin of 3 the
/// component speaks against one at every share, even beside a control that never fails.
const NO_OUTAGE: f64 = 0.1;
const NO_OUTAGE_MARGIN_MAX: f64 = 3.0;

/// Components of the mixture: the ratios, then the outage.
pub const COMPONENTS: usize = RATIOS.len() + 1;

/// Log e-value that the canary fails more than `margin` times as often as the control.
///
/// 0 when no segment has traffic on both versions. Each segment brings its own share
/// and its own baseline; they are never pooled.
///
/// ```
/// use crossfade_core::gate::{Margin, Segment, worse::log_e_worse};
/// let step = Segment::new(1000, 12, 9000, 30)?;
/// assert!((log_e_worse(&[step], Margin::NONE) - 3.883458904380787).abs() < 1e-9);
/// # Ok::<(), crossfade_core::gate::segment::SegmentError>(())
/// ```
pub fn log_e_worse(segments: &[Segment], margin: Margin) -> f64 {
    let test = WorseTest::from(margin);
    let mut sums = [0.0; COMPONENTS];
    for segment in segments {
        let parts = test.log_likelihood_ratios(&Counts::from(segment));
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += part;
        }
    }
    log_mean_exp(&sums)
}

/// The outage component of [`log_e_worse`] for one segment.
pub fn log_e_outage(segment: &Segment, margin: Margin) -> f64 {
    WorseTest::from(margin).log_likelihood_ratios(&Counts::from(segment))[COMPONENTS - 1]
}

/// The Mantel-Haenszel estimate of how many times as often the canary fails.
///
/// `None` when no segment with traffic on both versions has a failure; infinite when
/// only the canary failed.
pub fn mantel_haenszel_ratio(segments: &[Segment]) -> Option<f64> {
    let (mut canary, mut control) = (0.0, 0.0);
    for counts in segments.iter().map(Counts::from).filter(|c| !c.is_one_sided()) {
        canary += counts.e_t * counts.rest();
        control += counts.e_c * counts.share();
    }
    (canary + control > 0.0).then(|| canary / control)
}

/// [`log_e_worse`] with everything computed beforehand that depends on the margin only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorseTest {
    margin: Margin,
    ln_margin: f64,
    ln_ratios: [f64; RATIOS.len()],
    outage: Outage,
}

written_as!(WorseTest, Margin);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Outage {
    ln_canary: f64,
    ln_canary_ok: f64,
    ln_control: f64,
    ln_control_ok: f64,
}

impl From<Margin> for WorseTest {
    fn from(margin: Margin) -> WorseTest {
        WorseTest {
            margin,
            ln_margin: libm::log(margin.get()),
            ln_ratios: RATIOS.map(libm::log),
            outage: Outage {
                ln_canary: libm::log(OUTAGE_CANARY),
                ln_canary_ok: libm::log1p(-OUTAGE_CANARY),
                ln_control: libm::log(OUTAGE_CONTROL),
                ln_control_ok: libm::log1p(-OUTAGE_CONTROL),
            },
        }
    }
}

impl From<WorseTest> for Margin {
    fn from(test: WorseTest) -> Margin {
        test.margin
    }
}

impl WorseTest {
    /// The log-likelihood ratio of every alternative against the margin, all 0 when
    /// there is nothing to compare.
    ///
    /// Each grows with the canary's failures and shrinks with the control's, requests
    /// being equal: counting fewer canary failures never invents evidence.
    fn log_likelihood_ratios(&self, counts: &Counts) -> [f64; COMPONENTS] {
        let mut parts = [0.0; COMPONENTS];
        if counts.is_one_sided() {
            return parts;
        }
        let failures = counts.failures();
        if failures > 0.0 {
            // ln d(margin·g) − ln d(margin), d(η) = 1 + ρ(η − 1), as one logarithm.
            let margin = self.margin.get();
            let share = counts.share();
            let scale = share * margin / (1.0 + share * (margin - 1.0));
            for ((part, ratio), ln_ratio) in parts.iter_mut().zip(RATIOS).zip(self.ln_ratios) {
                // Not log1p: the error is failures · 1e-16 either way, and this is hot.
                *part = counts.e_t * ln_ratio - failures * libm::log(1.0 + scale * (ratio - 1.0));
            }
        }
        parts[COMPONENTS - 1] = self.log_outage(counts);
        parts
    }

    fn log_outage(&self, counts: &Counts) -> f64 {
        let (share, rest, margin) = (counts.share(), counts.rest(), self.margin.get());
        // The pair (margin·u, u) of the null hypothesis nearest to the outage.
        let a = share * OUTAGE_CANARY + rest * OUTAGE_CONTROL;
        let b = share * margin * (1.0 - OUTAGE_CANARY);
        let c = rest * (1.0 - OUTAGE_CONTROL);
        let qa = margin * (a + c) + b;
        let qb = a * (1.0 + margin) + b + c;
        // Never negative but for rounding.
        let root = (qb * qb - 4.0 * qa * a).max(0.0).sqrt();
        let u = 2.0 * a / (qb + root);
        let ln_u = libm::log(u);
        let o = &self.outage;
        counts.e_t * (o.ln_canary - self.ln_margin - ln_u)
            + (counts.n_t - counts.e_t) * (o.ln_canary_ok - libm::log1p(-margin * u))
            + counts.e_c * (o.ln_control - ln_u)
            + (counts.n_c - counts.e_c) * (o.ln_control_ok - libm::log1p(-u))
    }
}

impl WindowTest<COMPONENTS> for WorseTest {
    type Tally = FailureTally;

    fn log_components(&self, tally: &FailureTally) -> [f64; COMPONENTS] {
        self.log_likelihood_ratios(&tally.counts())
    }

    fn upper_bound(&self, tally: &FailureTally) -> f64 {
        let counts = tally.counts();
        if counts.is_one_sided() {
            return 0.0;
        }
        let (share, rest) = (counts.share(), counts.rest());
        let (canary, control) = (share * self.margin.get(), rest);
        let expected = counts.failures() * canary / (canary + control);
        let excess = counts.e_t - expected;
        let ratios = if excess > 0.0 {
            excess * excess * (canary + control) / (expected * control)
        } else {
            0.0
        };
        let no_outage =
            counts.e_t <= NO_OUTAGE * counts.n_t && self.margin.get() <= NO_OUTAGE_MARGIN_MAX;
        if no_outage { ratios } else { ratios.max(self.log_outage(&counts)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(n_t: u64, e_t: u64, n_c: u64, e_c: u64) -> Segment {
        Segment::new(n_t, e_t, n_c, e_c).unwrap()
    }

    #[test]
    fn nothing_to_compare_is_no_evidence() {
        for one_sided in [segment(0, 0, 0, 0), segment(500, 500, 0, 0), segment(0, 0, 500, 5)] {
            assert_eq!(log_e_worse(&[one_sided], Margin::NONE), 0.0);
        }
        assert_eq!(log_e_worse(&[], Margin::NONE), 0.0);
    }

    #[test]
    fn the_outage_component_is_negative_for_a_canary_that_fails_at_most_a_tenth() {
        for margin in [1.0, 1.1, 1.5, 2.0, NO_OUTAGE_MARGIN_MAX] {
            let test = WorseTest::from(Margin::new(margin).unwrap());
            for permille in 1..1_000 {
                let n_t = f64::from(permille) * 1_000.0;
                let n_c = 1_000_000.0 - n_t;
                let counts = Counts { n_t, e_t: NO_OUTAGE * n_t, n_c, e_c: 0.0 };
                assert!(test.log_outage(&counts) < 0.0, "{margin} {permille}");
            }
        }
    }

    #[test]
    fn a_total_outage_is_proven_by_three_requests() {
        let three = segment(3, 3, 297, 0);
        assert!(log_e_worse(&[three], Margin::NONE) > libm::log(1.0 / 0.005));
    }

    #[test]
    fn the_ratio_is_unknown_or_infinite_without_failures_on_one_side() {
        assert_eq!(mantel_haenszel_ratio(&[segment(10, 0, 10, 0)]), None);
        assert_eq!(mantel_haenszel_ratio(&[segment(10, 5, 0, 0)]), None);
        assert_eq!(mantel_haenszel_ratio(&[segment(10, 5, 10, 0)]), Some(f64::INFINITY));
        assert_eq!(mantel_haenszel_ratio(&[segment(10, 0, 10, 5)]), Some(0.0));
        assert_eq!(mantel_haenszel_ratio(&[segment(50, 2, 50, 1)]), Some(2.0));
    }
}
