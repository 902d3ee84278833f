//! How sure a simulated number is: binomial intervals and quantiles.

use serde::Serialize;

/// The part of the intervals that miss the truth.
const MISSES: f64 = 0.05;

/// A share of runs, with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ratio {
    pub(super) ratio: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A quantile of runs, with its 95 % interval; `None` where it lies beyond what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Quantile {
    pub(super) value: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

impl Ratio {
    /// The share of `hits` in `runs`, and the interval of Clopper and Pearson (1934).
    pub(super) fn of(hits: usize, runs: usize) -> Ratio {
        let (k, n) = (hits as u32, runs as u32);
        let half = MISSES / 2.0;
        let low = if k == 0 { 0.0 } else { root(|p| 1.0 - binomial_cdf(k - 1, n, p) < half) };
        let high = if k >= n { 1.0 } else { root(|p| binomial_cdf(k, n, p) >= half) };
        Ratio { ratio: f64::from(k) / f64::from(n.max(1)), low, high }
    }
}

impl Quantile {
    /// The quantile of values of which some are not known but to be larger than all that
    /// are. The interval is that of order statistics.
    pub(super) fn of(quantile: f64, values: &[Option<f64>]) -> Quantile {
        let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let n = values.len() as u32;
        let at = |rank: u32| sorted.get(rank.max(1) as usize - 1).copied();
        // Ranks between which the quantile lies with the wanted probability.
        let half = MISSES / 2.0;
        let first = |level: f64| (0..=n).find(|k| binomial_cdf(*k, n, quantile) > level);
        let low = first(half).and_then(|k| if k == 0 { at(1) } else { at(k) });
        let high = first(1.0 - half).and_then(|k| at(k + 1));
        Quantile { value: at((quantile * f64::from(n)).ceil() as u32), low, high }
    }
}

/// The point in (0, 1) up to which `holds` does.
fn root(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Probability of at most `k` hits in `n` tries.
fn binomial_cdf(k: u32, n: u32, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    let ln_choose = |i: u32| {
        let ln = |m: u32| libm::lgamma(f64::from(m) + 1.0);
        ln(n) - ln(i) - ln(n - i)
    };
    let (ln_p, ln_q) = (libm::log(p), libm::log1p(-p));
    let term = |i: u32| libm::exp(ln_choose(i) + f64::from(i) * ln_p + f64::from(n - i) * ln_q);
    (0..=k).map(term).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        // Known values: 0, 8 and 10 of 10.
        for (hits, low, high) in [(0, 0.0, 0.308_50), (8, 0.443_90, 0.974_79), (10, 0.691_50, 1.0)]
        {
            let ratio = Ratio::of(hits, 10);
            assert!((ratio.low - low).abs() < 1e-5, "{ratio:?}");
            assert!((ratio.high - high).abs() < 1e-5, "{ratio:?}");
        }
    }

    #[test]
    fn a_quantile_lies_in_its_interval_and_knows_what_it_did_not_see() {
        let values: Vec<Option<f64>> = (1..=100).map(|n| Some(f64::from(n))).collect();
        let median = Quantile::of(0.5, &values);
        assert_eq!(median, Quantile { value: Some(50.0), low: Some(40.0), high: Some(61.0) });
        let cut: Vec<Option<f64>> = (1..=100).map(|n| (n <= 85).then_some(f64::from(n))).collect();
        let ninth = Quantile::of(0.9, &cut);
        assert_eq!((ninth.value, ninth.high), (None, None));
        assert_eq!(ninth.low, Some(84.0));
        assert_eq!(Quantile::of(0.5, &[]), Quantile { value: None, low: None, high: None });
    }
}
