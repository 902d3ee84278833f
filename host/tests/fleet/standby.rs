//! A `crossfade serve` that stands by, as edges and operators meet it.

use std::sync::Barrier;
use std::time::Instant;

use serde_json::json;

use super::support::process::{crossfade, run, stderr};
use super::support::serve::totals;
use super::{Fleet, Servers, leads, path, until};

#[test]
fn a_standby_serves_edges_and_sends_operators_to_the_leader() {
    let fleet = Fleet::new(Servers::one());
    let first = fleet.serve("a");
    until("a leader", || leads(&first).then_some(()));
    let second = fleet.serve("b");
    let policy = first.get("/v1/policy");
    let known = || (second.get("/v1/policy").status == 200).then(|| second.get("/v1/policy"));
    let there = until("the policy at the one that stands by", known);
    assert_eq!((there.body, there.etag), (policy.body, policy.etag));
    for key in 0..50 {
        let body = json!({ "context": { "targetingKey": format!("user{key}") } });
        let ask = |server: &super::Server| server.post("/ofrep/v1/evaluate/flags/users", &body);
        let said = ask(&second);
        assert_eq!(said.status, 200, "{said:?}");
        assert_eq!(said.body, ask(&first).body);
    }

    let config = ureq::Agent::config_builder().max_redirects(0).max_redirects_will_error(false);
    let agent = config.build().new_agent();
    let asked = agent.get(format!("{}/v1/status", second.url));
    let said = asked.header("authorization", "Bearer secret-of-the-operators").call().unwrap();
    assert_eq!(said.status(), 307);
    let location = said.headers().get("location").unwrap().to_str().unwrap();
    assert_eq!(location, format!("{}/v1/status", first.url));

    let token = fleet.path("token");
    std::fs::write(&token, "secret-of-the-operators").unwrap();
    let said = |server: &str, verb: &[&str]| {
        let whom = ["--server", server, "--token-file", path(&token)];
        let output = run(crossfade(&[verb, &whom].concat()), b"");
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout
    };
    let get = ["policy", "get", "--output", "json"];
    assert_eq!(said(&second.url, &get), said(&first.url, &get));
    let status = String::from_utf8(said(&second.url, &["status"])).unwrap();
    assert!(status.contains("users"), "{status}");
    assert!(leads(&first) && !leads(&second));
}

#[test]
fn two_hundred_edges_that_report_to_a_standby_at_once_are_counted_once() {
    const EDGES: usize = 200;
    let fleet = Fleet::new(Servers::three());
    let first = fleet.serve("a");
    until("a leader", || leads(&first).then_some(()));
    let second = fleet.serve("b");
    until("who leads", || (second.get("/v1/policy").status == 200).then_some(()));
    let together = Barrier::new(EDGES + 1);
    let begun = std::thread::scope(|scope| {
        for edge in 0..EDGES {
            let (caller, together) = (second.caller(), &together);
            scope.spawn(move || {
                let line = totals(&format!("edge-{edge}"), 1, 10, 1).to_string();
                together.wait();
                // An edge that got no answer sends the same again.
                for _ in 0..2 {
                    let said = caller.post("/v1/totals", &line).unwrap();
                    assert_eq!(said.status, 200, "edge {edge}: {said:?}");
                }
            });
        }
        together.wait();
        Instant::now()
    });
    println!("{EDGES} edges reported twice to a standby in {:?}", begun.elapsed());
    assert!(!leads(&second));
    let all = json!({ "requests": 10 * EDGES, "failures": EDGES });
    let all = json!({ "v1": all, "v2": all });
    let outcomes = || first.get("/v1/status").body["migration"]["outcomes"].clone();
    until("all counts at the leader", || (outcomes() == all).then_some(()));
    assert_eq!(first.get("/v1/status").body["nodes"]["reporting"], EDGES);
}
