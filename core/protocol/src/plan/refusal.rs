//! What a client gets whose call is refused: in a brownout, and after the sunset.

use serde::{Serialize, Serializer};

use super::{Brownout, Instant, OldVersionAfter, Plan};
use crate::Reason;
use crate::reply::json_text;

/// An answer in the place of the old version's. The [headers](super::Headers) of that
/// version go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Headers by their names in lower case.
    #[serde(serialize_with = "as_map")]
    pub headers: Vec<(&'static str, String)>,
    /// Whether `location` is an origin, behind which path and query of the call belong.
    #[serde(skip_serializing_if = "is_false")]
    pub keeps_path: bool,
    /// A problem document (RFC 9457); empty in a redirect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
}

fn as_map<S: Serializer>(
    headers: &[(&'static str, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// RFC 9457. There is no `instance`: a refusal is the same for all who get it.
#[derive(Serialize)]
struct Problem<'p> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    brownout: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<&'p str>,
}

impl Refusal {
    /// What a call to `version` gets in this brownout.
    pub fn of_brownout(plan: &Plan, brownout: &Brownout, version: &str, now_ms: u64) -> Refusal {
        let until = Instant::of_ms(brownout.end_ms());
        let seconds = brownout.end_ms().saturating_sub(now_ms).div_ceil(1000).max(1);
        let sunset = plan.deprecation.as_ref().and_then(|dates| dates.sunset_at);
        let mut detail = format!(
            "{version} of {} refuses this call on purpose, in a brownout until {until}",
            plan.api
        );
        if let Some(sunset) = sunset {
            detail.push_str(&format!(": it is switched off on {sunset}"));
        }
        let body =
            problem(plan, brownout.status, Reason::Brownout, Some((brownout, until)), detail);
        let headers = vec![
            ("content-type", PROBLEM.to_owned()),
            not_kept(),
            ("retry-after", seconds.to_string()),
        ];
        Refusal { status: brownout.status, headers, keeps_path: false, body }
    }

    /// What a call to `version` gets after the sunset.
    pub fn of_sunset(plan: &Plan, version: &str) -> Refusal {
        let dates = plan.deprecation.as_ref();
        if let Some(dates) = dates.filter(|dates| dates.after == OldVersionAfter::Redirect)
            && let Some(successor) = &dates.successor
        {
            let origin = dates.successor_origin();
            let location = origin.unwrap_or(successor).to_owned();
            return Refusal {
                // The client has to send the same again: method and body are kept.
                status: 308,
                headers: vec![("location", location), not_kept()],
                keeps_path: origin.is_some(),
                body: String::new(),
            };
        }
        let mut detail = format!("{version} of {} was switched off", plan.api);
        if let Some(sunset) = dates.and_then(|dates| dates.sunset_at) {
            detail.push_str(&format!(" on {sunset}"));
        }
        let body = problem(plan, 410, Reason::Gone, None, detail);
        let headers = vec![("content-type", PROBLEM.to_owned()), not_kept()];
        Refusal { status: 410, headers, keeps_path: false, body }
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Where a call to this path (with its query, as it was sent) is redirected to; `None`
    /// when this is no redirect.
    ///
    /// A path that does not begin with `/`, such as the `*` of OPTIONS, is left out.
    pub fn location(&self, path_and_query: &str) -> Option<String> {
        let location = self.header("location")?;
        let path =
            if self.keeps_path && path_and_query.starts_with('/') { path_and_query } else { "" };
        Some(format!("{location}{path}"))
    }
}

const PROBLEM: &str = "application/problem+json";

/// A cache may keep a 308, a 404 or a 410 for as long as it likes (RFC 9110, 15.1), and so
/// beyond a brownout, or a sunset that is put off.
fn not_kept() -> (&'static str, String) {
    ("cache-control", "no-store".to_owned())
}

fn problem(
    plan: &Plan,
    status: u16,
    reason: Reason,
    brownout: Option<(&Brownout, Instant)>,
    mut detail: String,
) -> String {
    let dates = plan.deprecation.as_ref();
    let successor = dates.and_then(|dates| dates.successor.as_deref());
    detail.push_str(". Use ");
    detail.push_str(plan.versions.new_version());
    for (before, target) in
        [(" at ", successor), (": see ", dates.and_then(|dates| dates.link.as_deref()))]
    {
        if let Some(target) = target {
            detail.push_str(before);
            detail.push_str(target);
        }
    }
    detail.push('.');
    json_text(&Problem {
        // RFC 9457, 4.2.1: nothing beyond the status, whose phrase is the title then.
        r#type: "about:blank",
        title: phrase(status),
        status,
        detail,
        reason,
        brownout: brownout.map(|(brownout, _)| brownout.name.as_str()),
        until: brownout.map(|(_, until)| until),
        sunset: dates.and_then(|dates| dates.sunset_at),
        successor,
    })
}

/// The status's phrase: IANA's registry of status codes, without those that a
/// [brownout](Brownout::UNFIT) cannot have.
fn phrase(status: u16) -> &'static str {
    const PHRASES: [(u16, &str); 37] = [
        (400, "Bad Request"),
        (402, "Payment Required"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (411, "Length Required"),
        (412, "Precondition Failed"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (416, "Range Not Satisfiable"),
        (417, "Expectation Failed"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (423, "Locked"),
        (424, "Failed Dependency"),
        (425, "Too Early"),
        (428, "Precondition Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (451, "Unavailable For Legal Reasons"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
        (506, "Variant Also Negotiates"),
        (507, "Insufficient Storage"),
        (508, "Loop Detected"),
        (510, "Not Extended"),
        (511, "Network Authentication Required"),
        // Of no registered status is known what it means, but whose mistake it is.
        (499, "Client Error"),
        (599, "Server Error"),
    ];
    let of = |status| PHRASES.iter().find(|(known, _)| *known == status);
    of(status).or_else(|| of(status / 100 * 100 + 99)).map_or("", |(_, phrase)| phrase)
}
