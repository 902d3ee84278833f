//! Edges that come all at once, late, or with numbers that cannot be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use support::serve::{Server, totals};

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout: { steps: [ { percentage: 10, duration_minutes: 60 } ] }
";

fn started(directory: &Path) -> (Server, PathBuf) {
    let file = directory.join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let data = directory.join("data");
    (Server::start(&data, Some(&file), &[]), data)
}

/// Requests and failures of both versions, as all nodes together counted them.
fn outcomes(server: &Server) -> Value {
    server.get("/v1/status").body["migration"]["outcomes"].clone()
}

/// Requests of the canary that the gate has seen in this step.
fn evidence(server: &Server) -> u64 {
    let rollout = server.get("/v1/rollout").body;
    rollout["evidence"]["failures"]["step"]["canary_requests"].as_u64().unwrap()
}

#[test]
fn a_thousand_edges_that_come_back_at_once_are_all_counted_once() {
    const EDGES: usize = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let (server, data) = started(directory.path());
    let together = Barrier::new(EDGES);
    thread::scope(|scope| {
        for edge in 0..EDGES {
            // Each has a connection of its own, as an edge does.
            let (caller, together) = (server.caller(), &together);
            scope.spawn(move || {
                let line = totals(&format!("edge-{edge}"), 1, 10, 1).to_string();
                together.wait();
                assert_eq!(caller.get("/v1/policy").unwrap().status, 200);
                // An edge that got no answer sends the same again.
                for _ in 0..2 {
                    let said = caller.post("/v1/totals", &line).unwrap();
                    assert_eq!(said.status, 200, "edge {edge}: {said:?}");
                }
            });
        }
    });
    let all = json!({ "requests": 10 * EDGES, "failures": EDGES });
    assert_eq!(outcomes(&server), json!({ "v1": all, "v2": all }));
    assert_eq!(server.get("/v1/status").body["nodes"]["reporting"], EDGES);
    server.kill();
    let server = Server::start(&data, None, &[]);
    assert_eq!(outcomes(&server), json!({ "v1": all, "v2": all }));
    server.end();
}

#[test]
fn what_an_edge_counted_before_it_was_known_is_no_evidence_for_this_step() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = started(directory.path());
    let revision = server.get("/v1/policy").body["revision"].clone();
    let report = |sequence: u64, requests: u64| {
        let mut line = totals("sleepy", sequence, requests, 0);
        line["revision"] = revision.clone();
        assert_eq!(server.post("/v1/totals", &line).status, 200);
    };
    // A day's counts in its first report: counted, but not judged.
    report(1, 5_000_000);
    assert_eq!(outcomes(&server)["v2"]["requests"], 5_000_000);
    assert_eq!(evidence(&server), 0);
    report(2, 5_000_300);
    assert_eq!(evidence(&server), 300, "from then on its growth is");
    server.end();
}

#[test]
fn counts_that_cannot_be_are_refused_or_harmless_and_it_serves_on() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = started(directory.path());
    let post = |line: &Value| server.post("/v1/totals", line);
    assert_eq!(post(&totals("edge", 5, 100, 1)).status, 200);
    // Overtaken by a later one.
    assert_eq!(post(&totals("edge", 4, 80, 1)).status, 200);
    assert_eq!(outcomes(&server)["v1"]["requests"], 100);
    // Fewer than before in a later report: the newest counts, and nothing is negative.
    assert_eq!(post(&totals("edge", 6, 60, 1)).status, 200);
    assert_eq!(outcomes(&server)["v1"]["requests"], 60);
    // Of a policy that is yet to come.
    let mut ahead = totals("edge", 7, 110, 1);
    ahead["revision"] = json!(1_000_000);
    assert_eq!(post(&ahead).status, 200);
    assert_eq!(outcomes(&server)["v1"]["requests"], 110);
    assert_eq!(server.get("/v1/status").body["nodes"]["behind"], 0);
    // Of a version that nobody knows.
    let mut unknown = totals("edge", 8, 120, 1);
    unknown["versions"][0]["version"] = json!("v7");
    let said = post(&unknown);
    assert_eq!(said.status, 400);
    assert!(said.body["text"].as_str().unwrap().contains("unknown version `v7`"), "{said:?}");
    // More failures than requests; a node without a name.
    for (field, value) in [("node", json!("")), ("versions", json!("none")), ("epoch", json!("x"))]
    {
        let mut wrong = totals("edge", 9, 130, 1);
        wrong[field] = value;
        assert_eq!(post(&wrong).status, 400, "{field}");
    }
    assert_eq!(outcomes(&server)["v1"]["requests"], 110);
    assert_eq!(server.get("/readyz").status, 200);
    server.end();
}
