//! Who called: reports of clients from real Envoys of two workers to a control server that
//! can misbehave.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeMap;

use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::collector::{Collector, Taking};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::control::{Control, Mood};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::wait_for;
use crossfade_protocol::clients::{Declared, Identity};
use crossfade_protocol::limits::{CLIENTS_REPORT_BYTES_MAX, EDGE_CLIENTS_MAX};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// An Envoy with this plan inline, a control server and upstreams that are one test's own.
struct Edge {
    control: Control,
    envoy: Envoy,
    _upstream: Upstream,
}

impl Edge {
    fn start(name: &str, plan: &Value) -> Edge {
        Edge::start_after(&[], name, plan)
    }

    fn start_after(before: &[Value], name: &str, plan: &Value) -> Edge {
        let mut document = json!({
            "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "pins": { "pinned": "v2" },
        });
        let more = plan.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(more);
        let control = Control::start(1, &document);
        let upstream = Upstream::start(&VERSIONS);
        let plugin = json!({
            "policy": document,
            "revision": 1,
            "control": { "cluster": "crossfade_control", "poll_ms": 200, "timeout_ms": 1000, "report_ms": 100 },
        });
        let mut clusters = config::clusters(&upstream);
        clusters.push(config::cluster("crossfade_control", control.address()));
        let listener = config::filtered_after(before, "edge", Module::Shipped, &VERSIONS, &plugin);
        let envoy = Envoy::start(name, 2, &config::bootstrap(vec![listener], clusters));
        Edge { control, envoy, _upstream: upstream }
    }

    fn ask(&self, headers: &[(&str, &str)]) -> Response {
        let request = client::get(headers.iter().copied());
        Connection::open(self.envoy.address("edge")).unwrap().ask(&request).unwrap()
    }

    /// One request of each of these keys, over connections to both workers.
    fn ask_each(&self, keys: impl Iterator<Item = String>) {
        let requests: Vec<_> = keys.map(|key| client::get([("x-user-id", key)])).collect();
        let responses = client::ask_all(self.envoy.address("edge"), &requests, 4).unwrap();
        assert!(responses.iter().all(|response| response.status == 200));
    }

    /// Waits until so many requests were told or left out, and nothing was wrong.
    fn told(&self, requests: u64) -> Collector {
        let _watched = self.envoy.watched();
        wait_for(&format!("{requests} requests in reports"), || {
            let clients = self.control.clients();
            assert!(clients.requests() <= requests, "{} were told", clients.requests());
            (clients.requests() == requests).then_some(())
        });
        assert_eq!(self.control.wrong(), Vec::<String>::new());
        self.control.clients()
    }
}

#[test]
fn each_request_is_told_once_whatever_the_control_server_does() {
    let edge = Edge::start("clients_once", &json!({}));
    let mut sent = 0;
    let mut ask = || {
        edge.ask_each((0..500).map(|n| format!("client {}", n % 100)));
        sent += 500;
        sent
    };
    let told = ask();
    edge.told(told);
    // It takes none, in every way there is to take none.
    for status in [503, 500, 401] {
        let before = edge.control.clients().refused;
        edge.control.take_clients(Taking::Refusing(status));
        ask();
        wait_for("reports that are not taken", || {
            (edge.control.clients().refused >= before + 4).then_some(())
        });
    }
    edge.control.take_clients(Taking::Well);
    let told = ask();
    edge.told(told);
    // It takes them and does not say so, or gets each twice.
    for taking in [Taking::Lying(503), Taking::Twice] {
        let before = edge.control.clients().repeated;
        edge.control.take_clients(taking);
        ask();
        wait_for("a report that came again", || {
            (edge.control.clients().repeated > before).then_some(())
        });
    }
    edge.control.take_clients(Taking::Well);
    // It is down and comes back, twice.
    for _ in 0..2 {
        edge.control.be(Mood::Down);
        let before = edge.envoy.metric("crossfade_control_errors", &[("kind", "unreachable")]);
        ask();
        wait_for("a report that nobody took", || {
            let errors = edge.envoy.metric("crossfade_control_errors", &[("kind", "unreachable")]);
            (errors > before + 2).then_some(())
        });
        edge.control.be(Mood::Well);
        let told = ask();
        edge.told(told);
    }
    let clients = edge.told(sent);
    assert_eq!((clients.dropped, clients.differing), (0, 0), "each text was the same every time");
    assert_eq!(clients.clients.len(), 100);
    for (client, seen) in &clients.clients {
        assert_eq!(seen.requests, BTreeMap::from([("v1".to_owned(), sent / 100)]), "{client:?}");
    }
    assert_eq!(clients.sources(), 2, "one of each worker");
    assert!(edge.envoy.metric("crossfade_client_reports", &[]) > 0);
}

