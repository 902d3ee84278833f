//! A plan as an HTTPRoute of the Gateway API.
//!
//! The API promises weights, and not how they are drawn: most implementations draw for
//! each request. Among routes the one with more header matches goes first, whatever their
//! order, so only conditions of a single header keep the order of a plan.

use std::collections::BTreeMap;

use crossfade_protocol::Problem;
use crossfade_protocol::plan::{AttributeSource, Condition, KeyFrom, Plan, Test, Then};
use serde_json::{Value, json};

use super::kubernetes::{is_label, is_object_name};
use super::{Exported, Ledger, key_source, traffic, traffic_path};

/// What the plan does not say.
#[derive(Debug, Clone)]
pub(crate) struct GatewayOptions {
    /// The service and port of a version, where they are not the version's name and 80.
    pub(crate) backends: BTreeMap<String, (String, u16)>,
    /// The gateway that the route belongs to.
    pub(crate) parent: String,
    /// What the route is called, where it is not the plan's `api`.
    pub(crate) name: Option<String>,
    /// Of the route.
    pub(crate) namespace: Option<String>,
    /// Hosts that the route is for; all when empty.
    pub(crate) hostnames: Vec<String>,
    /// Paths that the route is for.
    pub(crate) prefix: String,
}

/// What an HTTPRoute may have (Gateway API v1): rules, matches in one rule, and in all.
const RULES_MAX: usize = 16;
const MATCHES_MAX: usize = 64;
const ALL_MATCHES_MAX: usize = 128;
/// And bytes in a header's value that is matched.
const VALUE_BYTES_MAX: usize = 4096;

/// What everyone has to know who applies one.
pub(crate) const PER_REQUEST: &str = "most implementations of the Gateway API draw a version \
    for each request, not for each user: a user then goes to and fro between the versions, and \
    outcomes per user say nothing. If yours is Envoy, `export envoy` decides by user.";

/// The plan as an HTTPRoute.
///
/// # Errors
/// Everything that it cannot say.
pub(crate) fn gateway_api(plan: &Plan, options: &GatewayOptions) -> Result<Exported, Vec<Problem>> {
    let mut ledger = Ledger::default();
    let mut rules = Vec::new();
    let route = |matches: Vec<Value>, version: &str| json!({ "matches": matches, "backendRefs": [backend(options, version, None)] });
    let at = |headers: Vec<Value>| {
        let mut matched = json!({ "path": { "type": "PathPrefix", "value": options.prefix } });
        if !headers.is_empty() {
            matched["headers"] = headers.into();
        }
        matched
    };
    if plan.kill_switch {
        rules.push(route(vec![at(Vec::new())], plan.versions.stable()));
    } else {
        for (version, headers) in pins(plan, &mut ledger) {
            let matches = headers.into_iter().map(|header| at(vec![header]));
            rules.push(route(matches.collect(), &version));
        }
        for (place, rule) in plan.rules.iter().enumerate() {
            let path = format!("rules[{place}]");
            let Then::To(version) = &rule.then else {
                let why = "is by user, which the Gateway API does not promise: use `to`";
                ledger.refuse(format!("{path}.split"), why);
                continue;
            };
            match headers(plan, rule.when.as_ref()) {
                Ok(headers) => {
                    let matches = headers.into_iter().map(|header| at(vec![header]));
                    rules.push(route(matches.collect(), version));
                }
                Err(why) => ledger.refuse(format!("{path}.when"), why),
            }
        }
        let (ranges, by_key) = traffic(plan);
        if by_key && ranges.len() > 1 {
            ledger.note(traffic_path(plan), PER_REQUEST);
        }
        let mut weights: Vec<(&str, u16)> = Vec::new();
        for range in &ranges {
            let buckets = range.to - range.from;
            match weights.iter_mut().find(|(version, _)| *version == range.version) {
                Some((_, weight)) => *weight += buckets,
                None => weights.push((&range.version, buckets)),
            }
        }
        let backends = weights.iter().map(|(version, weight)| {
            backend(options, version, Some(*weight).filter(|_| weights.len() > 1))
        });
        rules.push(
            json!({ "matches": [at(Vec::new())], "backendRefs": backends.collect::<Vec<_>>() }),
        );
        ledger.note_what_needs_an_engine(plan, "an edge of Crossfade does");
        if plan.deprecation.is_some() {
            ledger.note("deprecation", "is left out: headers of one backend are no part of the standard that all implement");
        }
    }
    limits(&rules, &mut ledger);
    let name = names(plan, options, &mut ledger);
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = &options.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let mut spec = json!({ "parentRefs": [{ "name": options.parent }] });
    if !options.hostnames.is_empty() {
        spec["hostnames"] = json!(options.hostnames);
    }
    spec["rules"] = rules.into();
    let document = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": spec,
    });
    ledger.into_result(document)
}

