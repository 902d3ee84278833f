//! An unmodified Envoy, configured as a policy says, decides as the engine does.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use crossfade_core::policy::Traffic;
use crossfade_core::{Policy, Request};
use crossfade_edge_tests::client::{self, Response};
use crossfade_edge_tests::config;
use crossfade_edge_tests::envoy::{Envoy, Watched};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// One Envoy with a listener for each policy, for all tests of this file.
fn world() -> (Watched<'static>, &'static Upstream) {
    static WORLD: OnceLock<(Envoy, Upstream)> = OnceLock::new();
    let (envoy, upstream) = WORLD.get_or_init(|| {
        let upstream = Upstream::start(&VERSIONS);
        let listener = |name: &str, policy: &Policy, key: &Key| {
            config::listener(name, &routes(policy, key), &[], &json!({}))
        };
        let listeners = vec![
            listener("canary", &canary(), &HEADER),
            listener("half", &share(50), &HEADER),
            listener("mostly", &share(90), &HEADER),
            listener("split", &split(), &HEADER),
            listener("reweighted", &reweighted(), &HEADER),
            listener("cookie", &canary(), &COOKIE),
            listener("mostly by cookie", &share(90), &COOKIE),
            listener("address", &canary(), &ADDRESS),
        ];
        let bootstrap = config::bootstrap(listeners, config::clusters(&upstream));
        (Envoy::start("stock", 2, &bootstrap), upstream)
    });
    (envoy.watched(), upstream)
}

fn policy(document: Value, before: Option<&Policy>) -> Policy {
    Policy::new(Plan::read(&document).unwrap(), 1, before)
}

fn canary() -> Policy {
    share(10)
}

fn share(percent: u32) -> Policy {
    let document = json!({
        "api": "a", "versions": ["v1", "v2"], "key": { "header": "x-user-id" },
        "canary_percentage": percent,
    });
    policy(document, None)
}

fn three(v1: f64, v2: f64, v3: f64) -> Value {
    json!({ "api": "a", "versions": ["v1", "v2", "v3"], "key": { "header": "x-user-id" },
            "split": { "v1": v1, "v2": v2, "v3": v3 } })
}

fn split() -> Policy {
    policy(three(61.37, 25.5, 13.13), None)
}

/// A split whose buckets have moved twice: several ranges for one version.
fn reweighted() -> Policy {
    let before = policy(three(20.0, 70.0, 10.0), Some(&split()));
    policy(three(50.0, 20.0, 30.0), Some(&before))
}

/// Where Envoy finds a key, and what matches requests that have none.
struct Key {
    hash_policy: fn() -> Value,
    none: Option<fn() -> Value>,
}

const HEADER: Key = Key {
    hash_policy: || json!([{ "header": { "header_name": "x-user-id" } }]),
    none: Some(|| {
        json!({ "name": "x-user-id", "string_match": { "exact": "" },
                "treat_missing_header_as_empty": true })
    }),
};

const COOKIE: Key = Key {
    hash_policy: || json!([{ "cookie": { "name": "uid" } }]),
    none: Some(|| {
        let regex = r"(?:^|.*;\s*)uid=[^;]+.*";
        json!({ "name": "cookie", "string_match": { "safe_regex": { "regex": regex } },
                "treat_missing_header_as_empty": true, "invert_match": true })
    }),
};

const ADDRESS: Key =
    Key { hash_policy: || json!([{ "connection_properties": { "source_ip": true } }]), none: None };

/// Routes as stock Envoy takes them.
fn routes(policy: &Policy, key: &Key) -> Value {
    let mut clusters = Vec::new();
    match policy.traffic() {
        Traffic::Canary { share, .. } => {
            clusters.push(json!({ "name": "v2", "weight": share.buckets() }));
            clusters.push(json!({ "name": "v1", "weight": 10_000 - share.buckets() }));
        }
        Traffic::Split { split, .. } => {
            let mut from = 0;
            for (to, version) in split.ranges() {
                let name = policy.version_name(*version);
                clusters.push(json!({ "name": name, "weight": to - from }));
                from = *to;
            }
        }
        Traffic::Stable => {}
    }
    let decided = json!({ "match": { "prefix": "/" }, "route": {
        "hash_policy": (key.hash_policy)(),
        "weighted_clusters": { "use_hash_policy": true, "clusters": clusters },
    } });
    let stable = |matcher: fn() -> Value| {
        json!({ "match": { "prefix": "/", "headers": [matcher()] },
                "route": { "cluster": "v1" } })
    };
    key.none.map(stable).into_iter().chain([decided]).collect()
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user-{}", n.wrapping_mul(2_654_435_761))).collect()
}

#[track_caller]
fn decides_as_the_engine(listener: &str, policy: &Policy, count: usize) -> Vec<usize> {
    let (envoy, _) = world();
    let keys = keys(count);
    let requests: Vec<_> = keys.iter().map(|key| client::get([("x-user-id", key)])).collect();
    let responses = client::ask_all(envoy.address(listener), &requests, 4).unwrap();
    let mut counts = vec![0; VERSIONS.len()];
    for (key, response) in keys.iter().zip(&responses) {
        let decision = policy.decide(&Request::of_key(key.as_bytes()), 0);
        counts[usize::from(decision.version)] += 1;
        assert_eq!(response.version(), policy.version_name(decision.version), "{key}");
    }
    counts
}

#[test]
fn a_canary_is_decided_alike_for_20_000_keys() {
    let counts = decides_as_the_engine("canary", &canary(), 20_000);
    assert!((1800..2200).contains(&counts[1]), "{counts:?}");
}

#[test]
fn an_uneven_split_in_three_is_decided_alike_for_20_000_keys() {
    let counts = decides_as_the_engine("split", &split(), 20_000);
    assert!(counts.iter().all(|count| *count > 2000), "{counts:?}");
}

#[test]
fn a_split_whose_weights_have_changed_is_decided_alike_for_20_000_keys() {
    let policy = reweighted();
    let Traffic::Split { split, .. } = policy.traffic() else { panic!("a split") };
    assert!(split.ranges().len() > 3, "one version has several ranges: {split:?}");
    decides_as_the_engine("reweighted", &policy, 20_000);
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
    let policy = canary();
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

/// The engine takes a repeated header for no key. Stock Envoy has no matcher that sees
/// it, and hashes the values in sorted order.
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
