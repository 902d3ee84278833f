//! Times of day in a place, made moments: the engine has no table of time zones.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Writes the offset to the start of each brownout that has a `time_zone` and none yet. What
/// cannot be understood stays as it is, for the engine to refuse with its place.
pub(super) fn resolve(document: &mut Value) {
    let brownouts = document.get_mut("brownouts").and_then(Value::as_array_mut);
    for brownout in brownouts.into_iter().flatten() {
        let zone = brownout.get("time_zone").and_then(Value::as_str).and_then(zone);
        let start = brownout.get("start").and_then(Value::as_str);
        if let (Some(zone), Some(start)) = (zone, start)
            && let Some(moment) = moment(start, &zone)
        {
            brownout["start"] = moment.into();
        }
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Of a time that the clocks show twice the first; of one that they leave out, as late as if
/// they had not been put on.
fn moment(text: &str, zone: &TimeZone) -> Option<String> {
    let has_offset = text.parse::<jiff::Timestamp>().is_ok();
    let local = text.parse::<DateTime>().ok().filter(|_| !has_offset && text.contains(':'))?;
    let zoned = local.to_zoned(zone.clone()).ok()?;
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(start: &str, zone: &str) -> String {
        let mut plan = json!({ "brownouts": [{ "start": start, "time_zone": zone }] });
        resolve(&mut plan);
        plan["brownouts"][0]["start"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_time_in_a_place_gets_its_offset() {
        for (start, zone, expected) in [
            ("2027-06-01T10:00", "Europe/Berlin", "2027-06-01T10:00:00+02:00"),
            ("2027-01-01 10:00", "Europe/Berlin", "2027-01-01T10:00:00+01:00"),
            // Put on at 02:00, put back at 03:00.
            ("2027-03-28T02:30", "Europe/Berlin", "2027-03-28T03:30:00+02:00"),
            ("2027-10-31T02:30", "Europe/Berlin", "2027-10-31T02:30:00+02:00"),
            ("2027-06-01T10:00Z", "Europe/Berlin", "2027-06-01T10:00Z"),
            ("2027-06-01T10:00", "Europe/Nowhere", "2027-06-01T10:00"),
            ("soon", "Europe/Berlin", "soon"),
            ("2027-06-01", "Europe/Berlin", "2027-06-01"),
        ] {
            assert_eq!(resolved(start, zone), expected, "{start} {zone}");
        }
    }

    #[test]
    fn without_brownouts_nothing_changes() {
        for plan in [json!({}), json!({ "brownouts": 7 }), json!({ "brownouts": [1] })] {
            let mut same = plan.clone();
            resolve(&mut same);
            assert_eq!(same, plan);
        }
    }
}
