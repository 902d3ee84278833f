//! Brownouts and the sunset on the wire, by a policy alone, in a real Envoy.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::time::{SystemTime, UNIX_EPOCH};

use crossfade_core::bucket::{Seed, bucket_of_key};
use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::control::Control;
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::http2;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::wait_for;
use crossfade_protocol::clients::Identity;
use crossfade_protocol::plan::Instant;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

struct Edge {
    control: Control,
    upstream: Upstream,
    envoy: Envoy,
}

impl Edge {
    fn start(name: &str, plan: &Value) -> Edge {
        let mut document = json!({
            "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "pins": { "new": "v2" },
        });
        document.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
        let control = Control::start(1, &document);
        let upstream = Upstream::start(&VERSIONS);
        let plugin = json!({
            "policy": document,
            "revision": 1,
            "reason_header": "x-why",
            "control": { "cluster": "crossfade_control", "poll_ms": 100, "report_ms": 100 },
        });
        let mut clusters = config::clusters(&upstream);
        clusters.push(config::cluster("crossfade_control", control.address()));
        let listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
        let envoy = Envoy::start(name, 2, &config::bootstrap(vec![listener], clusters));
        Edge { control, upstream, envoy }
    }

    fn connection(&self) -> Connection {
        Connection::open(self.envoy.address("edge")).unwrap()
    }

    fn ask(&self, key: &str) -> Response {
        self.connection().ask(&client::get([("x-user-id", key)])).unwrap()
    }
}

/// So many minutes from now, as a plan writes it.
fn minutes(from_now: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let at = i64::try_from(now).unwrap() + from_now * 60_000;
    Instant::of_ms(at.unsigned_abs()).to_string()
}

#[track_caller]
fn headers(response: &Response, names: &[&str]) -> Vec<(String, String)> {
    let found = response.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
    found.map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap())).collect()
}

const TOLD: [&str; 8] = [
    "deprecation",
    "sunset",
    "link",
    "location",
    "content-type",
    "cache-control",
    "retry-after",
    "x-why",
];

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn after_the_sunset_old_calls_get_410_on_the_wire_and_new_ones_are_served() {
    let edge = Edge::start(
        "gone",
        &json!({ "deprecation": {
            "deprecated_at": "2024-06-30T23:59:59Z", "sunset_at": "2024-12-31T23:59:59Z",
            "link": "https://example.com/migrate", "successor": "https://api.example.com/v2",
        } }),
    );
    let _watched = edge.envoy.watched();
    let response = edge.ask("old");
    assert_eq!(response.status, 410);
    let expected = [
        ("deprecation", "@1719791999"),
        ("sunset", "Tue, 31 Dec 2024 23:59:59 GMT"),
        (
            "link",
            "<https://example.com/migrate>; rel=\"deprecation\", <https://api.example.com/v2>; rel=\"successor-version\"",
        ),
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-why", "gone"),
    ];
    assert_eq!(headers(&response, &TOLD), pairs(&expected));
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        body,
        json!({
            "type": "about:blank", "title": "Gone", "status": 410,
            "detail": "v1 of a was switched off on 2024-12-31T23:59:59Z. Use v2 at https://api.example.com/v2: see https://example.com/migrate.",
            "reason": "gone", "sunset": "2024-12-31T23:59:59Z", "successor": "https://api.example.com/v2",
        })
    );
    assert_eq!(edge.ask("new").version(), "v2");
    // A connection goes on after it; one whose body was not waited for is closed by Envoy.
    let mut connection = edge.connection();
    let old = client::get([("x-user-id", "old")]);
    assert_eq!(connection.ask(&old).unwrap().status, 410);
    assert_eq!(connection.ask(&client::get([("x-user-id", "new")])).unwrap().version(), "v2");
    let post = b"POST / HTTP/1.1\r\nhost: api\r\nx-user-id: old\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(edge.connection().ask(post).unwrap().status, 410);
    // HTTP/2.
    let request = http2::request("GET", "http://api/", &[("x-user-id", &b"old"[..])], b"");
    let answer = http2::ask_all(edge.envoy.address("edge"), vec![request]).unwrap().remove(0);
    assert_eq!((answer.status, answer.header("x-why")), (410, "gone"));
    assert_eq!(edge.upstream.served("v1"), 0, "none of them got through");
    wait_for("the metric", || {
        let labels = [("version", "v1"), ("reason", "gone")];
        (edge.envoy.metric("crossfade_decisions", &labels) == 4).then_some(())
    });
    wait_for("the client to be told", || {
        let seen = edge.control.clients().seen("old", Identity::Key);
        ((seen.all(), seen.refused) == (4, 4)).then_some(())
    });
    assert_eq!(edge.envoy.metric("crossfade_outcomes", &[("version", "v1")]), 0);
}

