//! Conditions on a measurement, as far as they are a bound on failures or latency.

use std::sync::LazyLock;

use regex::Regex;

/// `result[0] >= 0.95`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    /// Whether the measurement has to lie above the number.
    pub(super) above: bool,
    pub(super) number: f64,
}

/// What a measurement is about, when that is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    SuccessRate,
    FailureRate,
    Latency,
}

impl Bound {
    /// Reads a comparison of `result` with a number; `None` for any other expression.
    pub(super) fn read(expression: &str) -> Option<Bound> {
        // One sample of a vector, a conversion, a default for "no data": none of them
        // changes what is compared with what.
        static COMPARISON: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                r"(?x)^ (?: (?:len\(result\)==0|isNaN\(result(?:\[0\])?\)) \|\| )?
                (?:default\()? (?:as(?:Float|Int)\()? result(?:\[0\])? \)? (?: ,[0-9.]+\) )?
                (>=|>|<=|<) ([0-9]*\.?[0-9]+) $",
            )
            .ok()
        });
        let compact: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
        let parts = COMPARISON.as_ref()?.captures(&compact)?;
        let number = parts.get(2)?.as_str().parse().ok()?;
        Some(Bound { above: parts.get(1)?.as_str().starts_with('>'), number })
    }

    /// The bound that holds where this one does not: what a condition of failure says
    /// about success.
    pub(super) fn negated(self) -> Bound {
        Bound { above: !self.above, ..self }
    }
}

impl Measure {
    /// From a metric's name; from its query where the name says nothing.
    pub(super) fn of(name: &str, query: &str) -> Option<Measure> {
        let has = |text: &str, words: &[&str]| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        if query.contains("histogram_quantile") {
            return Some(Measure::Latency);
        }
        match () {
            () if has(name, &["success", "availab"]) => Some(Measure::SuccessRate),
            () if has(name, &["error", "fail", "5xx"]) => Some(Measure::FailureRate),
            () if has(name, &["latency", "duration", "response-time", "p99", "p95", "p90"]) => {
                Some(Measure::Latency)
            }
            () => None,
        }
    }
}

/// Share of requests that may fail, from a bound on a rate.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn failure_ratio(measure: Measure, bound: Bound, query: &str) -> Result<f64, String> {
    let is_success = measure == Measure::SuccessRate;
    if bound.above != is_success {
        let (rate, side) = if is_success { ("success", "above") } else { ("failure", "below") };
        return Err(format!("a {rate} rate has to lie {side} its bound; this asks the opposite"));
    }
    let compact: String = query.chars().filter(|c| !c.is_whitespace()).collect();
    let is_percent = compact.contains("*100") || compact.contains("100*");
    let ratio = match bound.number {
        number if is_percent => number / 100.0,
        number if number <= 1.0 => number,
        // No success rate above 1 but in percent; a number of failures may be anything.
        number if is_success && number <= 100.0 => number / 100.0,
        number => return Err(format!("{number} is no ratio: is it a percentage, or a count?")),
    };
    let failures = if is_success { 1.0 - ratio } else { ratio };
    if failures > 1e-9 && failures < 1.0 {
        Ok(failures)
    } else {
        Err(format!("a share of {} that may fail cannot be tested", failures.clamp(0.0, 1.0)))
    }
}

/// Milliseconds and quantile, from a bound on `histogram_quantile`.
///
/// # Errors
/// Why there are none, in words.
pub(super) fn latency(bound: Bound, query: &str) -> Result<(f64, f64), String> {
    static QUANTILE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"histogram_quantile\(\s*(0?\.[0-9]+)\s*,").ok());
    if bound.above {
        return Err("latency has to lie below its bound; this asks the opposite".into());
    }
    let quantile = QUANTILE
        .as_ref()
        .and_then(|regex| regex.captures(query)?.get(1)?.as_str().parse::<f64>().ok())
        .ok_or("which quantile this bounds cannot be seen in the query")?;
    let compact: String = query.chars().filter(|c| !c.is_whitespace()).collect();
    let in_ms = compact.contains("_milliseconds") || compact.contains("_ms_");
    let in_seconds = compact.contains("_seconds") && !compact.contains("*1000");
    let slo_ms = match (in_seconds, in_ms || compact.contains("*1000")) {
        (true, false) => bound.number * 1e3,
        (false, true) => bound.number,
        _ => return Err("seconds or milliseconds? The query does not say".into()),
    };
    if slo_ms > 0.0 && slo_ms <= 180_000.0 {
        Ok((slo_ms, quantile))
    } else {
        Err(format!("{slo_ms} ms is no bound that the gate can test: above 0, up to 180000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_comparisons_are_bounds() {
        let bound = |above, number| Some(Bound { above, number });
        let cases = [
            ("result[0] >= 0.95", bound(true, 0.95)),
            ("result < .01", bound(false, 0.01)),
            ("asFloat(result) > 99", bound(true, 99.0)),
            ("len(result) == 0 || result[0] >= 0.95", bound(true, 0.95)),
            ("default(result[0], 1) >= 0.9", bound(true, 0.9)),
            ("result[0] >= 0.95 && result[1] < 2", None),
            ("result == \"ok\"", None),
            ("0.95 <= result[0]", None),
            ("result[0] >= {{args.minimum}}", None),
            ("", None),
        ];
        for (expression, expected) in cases {
            assert_eq!(Bound::read(expression), expected, "{expression}");
        }
    }

    #[test]
    fn a_rate_is_carried_over_only_where_its_unit_is_plain() {
        let ratio = |measure, above, number, query| {
            let ratio = failure_ratio(measure, Bound { above, number }, query);
            ratio.map(|ratio| (ratio * 1e6).round() / 1e6).ok()
        };
        assert_eq!(ratio(Measure::SuccessRate, true, 0.95, "a/b"), Some(0.05));
        assert_eq!(ratio(Measure::SuccessRate, true, 95.0, "a/b"), Some(0.05));
        assert_eq!(ratio(Measure::SuccessRate, true, 0.5, "a / b * 100"), Some(0.995));
        assert_eq!(ratio(Measure::SuccessRate, true, 1.0, "a/b"), None);
        assert_eq!(ratio(Measure::SuccessRate, false, 0.95, "a/b"), None);
        assert_eq!(ratio(Measure::FailureRate, false, 0.02, "a/b"), Some(0.02));
        assert_eq!(ratio(Measure::FailureRate, false, 2.0, "100 * a/b"), Some(0.02));
        assert_eq!(ratio(Measure::FailureRate, false, 5.0, "a"), None);
        assert_eq!(ratio(Measure::FailureRate, true, 0.05, "a"), None);
    }

    #[test]
    fn a_latency_is_carried_over_only_where_its_unit_is_plain() {
        let bound = Bound { above: false, number: 0.5 };
        let seconds = "histogram_quantile(0.99, sum(rate(http_seconds_bucket[1m])) by (le))";
        let (slo_ms, quantile) = latency(bound, seconds).unwrap();
        assert_eq!((slo_ms, quantile), (500.0, 0.99));
        let scaled = format!("{seconds} * 1000");
        assert_eq!(latency(bound, &scaled), Ok((0.5, 0.99)));
        assert!(latency(bound, "histogram_quantile(0.9, sum(rate(x_bucket[1m])))").is_err());
        assert!(latency(Bound { above: true, number: 0.5 }, seconds).is_err());
        assert!(latency(bound, "avg(x_seconds)").is_err());
    }
}
