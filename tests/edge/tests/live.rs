//! Live policy, reports and the guard: the filter in real Envoys of two workers, with a
//! control server that can misbehave.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crossfade_core::bucket::{Seed, bucket_of_key};
use crossfade_core::tally::Tally;
use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::control::{Control, Mood};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::http2;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::wait_for;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];
const POLL_MS: u64 = 200;

/// An Envoy, a control server and upstreams that are one test's own.
struct Edge {
    control: Control,
    upstream: Upstream,
    envoy: Envoy,
}

impl Edge {
    /// `more` is added to the plugin's configuration, which names the control server.
    fn start(name: &str, revision: u64, document: &Value, more: &Value) -> Edge {
        let control = Control::start(revision, document);
        let upstream = Upstream::start(&VERSIONS);
        let mut plugin = json!({
            "reason_header": "x-crossfade-reason",
            "control": { "cluster": "crossfade_control", "poll_ms": POLL_MS, "timeout_ms": 300, "report_ms": 200 },
        });
        merge(&mut plugin, more);
        let mut clusters = config::clusters(&upstream);
        clusters.push(config::cluster("crossfade_control", control.address()));
        let listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
        let envoy = Envoy::start(name, 2, &config::bootstrap(vec![listener], clusters));
        Edge { control, upstream, envoy }
    }

    /// Starts with this policy, live, and waits until both workers have it.
    fn live(name: &str, document: &Value) -> Edge {
        let edge = Edge::start(name, 1, document, &json!({}));
        edge.wait_for_revision(1);
        edge
    }

    /// A connection to each worker.
    fn workers(&self) -> [Connection; 2] {
        let open = || Connection::open(self.envoy.address("edge")).unwrap();
        [open(), open()]
    }

    /// Publishes a canary that only this revision has, and waits until both workers
    /// decide by it.
    fn publish(&self, revision: u64, document: &Value) {
        self.control.publish(revision, document);
        self.wait_for_revision(revision);
    }

    fn wait_for_revision(&self, revision: u64) {
        let _watched = self.envoy.watched();
        // The gauge says that one has it; the others have it a tick later.
        wait_for(&format!("revision {revision} in the metrics"), || {
            (self.envoy.metric("crossfade_policy_revision", &[]) == revision).then_some(())
        });
        let said = format!("policy revision {revision} is in force");
        wait_for("both workers and the main thread to take it", || {
            (self.envoy.log().matches(&said).count() >= 3).then_some(())
        });
    }

    fn ask(&self, headers: &[(&str, &str)]) -> Response {
        let request = client::get(headers.iter().copied());
        Connection::open(self.envoy.address("edge")).unwrap().ask(&request).unwrap()
    }

    fn errors(&self, kind: &str) -> u64 {
        self.envoy.metric("crossfade_control_errors", &[("kind", kind)])
    }
}

fn merge(value: &mut Value, more: &Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            for (name, more) in more {
                merge(value.entry(name).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more.clone(),
    }
}

fn canary(percent: u32) -> Value {
    json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "canary_percentage": percent })
}

/// The bucket of a key without a salt.
fn bucket(key: &str) -> u16 {
    bucket_of_key(key.as_bytes(), Seed::of_salt(""))
}

fn served_by(connection: &mut Connection) -> String {
    let response = connection.ask(&client::get([("x-user-id", "user123")])).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.version().to_owned()
}

#[test]
fn an_update_reaches_all_workers_and_a_lower_revision_is_ignored() {
    let edge = Edge::live("update", &canary(0));
    let mut workers = edge.workers();
    let seen: BTreeSet<_> = workers.iter_mut().map(served_by).collect();
    assert_eq!(seen, BTreeSet::from(["v1".to_owned()]));
    edge.publish(7, &canary(100));
    for worker in &mut workers {
        assert_eq!(served_by(worker), "v2");
    }
    // A server that was set back.
    edge.control.publish(6, &canary(0));
    let before = edge.control.polls().len();
    wait_for("the older revision to be told", || {
        edge.control.polls()[before..].iter().any(|poll| poll.answered == 200).then_some(())
    });
    wait_for("it to count as an error", || (edge.errors("invalid") > 0).then_some(()));
    for worker in &mut workers {
        assert_eq!(served_by(worker), "v2");
    }
    assert_eq!(edge.envoy.metric("crossfade_policy_revision", &[]), 7);
    // And it goes on from where it was.
    edge.publish(8, &canary(0));
    for worker in &mut workers {
        assert_eq!(served_by(worker), "v1");
    }
    for worker in ["0", "1"] {
        let connections = "envoy_listener_worker_downstream_cx_total";
        let count = edge.envoy.metric(connections, &[("envoy_worker_id", worker)]);
        assert!(count > 0, "worker {worker} had a connection");
    }
}