#[test]
fn versions_and_failures_are_told_of_each_client() {
    let edge = Edge::start("clients_versions", &json!({}));
    for _ in 0..3 {
        edge.ask(&[("x-user-id", "pinned"), ("x-answer-status", "503")]);
        edge.ask(&[("x-user-id", "pinned"), ("x-answer-status", "404")]);
        edge.ask(&[("x-user-id", "other"), ("x-answer-break", "1")]);
        edge.ask(&[]);
    }
    let clients = edge.told(9);
    let pinned = clients.seen("pinned", Identity::Key);
    assert_eq!((pinned.requests["v2"], pinned.failures), (6, 3));
    let other = clients.seen("other", Identity::Key);
    assert_eq!((other.requests["v1"], other.failures), (3, 3));
    assert_eq!((other.agent, other.says), (None, None));
}

const CLIENTS: &str = r#"{"clients":{"identity":[{"header":"x-api-key"},"mtls",{"jwt":"sub"},"address"],"declare":{"header":"x-api-migration"}}}"#;

fn clients() -> Value {
    serde_json::from_str(CLIENTS).unwrap()
}

#[test]
fn a_client_is_known_by_what_the_plan_says_with_its_software_and_what_it_declares() {
    let edge = Edge::start("clients_ladder", &clients());
    edge.ask(&[("x-user-id", "ann"), ("user-agent", "okhttp/4.12.0 (x)"), ("x-api-key", "k")]);
    edge.ask(&[("x-api-key", "k"), ("x-api-migration", "blocked: uses /export")]);
    edge.ask(&[("x-api-key", "k"), ("x-api-key", "l"), ("user-agent", "curl/8.5")]);
    edge.ask(&[("x-api-migration", "ready")]);
    let clients = edge.told(4);
    let of = |key: &str, identity| clients.seen(key, identity);
    assert_eq!(of("ann", Identity::Key).agent.as_deref(), Some("okhttp/4.12.0"));
    let blocked = Declared::Blocked("uses /export".to_owned());
    assert_eq!(of("k", Identity::ApiKey).says, Some(blocked));
    assert_eq!(of("127.0.0.1 curl/8.5", Identity::Address).all(), 1);
    assert_eq!(of("127.0.0.1", Identity::Address).says, Some(Declared::Ready));
}

/// "a key that only this test has, and every reader of it"; HMAC with SHA-256.
const SECRET: &str = "YSBrZXkgdGhhdCBvbmx5IHRoaXMgdGVzdCBoYXMsIGFuZCBldmVyeSByZWFkZXIgb2YgaXQ";
/// `{"iss":"tests","sub":"user3"}`, signed with it.
const USER3: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0ZXN0cyIsInN1YiI6InVzZXIzIn0.vquO5CC6tidUTeEF6tVAm-r2jubF6Pl5RHyRtiJhBeA";

#[test]
fn the_subject_of_a_token_that_envoy_has_checked_is_a_client() {
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": SECRET }] });
    let provider = json!({
        "issuer": "tests",
        "local_jwks": { "inline_string": keys.to_string() },
        "payload_in_metadata": "jwt_payload",
    });
    let jwt = json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "tests": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "tests" }, { "allow_missing": {} },
        ] } } }],
    } });
    let edge = Edge::start_after(&[jwt], "clients_jwt", &clients());
    let bearer = format!("Bearer {USER3}");
    assert_eq!(edge.ask(&[("authorization", &bearer)]).status, 200);
    assert_eq!(edge.ask(&[]).status, 200);
    let clients = edge.told(2);
    assert_eq!(clients.seen("user3", Identity::Jwt).all(), 1);
    assert_eq!(clients.seen("127.0.0.1", Identity::Address).all(), 1);
}

