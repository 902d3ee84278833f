//! Moments, as plans write them and as HTTP headers do.
//!
//! Written here because a calendar library was a tenth of the whole module, for two
//! formats. The calendar is that of Howard Hinnant, *chrono-compatible low-level date
//! algorithms*: years begin in March, eras have 400 years.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::limits::NAME_BYTES_MAX;
use crate::read::{Fields, Node};

/// A moment, written as `2027-01-31`, `2027-03-01T00:00Z` or RFC 3339; a date is its
/// first moment in UTC. From 1970 to 9999, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i64);

const DAY_SECONDS: i64 = 86_400;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Instant {
    /// The second that this is in; of a time beyond the year 9999, the last one.
    pub fn of_ms(unix_ms: u64) -> Instant {
        Instant((unix_ms / 1000).min(253_402_300_799) as i64)
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        self.0.unsigned_abs() * 1000
    }

    /// Seconds since 1970, as RFC 9745 counts them.
    pub fn unix_seconds(self) -> i64 {
        self.0
    }

    /// The date as HTTP writes it (RFC 9110, 5.6.7): `Sat, 31 Jul 2027 00:00:00 GMT`.
    pub fn http_date(self) -> String {
        let (days, (year, month, day)) = (self.0.div_euclid(DAY_SECONDS), self.date());
        let (hour, minute, second) = self.time();
        let (weekday, month) = (DAYS[days.rem_euclid(7) as usize], MONTHS[month as usize - 1]);
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// Year, month and day in UTC.
    fn date(self) -> (i64, i64, i64) {
        let z = self.0.div_euclid(DAY_SECONDS) + 719_468;
        let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Hour, minute and second in UTC.
    fn time(self) -> (i64, i64, i64) {
        let seconds = self.0.rem_euclid(DAY_SECONDS);
        (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    fn parse(text: &str) -> Option<Instant> {
        let mut cursor = Cursor(text.as_bytes());
        let year = cursor.digits(4)?;
        cursor.byte(b'-')?;
        let month = cursor.digits(2)?;
        cursor.byte(b'-')?;
        let day = cursor.digits(2)?;
        let midnight = days_from_civil(year, month, day)? * DAY_SECONDS;
        let seconds =
            if cursor.0.is_empty() { midnight } else { midnight + cursor.time_of_day()? };
        // Up to the end of the year 9999.
        (cursor.0.is_empty() && (0..253_402_300_800).contains(&seconds)).then_some(Instant(seconds))
    }
}

/// Days since 1970-01-01, or `None` for a date that is not in the calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    /// `T00:00`, seconds and their fraction if given, and a zone: seconds since midnight
    /// UTC. A fraction is dropped.
    fn time_of_day(&mut self) -> Option<i64> {
        self.byte(b'T').or_else(|| self.byte(b't')).or_else(|| self.byte(b' '))?;
        let hour = self.digits(2).filter(|hour| *hour < 24)?;
        self.byte(b':')?;
        let minute = self.digits(2).filter(|minute| *minute < 60)?;
        let mut second = 0;
        if self.byte(b':').is_some() {
            second = self.digits(2).filter(|second| *second < 60)?;
            if self.byte(b'.').is_some() {
                self.digits(1)?;
                while self.0.first().is_some_and(u8::is_ascii_digit) {
                    self.digits(1)?;
                }
            }
        }
        Some(hour * 3600 + minute * 60 + second - self.zone()?)
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.byte(b'Z').or_else(|| self.byte(b'z')).is_some() {
            return Some(0);
        }
        let sign = if self.byte(b'+').is_some() {
            1
        } else {
            self.byte(b'-')?;
            -1
        };
        let hours = self.digits(2).filter(|hours| *hours < 24)?;
        self.byte(b':')?;
        let minutes = self.digits(2).filter(|minutes| *minutes < 60)?;
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC: `2027-07-31T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.time());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether this is the date and time of day of a clock on some wall: without a zone.
pub(super) fn is_local(text: &str) -> bool {
    text.len() > "2027-03-01".len()
        && Instant::parse(text).is_none()
        && Instant::parse(&format!("{text}Z")).is_some()
}

pub(super) fn read_instant(node: &Node<'_, '_>) -> Option<Instant> {
    let text = node.text(NAME_BYTES_MAX)?;
    Instant::parse(text).or_else(|| {
        node.wrong("not a date (2027-01-31) or a time with its zone (2027-03-01T00:00Z)")
    })
}

pub(super) fn require_instant(fields: &Fields<'_, '_>, name: &'static str) -> Option<Instant> {
    fields.require(name, "a date or a time with its zone").and_then(|node| read_instant(&node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, unix: i64) {
        assert_eq!(Instant::parse(text), Some(Instant(unix)), "{text}");
    }

    #[test]
    fn reads_dates_and_times() {
        check("1970-01-01", 0);
        check("2027-01-31", 1_801_353_600);
        check("2027-03-01T00:00Z", 1_803_859_200);
        check("2027-03-01T02:30:05.25+02:30", 1_803_859_205);
        check("2027-02-28t19:00:00-05:00", 1_803_859_200);
        check("2000-02-29", 951_782_400);
        check("9999-12-31T23:59:59Z", 253_402_300_799);
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in [
            "",
            "2027",
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-04-31",
            "27-01-31",
            "2027-03-01T00:00",
            "2027-03-01T24:00Z",
            "2027-03-01T00:60Z",
            "2027-03-01T00:00:60Z",
            "2027-03-01T00:00:00.Z",
            "2027-03-01T00Z",
            "2027-03-01Z",
            "2027-3-1",
            "2027-03-01T00:00Z ",
            "1969-12-31",
            "9999-12-31T23:59:59-01:00",
            "2027-03-01T00:00+0200",
            "tomorrow",
            "2027-01-3é",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

    /// The example of RFC 9110, 5.6.7.
    #[test]
    fn writes_http_dates() {
        assert_eq!(Instant(784_111_777).http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Instant(0).http_date(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    proptest! {
        /// A well-kept calendar library agrees on every second of eight millennia.
        #[test]
        fn agrees_with_a_calendar_library(unix in 0i64..253_402_300_800) {
            let ours = Instant(unix);
            let theirs = jiff::Timestamp::from_second(unix).unwrap();
            prop_assert_eq!(ours.to_string(), theirs.to_string());
            prop_assert_eq!(Instant::parse(&theirs.to_string()), Some(ours));
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            prop_assert_eq!(ours.http_date(), printer.timestamp_to_rfc9110_string(&theirs).unwrap());
        }
    }
}
