//! The filter in a real Envoy decides as the engine does, marks what it should, and
//! believes nobody.
//!
//! Requests are generated from a seed, the same in every run.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use crossfade_core::{Decision, Policy, Request};
use crossfade_edge_tests::client::{self, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::{Envoy, Watched};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];
const SEED: u64 = 20_270_131;

/// One Envoy with a listener for each plan, for all tests of this file.
fn world() -> Watched<'static> {
    static WORLD: OnceLock<(Envoy, Upstream)> = OnceLock::new();
    let (envoy, _) = WORLD.get_or_init(|| {
        let upstream = Upstream::start(&VERSIONS);
        let plans = plans();
        let listener = |(name, plan): &(&str, Value)| {
            let mut plugin = json!({ "policy": plan, "reason_header": "x-crossfade-reason" });
            if *name == "other names" {
                plugin["version_header"] = json!("X-Which");
                plugin["reason_header"] = json!("X-Why");
            }
            if *name == "canary" {
                plugin.as_object_mut().unwrap().remove("reason_header");
            }
            config::filtered(name, Module::Shipped, &VERSIONS, &plugin)
        };
        let listeners = plans.iter().map(listener).collect();
        let bootstrap = config::bootstrap(listeners, config::clusters(&upstream));
        (Envoy::start("decisions", 2, &bootstrap), upstream)
    });
    envoy.watched()
}

fn plans() -> Vec<(&'static str, Value)> {
    let plan = |key: Value, more: Value| {
        let mut plan = json!({ "api": "a", "versions": VERSIONS, "key": key });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan
    };
    let header = || json!({ "header": "x-user-id" });
    let canary = || json!({ "canary_percentage": 30 });
    let attributes = json!({
        "plan": { "header": "x-plan" }, "sdk": { "header": "x-sdk-version" },
        "region": { "cookie": "region" }, "override": { "header": "x-api-override" },
        "user": { "header": "x-user-id" },
    });
    let rules = json!({ "attributes": attributes, "canary_percentage": 20, "rules": [
        { "name": "qa-override", "to": "v2", "when": { "all": [
            { "attribute": "override", "equals": "v2" },
            { "attribute": "user", "in": ["user-1", "user-2"] },
        ] } },
        { "name": "team", "to": "v3", "when": { "attribute": "plan", "prefix": "team-" } },
        { "name": "new-sdk", "split": { "v1": 1, "v2": 2, "v3": 3 }, "when": { "all": [
            { "attribute": "sdk", "semver": ">=2.4, <3" },
            { "not": { "attribute": "region", "equals": "eu" } },
        ] } },
        { "name": "asia", "split": { "v2": 50, "v1": 50 }, "when": { "any": [
            { "attribute": "region", "equals": "ap" },
            { "all": [{ "attribute": "plan", "present": false }, { "attribute": "sdk", "present": true }] },
        ] } },
    ] });
    let dates = json!({ "canary_percentage": 30, "versions": ["v1", "v2"], "deprecation": {
        "deprecated_at": "2027-01-31", "sunset_at": "2027-07-31",
        "link": "https://example.com/migrate",
    } });
    vec![
        ("canary", plan(header(), canary())),
        ("salted", plan(header(), json!({ "canary_percentage": 30, "salt": "2027" }))),
        ("split", plan(header(), json!({ "split": { "v1": 61.37, "v2": 25.5, "v3": 13.13 } }))),
        (
            "pins",
            plan(
                header(),
                json!({
                    "canary_percentage": 30, "pins": { "user-1": "v2", "user-3": "v1", "user-5": "v3" },
                }),
            ),
        ),
        ("rules", plan(header(), rules)),
        (
            "kill switch",
            plan(
                header(),
                json!({
                    "canary_percentage": 100, "kill_switch": true, "pins": { "user-1": "v2" },
                }),
            ),
        ),
        ("cookie", plan(json!({ "cookie": "uid" }), canary())),
        ("address", plan(json!({ "address": true }), canary())),
        ("all", plan(header(), json!({ "canary_percentage": 100 }))),
        ("dates", plan(header(), dates)),
        (
            "random",
            plan(
                json!({ "header": "x-user-id", "on_missing_key": "random" }),
                json!({ "canary_percentage": 50 }),
            ),
        ),
        ("other names", plan(header(), canary())),
    ]
}

fn policy(name: &str) -> Policy {
    let plan = plans().into_iter().find(|(known, _)| *known == name).unwrap().1;
    Policy::new(Plan::read(&plan).unwrap(), 0, None)
}

