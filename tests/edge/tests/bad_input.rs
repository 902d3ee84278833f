//! What clients get for requests that are not as they should be, from the filter in a
//! real Envoy. After each, the filter serves the next.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::sync::OnceLock;

use crossfade_core::{Policy, Request};
use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::{Envoy, Watched};
use crossfade_edge_tests::http2::{self, Fate};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

fn plan() -> Value {
    json!({
        "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
        "attributes": { "plan": { "header": "x-plan" } },
        "rules": [{ "name": "beta", "to": "v2", "when": { "attribute": "plan", "present": true } }],
        "canary_percentage": 50,
    })
}

fn cookie_plan() -> Value {
    json!({ "api": "a", "versions": VERSIONS, "key": { "cookie": "uid" }, "canary_percentage": 100 })
}

/// One Envoy of one worker, so that whatever harms it harms every test after.
fn world() -> Watched<'static> {
    static WORLD: OnceLock<(Envoy, Upstream)> = OnceLock::new();
    let (envoy, _) = WORLD.get_or_init(|| {
        let upstream = Upstream::start(&VERSIONS);
        let listener = |name: &str, plan: Value| {
            let plugin = json!({ "policy": plan, "reason_header": "x-crossfade-reason" });
            config::filtered(name, Module::Shipped, &VERSIONS, &plugin)
        };
        let listeners = vec![
            listener("edge", plan()),
            listener("cookie", cookie_plan()),
            listener("pins", pins()),
        ];
        let bootstrap = config::bootstrap(listeners, config::clusters(&upstream));
        (Envoy::start("bad_input", 1, &bootstrap), upstream)
    });
    envoy.watched()
}

fn decided(key: &[u8]) -> String {
    let policy = Policy::new(Plan::read(&plan()).unwrap(), 0, None);
    let decision = policy.decide(&Request::of_key(key), 0);
    policy.version_name(decision.version).to_owned()
}

#[track_caller]
fn ask(listener: &str, headers: &[(&str, &[u8])]) -> Response {
    let request = client::get(headers.iter().copied());
    Connection::open(world().address(listener)).unwrap().ask(&request).unwrap()
}

/// The version and the reason.
fn outcome(response: &Response) -> (u16, &str, &str) {
    (response.status, response.version(), response.header("x-crossfade-reason"))
}

/// The filter is there and decides.
#[track_caller]
fn and_the_next_is_served() {
    let response = ask("edge", &[("x-user-id", b"user123")]);
    let right = decided(b"user123");
    assert_eq!(outcome(&response), (200, right.as_str(), "canary"));
}

#[test]
fn a_key_that_is_no_utf8_is_a_key_like_any_other() {
    for n in 0..=255_u8 {
        let key = [0xff, n.max(0x80), b'k', 0xc3, 0x28];
        let right = decided(&key);
        assert_eq!(outcome(&ask("edge", &[("x-user-id", &key)])), (200, right.as_str(), "canary"));
    }
    and_the_next_is_served();
}

#[test]
fn an_attribute_that_is_no_utf8_is_absent_and_other_headers_pass_as_they_are() {
    let key = b"user123";
    let response =
        ask("edge", &[("x-user-id", key), ("x-plan", b"\xff\xfe"), ("x-other", b"\x80\xff")]);
    let right = decided(key);
    assert_eq!(outcome(&response), (200, right.as_str(), "canary"));
    assert_eq!(response.received("x-other"), ["\u{80}\u{ff}"]);
    // A header's name that is no token is not HTTP.
    let mut connection = Connection::open(world().address("edge")).unwrap();
    connection.send(b"GET / HTTP/1.1\r\nhost: api\r\nx-\xff: 1\r\n\r\n").unwrap();
    assert_eq!(connection.receive().unwrap().status, 400);
    and_the_next_is_served();
}

