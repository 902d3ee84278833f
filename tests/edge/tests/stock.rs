//! An unmodified Envoy with what `crossfade export envoy` writes decides as the engine
//! does.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use crossfade_core::policy::Traffic;
use crossfade_core::{Policy, Request};
use crossfade_edge_tests::client::{self, Response};
use crossfade_edge_tests::config::{self, Routes};
use crossfade_edge_tests::envoy::{Envoy, Watched};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{crossfade_says, folder};
use crossfade_protocol::Reason;
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// One Envoy with a listener for each policy, for all tests of this file. Its routes are
/// what `crossfade export envoy` writes.
fn world() -> (Watched<'static>, &'static Upstream) {
    static WORLD: OnceLock<(Envoy, Upstream)> = OnceLock::new();
    let (envoy, upstream) = WORLD.get_or_init(|| {
        let upstream = Upstream::start(&VERSIONS);
        let folder = folder("stock_routes");
        let listener = |(name, document): &(&str, Value)| {
            let path = folder.join(format!("{name}.yaml"));
            fs::write(&path, crossfade_says(&["export", "envoy", "-"], document)).unwrap();
            config::listener(name, &Routes::File(path), &[], &json!({}))
        };
        let listeners = plans().iter().map(listener).collect();
        let bootstrap = config::bootstrap(listeners, config::clusters(&upstream));
        (Envoy::start("stock", 2, &bootstrap), upstream)
    });
    (envoy.watched(), upstream)
}

fn plans() -> Vec<(&'static str, Value)> {
    let header = || json!({ "header": "x-user-id" });
    let cookie = || json!({ "cookie": "uid" });
    let canary = |key: Value, percent: u32, more: Value| {
        let mut plan = json!({
            "api": "a", "versions": ["v1", "v2"], "key": key, "canary_percentage": percent,
        });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan
    };
    let rules = json!({
        "attributes": { "plan": { "header": "x-plan" }, "user": { "header": "x-user-id" } },
        "pins": { "user-1": "v2", "user-2": "v1" },
        "rules": [
            { "name": "staff", "to": "v2", "when": { "all": [
                { "attribute": "plan", "in": ["internal", "qa"] },
                { "not": { "attribute": "user", "equals": "user-3" } },
            ] } },
            { "name": "teams", "to": "v1", "when": { "attribute": "plan", "prefix": "team-" } },
            { "name": "planned", "to": "v2", "when": { "all": [
                { "attribute": "plan", "present": true },
                { "not": { "attribute": "plan", "in": ["free", "beta"] } },
            ] } },
        ],
    });
    let dates = json!({ "deprecation": {
        "deprecated_at": "2027-01-31", "sunset_at": "2027-07-31",
        "link": "https://example.com/100%25",
    } });
    vec![
        ("canary", canary(header(), 10, dates)),
        ("half", canary(header(), 50, json!({}))),
        ("mostly", canary(header(), 90, json!({}))),
        ("split", split()),
        ("reweighted", reweighted()),
        ("cookie", canary(cookie(), 10, json!({}))),
        ("mostly by cookie", canary(cookie(), 90, json!({}))),
        ("address", canary(json!({ "address": true }), 10, json!({}))),
        ("rules", canary(header(), 30, rules)),
    ]
}

fn three(v1: f64, v2: f64, v3: f64) -> Value {
    json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "split": { "v1": v1, "v2": v2, "v3": v3 } })
}

fn split() -> Value {
    three(61.37, 25.5, 13.13)
}

/// A split whose buckets have moved twice, as `get_config` writes it.
fn reweighted() -> Value {
    let read = |document: &Value| Plan::read(document).unwrap();
    let mut policy = Policy::new(read(&split()), 1, None);
    for weights in [three(20.0, 70.0, 10.0), three(50.0, 20.0, 30.0)] {
        policy = Policy::new(read(&weights), 1, Some(&policy));
    }
    serde_json::to_value(policy.plan_in_force()).unwrap()
}

fn policy(name: &str) -> Policy {
    let document = plans().into_iter().find(|(known, _)| *known == name).unwrap().1;
    Policy::new(Plan::read(&document).unwrap(), 1, None)
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user-{}", n.wrapping_mul(2_654_435_761))).collect()
}