/// A request as it is sent, and as the engine should see it.
struct Case {
    headers: Vec<(&'static str, Vec<u8>)>,
    key: Option<Vec<u8>>,
    attributes: Vec<(String, String)>,
}

fn decide(policy: &Policy, case: &Case) -> Decision {
    let request = Request {
        key: case.key.as_deref(),
        attributes: &&case.attributes[..],
        traffic: None,
        guard_tripped: false,
    };
    policy.decide(&request, 0)
}

/// Sends every case and compares version and reason. Gives how many each version got.
#[track_caller]
fn alike(listener: &str, cases: &[Case]) -> Vec<usize> {
    let envoy = world();
    let policy = policy(listener);
    let requests: Vec<_> =
        cases.iter().map(|case| client::get(case.headers.iter().map(|(n, v)| (n, v)))).collect();
    let responses = client::ask_all(envoy.address(listener), &requests, 4).unwrap();
    let mut counts = vec![0; VERSIONS.len()];
    for (case, (request, response)) in cases.iter().zip(requests.iter().zip(&responses)) {
        let decision = decide(&policy, case);
        let said = (response.version(), response.header("x-crossfade-reason"));
        let right = (policy.version_name(decision.version), decision.reason.as_str());
        assert_eq!(said, right, "{}", request.escape_ascii());
        assert_eq!(response.received("x-api-version"), [right.0], "{}", request.escape_ascii());
        counts[usize::from(decision.version)] += 1;
    }
    counts
}

/// Keys of all kinds, most of them of usual length; some are few, so that pins meet them.
fn key(rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
    Some(match rng.u8(..20) {
        0 => return None,
        1..4 => format!("user-{}", rng.u8(..6)).into_bytes(),
        4 => vec![b'k'; 1020 + rng.usize(..4)],
        5 => (0..1 + rng.usize(..40)).map(|_| rng.u8(0x80..)).collect(),
        6 => format!("a, b, {}", rng.u32(..)).into_bytes(),
        _ => format!("user-{}", rng.u64(..)).into_bytes(),
    })
}

fn cases(count: usize, make: impl Fn(&mut fastrand::Rng) -> Case) -> Vec<Case> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    (0..count).map(|_| make(&mut rng)).collect()
}

fn by_header(rng: &mut fastrand::Rng) -> Case {
    let key = key(rng);
    let headers = key.iter().map(|key| ("x-user-id", key.clone())).collect();
    Case { headers, key, attributes: Vec::new() }
}

#[test]
fn a_canary_with_a_salt_is_decided_alike() {
    let counts = alike("salted", &cases(3000, by_header));
    assert!(counts[0] > 1500 && counts[2] > 600, "{counts:?}");
}

#[test]
fn a_split_is_decided_alike() {
    let counts = alike("split", &cases(3000, by_header));
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
}