/// The route's name. It and those of services have to be what Kubernetes takes.
fn names<'n>(plan: &'n Plan, options: &'n GatewayOptions, ledger: &mut Ledger) -> &'n str {
    let unnamed =
        |version: &&String| !options.backends.contains_key(*version) && !is_label(version);
    for version in plan.versions.0.iter().filter(unnamed) {
        let why =
            format!("{version} is not a service's name: add `--backend {version}=SERVICE:PORT`");
        ledger.refuse("versions", why);
    }
    let name = options.name.as_deref().unwrap_or(&plan.api);
    if !is_object_name(name) {
        let why = "is not a name that Kubernetes takes (lower-case letters, digits, `-` and \
            `.`): add `--name NAME`";
        ledger.refuse("api", why);
    }
    name
}

fn backend(options: &GatewayOptions, version: &str, weight: Option<u16>) -> Value {
    let (name, port) =
        options.backends.get(version).cloned().unwrap_or_else(|| (version.to_owned(), 80));
    let mut backend = json!({ "name": name, "port": port });
    if let Some(weight) = weight {
        backend["weight"] = json!(weight);
    }
    backend
}

/// The headers of pinned keys, by version; in as many parts as a rule has matches.
fn pins(plan: &Plan, ledger: &mut Ledger) -> Vec<(String, Vec<Value>)> {
    let KeyFrom::Header(name) = &key_source(plan) else {
        if !plan.pins.is_empty() {
            ledger.refuse("pins", "an HTTPRoute matches headers, and the key is none");
        }
        return Vec::new();
    };
    let mut pins: Vec<(String, Vec<Value>)> = Vec::new();
    for version in &plan.versions.0 {
        let keys = plan.pins.iter().filter(|(_, pinned)| *pinned == version);
        let headers: Vec<Value> = keys.map(|(key, _)| exact(name, key)).collect();
        pins.extend(headers.chunks(MATCHES_MAX).map(|part| (version.clone(), part.to_vec())));
    }
    pins
}

/// Headers of which each alone makes the condition hold.
fn headers(plan: &Plan, when: Option<&Condition>) -> Result<Vec<Value>, String> {
    let one = "an HTTPRoute keeps the order of rules only where each is about one header: use one \
        attribute with `equals` or `in`";
    let Some(Condition::Attribute { name, test }) = when else { return Err(one.to_owned()) };
    let Some(AttributeSource::Header(header)) = plan.attributes.get(name) else {
        return Err(format!("`attributes` of the plan name no header for `{name}`"));
    };
    let values = match test {
        Test::Equals(value) => std::slice::from_ref(value),
        Test::In(values) if !values.is_empty() => values.as_slice(),
        _ => return Err(one.to_owned()),
    };
    match values.iter().find(|value| !(1..=VALUE_BYTES_MAX).contains(&value.len())) {
        Some(wrong) => Err(format!(
            "a value of {} bytes, and an HTTPRoute matches 1 to {VALUE_BYTES_MAX}",
            wrong.len()
        )),
        None => Ok(values.iter().map(|value| exact(header, value)).collect()),
    }
}

fn exact(name: &str, value: &str) -> Value {
    json!({ "type": "Exact", "name": name, "value": value })
}

