//! What a version's requests and answers are marked with.

use serde::Serialize;

use super::Plan;

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
    /// RFC 8288, with the relation of RFC 9745: where the migration is described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Headers {
    /// For every version of the plan, in its order. Every version but the newest is old.
    pub fn of_plan(plan: &Plan) -> Vec<Headers> {
        let newest = plan.versions.new_version();
        let headers = |version: &String| {
            let dates = plan.deprecation.as_ref().filter(|_| version != newest);
            Headers {
                version: version.clone(),
                deprecation: dates.map(|dates| format!("@{}", dates.deprecated_at.unix_seconds())),
                sunset: dates.and_then(|dates| dates.sunset_at).map(|at| at.http_date()),
                link: dates
                    .and_then(|dates| dates.link.as_ref())
                    .map(|link| format!("<{link}>; rel=\"deprecation\"")),
            }
        };
        plan.versions.0.iter().map(headers).collect()
    }
}