#[test]
fn pins_are_decided_alike() {
    let counts = alike("pins", &cases(3000, by_header));
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn a_kill_switch_sends_all_to_the_stable_version_pinned_or_not() {
    assert_eq!(alike("kill switch", &cases(500, by_header)), [500, 0, 0]);
}

#[test]
fn rules_on_headers_and_cookies_are_decided_alike() {
    const PLANS: [&str; 4] = ["free", "team-a", "team-", "teamwork"];
    const SDKS: [&str; 7] = ["1.9.9", "2.4.0", "2.4", "2.10.1", "3.0.0-rc.1", "latest", "v2.5"];
    const REGIONS: [&str; 3] = ["eu", "us", "ap"];
    let request = |rng: &mut fastrand::Rng| {
        let mut case = by_header(rng);
        for (name, header, values) in [
            ("plan", "x-plan", &PLANS[..]),
            ("sdk", "x-sdk-version", &SDKS),
            ("override", "x-api-override", &["v1", "v2"]),
        ] {
            if let Some(value) = rng.bool().then(|| rng.choice(values).unwrap()) {
                case.headers.push((header, value.as_bytes().to_vec()));
                case.attributes.push((name.to_owned(), (*value).to_owned()));
            }
        }
        if rng.bool() {
            let region = *rng.choice(REGIONS).as_ref().unwrap();
            case.headers.push(("cookie", format!("a=b; region={region}; c=d").into_bytes()));
            case.attributes.push(("region".to_owned(), region.to_owned()));
        }
        // What is no text is no attribute.
        let user = case.key.clone().and_then(|key| String::from_utf8(key).ok());
        case.attributes.extend(user.map(|user| ("user".to_owned(), user)));
        case
    };
    let counts = alike("rules", &cases(4000, request));
    assert!(counts.iter().all(|count| *count > 300), "{counts:?}");
}

#[test]
fn a_cookie_is_a_key() {
    let request = |rng: &mut fastrand::Rng| {
        // A cookie's value has no comma, quotes, spaces or bytes beyond ASCII.
        let key = format!("user-{}", rng.u64(..));
        let (cookies, key) = match rng.u8(..8) {
            0 => ("a=b".to_owned(), None),
            1 => ("uid=; a=b".to_owned(), None),
            2 => (format!("xuid={key}; uidx={key}"), None),
            3 => (format!("uid=\"{key}\""), Some(key)),
            4 => (format!("a=b;uid={key};c"), Some(key)),
            5 => (format!("a=b; uid={key}; c=d"), Some(key)),
            _ => (format!("uid={key}"), Some(key)),
        };
        Case {
            headers: vec![("cookie", cookies.into_bytes())],
            key: key.map(String::into_bytes),
            attributes: Vec::new(),
        }
    };
    alike("cookie", &cases(3000, request));
}

#[test]
fn an_address_is_a_key_without_its_port() {
    let request = |rng: &mut fastrand::Rng| {
        let address = match rng.u8(..3) {
            0 => format!("2001:db8::{:x}:{:x}", rng.u16(1..), rng.u16(1..)),
            _ => Ipv4Addr::from(rng.u32(0x0a00_0000..0xdf00_0000)).to_string(),
        };
        let address = address.into_bytes();
        let headers = vec![("x-forwarded-for", address.clone())];
        Case { headers, key: Some(address), attributes: Vec::new() }
    };
    alike("address", &cases(2000, request));
    // Without a proxy in front: the peer's own.
    let peer = Case { headers: vec![], key: Some(b"127.0.0.1".to_vec()), attributes: vec![] };
    alike("address", &[peer]);
}

fn ask(listener: &str, headers: &[(&str, &str)]) -> Response {
    ask_often(listener, headers, 1).remove(0)
}

fn ask_often(listener: &str, headers: &[(&str, &str)], count: usize) -> Vec<Response> {
    let request = client::get(headers.iter().copied());
    client::ask_all(world().address(listener), &vec![request; count], 2).unwrap()
}

#[test]
fn a_forged_version_is_never_believed() {
    // `user-8` is not in the canary, and `all` is everybody's.
    let forgeries: [&[(&str, &str)]; 5] = [
        &[("x-api-version", "v2")],
        &[("X-API-Version", "v3")],
        &[("x-api-version", "v2"), ("x-api-version", "v3")],
        &[("x-api-version", "")],
        &[("x-api-version", "v1"), ("X-Api-Version", "v2,v1")],
    ];
    let stable = keys_of("salted", 0);
    for forgery in forgeries {
        for (listener, key, version) in
            [("salted", stable.as_str(), "v1"), ("all", "user-8", "v3"), ("salted", "", "v1")]
        {
            let headers = [&[("x-user-id", key)], forgery].concat();
            let response = ask(listener, &headers);
            assert_eq!(response.version(), version, "{headers:?}");
            assert_eq!(response.received("x-api-version"), [version], "{headers:?}");
        }
    }
}

/// The first of some keys that this policy sends to a version.
fn keys_of(listener: &str, version: u16) -> String {
    let policy = policy(listener);
    let mut keys = (0..).map(|n| format!("user-{n}"));
    keys.find(|key| policy.decide(&Request::of_key(key.as_bytes()), 0).version == version).unwrap()
}

#[test]
fn an_override_works_for_those_whom_the_policy_names_and_nobody_else() {
    let policy = policy("rules");
    for user in ["user-1", "user-2", "user-3", "user-4", "user-5", ""] {
        let usual = policy.decide(&Request::of_key(user.as_bytes()), 0).version;
        let usual = policy.version_name(usual);
        assert_ne!(usual, "v2", "the canary is of v3");
        assert_eq!(ask("rules", &[("x-user-id", user)]).version(), usual, "{user}");
        let named = ["user-1", "user-2"].contains(&user);
        let overriding = ask("rules", &[("x-user-id", user), ("x-api-override", "v2")]);
        assert_eq!(overriding.version(), if named { "v2" } else { usual }, "{user}");
    }
}

#[test]
fn without_a_key_a_version_is_drawn_where_the_policy_says_so() {
    let responses = ask_often("random", &[], 400);
    let new = responses.iter().filter(|response| response.version() == "v3").count();
    assert!((100..300).contains(&new), "{new} of 400");
    assert!(responses.iter().all(|response| response.header("x-crossfade-reason") == "canary"));
}

#[test]
fn only_answers_of_an_old_version_say_that_it_is_deprecated() {
    let (old, new) = (keys_of("dates", 0), keys_of("dates", 1));
    let response = ask("dates", &[("x-user-id", &old)]);
    assert_eq!(response.version(), "v1");
    assert_eq!(response.header("deprecation"), "@1801353600");
    assert_eq!(response.header("sunset"), "Sat, 31 Jul 2027 00:00:00 GMT");
    assert_eq!(response.header("link"), "<https://example.com/migrate>; rel=\"deprecation\"");
    let response = ask("dates", &[("x-user-id", &new)]);
    assert_eq!(response.version(), "v2");
    for name in ["deprecation", "sunset", "link"] {
        assert!(response.headers.iter().all(|(known, _)| known != name), "{name}");
    }
}

#[test]
fn the_reason_is_told_only_where_it_is_asked_for() {
    let told = |response: &Response| {
        response.headers.iter().any(|(name, _)| name.starts_with("x-crossfade"))
    };
    assert!(!told(&ask("canary", &[("x-user-id", "user-1")])));
    assert!(told(&ask("salted", &[("x-user-id", "user-1")])));
}

#[test]
fn the_names_of_both_headers_can_be_chosen() {
    let key = keys_of("other names", 2);
    let forged = [("x-user-id", key.as_str()), ("x-which", "v1"), ("x-api-version", "mine")];
    let response = ask("other names", &forged);
    assert_eq!(response.version(), "v3");
    assert_eq!(response.received("x-which"), ["v3"]);
    assert_eq!(response.received("x-api-version"), ["mine"], "it means nothing here");
    assert_eq!(response.header("x-why"), "canary");
}
