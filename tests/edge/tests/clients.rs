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
use crossfade_protocol::clients::Identity;
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