#[test]
fn an_empty_key_is_none_and_of_a_repeated_one_the_first_counts() {
    let no_keys: [&[(&str, &[u8])]; 4] = [
        &[],
        &[("x-user-id", b"")],
        &[("x-user-id", b"   ")],
        &[("x-user-id", b""), ("x-user-id", b"user123")],
    ];
    for headers in no_keys {
        assert_eq!(outcome(&ask("edge", headers)), (200, "v1", "no_key"), "{headers:?}");
    }
    let right = decided(b"user123");
    for second in [&b"user123"[..], b"user3", b""] {
        let headers = [("x-user-id", &b"user123"[..]), ("X-User-Id", second)];
        assert_eq!(outcome(&ask("edge", &headers)), (200, right.as_str(), "canary"));
    }
    // A comma in one value makes it no two.
    for key in [&b"a,b"[..], b"a, b", b","] {
        let right = decided(key);
        assert_eq!(outcome(&ask("edge", &[("x-user-id", key)])), (200, right.as_str(), "canary"));
    }
    // A repeated attribute has no value.
    let plans = [("x-plan", &b"a"[..]), ("x-plan", b"b")];
    assert_eq!(outcome(&ask("edge", &plans)), (200, "v1", "no_key"));
}

#[test]
fn a_repeated_cookie_is_no_key() {
    let cookies: [&[(&str, &[u8])]; 4] = [
        &[("cookie", b"uid=a; uid=b")],
        &[("cookie", b"uid=a; uid=a")],
        &[("cookie", b"uid=")],
        &[("cookie", b";;=;uid;uid ;\xff=\xfe;")],
    ];
    for headers in cookies {
        assert_eq!(outcome(&ask("cookie", headers)), (200, "v1", "no_key"), "{headers:?}");
    }
    let one = ask("cookie", &[("cookie", b"\xff=\xfe; uid=\xff; x")]);
    assert_eq!(outcome(&one), (200, "v2", "canary"));
    // Of two `cookie` headers, which HTTP/1.1 does not know, the first counts.
    let lists = [("cookie", &b"uid=c"[..]), ("cookie", b"a=b")];
    assert_eq!(outcome(&ask("cookie", &lists)), (200, "v2", "canary"));
    let lists = [lists[1], lists[0]];
    assert_eq!(outcome(&ask("cookie", &lists)), (200, "v1", "no_key"));
}

#[test]
fn a_key_counts_up_to_1024_bytes() {
    for (length, reason) in [(1023, "canary"), (1024, "canary"), (1025, "no_key"), (8000, "no_key")]
    {
        let key = vec![b'k'; length];
        let right = if reason == "canary" { decided(&key) } else { "v1".to_owned() };
        let response = ask("edge", &[("x-user-id", &key)]);
        assert_eq!(outcome(&response), (200, right.as_str(), reason), "{length}");
        assert_eq!(response.received("x-user-id")[0].len(), length, "it is passed on whole");
    }
}

#[test]
fn a_header_of_60_kb_is_refused_by_envoy_and_a_little_less_is_served() {
    let served = ask("edge", &[("x-user-id", b"user123"), ("x-big", &vec![b'x'; 59_000])]);
    assert_eq!(outcome(&served), (200, decided(b"user123").as_str(), "canary"));
    let served = ask("edge", &[("x-user-id", &vec![b'k'; 59_000])]);
    assert_eq!(outcome(&served), (200, "v1", "no_key"));
    let served = ask("edge", &[("x-plan", &vec![b'p'; 59_000])]);
    assert_eq!(outcome(&served), (200, "v1", "no_key"), "too long for an attribute");
    let served = ask("cookie", &[("cookie", &[b"uid=a;".to_vec(), vec![b'='; 59_000]].concat())]);
    assert_eq!(outcome(&served), (200, "v2", "canary"));
    let refused = ask("edge", &[("x-user-id", &vec![b'k'; 61_440])]);
    assert_eq!(refused.status, 431, "Envoy's own limit");
    and_the_next_is_served();
}

#[test]
fn a_request_without_a_path_is_refused_by_envoy_before_the_filter_sees_it() {
    let address = world().address("edge");
    let fields =
        [(":method", "GET"), (":scheme", "http"), (":authority", "api"), ("x-user-id", "user3")];
    let fate = http2::ask_raw(address, &fields).unwrap();
    assert_eq!(fate, Fate::Closed, "Envoy gives the connection up");
    // The same with a path is served.
    let complete = [&fields[..], &[(":path", "/")]].concat();
    let order: Vec<_> =
        complete.iter().filter(|(name, _)| name.starts_with(':')).copied().collect();
    let fields: Vec<_> = order.into_iter().chain([("x-user-id", "user3")]).collect();
    assert_eq!(http2::ask_raw(address, &fields).unwrap(), Fate::Answered);
    let mut connection = Connection::open(address).unwrap();
    connection.send(b"GET  HTTP/1.1\r\nhost: api\r\n\r\n").unwrap();
    assert_eq!(connection.receive().unwrap().status, 400);
    and_the_next_is_served();
}

