//! Is the share observed the share asked for? If not, something routes, retries or
//! drops requests behind our back, and no comparison of the versions can be trusted.

/// Above this both Γ arguments are large enough for Stirling's series to be exact.
const STIRLING_FROM: f64 = 16.0;

/// Log Bayes factor that requests (clients, when routing is sticky) do *not* fall on
/// the canary with probability `asked_share`: the two-sided Beta-Binomial mixture of
/// Lindon & Malek (2022) with a = 1, b = 1/asked − 1.
///
/// 0 when the share asked for is not strictly between 0 and 1: everything on one
/// version needs no test, a single stray request disproves it.
pub fn log_bf_sample_ratio(canary: u64, control: u64, asked_share: f64) -> f64 {
    if !(asked_share > 0.0 && asked_share < 1.0) {
        return 0.0;
    }
    let (a, b) = (1.0, 1.0 / asked_share - 1.0);
    let (n_t, n_c) = (canary as f64, control as f64);
    let (x, y) = (a + n_t, b + n_c);
    let prior = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    if x < STIRLING_FROM || y < STIRLING_FROM {
        return prior + libm::lgamma(x) + libm::lgamma(y)
            - libm::lgamma(x + y)
            - n_t * libm::log(asked_share)
            - n_c * libm::log1p(-asked_share);
    }
    // Three lgammas of billions cancel to a handful and leave only rounding; Stirling's
    // series lets the large parts cancel on paper first. With s = x + y:
    //   ln B(x, y) = ½ ln 2π − ½ ln s + (x − ½) ln(x/s) + (y − ½) ln(y/s) + corrections
    let s = x + y;
    let ln_two_pi = 1.837_877_066_409_345_6;
    let (ln_canary, ln_control) =
        (ln_quotient(x, s * asked_share), ln_quotient(y, s * (1.0 - asked_share)));
    // (x − ½) ln(x/s) − n_t ln asked, with ln(x/s) = ln_canary + ln asked and x = 1 + n_t.
    prior
        + 0.5 * (ln_two_pi - libm::log(s))
        + (x - 0.5) * ln_canary
        + (a - 0.5) * libm::log(asked_share)
        + (y - 0.5) * ln_control
        + (b - 0.5) * libm::log1p(-asked_share)
        + stirling(x)
        + stirling(y)
        - stirling(s)
}

/// `ln(a / b)`, exact also where the two are nearly equal.
fn ln_quotient(a: f64, b: f64) -> f64 {
    let difference = (a - b) / b;
    if difference > -0.5 { libm::log1p(difference) } else { libm::log(a / b) }
}

/// What Stirling's formula misses of `lnΓ(x)`, to 1e-14 from 16 on.
fn stirling(x: f64) -> f64 {
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    inverse
        * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_compute_it_agree_where_they_meet() {
        for share in [0.5, 0.1, 0.03] {
            for (canary, control) in [(15, 200), (16, 200), (40, 300), (300, 20)] {
                let (n_t, n_c) = (canary as f64, control as f64);
                let b = 1.0 / share - 1.0;
                let plain = libm::lgamma(1.0 + b) - libm::lgamma(b)
                    + libm::lgamma(1.0 + n_t)
                    + libm::lgamma(b + n_c)
                    - libm::lgamma(1.0 + b + n_t + n_c)
                    - n_t * libm::log(share)
                    - n_c * libm::log1p(-share);
                let ours = log_bf_sample_ratio(canary, control, share);
                assert!((ours - plain).abs() < 1e-9 * plain.abs().max(1.0), "{ours} {plain}");
            }
        }
    }

    #[test]
    fn a_share_as_asked_is_no_alarm_even_with_astronomic_counts() {
        for n in [1_000, 1_000_000_000, 1 << 60] {
            let log_bf = log_bf_sample_ratio(n, n * 9, 0.1);
            assert!(log_bf < 0.0 && log_bf > -30.0, "{n}: {log_bf}");
        }
        assert!(log_bf_sample_ratio(1_200, 8_800, 0.1) > libm::log(1000.0));
    }

    #[test]
    fn a_share_of_everything_needs_no_test() {
        assert_eq!(log_bf_sample_ratio(5, 7, 0.0), 0.0);
        assert_eq!(log_bf_sample_ratio(5, 7, 1.0), 0.0);
        assert_eq!(log_bf_sample_ratio(5, 7, f64::NAN), 0.0);
    }
}