fn limits(rules: &[Value], ledger: &mut Ledger) {
    if rules.len() > RULES_MAX {
        let why = format!(
            "{} rules with those of `pins`, and an HTTPRoute has at most {RULES_MAX}",
            rules.len()
        );
        ledger.refuse("rules", why);
    }
    let matches = |rule: &Value| rule["matches"].as_array().map_or(0, Vec::len);
    if let Some(rule) = rules.iter().find(|rule| matches(rule) > MATCHES_MAX) {
        let why =
            format!("one makes {} matches, and a rule has at most {MATCHES_MAX}", matches(rule));
        ledger.refuse("rules", why);
    }
    let all: usize = rules.iter().map(matches).sum();
    if all > ALL_MATCHES_MAX {
        let why = format!(
            "{all} matches with those of `pins`, and an HTTPRoute has at most {ALL_MATCHES_MAX}"
        );
        ledger.refuse("rules", why);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    fn options() -> GatewayOptions {
        GatewayOptions {
            backends: BTreeMap::from([("v1".to_owned(), ("users-v1".to_owned(), 8080))]),
            parent: "public".to_owned(),
            name: None,
            namespace: None,
            hostnames: Vec::new(),
            prefix: "/".to_owned(),
        }
    }

    #[test]
    fn a_canary_is_weights_and_a_warning() {
        let exported =
            gateway_api(&plan(json!({ "canary_percentage": 12.5 })), &options()).unwrap();
        let rule = &exported.document["spec"]["rules"][0];
        assert_eq!(
            rule["backendRefs"],
            json!([
                { "name": "v2", "port": 80, "weight": 1250 },
                { "name": "users-v1", "port": 8080, "weight": 8750 },
            ])
        );
        assert_eq!(exported.notes[0].path, "canary_percentage");
        assert!(exported.notes[0].message.contains("for each request"));
    }

    #[test]
    fn pins_and_rules_of_one_header_are_matches() {
        let plan = plan(json!({
            "pins": { "qa-1": "v2", "partner-7": "v1" },
            "attributes": { "plan": { "header": "x-plan" } },
            "rules": [{ "name": "beta", "when": { "attribute": "plan", "in": ["a", "b"] }, "to": "v2" }],
        }));
        let exported = gateway_api(&plan, &options()).unwrap();
        let rules = exported.document["spec"]["rules"].as_array().unwrap();
        let values = |rule: &Value| {
            let matches = rule["matches"].as_array().unwrap().iter();
            matches.map(|m| m["headers"][0]["value"].clone()).collect::<Vec<_>>()
        };
        let expected = [
            vec![json!("partner-7")],
            vec![json!("qa-1")],
            vec![json!("a"), json!("b")],
            vec![Value::Null],
        ];
        assert_eq!(rules.iter().map(values).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_that_kubernetes_refuses_are_asked_for() {
        let refused = |options: &GatewayOptions| {
            let plan = plan(json!({ "api": "Users API", "versions": ["v1", "2027.1"] }));
            let problems = gateway_api(&plan, options).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert_eq!(refused(&options()), ["versions", "api"]);
        let mut options = GatewayOptions { name: Some("users".to_owned()), ..options() };
        options.backends.insert("2027.1".to_owned(), ("users-v2".to_owned(), 80));
        assert_eq!(refused(&options), [""; 0]);
    }

    #[test]
    fn what_would_change_the_order_or_the_user_is_refused() {
        let refused = |more| {
            let problems = gateway_api(&plan(more), &options()).unwrap_err();
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert_eq!(
            refused(json!({ "rules": [
            { "name": "a", "when": { "attribute": "p", "present": true }, "to": "v2" },
            { "name": "b", "split": { "v1": 1, "v2": 1 } },
        ] })),
            ["rules[0].when", "rules[1].split"]
        );
        let pins: BTreeMap<String, &str> = (0..1000).map(|n| (format!("k{n}"), "v1")).collect();
        let paths = refused(json!({ "pins": pins }));
        assert_eq!(paths, ["rules", "rules"]);
        assert_eq!(refused(json!({ "pins": { "a": "v1" }, "key": "address" })), ["pins"]);
    }
}
