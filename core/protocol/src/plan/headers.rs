//! What a version's requests and answers are marked with.

use serde::Serialize;

use super::{Brownout, Deprecation, Plan};
use crate::limits::ANNOUNCED_MAX;

/// Headers that go with one version.
///
/// The routing header says which version was chosen; the rest are for the client of
/// an old version, when the plan carries dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Headers {
    /// The version's name.
    #[serde(rename = "x-api-version")]
    pub version: String,
    /// RFC 9745: `@` and the unix time of the deprecation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<String>,
    /// RFC 8594: the HTTP date of the sunset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
    /// RFC 8288: one field with every link that the plan has, by the relations
    /// `deprecation` (RFC 9745), `sunset` (RFC 8594) and `successor-version` (RFC 5829).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Brownouts that are announced or running, as ISO 8601 intervals: a header of our own.
    #[serde(rename = "api-brownout", skip_serializing_if = "Option::is_none")]
    pub brownout: Option<String>,
}

impl Headers {
    /// For every version of the plan, in its order, at this time. Every version but the
    /// newest is old.
    pub fn of_plan(plan: &Plan, now_ms: u64) -> Vec<Headers> {
        let newest = plan.versions.new_version();
        let announced = announced(&plan.brownouts, now_ms);
        let headers = |version: &String| {
            let old = version != newest;
            let dates = plan.deprecation.as_ref().filter(|_| old);
            Headers {
                version: version.clone(),
                deprecation: dates.map(|dates| format!("@{}", dates.deprecated_at.unix_seconds())),
                sunset: dates.and_then(|dates| dates.sunset_at).map(|at| at.http_date()),
                link: dates.and_then(links),
                brownout: announced.clone().filter(|_| old),
            }
        };
        plan.versions.0.iter().map(headers).collect()
    }