#[track_caller]
fn decides_as_the_engine(listener: &str, count: usize) -> Vec<usize> {
    let (envoy, _) = world();
    let policy = policy(listener);
    let keys = keys(count);
    let requests: Vec<_> = keys.iter().map(|key| client::get([("x-user-id", key)])).collect();
    let responses = client::ask_all(envoy.address(listener), &requests, 4).unwrap();
    let mut counts = vec![0; VERSIONS.len()];
    for (key, response) in keys.iter().zip(&responses) {
        let decision = policy.decide(&Request::of_key(key.as_bytes()), 0);
        counts[usize::from(decision.version)] += 1;
        assert_eq!(response.version(), policy.version_name(decision.version), "{key}");
        assert_eq!(response.received("x-api-version"), [response.version()], "{key}");
    }
    counts
}

#[test]
fn a_canary_is_decided_alike_for_20_000_keys() {
    let counts = decides_as_the_engine("canary", 20_000);
    assert!((1800..2200).contains(&counts[1]), "{counts:?}");
}

#[test]
fn an_uneven_split_in_three_is_decided_alike_for_20_000_keys() {
    let counts = decides_as_the_engine("split", 20_000);
    assert!(counts.iter().all(|count| *count > 2000), "{counts:?}");
}

#[test]
fn a_split_whose_weights_have_changed_is_decided_alike_for_20_000_keys() {
    let policy = policy("reweighted");
    let Traffic::Split { split, .. } = policy.traffic() else { panic!("a split") };
    assert!(split.ranges().len() > 3, "one version has several ranges: {split:?}");
    decides_as_the_engine("reweighted", 20_000);
}

/// Each key sent with the header made of it, and decided by the engine.
#[track_caller]
fn each_key_alike<'k>(
    listener: &str,
    header: &str,
    keys: impl Iterator<Item = (&'k [u8], Vec<u8>)>,
) {
    let (envoy, _) = world();
    let (keys, values): (Vec<_>, Vec<_>) = keys.unzip();
    let requests: Vec<_> = values.iter().map(|value| client::get([(header, value)])).collect();
    let responses = client::ask_all(envoy.address(listener), &requests, 4).unwrap();
    let policy = policy("canary");
    let mut canaries = 0;
    for ((key, value), response) in keys.iter().zip(&values).zip(&responses) {
        let decision = policy.decide(&Request::of_key(key), 0);
        canaries += decision.version;
        let shown = String::from_utf8_lossy(value);
        assert_eq!(response.version(), policy.version_name(decision.version), "{header}: {shown}");
    }
    assert!(usize::from(canaries) * 20 > keys.len(), "{canaries} of {}", keys.len());
}

#[test]
fn keys_that_are_no_utf8_are_hashed_as_bytes() {
    let keys: Vec<_> =
        keys(2000).iter().map(|key| [b"\xff\xfe", key.as_bytes()].concat()).collect();
    each_key_alike("canary", "x-user-id", keys.iter().map(|key| (&key[..], key.clone())));
}

#[test]
fn a_cookie_is_a_key_with_others_around_it_in_quotes_and_before_a_second_of_its_name() {
    let cookie = |n: usize, key: &str| match n % 4 {
        0 => format!("uid={key}"),
        1 => format!("other=1; uid={key}; more=2"),
        2 => format!("uid=\"{key}\""),
        _ => format!("uid={key}; uid=another"),
    };
    let keys = keys(4000);
    let each = keys.iter().enumerate();
    let each = each.map(|(n, key)| (key.as_bytes(), cookie(n, key).into_bytes()));
    each_key_alike("cookie", "cookie", each);
}

#[test]
fn an_address_is_a_key_in_its_canonical_text() {
    let address = |n: u32| match n % 2 {
        0 => Ipv4Addr::from(0x0a00_0000 + n * 7919).to_string(),
        _ => format!("2001:db8::{:x}:{:x}", n + 1, n * 3),
    };
    let addresses: Vec<_> = (0..2000).map(address).collect();
    let each = addresses.iter().map(|text| (text.as_bytes(), text.clone().into_bytes()));
    each_key_alike("address", "x-forwarded-for", each);
    // Written long, it is the same client.
    let long = |n: u32| (format!("2001:db8::{n:x}"), format!("2001:0db8:0:0:0:0:0:{n:x}"));
    let written: Vec<_> = (1..500).map(long).collect();
    let each = written.iter().map(|(short, long)| (short.as_bytes(), long.clone().into_bytes()));
    each_key_alike("address", "x-forwarded-for", each);
}

fn ask(listener: &str, headers: &[(&str, &str)], count: usize) -> Vec<Response> {
    let (envoy, _) = world();
    let request = client::get(headers.iter().copied());
    client::ask_all(envoy.address(listener), &vec![request; count], 2).unwrap()
}