#[test]
fn one_instance_of_all_asks_and_what_is_unchanged_is_not_sent_again() {
    let edge = Edge::start("polls", 3, &canary(10), &json!({ "control": { "token": "s3cret" } }));
    edge.wait_for_revision(3);
    let from = edge.control.polls().len();
    let (start, first) = (Instant::now(), from + 15);
    wait_for("15 polls", || (edge.control.polls().len() >= first).then_some(()));
    let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap();
    let polls = edge.control.polls().split_off(from);
    // Were it the three of them, there would be three times as many.
    let most = took_ms / POLL_MS + 3;
    assert!(polls.len() as u64 <= most, "{} polls in {took_ms} ms", polls.len());
    for poll in &polls {
        assert_eq!(poll.answered, 304, "{poll:?}");
        assert_eq!(poll.if_none_match.as_deref(), Some("\"3\""));
        assert_eq!(poll.authorization.as_deref(), Some("Bearer s3cret"));
    }
    assert_eq!(edge.control.wrong(), Vec::<String>::new());
}

#[test]
fn before_the_first_policy_all_go_to_the_stable_version_and_a_counter_says_so() {
    let edge = Edge::start("no_policy", 1, &json!({ "api": "none" }), &json!({}));
    for _ in 0..5 {
        let response = edge.ask(&[("x-user-id", "user123"), ("x-api-version", "v2")]);
        assert_eq!((response.status, response.version()), (200, "v1"));
        assert_eq!(response.received("x-api-version"), [""; 0]);
    }
    wait_for("the counter", || {
        (edge.envoy.metric("crossfade_requests_without_policy", &[]) == 5).then_some(())
    });
    // A document with problems is no policy either; the next that has none is.
    wait_for("the problem to be counted", || (edge.errors("invalid") > 0).then_some(()));
    edge.control.publish(1, &canary(100));
    edge.wait_for_revision(1);
    assert_eq!(edge.ask(&[("x-user-id", "user123")]).version(), "v2");
}

#[test]
fn whatever_the_control_server_does_the_last_good_policy_stays_and_no_request_notices() {
    let edge = Edge::live("control", &canary(100));
    let mut workers = edge.workers();
    let json = |revision: u64, document: Value| {
        json!({ "revision": revision, "document": document }).to_string()
    };
    let invalid = json(9, json!({ "api": "a", "versions": ["v1"], "key": { "header": "x" } }));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let moods = [
        ("unreachable", Mood::Down),
        ("timeout", Mood::Silent),
        ("malformed", Mood::Says(200, "<html>not a policy</html>".to_owned())),
        ("malformed", Mood::Says(200, String::new())),
        ("malformed", Mood::Says(200, "{\"revision\":9}".to_owned())),
        ("malformed", Mood::Says(200, "{\"revision\":-1,\"document\":{}}".to_owned())),
        ("malformed", Mood::Says(200, deep)),
        ("malformed", Mood::Says(200, "\u{0}".repeat(1000))),
        (
            "malformed",
            Mood::Says(
                200,
                json(9, canary(0)).replace("\"a\"", &format!("\"{}\"", "a".repeat(8 << 20))),
            ),
        ),
        ("invalid", Mood::Says(200, invalid)),
        ("status", Mood::Says(500, "we are sorry".to_owned())),
        ("status", Mood::Says(401, String::new())),
        ("status", Mood::Says(302, String::new())),
        ("unreachable", Mood::Says(503, String::new())),
    ];
    let _watched = edge.envoy.watched();
    for (kind, mood) in moods {
        let shown = match &mood {
            Mood::Says(status, body) => format!("{status} {:.40}", body),
            other => format!("{other:?}"),
        };
        let before = edge.errors(kind);
        edge.control.be(mood);
        wait_for(&format!("an error of the kind {kind}: {shown}"), || {
            assert_eq!(served_by(&mut workers[0]), "v2", "{shown}");
            assert_eq!(served_by(&mut workers[1]), "v2", "{shown}");
            (edge.errors(kind) > before + 1).then_some(())
        });
        assert_eq!(edge.envoy.metric("crossfade_policy_revision", &[]), 1, "{shown}");
    }
    edge.control.be(Mood::Well);
    edge.publish(2, &canary(0));
    assert_eq!(workers.each_mut().map(served_by), ["v1", "v1"]);
    assert!(
        edge.envoy.metric("envoy_http_downstream_rq_xx", &[("envoy_response_code_class", "5")])
            == 0
    );
}