#[test]
fn or_308_to_the_successor_with_path_and_query() {
    let edge = Edge::start(
        "moved",
        &json!({ "deprecation": {
            "deprecated_at": "2024-06-30", "sunset_at": "2024-12-31", "after": "redirect",
            "successor": "https://api.example.com",
        } }),
    );
    let _watched = edge.envoy.watched();
    let location = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: api\r\nx-user-id: old\r\n\r\n");
        let response = edge.connection().ask(request.as_bytes()).unwrap();
        assert_eq!((response.status, response.body.len()), (308, 0));
        assert_eq!(response.header("cache-control"), "no-store");
        response.header("location").to_owned()
    };
    assert_eq!(
        location("/users/7?a=b%20c&d=%0d%0a"),
        "https://api.example.com/users/7?a=b%20c&d=%0d%0a"
    );
    assert_eq!(location("//evil.example/x"), "https://api.example.com//evil.example/x");
    let long = format!("/{}", "x".repeat(20_000));
    assert_eq!(location(&long), format!("https://api.example.com{long}"));
}

fn brownout(percentage: u32, from: i64, to: i64) -> Value {
    json!({
        "brownouts": [{
            "name": "first", "start": minutes(from), "minutes": to - from,
            "percentage": percentage, "exempt": ["partner-7"], "announce_minutes": 60,
        }],
        "clients": { "pinned_back": ["back"] },
    })
}

#[test]
fn a_brownout_hits_a_client_wholly_by_its_own_bucket_and_exempt_ones_never() {
    let edge = Edge::start("brownout", &brownout(30, -10, 50));
    let _watched = edge.envoy.watched();
    let seed = Seed::of_brownout("", "first");
    let keys: Vec<String> = (0..500).map(|n| format!("client-{n}")).collect();
    // To both workers.
    let mut workers = [edge.connection(), edge.connection()];
    let mut hit = 0;
    for key in &keys {
        let refused = bucket_of_key(key.as_bytes(), seed) < 3_000;
        hit += u32::from(refused);
        let request = client::get([("x-user-id", key)]);
        for n in 0..4 {
            let response = workers[n % 2].ask(&request).unwrap();
            assert_eq!(response.status, if refused { 503 } else { 200 }, "{key}");
        }
    }
    assert!((100..200).contains(&hit), "{hit} of 500");
    for key in ["partner-7", "back", "new"] {
        assert_eq!(edge.ask(key).status, 200, "{key}");
    }
    // Whom it hits is told with everything that RFC 9457 has.
    let key = keys.iter().find(|key| bucket_of_key(key.as_bytes(), seed) < 3_000).unwrap();
    let response = edge.ask(key);
    assert_eq!(
        (response.header("content-type"), response.header("x-why")),
        ("application/problem+json", "brownout")
    );
    let retry: u64 = response.header("retry-after").parse().unwrap();
    assert!((2_900..=3_000).contains(&retry), "{retry} s");
    assert!(response.header("api-brownout").contains('/'), "{response:?}");
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&body["status"], &body["brownout"]), (&503.into(), &"first".into()));
    // No outcome of the version, so no reason for a guard or a gate.
    assert_eq!(edge.envoy.metric("crossfade_outcomes", &[("version", "v1"), ("class", "5xx")]), 0);
    wait_for("all that were hit to be told", || {
        let clients = edge.control.clients();
        let refused: u64 = clients.clients.values().map(|seen| seen.refused).sum();
        (refused == u64::from(hit) * 4 + 1).then_some(())
    });
}

#[test]
fn a_brownout_is_announced_and_begins_and_stops_with_the_policy() {
    let edge = Edge::start("announced", &brownout(100, 30, 40));
    let _watched = edge.envoy.watched();
    let response = edge.ask("old");
    assert_eq!(response.status, 200);
    assert!(response.header("api-brownout").contains('/'), "{response:?}");
    assert_eq!(edge.ask("new").header("api-brownout"), "");
    let publish = |revision: u64, plan: &Value| {
        let mut document =
            json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" } });
        document.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
        edge.control.publish(revision, &document);
    };
    publish(2, &brownout(100, -1, 9));
    wait_for("calls to be refused", || (edge.ask("old").status == 503).then_some(()));
    publish(3, &json!({}));
    wait_for("calls to be served", || (edge.ask("old").status == 200).then_some(()));
}