#[test]
fn a_connect_request_finds_no_route() {
    let mut connection = Connection::open(world().address("edge")).unwrap();
    let request = b"CONNECT api:443 HTTP/1.1\r\nhost: api:443\r\nx-user-id: user3\r\n\r\n";
    assert_eq!(connection.ask(request).unwrap().status, 404);
    let request = http2::request("CONNECT", "api:443", &[("x-user-id", b"user3")], b"");
    let responses = http2::ask_all(world().address("edge"), vec![request]).unwrap();
    assert_eq!(responses[0].status, 404);
    and_the_next_is_served();
}

#[test]
fn http2_requests_are_decided_alike_many_at_once() {
    let keys: Vec<_> = (0..500).map(|n| format!("user-{n}")).collect();
    let request = |key: &String| {
        let headers = [("x-user-id", key.as_bytes()), ("x-api-version", b"v3")];
        http2::request("GET", "http://api/", &headers, b"")
    };
    let requests = keys.iter().map(request).collect();
    let responses = http2::ask_all(world().address("edge"), requests).unwrap();
    for (key, response) in keys.iter().zip(&responses) {
        let right = decided(key.as_bytes());
        assert_eq!(outcome(response), (200, right.as_str(), "canary"), "{key}");
        assert_eq!(response.received("x-api-version"), [right]);
    }
}

#[test]
fn cookies_that_http2_splits_up_are_one_list() {
    let request = |cookies: &[&str]| {
        let headers: Vec<_> = cookies.iter().map(|c| ("cookie", c.as_bytes())).collect();
        http2::request("GET", "http://api/", &headers, b"")
    };
    let requests = vec![request(&["a=b", "uid=c", "d=e"]), request(&["uid=a", "uid=b"])];
    let responses = http2::ask_all(world().address("cookie"), requests).unwrap();
    assert_eq!(outcome(&responses[0]), (200, "v2", "canary"));
    assert_eq!(outcome(&responses[1]), (200, "v1", "no_key"));
}

#[test]
fn a_grpc_call_goes_to_its_version_with_message_and_trailers_untouched() {
    let message = [&[0, 0, 0, 0, 5][..], b"hello"].concat();
    for key in ["user-1", "user-2", "user-3", "user-4"] {
        let headers: [(&str, &[u8]); 3] = [
            ("content-type", b"application/grpc"),
            ("te", b"trailers"),
            ("x-user-id", key.as_bytes()),
        ];
        let request = http2::request("POST", "http://api/users.Users/Get", &headers, &message);
        let response = http2::ask_all(world().address("edge"), vec![request]).unwrap().remove(0);
        let right = decided(key.as_bytes());
        assert_eq!(outcome(&response), (200, right.as_str(), "canary"));
        assert_eq!(response.header("x-received-version"), right);
        assert_eq!(response.header("grpc-status"), "0", "a trailer");
        assert_eq!(response.body, message);
    }
}

#[test]
fn what_envoy_answers_by_itself_has_the_reason_too() {
    let response = ask("edge", &[("x-user-id", b"user123"), ("x-answer-break", b"1")]);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("x-crossfade-reason"), "canary");
}

fn pins() -> Value {
    let mut plan = plan();
    let pins = (0..10_000).map(|n| (format!("partner-{n}"), json!(VERSIONS[n % 2])));
    plan["pins"] = Value::Object(pins.collect());
    plan
}

#[test]
fn each_of_10_000_pins_counts() {
    let key = |n: usize| format!("partner-{n}");
    let requests: Vec<_> = (0..10_000).map(|n| client::get([("x-user-id", key(n))])).collect();
    let responses = client::ask_all(world().address("pins"), &requests, 4).unwrap();
    for (n, response) in responses.iter().enumerate() {
        assert_eq!(outcome(response), (200, VERSIONS[n % 2], "pin"), "{n}");
    }
}
