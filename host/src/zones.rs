//! Times of day in a plan, read with the time zones that an engine does not have.
//!
//! A brownout may say `start: 2027-06-01T10:00` and `time_zone: Europe/Berlin`. What an
//! engine gets has the offset that is in force there on that day; the zone's name stays.

use crossfade_protocol::Problem;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use serde_json::Value;

/// Gives every brownout's local start its offset; the problems name what has none, or two.
/// Whatever else is wrong with the document is left to the engine.
pub(crate) fn resolve(document: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let brownouts = document.get_mut("brownouts").and_then(Value::as_array_mut);
    for (place, brownout) in brownouts.into_iter().flatten().enumerate() {
        let Some(name) = brownout.get("time_zone").and_then(Value::as_str) else { continue };
        let mut note = |field: &str, message: String| {
            problems.push(Problem { path: format!("brownouts[{place}].{field}"), message });
        };
        let Ok(zone) = TimeZone::get(name) else {
            let shown = crossfade_protocol::json::shown(name);
            let text = format!("\"{shown}\" is no time zone: IANA names are like Europe/Berlin");
            note("time_zone", text);
            continue;
        };
        let Some(Ok(local)) = brownout.get("start").and_then(Value::as_str).and_then(local) else {
            continue;
        };
        match start(local, &zone) {
            Ok(start) => brownout["start"] = start.into(),
            Err(why) => note("start", format!("{local} {why}")),
        }
    }
    problems
}

/// A date and time without a zone; `None` for anything that has one.
fn local(text: &str) -> Option<Result<DateTime, jiff::Error>> {
    let has_zone = text.ends_with(['Z', 'z'])
        || text.get(10..).is_some_and(|time| time.contains(['+', '-', '[']));
    (!has_zone).then(|| text.parse())
}

/// The moment at which a clock in this zone shows this, with its offset.
fn start(local: DateTime, zone: &TimeZone) -> Result<String, String> {
    let at = |offset: Offset| match offset.to_timestamp(local) {
        Ok(moment) => {
            Ok(moment.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
        }
        Err(error) => Err(format!("cannot be told as a moment: {error}")),
    };
    match zone.to_ambiguous_zoned(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        // Clocks are put forward over it: read by the one, it is past the gap.
        AmbiguousOffset::Gap { before, after } => Err(format!(
            "does not exist there, since clocks are put forward: write {} or {}",
            at(after)?,
            at(before)?
        )),
        AmbiguousOffset::Fold { before, after } => Err(format!(
            "is there twice, since clocks are put back: write {} or {}",
            at(before)?,
            at(after)?
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The start as it is given to the engine, or what is said instead.
    #[track_caller]
    fn check(start: &str, zone: &str, expected: &str) {
        let mut document = json!({"brownouts": [{"start": start, "time_zone": zone}]});
        let problems = resolve(&mut document);
        let got = match problems.first() {
            None => document["brownouts"][0]["start"].as_str().unwrap_or_default().to_owned(),
            Some(problem) => problem.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn a_time_of_day_gets_the_offset_of_its_day() {
        check("2027-06-01T10:00", "Europe/Berlin", "2027-06-01T10:00:00+02:00");
        check("2027-12-01 10:00:30", "Europe/Berlin", "2027-12-01T10:00:30+01:00");
        check("2027-06-01", "America/New_York", "2027-06-01T00:00:00-04:00");
        check("2027-06-01T10:00", "Asia/Kolkata", "2027-06-01T10:00:00+05:30");
        check("2027-06-01T10:00", "UTC", "2027-06-01T10:00:00+00:00");
    }

    #[test]
    fn a_moment_stays_as_it_is_and_so_does_what_is_none() {
        for start in ["2027-06-01T10:00Z", "2027-06-01T10:00+01:00", "2027-06-01T10:00-07:00", "x"]
        {
            check(start, "Europe/Berlin", start);
        }
        let mut without = json!({"brownouts": [{"start": "2027-06-01T10:00"}, 7]});
        assert_eq!(resolve(&mut without), []);
        assert_eq!(resolve(&mut json!({"brownouts": "none"})), []);
        assert_eq!(resolve(&mut json!(7)), []);
    }

    #[test]
    fn what_is_there_twice_or_not_at_all_is_told_with_both_moments() {
        check(
            "2027-10-31T02:30",
            "Europe/Berlin",
            "brownouts[0].start: 2027-10-31T02:30:00 is there twice, since clocks are put back: \
             write 2027-10-31T02:30:00+02:00 or 2027-10-31T02:30:00+01:00",
        );
        check(
            "2027-03-28T02:30",
            "Europe/Berlin",
            "brownouts[0].start: 2027-03-28T02:30:00 does not exist there, since clocks are put \
             forward: write 2027-03-28T01:30:00+01:00 or 2027-03-28T03:30:00+02:00",
        );
        check(
            "2027-06-01T10:00",
            "Europe/Berln",
            "brownouts[0].time_zone: \"Europe/Berln\" is no time zone: IANA names are like \
             Europe/Berlin",
        );
    }
}