    /// Each that is there but the version, by its name in lower case.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("deprecation", &self.deprecation),
            ("sunset", &self.sunset),
            ("link", &self.link),
            ("api-brownout", &self.brownout),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// RFC 8288, section 3: a target in angle brackets, a relation in quotes, a comma between.
fn links(dates: &Deprecation) -> Option<String> {
    let links = [
        (&dates.link, "deprecation"),
        (&dates.sunset_link, "sunset"),
        (&dates.successor, "successor-version"),
    ];
    let mut field = String::new();
    for (target, relation) in links {
        let Some(target) = target else { continue };
        if !field.is_empty() {
            field.push_str(", ");
        }
        field.push('<');
        field.push_str(target);
        field.push_str(">; rel=\"");
        field.push_str(relation);
        field.push('"');
    }
    (!field.is_empty()).then_some(field)
}

/// The intervals of brownouts from the moment they are announced until they are over, the
/// next ones first.
fn announced(brownouts: &[Brownout], now_ms: u64) -> Option<String> {
    let is_told = |brownout: &&Brownout| {
        brownout.start_ms() < brownout.end_ms()
            && (brownout.announce_ms()..brownout.end_ms()).contains(&now_ms)
    };
    let mut told: Vec<&Brownout> = brownouts.iter().filter(is_told).collect();
    crate::order::sort_by(&mut told, |a, b| a.start_ms().cmp(&b.start_ms()));
    told.truncate(ANNOUNCED_MAX);
    let told: Vec<String> = told.into_iter().map(Brownout::interval).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn old(extra: Value, now: &str) -> Headers {
        let mut plan = json!({"api": "users", "versions": ["v1", "v2"], "key": "address"});
        plan.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let now: jiff::Timestamp = now.parse().unwrap();
        let headers =
            Headers::of_plan(&Plan::read(&plan).unwrap(), now.as_millisecond().unsigned_abs());
        assert_eq!(headers[1].told().count(), 0, "the newest version is told nothing");
        headers[0].clone()
    }

    /// RFC 9745, section 2.1: `Deprecation: @1688169599` is Friday, June 30, 2023 at
    /// 23:59:59 UTC. Section 4: `Sunset: Sun, 30 Jun 2024 23:59:59 UTC`, in the form that
    /// RFC 8594 and RFC 9110 ask for.
    #[test]
    fn the_example_of_rfc_9745() {
        let dates = json!({"deprecation": {"deprecated_at": "2023-06-30T23:59:59Z",
            "sunset_at": "2024-06-30T23:59:59Z",
            "link": "https://developer.example.com/deprecation"}});
        let told = old(dates, "2023-01-01T00:00:00Z");
        assert_eq!(told.deprecation.as_deref(), Some("@1688169599"));
        assert_eq!(told.sunset.as_deref(), Some("Sun, 30 Jun 2024 23:59:59 GMT"));
        let link = "<https://developer.example.com/deprecation>; rel=\"deprecation\"";
        assert_eq!(told.link.as_deref(), Some(link));
    }

    /// RFC 8594, section 3: `Sunset: Sat, 31 Dec 2018 23:59:59 GMT`, whose weekday is wrong
    /// there (erratum 5676): that day was a Monday.
    #[test]
    fn the_example_of_rfc_8594() {
        let dates = json!({"deprecation": {"deprecated_at": "2018-01-01",
            "sunset_at": "2018-12-31T23:59:59Z"}});
        let told = old(dates, "2018-01-01T00:00:00Z");
        assert_eq!(told.sunset.as_deref(), Some("Mon, 31 Dec 2018 23:59:59 GMT"));
    }

    #[test]
    fn links_share_one_field() {
        let dates = json!({"deprecation": {"deprecated_at": "2027-01-31",
            "link": "https://example.com/migrate?from=v1,to=v2",
            "sunset_link": "https://example.com/sunset", "successor": "https://api.example.com"}});
        let told = old(dates, "2027-01-01T00:00:00Z");
        assert_eq!(
            told.link.as_deref(),
            Some(
                "<https://example.com/migrate?from=v1,to=v2>; rel=\"deprecation\", \
                 <https://example.com/sunset>; rel=\"sunset\", \
                 <https://api.example.com>; rel=\"successor-version\""
            )
        );
    }

    #[test]
    fn a_brownout_is_told_from_its_announcement_to_its_end() {
        let plan = |stopped_at: Value| {
            json!({"brownouts": [
                {"name": "late", "start": "2027-06-02T10:00Z", "minutes": 30, "percentage": 10},
                {"name": "early", "start": "2027-06-01T12:00+02:00", "minutes": 60,
                 "percentage": 5, "announce_minutes": 60, "stopped_at": stopped_at},
            ]})
        };
        let told = |stopped_at: Value, now: &str| old(plan(stopped_at), now).brownout;
        let early = "2027-06-01T10:00:00Z/2027-06-01T11:00:00Z";
        let late = "2027-06-02T10:00:00Z/2027-06-02T10:30:00Z";
        let both = format!("{early}, {late}");
        assert_eq!(told(Value::Null, "2027-05-26T09:59:59Z"), None);
        assert_eq!(told(Value::Null, "2027-05-26T10:00:00Z").as_deref(), Some(late));
        assert_eq!(told(Value::Null, "2027-06-01T08:59:59Z").as_deref(), Some(late));
        assert_eq!(told(Value::Null, "2027-06-01T09:00:00Z"), Some(both.clone()));
        assert_eq!(told(Value::Null, "2027-06-01T10:59:59Z"), Some(both));
        assert_eq!(told(Value::Null, "2027-06-01T11:00:00Z").as_deref(), Some(late));
        assert_eq!(told(Value::Null, "2027-06-02T10:30:00Z"), None);
        let until = told("2027-06-01T10:20Z".into(), "2027-06-01T10:10:00Z").unwrap();
        assert!(until.starts_with("2027-06-01T10:00:00Z/2027-06-01T10:20:00Z, "), "{until}");
        // Called off before it began.
        let off = json!("2027-06-01T09:30Z");
        assert_eq!(told(off, "2027-06-01T09:10:00Z").as_deref(), Some(late));
    }
}