/// The requests wait at the upstream while the policy changes under them.
#[test]
fn an_update_in_the_middle_of_1000_requests_fails_none() {
    let edge = Edge::live("in_flight", &canary(100));
    let address = edge.envoy.address("edge");
    let ask = |more: &[(&str, &[u8])]| {
        let headers = [&[("x-user-id", &b"user123"[..])], more].concat();
        let requests = (0..100).map(|_| http2::request("GET", "http://api/", &headers, b""));
        http2::ask_all(address, requests.collect()).unwrap()
    };
    let responses: Vec<Response> = std::thread::scope(|scope| {
        let hold = || ask(&[("x-answer-hold", b"1")]);
        let asking: Vec<_> = (0..10).map(|_| scope.spawn(hold)).collect();
        wait_for("1,000 requests in flight", || (edge.upstream.held() == 1000).then_some(()));
        edge.publish(2, &canary(0));
        edge.upstream.release();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(responses.len(), 1000);
    for response in &responses {
        assert_eq!((response.status, response.version()), (200, "v2"), "decided before");
    }
    let after = ask(&[]);
    assert!(after.iter().all(|response| (response.status, response.version()) == (200, "v1")));
    // Each is counted for the version that served it.
    wait_for("all to be reported", || {
        let sum = edge.control.sum(&VERSIONS);
        let counts = sum.iter().map(|tally| (tally.routed, tally.requests, tally.failures));
        counts.eq([(100, 100, 0), (1000, 1000, 0)]).then_some(())
    });
}

/// Requests of `v2` that fail as told, on new connections in turn to both workers.
fn fail(edge: &Edge, count: usize, how: &[(&str, &str)]) {
    for _ in 0..count {
        edge.ask(&[&[("x-user-id", "user123")], how].concat());
    }
}

#[test]
fn the_guard_sends_all_to_the_stable_version_until_a_newer_policy_comes() {
    let guarded = |percent: u32| {
        let mut plan = canary(percent);
        plan["guard"] = json!({ "max_failure_ratio": 0.5, "min_requests": 10 });
        plan
    };
    let edge = Edge::live("guard", &guarded(100));
    let mut workers = edge.workers();
    let failing = client::get([("x-user-id", "user123"), ("x-answer-status", "500")]);
    let fine = client::get([("x-user-id", "user123"), ("x-answer-status", "404")]);
    // Four of ten is within the bound, also when it was six of the last ten.
    for worker in &mut workers {
        for request in
            [&fine, &fine, &fine, &fine, &fine, &fine, &failing, &failing, &failing, &failing]
        {
            assert_eq!(worker.ask(request).unwrap().version(), "v2");
        }
    }
    assert_eq!(edge.envoy.metric("crossfade_guard_tripped", &[]), 0);
    // Each worker judges by itself: here the first sees 7 of 13 fail.
    for _ in 0..3 {
        assert_eq!(workers[0].ask(&failing).unwrap().version(), "v2");
    }
    let response = workers[0].ask(&failing).unwrap();
    assert_eq!((response.version(), response.header("x-crossfade-reason")), ("v1", "guard"));
    assert_eq!(workers[1].ask(&fine).unwrap().version(), "v2", "the other has not seen it");
    wait_for("the gauge", || {
        (edge.envoy.metric("crossfade_guard_tripped", &[]) == 1).then_some(())
    });
    wait_for("the decisions of the guard", || {
        let labels = [("version", "v1"), ("reason", "guard")];
        (edge.envoy.metric("crossfade_decisions", &labels) == 1).then_some(())
    });
    let said = "guard tripped: 7 of 13 requests of v2 failed";
    assert!(edge.envoy.log().contains(said), "{}", edge.envoy.log());
    edge.publish(2, &guarded(99));
    assert_eq!(workers.each_mut().map(served_by), ["v2", "v2"]);
    wait_for("the gauge", || {
        (edge.envoy.metric("crossfade_guard_tripped", &[]) == 0).then_some(())
    });
}

#[test]
fn outcomes_are_exact_in_the_reports_and_in_the_metrics() {
    let edge = Edge::live("outcomes", &canary(50));
    let key_of_v1 = "user-0";
    assert_eq!(bucket(key_of_v1) / 5000, 1);
    let mut workers = edge.workers();
    let mut right = [Tally::default(), Tally::default()];
    let mut classes = BTreeMap::<(String, char), u64>::new();
    for n in 0..2000_u32 {
        let status = ["200", "200", "204", "301", "404", "500", "503", "599"][n as usize % 8];
        let key = format!("user-{n}");
        let request = client::get([("x-user-id", key.as_str()), ("x-answer-status", status)]);
        let response = workers[n as usize / 3 % 2].ask(&request).unwrap();
        assert_eq!(response.status.to_string(), status);
        let tally = &mut right[usize::from(response.version() == "v2")];
        tally.routed += 1;
        tally.requests += 1;
        tally.failures += u64::from(response.status >= 500);
        let class = status.chars().next().unwrap();
        *classes.entry((response.version().to_owned(), class)).or_default() += 1;
    }
    // What Envoy answers in the upstream's place is a failure of the version: 503 when it
    // broke off, 504 when it took too long.
    for (header, status) in [("x-answer-break", 503), ("x-answer-hold", 504)] {
        let timeout = ("x-envoy-upstream-rq-timeout-ms", "200");
        let response = edge.ask(&[("x-user-id", key_of_v1), (header, "1"), timeout]);
        assert_eq!(response.status, status);
        right[0].routed += 1;
        right[0].requests += 1;
        right[0].failures += 1;
        *classes.entry(("v1".to_owned(), '5')).or_default() += 1;
    }
    // A client that goes away says nothing of the version.
    let held = client::get([("x-user-id", key_of_v1), ("x-answer-hold", "1")]);
    let mut leaver = Connection::open(edge.envoy.address("edge")).unwrap();
    leaver.send(&held).unwrap();
    wait_for("it to be in flight", || (edge.upstream.held() > 0).then_some(()));
    drop(leaver);
    right[0].routed += 1;
    wait_for("it to be counted", || {
        let labels = [("version", "v1"), ("class", "none")];
        (edge.envoy.metric("crossfade_outcomes", &labels) == 1).then_some(())
    });

    let counted = |tallies: &[Tally]| {
        tallies.iter().map(|t| (t.routed, t.requests, t.failures)).collect::<Vec<_>>()
    };
    let right = counted(&right);
    let reported = || counted(&edge.control.sum(&VERSIONS));
    wait_for(&format!("reports of {right:?}"), || (reported() == right).then_some(()));
    for tally in edge.control.sum(&VERSIONS) {
        let with_latency: u64 = tally.latency.counts().iter().sum();
        assert_eq!(with_latency, tally.requests, "each outcome has a latency");
    }
    assert_eq!(edge.control.sources(), 2, "each worker reports for itself");
    assert_eq!(edge.control.wrong(), Vec::<String>::new());
    for ((version, class), count) in classes {
        let class = format!("{class}xx");
        let labels = [("version", version.as_str()), ("class", class.as_str())];
        assert_eq!(edge.envoy.metric("crossfade_outcomes", &labels), count, "{labels:?}");
    }
    for (version, (routed, ..)) in VERSIONS.iter().zip(&right) {
        let labels = [("version", *version), ("reason", "canary")];
        assert_eq!(edge.envoy.metric("crossfade_decisions", &labels), *routed, "{version}");
    }
    // The newest of each source counts, however often it comes.
    let reports = edge.control.reports();
    fail(&edge, 1, &[]);
    wait_for("another report", || (edge.control.reports() > reports).then_some(()));
    assert_eq!(edge.control.sources(), 2);
}

#[test]
fn reports_that_nobody_took_are_made_good_by_the_next() {
    let edge = Edge::live("reports", &canary(100));
    edge.control.be(Mood::Down);
    fail(&edge, 20, &[("x-answer-status", "500")]);
    wait_for("polls to fail", || (edge.errors("unreachable") > 1).then_some(()));
    edge.control.be(Mood::Well);
    wait_for("all to be reported", || {
        let sum = edge.control.sum(&VERSIONS);
        (sum[1].requests == 20 && sum[1].failures == 20).then_some(())
    });
}

#[test]
fn an_inline_policy_serves_from_the_first_request_and_the_live_one_replaces_it() {
    let inline = json!({ "policy": canary(0), "revision": 5 });
    let control_is_older = Edge::start("inline", 4, &canary(100), &inline);
    let edge = &control_is_older;
    assert_eq!(edge.ask(&[("x-user-id", "user123")]).version(), "v1");
    wait_for("the older one to be refused", || (edge.errors("invalid") > 0).then_some(()));
    assert_eq!(edge.ask(&[("x-user-id", "user123")]).version(), "v1");
    edge.publish(6, &canary(100));
    assert_eq!(edge.ask(&[("x-user-id", "user123")]).version(), "v2");
}

#[test]
fn a_policy_of_10_000_pins_is_taken_live_and_decides() {
    let mut plan = canary(0);
    let pins = (0..10_000).map(|n| (format!("partner-{n}@example.com"), json!("v2")));
    plan["pins"] = Value::Object(pins.collect());
    let edge = Edge::live("pins", &plan);
    let key = |n: u32| format!("partner-{n}@example.com");
    let requests: Vec<_> = (0..10_100).map(|n| client::get([("x-user-id", key(n))])).collect();
    let start = Instant::now();
    let responses = client::ask_all(edge.envoy.address("edge"), &requests, 4).unwrap();
    for (n, response) in responses.iter().enumerate() {
        let right = if n < 10_000 { ("v2", "pin") } else { ("v1", "canary") };
        assert_eq!((response.version(), response.header("x-crossfade-reason")), right, "{n}");
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}
