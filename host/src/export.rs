//! A plan in the words of other proxies.
//!
//! What they can decide exactly as the engine does is written; what they cannot is refused
//! by name, all of it at once; what changes no decision but is lost is told.

mod condition;
mod filter;
mod gateway;
pub(crate) mod kubernetes;
mod routes;

use std::collections::HashMap;

use crossfade_protocol::Problem;
use crossfade_protocol::plan::{AttributeSource, BucketRange, Condition, KeyFrom, Plan, Traffic};
use crossfade_protocol::share::BUCKETS;
use serde_json::Value;

pub(crate) use filter::{ControlServer, FilterOptions, filter};
pub(crate) use gateway::{GatewayOptions, gateway_api};
pub(crate) use routes::{RouteOptions, envoy};

/// What came out.
#[derive(Debug)]
pub(crate) struct Exported {
    /// What stands in the file, as one document.
    pub(crate) document: Value,
    /// What is lost or different, by its path in the plan.
    pub(crate) notes: Vec<Problem>,
    /// Comments for its values, by their paths in the document.
    pub(crate) comments: HashMap<String, String>,
    /// Which field of the plan a part is from: paths in the document, and in the plan.
    pub(crate) origins: Vec<(String, String)>,
}

/// What cannot be expressed, while the plan is gone through.
#[derive(Debug, Default)]
struct Ledger {
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    comments: HashMap<String, String>,
    origins: Vec<(String, String)>,
}

impl Ledger {
    /// The whole export fails with this.
    fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }

    fn note(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.push(Problem { path: path.into(), message: message.into() });
    }

    fn into_result(self, document: Value) -> Result<Exported, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let Ledger { notes, comments, origins, .. } = self;
        Ok(Exported { document, notes, comments, origins })
    }

    fn origin(&mut self, path: impl Into<String>, in_plan: impl Into<String>) {
        self.origins.push((path.into(), in_plan.into()));
    }

    fn comment(&mut self, path: &str, text: &str) {
        self.comments.insert(path.to_owned(), text.to_owned());
    }

    /// What no static configuration does, whoever reads it.
    fn note_what_needs_an_engine(&mut self, plan: &Plan, instead: &str) {
        if plan.guard.is_some() {
            self.note("guard", format!("is left out: nothing here counts failures; {instead}"));
        }
        if plan.rollout.is_some() {
            let now = match &plan.traffic {
                Traffic::Canary(share) => format!("the canary of {share}"),
                Traffic::Split { .. } => "the split".to_owned(),
                Traffic::Stable => "everything to the stable version".to_owned(),
            };
            self.note(
                "rollout",
                format!("is not run: what is exported is the plan as it stands, {now}"),
            );
        }
        if plan.mirrors().is_some() {
            self.note("shadow", format!("is left out: nothing here compares answers; {instead}"));
        }
        if !plan.brownouts.is_empty() {
            self.note("brownouts", "are left out: no part of this file knows the time");
        }
        if plan.deprecation.as_ref().is_some_and(|dates| dates.sunset_at.is_some()) {
            self.note(
                "deprecation.sunset_at",
                "is announced, and refuses nobody: no part of this file knows the time",
            );
        }
        if plan.clients.names_somebody() {
            self.note(
                "clients",
                format!("who is ready, blocked or pinned back is left out: {instead}"),
            );
        }
    }
}

/// Where the key is, also when the plan says it by way of an attribute.
fn key_source(plan: &Plan) -> KeyFrom {
    match &plan.key.from {
        KeyFrom::Attribute(name) => match plan.attributes.get(name) {
            Some(AttributeSource::Header(header)) => KeyFrom::Header(header.clone()),
            Some(AttributeSource::Cookie(cookie)) => KeyFrom::Cookie(cookie.clone()),
            None => plan.key.from.clone(),
        },
        known => known.clone(),
    }
}

/// The header that tells the version is written over; a plan that finds its key in it
/// would hide the key from whoever comes next.
fn key_is_not(header: &str, plan: &Plan, ledger: &mut Ledger) {
    if matches!(key_source(plan), KeyFrom::Header(key) if key.eq_ignore_ascii_case(header)) {
        let why =
            format!("`{header}` is the header for the version: give another `--version-header`");
        ledger.refuse("key", why);
    }
}

/// The path of a pin in the plan.
fn pin_path(key: &str) -> String {
    format!("pins[{}]", Value::from(key))
}

/// The field that says how the traffic is divided.
fn traffic_path(plan: &Plan) -> &'static str {
    match &plan.traffic {
        Traffic::Stable => "versions",
        Traffic::Canary(_) => "canary_percentage",
        Traffic::Split { layout: Some(_), .. } => "split_buckets",
        Traffic::Split { layout: None, .. } => "split",
    }
}

/// Which buckets belong to which version when the plan's traffic decides, in order and
/// without gaps, and whether it is the key that decides.
fn traffic(plan: &Plan) -> (Vec<BucketRange>, bool) {
    let versions = &plan.versions;
    let range = |version: &str, from, to| BucketRange { version: version.to_owned(), from, to };
    let ranges = match &plan.traffic {
        Traffic::Stable => return (vec![range(versions.stable(), 0, BUCKETS)], false),
        Traffic::Canary(share) => vec![
            range(versions.new_version(), 0, share.buckets()),
            range(versions.stable(), share.buckets(), BUCKETS),
        ],
        Traffic::Split { split, layout } => plan.ranges(split, layout.as_deref()),
    };
    (ranges.into_iter().filter(|range| range.from < range.to).collect(), plan.sticky)
}

/// Every attribute that a condition looks at.
fn attributes(condition: &Condition, tell: &mut impl FnMut(&str)) {
    match condition {
        Condition::All(list) | Condition::Any(list) => {
            list.iter().for_each(|part| attributes(part, tell));
        }
        Condition::Not(part) => attributes(part, tell),
        Condition::Attribute { name, .. } => tell(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn plan(more: Value) -> Plan {
        let mut document = json!({ "api": "users", "versions": ["v1", "v2"],
            "key": { "header": "x-user-id" } });
        if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
            document.extend(more);
        }
        Plan::read(&document).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn traffic_is_laid_out_as_the_engine_does() {
        let shown = |more| {
            let (ranges, by_key) = traffic(&plan(more));
            let ranges: Vec<_> =
                ranges.iter().map(|r| format!("{} {}-{}", r.version, r.from, r.to)).collect();
            (ranges.join(", "), by_key)
        };
        assert_eq!(shown(json!({})), ("v1 0-10000".to_owned(), false));
        assert_eq!(
            shown(json!({ "canary_percentage": 10 })),
            ("v2 0-1000, v1 1000-10000".to_owned(), true)
        );
        assert_eq!(shown(json!({ "canary_percentage": 0 })), ("v1 0-10000".to_owned(), true));
        assert_eq!(shown(json!({ "canary_percentage": 100 })), ("v2 0-10000".to_owned(), true));
        let split = json!({ "versions": ["v1", "v2", "v3"], "split": { "v1": 1, "v3": 1 }, "sticky": false });
        assert_eq!(shown(split), ("v3 0-5000, v1 5000-10000".to_owned(), false));
        let layout = json!([{ "version": "v1", "from": 0, "to": 5 }, { "version": "v2", "from": 5, "to": 10000 }]);
        let split = json!({ "split": { "v1": 1, "v2": 1999 }, "split_buckets": layout });
        assert_eq!(shown(split), ("v1 0-5, v2 5-10000".to_owned(), true));
    }
}
