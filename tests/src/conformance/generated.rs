//! Generated policies and requests: what edges and the engine must agree on.
//!
//! Everything here is decided by the key and the attributes alone, so that a build which
//! draws its own chance can be compared too. From one seed come the same requests.

use crossfade_sim::Chance;
use serde_json::{Map, Value, json};

use super::{Call, Script, What};

/// Requests of one policy.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its plan.
    pub plan: Value,
    /// What is asked under it.
    pub requests: Vec<Request>,
}

/// One request, as a message and as HTTP say it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The routing key, where there is one.
    pub key: Option<String>,
    /// Attributes by name, each at most once.
    pub attributes: Vec<(String, String)>,
}

/// How many requests each policy gets.
pub const REQUESTS_PER_GROUP: usize = 100;

/// Where each attribute is found in an HTTP request.
const ATTRIBUTES: [(&str, Source); 4] = [
    ("plan", Source::Header("x-plan")),
    ("sdk", Source::Header("x-sdk-version")),
    ("region", Source::Cookie("region")),
    ("override", Source::Header("x-api-override")),
];

/// The part of an HTTP request that is an attribute.
#[derive(Debug, Clone, Copy)]
enum Source {
    Header(&'static str),
    Cookie(&'static str),
}

/// Where the key is found in an HTTP request.
pub const KEY_HEADER: &str = "x-user-id";
/// The same, for the policies that say so.
pub const KEY_COOKIE: &str = "session";

const PLANS: [&str; 4] = ["free", "beta", "internal", "team-a"];
const SDKS: [&str; 6] = ["1.9.9", "2.4.0", "2.4", "2.10.1", "3.0.0-rc.1", "latest"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const KEY_BYTES_MAX: usize = crossfade_protocol::limits::KEY_BYTES_MAX;

/// As many groups as it takes for `requests` requests, from a seed.
pub fn groups(seed: u64, requests: usize) -> Vec<Group> {
    let mut chance = Chance::new(seed);
    (0..requests.div_ceil(REQUESTS_PER_GROUP))
        .map(|index| {
            let plan = plan(&mut chance, index);
            let left = requests - index * REQUESTS_PER_GROUP;
            let count = left.min(REQUESTS_PER_GROUP);
            Group { requests: (0..count).map(|_| request(&mut chance)).collect(), plan }
        })
        .collect()
}

/// A group as a script: each request as a message, and as a bare key where no attribute
/// counts; the totals at the end.
pub fn script(group: &Group, index: usize) -> Script {
    let by_key = group.plan["rules"].as_array().is_none_or(Vec::is_empty);
    let mut steps = Vec::new();
    for (number, request) in group.requests.iter().enumerate() {
        steps.push(Call { now_ms: 0, what: What::Handle(message(request, number).to_string()) });
        if let Some(key) = request.key.clone().filter(|_| by_key) {
            steps.push(Call { now_ms: 0, what: What::Route { key, draw: 0 } });
        }
    }
    steps.push(Call { now_ms: 0, what: What::Totals(true) });
    Script {
        name: format!("generated policy {index}: {}", group.plan),
        init: json!({ "policy": group.plan, "node": "conformance", "epoch": "1" }).to_string(),
        seed: 1,
        steps,
    }
}

/// A request as the message `route`. A key that is too long is none at an edge, so it is
/// none here.
pub fn message(request: &Request, number: usize) -> Value {
    let mut message = json!({ "type": "route", "msg_id": number });
    if let Some(key) = &request.key {
        message["key"] = json!(key);
    }
    if !request.attributes.is_empty() {
        let attributes = request.attributes.iter();
        message["attributes"] = attributes.map(|(n, t)| (n.clone(), json!(t))).collect();
    }
    message
}

fn plan(chance: &mut Chance, index: usize) -> Value {
    let versions: &[&str] = [&["v1", "v2"][..], &["v1", "v2", "v3"]][usize::from(index % 4 == 3)];
    // Where the key stands makes no difference to a message; edges look in both places.
    let key = if index % 5 == 4 {
        json!({ "cookie": KEY_COOKIE })
    } else {
        json!({ "header": KEY_HEADER })
    };
    let sources = ATTRIBUTES.iter().map(|(name, source)| {
        let source = match source {
            Source::Header(header) => json!({ "header": header }),
            Source::Cookie(cookie) => json!({ "cookie": cookie }),
        };
        ((*name).to_owned(), source)
    });
    let mut plan = json!({
        "api": "users", "versions": versions, "key": key,
        "attributes": sources.collect::<Map<_, _>>(),
    });
    if chance.happens(0.4) {
        plan["salt"] = json!(format!("salt-{}", chance.below(100)));
    }
    if chance.happens(0.03) {
        plan["kill_switch"] = json!(true);
    }
    match chance.below(3) {
        0 => {}
        1 => plan["canary_percentage"] = percentage(chance),
        _ => plan["split"] = split(chance, versions),
    }
    if chance.happens(0.5) {
        let pins = (0..3).map(|n| (format!("user-{n}"), json!(pick(chance, versions))));
        plan["pins"] = pins.collect::<Map<_, _>>().into();
    }
    if chance.happens(0.6) {
        let rules = (0..1 + chance.below(3)).map(|n| rule(chance, n, versions));
        plan["rules"] = rules.collect();
    }
    plan
}

fn rule(chance: &mut Chance, number: u32, versions: &[&str]) -> Value {
    let mut rule = json!({ "name": format!("rule-{number}"), "when": condition(chance, 2) });
    if chance.happens(0.5) {
        rule["to"] = json!(pick(chance, versions));
    } else {
        rule["split"] = split(chance, versions);
    }
    rule
}

fn condition(chance: &mut Chance, depth: u32) -> Value {
    match chance.below(if depth == 0 { 6 } else { 9 }) {
        0 => json!({ "attribute": "plan", "equals": pick(chance, &PLANS) }),
        1 => json!({ "attribute": "plan", "in": [pick(chance, &PLANS), pick(chance, &PLANS)] }),
        2 => json!({ "attribute": "plan", "prefix": "team" }),
        3 => json!({ "attribute": "region", "present": chance.happens(0.5) }),
        4 => {
            json!({ "attribute": "sdk", "semver": pick(chance, &[">=2.4", "<2.4", ">=2.4, <3", "!=2.10.1"]) })
        }
        5 => json!({ "attribute": "override", "equals": pick(chance, &["v1", "v2"]) }),
        6 => json!({ "not": condition(chance, depth - 1) }),
        7 => json!({ "all": [condition(chance, depth - 1), condition(chance, depth - 1)] }),
        _ => json!({ "any": [condition(chance, depth - 1), condition(chance, depth - 1)] }),
    }
}

fn split(chance: &mut Chance, versions: &[&str]) -> Value {
    let mut weights: Map<_, _> =
        versions.iter().map(|v| ((*v).to_owned(), chance.below(100).into())).collect();
    weights.insert(versions[0].to_owned(), json!(1 + chance.below(99)));
    weights.into()
}

/// In steps of 0.01, written out so that no float is in between.
fn percentage(chance: &mut Chance) -> Value {
    let hundredths = chance.below(10_001);
    match format!("{}.{:02}", hundredths / 100, hundredths % 100).parse::<f64>() {
        Ok(percent) => json!(percent),
        Err(_) => json!(0),
    }
}

fn request(chance: &mut Chance) -> Request {
    let key = match chance.below(20) {
        0 => None,
        1 => Some(format!("user-{}", chance.below(4))),
        2 => Some(long_key(chance)),
        3 => Some(format!("{}@example.com", chance.bits())),
        _ => Some(format!("user-{}", chance.bits() >> 20)),
    };
    let mut attributes = Vec::new();
    for (name, values) in [("plan", &PLANS[..]), ("sdk", &SDKS), ("region", &REGIONS)] {
        if chance.happens(0.6) {
            attributes.push((name.to_owned(), pick(chance, values).to_owned()));
        }
    }
    if chance.happens(0.2) {
        attributes.push(("override".to_owned(), pick(chance, &["v1", "v2", "v9"]).to_owned()));
    }
    Request { key, attributes }
}

/// Up to the longest that counts.
fn long_key(chance: &mut Chance) -> String {
    let length = 1 + chance.below(KEY_BYTES_MAX as u32);
    (0..length).map(|_| char::from(b'a' + chance.below(26) as u8)).collect()
}

fn pick<'a>(chance: &mut Chance, list: &[&'a str]) -> &'a str {
    list.get(chance.below(list.len() as u32) as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Answer, Trace, play};
    use crate::driver::Native;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_gives_the_same_requests_and_another_gives_others() {
        let shown = |seed| format!("{:?}", groups(seed, 250));
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
        assert_eq!(groups(1, 250).iter().map(|group| group.requests.len()).sum::<usize>(), 250);
    }

    /// A suite in which every policy were refused would compare refusals.
    #[test]
    fn every_policy_is_taken_and_every_reason_occurs() {
        let mut reasons = BTreeSet::new();
        for (index, group) in groups(1, 10_000).iter().enumerate() {
            let line = play(&mut Native::new(), &script(group, index)).unwrap();
            let trace: Trace = serde_json::from_str(&line).unwrap();
            assert_eq!(trace.answers[0], Answer::Text(String::new()), "{}", group.plan);
            for answer in &trace.answers[1..] {
                let Answer::Text(text) = answer else { panic!("{answer:?}") };
                let reply: Value = serde_json::from_str(text).unwrap();
                if let Some(reason) = reply["reason"].as_str() {
                    reasons.insert(reason.to_owned());
                }
                assert_ne!(reply["type"], "error", "{text}");
            }
        }
        let expected = ["canary", "kill_switch", "no_key", "pin", "rule", "split", "stable"];
        assert_eq!(reasons.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