#[test]
fn whoever_has_no_key_is_served_by_the_stable_version() {
    let no_keys: [(&str, &[(&str, &str)]); 6] = [
        ("mostly", &[]),
        ("mostly", &[("x-user-id", "")]),
        ("mostly", &[("x-user-id", "  ")]),
        ("mostly by cookie", &[]),
        ("mostly by cookie", &[("cookie", "other=1; uid=; more=2")]),
        ("mostly by cookie", &[("cookie", "other=1"), ("cookie", "xuid=1")]),
    ];
    for (listener, headers) in no_keys {
        let responses = ask(listener, headers, 100);
        assert!(responses.iter().all(|response| response.version() == "v1"), "{headers:?}");
    }
    // Whoever has one is mostly not.
    let keys: [(&str, &[(&str, &str)]); 3] = [
        ("mostly", &[("x-user-id", "user123")]),
        ("mostly by cookie", &[("cookie", "a=b; uid=user123")]),
        ("mostly by cookie", &[("cookie", "a=b"), ("cookie", "uid=user123")]),
    ];
    for (listener, headers) in keys {
        assert_eq!(ask(listener, headers, 1)[0].version(), "v2", "{headers:?}");
    }
}

/// The filter takes the first value of a repeated header. Stock Envoy has no matcher that
/// sees it, and hashes the values in sorted order.
#[test]
fn a_repeated_header_keeps_its_client_on_one_version() {
    for pair in keys(40).chunks(2) {
        let there = [("x-user-id", pair[0].as_str()), ("x-user-id", pair[1].as_str())];
        let back = [there[1], there[0]];
        let mut responses = ask("half", &there, 20);
        responses.extend(ask("half", &back, 20));
        let first = responses[0].version();
        assert!(["v1", "v2"].contains(&first), "{responses:?}");
        assert!(responses.iter().all(|response| response.version() == first), "{pair:?}");
    }
}

#[test]
fn pins_and_rules_on_headers_are_decided_alike() {
    const PLANS: [&str; 7] = ["", "free", "beta", "internal", "qa", "team-a", "other"];
    let policy = policy("rules");
    let (envoy, _) = world();
    let cases: Vec<_> = (0..2000).map(|n| (format!("user-{}", n % 100), PLANS[n % 7])).collect();
    // An empty header is as good as none, and so is one that is not there.
    let request = |(n, (user, plan)): (usize, &(String, &str))| {
        let plan = (!plan.is_empty() || n % 2 == 0).then_some(("x-plan", *plan));
        client::get([("x-user-id", user.as_str())].into_iter().chain(plan))
    };
    let requests: Vec<_> = cases.iter().enumerate().map(request).collect();
    let responses = client::ask_all(envoy.address("rules"), &requests, 4).unwrap();
    let mut reasons = BTreeSet::new();
    for ((user, plan), response) in cases.iter().zip(&responses) {
        let mut attributes = vec![("user".to_owned(), user.clone())];
        attributes.extend((!plan.is_empty()).then(|| ("plan".to_owned(), (*plan).to_owned())));
        let attributes = &attributes[..];
        let request = Request { attributes: &attributes, ..Request::of_key(user.as_bytes()) };
        let decision = policy.decide(&request, 0);
        reasons.insert(decision.reason);
        let right = policy.version_name(decision.version);
        assert_eq!(response.version(), right, "{user} {plan}: {decision:?}");
    }
    assert_eq!(reasons, BTreeSet::from([Reason::Pin, Reason::Rule, Reason::Canary]));
}

#[test]
fn only_answers_of_an_old_version_say_that_it_is_deprecated() {
    let (old, new) = (
        ask("canary", &[("x-user-id", "user123")], 1),
        ask("canary", &[("x-user-id", "user3")], 1),
    );
    assert_eq!((old[0].version(), new[0].version()), ("v1", "v2"));
    assert_eq!(old[0].header("deprecation"), "@1801353600");
    assert_eq!(old[0].header("sunset"), "Sat, 31 Jul 2027 00:00:00 GMT");
    assert_eq!(old[0].header("link"), "<https://example.com/100%25>; rel=\"deprecation\"");
    for name in ["deprecation", "sunset", "link"] {
        assert!(new[0].headers.iter().all(|(known, _)| known != name), "{name}");
    }
}

#[test]
fn a_forged_version_is_never_believed() {
    for forged in ["v2", "v3", "", "v1,v2"] {
        let headers =
            [("x-user-id", "user123"), ("x-api-version", forged), ("X-Api-Version", "v2")];
        let response = ask("canary", &headers, 1).remove(0);
        assert_eq!(response.version(), "v1");
        assert_eq!(response.received("x-api-version"), ["v1"], "{forged}");
    }
}
