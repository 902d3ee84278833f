//! Go's durations (`1h30m`), as Kubernetes resources write them.

/// Milliseconds of a duration such as `90s`, `1.5h` or `1h30m`; `None` for anything
/// else. `0` needs no unit. Days are no unit of Go's.
pub(super) fn read(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        // Longer names first: `m` would take the first letter of `ms`.
        ("ns", 1e-6),
        ("us", 1e-3),
        ("µs", 1e-3),
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 6e4),
        ("h", 3.6e6),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (digits, after) = rest.split_at(end);
        let number: f64 = digits.parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number * factor;
        rest = after.get(unit.len()..)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn durations_are_those_of_go() {
        let cases = [
            ("90s", Some(90_000.0)),
            ("1h30m", Some(5_400_000.0)),
            ("1.5h", Some(5_400_000.0)),
            ("250ms", Some(250.0)),
            ("0", Some(0.0)),
            ("10", None),
            ("1d", None),
            ("", None),
            ("10 m", None),
            ("-5m", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
