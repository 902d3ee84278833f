//! Times as logs write them, as unix milliseconds.

use crossfade_protocol::limits::TIME_MS_MAX;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// `17/May/2015:10:05:03 +0000`, as Apache and nginx write it. `None` when it is not.
pub(super) fn clf(text: &[u8]) -> Option<u64> {
    let [
        d1,
        d2,
        b'/',
        m1,
        m2,
        m3,
        b'/',
        y1,
        y2,
        y3,
        y4,
        b':',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b' ',
        sign,
        z1,
        z2,
        z3,
        z4,
    ] = *text
    else {
        return None;
    };
    let month = match &[m1, m2, m3] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let digit = |byte: u8| byte.is_ascii_digit().then_some(i16::from(byte) - i16::from(b'0'));
    let two = |a, b| Some(digit(a)? * 10 + digit(b)?);
    let narrow = |number: i16| i8::try_from(number).ok();
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    // A leap second is written as 60; unix time has none.
    let second = two(s1, s2).filter(|second| *second <= 60)?.min(59);
    let local = DateTime::new(
        year,
        month,
        narrow(two(d1, d2)?)?,
        narrow(two(h1, h2)?)?,
        narrow(two(n1, n2)?)?,
        narrow(second)?,
        0,
    );
    let minutes = i32::from(two(z1, z2)?) * 60 + i32::from(two(z3, z4).filter(|m| *m < 60)?);
    let offset = match sign {
        b'+' => minutes,
        b'-' => -minutes,
        _ => return None,
    };
    let time = Offset::from_seconds(offset * 60).ok()?.to_timestamp(local.ok()?).ok()?;
    in_range(time.as_millisecond())
}

/// A time as text: RFC 3339, the same without an offset (taken as UTC), the form of
/// [`clf`], or a number as for [`number`].
pub(super) fn text(text: &str) -> Option<u64> {
    if let Some(time) = clf(text.as_bytes()) {
        return Some(time);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return in_range(time.as_millisecond());
    }
    if let Ok(local) = text.parse::<DateTime>() {
        // A bare date says nothing about the time of a request.
        let has_time = text.contains(':');
        let time = Offset::UTC.to_timestamp(local).ok()?;
        return has_time.then(|| in_range(time.as_millisecond()))?;
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    number(is_number.then(|| text.parse().ok())??)
}

/// Unix seconds, milliseconds, microseconds or nanoseconds, told apart by size: the
/// first are below 10^11 until the year 5138, the second above it since 1973.
pub(super) fn number(number: f64) -> Option<u64> {
    let ms = match number {
        n if !(0.0..1e20).contains(&n) => return None,
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1e3,
        n => n / 1e6,
    };
    in_range(ms.round() as i64)
}

fn in_range(ms: i64) -> Option<u64> {
    u64::try_from(ms).ok().filter(|ms| *ms <= TIME_MS_MAX)
}

/// A time for people: `2015-05-17 10:05:03`, UTC.
pub(crate) fn shown(ms: u64) -> String {
    match jiff::Timestamp::from_millisecond(ms as i64) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// A time for programs: RFC 3339, UTC.
pub(crate) fn rfc3339(ms: u64) -> String {
    match jiff::Timestamp::from_millisecond(ms as i64) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY_17: u64 = 1_431_857_103_000;

    #[test]
    fn apache_times_are_read_with_their_offset() {
        for (text, expected) in [
            ("17/May/2015:10:05:03 +0000", Some(MAY_17)),
            ("17/May/2015:12:05:03 +0200", Some(MAY_17)),
            ("17/May/2015:04:35:03 -0530", Some(MAY_17)),
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("31/Dec/1969:23:59:59 +0000", None),
            ("30/Jun/2015:23:59:60 +0000", Some(1_435_708_799_000)),
            ("29/Feb/2016:00:00:00 +0000", Some(1_456_704_000_000)),
            ("29/Feb/2015:00:00:00 +0000", None),
            ("17/may/2015:10:05:03 +0000", None),
            ("17/May/2015:24:05:03 +0000", None),
            ("17/May/2015:10:05:61 +0000", None),
            ("17/May/2015:10:05:03 +0060", None),
            ("17/May/2015:10:05:03 +9900", None),
            ("17/May/2015:10:05:03 0000", None),
            ("17/May/2015:10:05:03", None),
            ("x7/May/2015:10:05:03 +0000", None),
            ("", None),
        ] {
            assert_eq!(clf(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn other_times_are_told_apart() {
        for (input, expected) in [
            ("2015-05-17T10:05:03Z", Some(MAY_17)),
            ("2015-05-17T12:05:03.250+02:00", Some(MAY_17 + 250)),
            ("2015-05-17 10:05:03", Some(MAY_17)),
            ("2015-05-17T10:05:03.5", Some(MAY_17 + 500)),
            ("2015-05-17", None),
            ("17/May/2015:10:05:03 +0000", Some(MAY_17)),
            ("1431857103", Some(MAY_17)),
            ("1431857103.25", Some(MAY_17 + 250)),
            ("1431857103250", Some(MAY_17 + 250)),
            ("-1", None),
            ("1e9", None),
            ("NaN", None),
            ("yesterday", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(text(input), expected, "{input}");
        }
    }

    #[test]
    fn numbers_are_seconds_to_nanoseconds_by_size() {
        for (input, expected) in [
            (0.0, Some(0)),
            (1_431_857_103.25, Some(MAY_17 + 250)),
            (1_431_857_103_250.0, Some(MAY_17 + 250)),
            (1_431_857_103_250_000.0, Some(MAY_17 + 250)),
            (1_431_857_103_250_000_000.0, Some(MAY_17 + 250)),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e20, None),
        ] {
            assert_eq!(number(input), expected, "{input}");
        }
    }
}
