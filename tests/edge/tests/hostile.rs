//! A hundred thousand requests that nobody would send by mistake: none traps the filter,
//! and each is answered.
//!
//! `CROSSFADE_SEED=… cargo test -p crossfade-edge-tests --test hostile` replays a run.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use fastrand::Rng;
use serde_json::json;

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];
/// Requests that Envoy's parser lets through to the filter, and anything at all.
const WELL_FORMED: usize = 99_000;
const ANYTHING: usize = 3_000;

/// The headers that the policies below look at, and some that they should not.
const NAMES: [&str; 12] = [
    "x-user-id",
    "cookie",
    "x-plan",
    "x-sdk-version",
    "x-api-override",
    "x-api-version",
    "X-User-ID",
    "x-forwarded-for",
    "x-crossfade-reason",
    "deprecation",
    "x-empty",
    "te",
];

const WORDS: [&[u8]; 16] = [
    b"uid=",
    b"; ",
    b";",
    b"=",
    b"\"",
    b",",
    b", ",
    b"v1",
    b"v2",
    b"2.4.0",
    b">=",
    b"999999999999999999999",
    b"1.2.3-rc.1+b",
    b"\xff",
    b"\xf0\x9f\x92\xa9",
    b"crossfade-test-trap",
];

/// A value that HTTP allows: no control characters but the tab.
fn value(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(..100) {
        0 => rng.usize(..8000),
        1..10 => rng.usize(1020..1030),
        10..20 => 0,
        _ => rng.usize(..60),
    };
    let mut value = Vec::new();
    let kind = rng.u8(..4);
    while value.len() < length {
        match kind {
            0 => value.push(rng.u8(0x80..)),
            1 => value.extend_from_slice(rng.choice(WORDS).unwrap()),
            _ => value.push(match rng.u8(0x1f..) {
                0x1f | 0x7f => b'\t',
                byte => byte,
            }),
        }
    }
    value
}

fn headers(rng: &mut Rng) -> Vec<(&'static str, Vec<u8>)> {
    let count = if rng.u8(..50) == 0 { rng.usize(..60) } else { rng.usize(..6) };
    let mut headers: Vec<_> =
        (0..count).map(|_| (*rng.choice(NAMES.iter()).unwrap(), value(rng))).collect();
    // `te` other than `trailers` and bad addresses are Envoy's to judge, here as elsewhere.
    let mut left = 50_000_usize;
    headers.retain(|(_, value)| {
        let fits = value.len() < left;
        left = left.saturating_sub(value.len());
        fits
    });
    headers
}

/// Anything at all: a request with bytes changed, or no request.
fn anything(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = client::get(headers(rng));
    for _ in 0..1 + rng.usize(..8) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..3) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes.insert(at, rng.u8(..)),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

/// A connection of its own; the answer is a response, or a connection that is closed, or
/// one that waits for the rest of a request.
fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut connection = Connection::open(address).unwrap();
    if connection.send(bytes).is_ok() {
        let _ = connection.finish().and_then(|()| connection.rest());
    }
}

#[test]
fn no_request_traps_the_filter_and_each_is_answered() {
    let seed = std::env::var("CROSSFADE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Rng::new().u64(..));
    println!("replay: CROSSFADE_SEED={seed} cargo test -p crossfade-edge-tests --test hostile");
    let mut rng = Rng::with_seed(seed);

    let plan = |key| {
        json!({
            "api": "a", "versions": VERSIONS, "key": key, "salt": "s", "canary_percentage": 40,
            "attributes": {
                "plan": { "header": "x-plan" }, "sdk": { "header": "x-sdk-version" },
                "override": { "header": "x-api-override" }, "region": { "cookie": "region" },
            },
            "pins": { "v1": "v1", "\u{1f4a9}": "v2" },
            "rules": [
                { "name": "sdk", "to": "v2", "when": { "attribute": "sdk", "semver": ">=2.4, <3, !=2.5" } },
                { "name": "plan", "split": { "v1": 1, "v3": 1 }, "when": { "any": [
                    { "attribute": "plan", "prefix": "v" }, { "attribute": "region", "in": ["v1", ""] },
                    { "not": { "attribute": "override", "present": false } },
                ] } },
            ],
            "deprecation": { "deprecated_at": "2027-01-31", "link": "https://example.com/" },
        })
    };
    let upstream = Upstream::start(&VERSIONS);
    let keys =
        [json!({ "header": "x-user-id" }), json!({ "cookie": "uid" }), json!({ "address": true })];
    let names = ["header", "cookie", "address"];
    let listener = |(name, key): (&&str, serde_json::Value)| {
        let mut plugin = json!({ "policy": plan(key), "reason_header": "x-crossfade-reason" });
        // What is mirrored has their headers, too.
        if *name == "cookie" {
            plugin["policy"]["shadow"] = json!({ "percentage": 100 });
            plugin["policy"]["canary_percentage"] = json!(0);
            plugin["shadow"] = json!({ "clusters": { "v3": "v3" } });
        }
        config::filtered(name, Module::Shipped, &VERSIONS, &plugin)
    };
    let listeners = names.iter().zip(keys).map(listener).collect();
    let envoy =
        Envoy::start("hostile", 2, &config::bootstrap(listeners, config::clusters(&upstream)));
    let envoy = envoy.watched();

    let mut reasons = BTreeSet::new();
    for name in names {
        let count = WELL_FORMED / names.len();
        let requests: Vec<_> = (0..count).map(|_| client::get(headers(&mut rng))).collect();
        let responses = client::ask_all(envoy.address(name), &requests, 4).unwrap();
        for (request, response) in requests.iter().zip(&responses) {
            let version = response.version();
            reasons.insert(response.header("x-crossfade-reason").to_owned());
            let shown = request.escape_ascii();
            assert!(VERSIONS.contains(&version) && response.status == 200, "{response:?}: {shown}");
            assert_eq!(response.received("x-api-version"), [version], "{shown}");
        }
    }
    for n in 0..ANYTHING {
        throw(envoy.address(names[n % names.len()]), &anything(&mut rng));
    }

    let every_way = ["canary", "no_key", "pin", "rule"].map(str::to_owned);
    assert_eq!(reasons, BTreeSet::from(every_way), "what they reached");
    for what in ["compared", "dropped"] {
        assert!(envoy.metric(&format!("crossfade_shadow_{what}"), &[]) > 0, "{what}");
    }
    // Nobody trapped, and all still serve.
    let log = envoy.log();
    for sign in ["panicked", "Uncaught RuntimeError", "failed:", "Plugin crash"] {
        assert!(!log.contains(sign), "`{sign}` in the log");
    }
    for name in names {
        let response =
            Connection::open(envoy.address(name)).unwrap().ask(&client::get([("x-user-id", "a")]));
        assert_eq!(response.unwrap().status, 200);
    }
}
