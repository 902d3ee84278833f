//! Averages of e-values, taken in logs.

/// Terms this far below the largest add less than the last bit of the sum:
/// `exp(-40)` is 4e-18, and no mixture here has more than a few hundred terms.
const NEGLIGIBLE: f64 = 40.0;

/// `ln(exp(a) + exp(b) + …)` in the order given; minus infinity for no terms.
pub(crate) fn log_sum_exp(terms: &[f64]) -> f64 {
    let mut sum = LogSum::default();
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    sum.largest = largest;
    for &term in terms {
        sum.add(term);
    }
    sum.value()
}

/// The logarithm of the average of e-values given by their logarithms.
pub(crate) fn log_mean_exp(terms: &[f64]) -> f64 {
    log_sum_exp(terms) - libm::log(terms.len() as f64)
}

/// `ln Σ exp(term)`, one term at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSum {
    largest: f64,
    /// The sum, divided by `exp(largest)`.
    sum: f64,
}

impl Default for LogSum {
    fn default() -> LogSum {
        LogSum { largest: f64::NEG_INFINITY, sum: 0.0 }
    }
}

impl LogSum {
    pub(crate) fn add(&mut self, term: f64) {
        if term > self.largest {
            // Also right for the first term: `exp(-inf)` is 0.
            self.sum *= libm::exp(self.largest - term);
            self.sum += 1.0;
            self.largest = term;
        } else if term == self.largest {
            // One exponential less, and no `inf - inf` when every term is minus infinity.
            self.sum += 1.0;
        } else if term > self.largest - NEGLIGIBLE {
            self.sum += libm::exp(term - self.largest);
        }
    }

    pub(crate) fn value(&self) -> f64 {
        if self.sum > 0.0 { self.largest + libm::log(self.sum) } else { f64::NEG_INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_logs_is_the_log_of_the_sum_at_any_scale() {
        let ln2 = libm::log(2.0);
        for shift in [0.0, 700.0, -700.0, 1e18, -1e18] {
            assert_eq!(log_sum_exp(&[shift, shift]), shift + ln2);
        }
        assert_eq!(log_sum_exp(&[0.0, -1e30]), 0.0);
        assert!((log_mean_exp(&[3.0, 3.0, 3.0]) - 3.0).abs() < 1e-15);
        assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
    }

    #[test]
    fn one_term_at_a_time_gives_the_same_sum() {
        let terms = [-3.5, 0.25, 7.0, 6.9, -80.0, 2.0];
        let mut sum = LogSum::default();
        terms.iter().for_each(|&term| sum.add(term));
        assert!((sum.value() - log_sum_exp(&terms)).abs() < 1e-14);
    }
}