/// Two listeners in one Envoy play the clients: they show their certificates to the third.
#[test]
fn the_subject_of_a_certificate_is_a_client_or_its_name_where_it_has_none() {
    let control = Control::start(1, &json!({}));
    let upstream = Upstream::start(&VERSIONS);
    let mut policy = json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" } });
    policy["clients"] = clients()["clients"].clone();
    let plugin = json!({
        "policy": policy,
        "control": { "cluster": "crossfade_control", "poll_ms": 3_600_000, "report_ms": 100 },
    });
    let mut edge = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
    config::with_tls(&mut edge);
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("crossfade_control", control.address()));
    let server = Envoy::start("clients_mtls", 1, &config::bootstrap(vec![edge], clusters));
    let address = server.address("edge");
    let ask = |certificate: &str| {
        let cluster = config::with_certificate(config::cluster("edge", address), certificate);
        let route = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "edge" } }]);
        let listener = config::listener("client", &config::Routes::Inline(route), &[], &json!({}));
        let name = format!("clients_mtls_{certificate}");
        let client = Envoy::start(&name, 1, &config::bootstrap(vec![listener], vec![cluster]));
        let mut connection = Connection::open(client.address("client")).unwrap();
        let response = connection.ask(&client::get([("host2", "x")])).unwrap();
        assert_eq!(response.status, 200, "{}", client.log());
    };
    ask("client");
    ask("uri");
    let _watched = server.watched();
    wait_for("both clients in reports", || (control.clients().requests() == 2).then_some(()));
    let clients = control.clients();
    let names: Vec<_> =
        clients.clients.keys().map(|(key, identity)| (key.as_str(), *identity)).collect();
    assert_eq!(
        names,
        [
            ("CN=partner-7,O=Partner GmbH", Identity::Mtls),
            ("spiffe://tests/billing", Identity::Mtls),
        ]
    );
}

/// What a client may send: long, unprintable, and no text at all.
#[test]
fn hostile_headers_reach_no_report_as_they_came_and_no_request_fails() {
    let edge = Edge::start("clients_hostile", &clients());
    let mut connection = Connection::open(edge.envoy.address("edge")).unwrap();
    let long = vec![b'x'; 50 << 10];
    let parens = vec![b'('; 50 << 10];
    let values: [&[u8]; 6] =
        [&long, &parens, b"\xff\xfe/1", b"evil\x80/1", "\u{202e}x/1".as_bytes(), b")))/1"];
    let mut sent = 0;
    for (n, value) in values.iter().enumerate() {
        let key = n.to_string().into_bytes();
        let blocked = [b"blocked:", *value].concat();
        let requests: [Vec<(&str, &[u8])>; 3] = [
            vec![("x-user-id", &key), ("user-agent", value)],
            vec![("x-user-id", &key), ("x-api-migration", &blocked)],
            vec![("x-api-key", value)],
        ];
        for headers in requests {
            let response = connection.ask(&client::get(headers)).unwrap();
            assert_eq!(response.status, 200, "{response:?}");
            sent += 1;
        }
    }
    let clients = edge.told(sent);
    for ((key, _), seen) in &clients.clients {
        assert!(key.len() <= 1024, "{} bytes", key.len());
        let agent = seen.agent.as_deref().unwrap_or_default();
        assert!(agent.len() <= 64 && agent.bytes().all(|byte| byte.is_ascii_graphic()), "{agent}");
        if let Some(Declared::Blocked(reason)) = &seen.says {
            assert!(reason.len() <= 256 && !reason.chars().any(char::is_control), "{reason}");
        }
    }
}

#[test]
fn a_hundred_thousand_clients_take_no_more_memory_than_ten_thousand() {
    let edge = Edge::start("clients_memory", &json!({}));
    let keys = |from: u64, to: u64| (from..to).map(|n| format!("{n:0256}"));
    // Nobody takes a report, so the buffers fill.
    edge.control.take_clients(Taking::Refusing(503));
    edge.ask_each(keys(0, 30_000));
    let full = edge.envoy.resident_bytes();
    edge.ask_each(keys(30_000, 130_000));
    let later = edge.envoy.resident_bytes();
    println!("{full} bytes with full buffers, {later} after 100,000 clients more");
    // Their keys alone would be 25 MB.
    assert!(later < full + (12 << 20), "{full} and {later} bytes");
    edge.control.take_clients(Taking::Well);
    let clients = edge.told(130_000);
    assert!(clients.theta.is_some_and(|theta| theta < u64::MAX), "it was a sample");
    assert!(clients.dropped > 90_000, "{} were left out", clients.dropped);
    assert!(clients.clients.len() <= 2 * EDGE_CLIENTS_MAX + 2_000, "{}", clients.clients.len());
    assert!(clients.longest <= CLIENTS_REPORT_BYTES_MAX);
    let dropped = edge.envoy.metric("crossfade_client_requests_dropped", &[]);
    assert_eq!(dropped, clients.dropped);
    // And then everybody counts again.
    edge.ask(&[("x-user-id", "somebody new")]);
    let clients = edge.told(130_001);
    assert_eq!(clients.seen("somebody new", Identity::Key).all(), 1);
}
