//! Sizes and durations as people type them.

use std::time::Duration;

/// Reads `64MiB`, `64M`, `1g` or a plain number of bytes. Units are powers of 1024.
///
/// # Errors
/// What is wrong, for a person to read.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("unknown unit {unit:?}: use KiB, MiB or GiB")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// Reads `250ms`, `2s`, `5m` or `1h`.
///
/// # Errors
/// What is wrong, for a person to read.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => return Err("a unit is missing: ms, s, m or h".into()),
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| "too large".to_owned())
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err("it should begin with a whole number".into());
    }
    let number = number.parse().map_err(|_| "too large".to_owned())?;
    Ok((number, unit.trim_start()))
}

/// A duration for people, in its two largest units: `3 d 11 h`, `2 min 5 s`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("4096", Ok(4096)),
            ("64MiB", Ok(64 << 20)),
            ("64 mb", Ok(64 << 20)),
            ("1G", Ok(1 << 30)),
            ("17179869183G", Ok(17_179_869_183 << 30)),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "1T", "17179869184G", "99999999999999999999"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected_ms) in
            [("250ms", 250), ("2s", 2000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(expected_ms)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1d", "0.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_name_their_two_largest_units() {
        for (ms, expected) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (125_000, "2 min 5 s"),
            (3_600_000, "1 h 0 min"),
            (298_800_000, "3 d 11 h"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }
}
