//! A control plane from its first start to its end, as an operator meets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::{Running, crossfade, run, stderr};
use support::serve::{PLAN, Server, totals, wait_for};

const ROLLOUT: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 60 }
    - { percentage: 50, duration_minutes: 60 }
";

fn file(directory: &Path, plan: &str) -> PathBuf {
    let file = directory.join("plan.yaml");
    std::fs::write(&file, plan).unwrap();
    file
}

fn audit(server: &Server) -> Vec<(String, String)> {
    let rows = server.get("/v1/audit").body["audit"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(&row["who"]), text(&row["what"]))).collect()
}

#[test]
fn a_migration_begins_goes_on_after_a_stop_and_remembers_who_did_what() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), ROLLOUT)), &[]);
    let status = server.get("/v1/status").body;
    assert_eq!(status["rollout"]["phase"], "progressing");
    assert_eq!(status["rollout"]["percentage"], 10);
    assert_eq!(status["plan"].as_array().unwrap().len(), 2);
    let said = server.post("/v1/rollout/promote", &json!({ "reason": "seen enough" }));
    assert_eq!((said.status, &said.body["step"]), (200, &json!(2)), "{said:?}");
    assert_eq!(server.get("/v1/policy").body["document"]["canary_percentage"], 50);
    let said = server.post("/v1/rollout/pause", &json!({ "reason": "lunch" }));
    assert_eq!(said.status, 200);
    assert_eq!(server.end().code(), Some(143));

    let server = Server::start(&data, None, &[]);
    let rollout = server.get("/v1/rollout").body;
    assert_eq!((&rollout["phase"], &rollout["step"]), (&json!("paused"), &json!(2)));
    assert!(rollout.get("in_reply_to").is_none(), "nobody asked with an id: {rollout}");
    let rows = audit(&server);
    let rows: Vec<(&str, &str)> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        rows,
        [
            ("crossfade", "created"),
            ("crossfade", "start"),
            ("crossfade", "step_started"),
            ("operator", "promote"),
            ("crossfade", "step_started"),
            ("operator", "pause"),
            ("crossfade", "resumed"),
        ]
    );
    let said = server.get("/v1/rollout/explanation").body;
    assert!(said["sentences"].to_string().contains("Promoted to the next step"), "{said}");
    assert_eq!(server.end().code(), Some(143));
}

#[test]
fn ctrl_c_ends_it_with_everything_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), PLAN)), &[]);
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 7, 0)).status, 200);
    server.signal(Signal::INT);
    server.logged("what is in hand is kept first");
    assert_eq!(server.end().code(), Some(130));
    let again = crossfade(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let running = Running::start(again);
    running.logged("one checkpoint and 0 commits replayed");
    let server = Server::listening(running, &data);
    let stats = server.get("/v1/status").body["migration"].clone();
    assert_eq!(stats["outcomes"]["v2"]["requests"], 7);
    server.end();
}

#[test]
fn a_second_server_on_the_same_data_is_told_so_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), PLAN)), &[]);
    let data_text = data.display().to_string();
    let second = crossfade(&["serve", "--data", &data_text, "--listen", "127.0.0.1:0"]);
    let output = run(second, b"");
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("in use by another process: one `crossfade serve` at a time"), "{said}");
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 7, 0)).status, 200);
    server.end();
}

#[test]
fn what_cannot_be_served_is_said_at_the_start_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty").display().to_string();
    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("crossfade.db"), "somebody's letters").unwrap();
    let foreign = foreign.display().to_string();
    let wrong = directory.path().join("wrong.yaml");
    std::fs::write(&wrong, "api: users\nversions: [v1]\nkey: { header: a }\n").unwrap();
    let wrong = wrong.display().to_string();
    let plan = file(directory.path(), PLAN).display().to_string();
    let tokens = directory.path().join("tokens").display().to_string();
    std::fs::write(&tokens, "alice boss 0123456789abcdef\n").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--data", &empty], 64, "holds no migration yet: name the plan to begin with"),
        (&["--data", &foreign, &plan], 65, "is no SQLite file; nothing was changed in it"),
        (&["--data", &empty, &wrong], 65, "wrong.yaml:2:1: versions: fewer than two"),
        (&["--data", &empty, "--listen", "0.0.0.0:0", &plan], 64, "name who may do what"),
        (&["--data", &empty, "--tokens", &tokens, &plan], 65, "line 1: unknown role `boss`"),
        (&["--data", &empty, "missing.yaml"], 74, "missing.yaml"),
    ];
    for (arguments, code, message) in cases {
        let mut command = crossfade(&["serve"]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        let output = run(command, b"");
        let said = stderr(&output);
        assert!(output.status.code() == Some(code) && said.contains(message), "{said}");
    }
    let letters = std::fs::read(Path::new(&foreign).join("crossfade.db")).unwrap();
    assert_eq!(letters, b"somebody's letters");
}

#[test]
fn a_policy_is_replaced_only_by_who_has_seen_the_one_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), PLAN)), &[]);
    let caller = server.caller();
    let policy = server.get("/v1/policy");
    let tag = policy.etag.clone().unwrap();
    let mut document = policy.body["document"].clone();
    document["pins"] = json!({ "qa-1": "v2" });
    let body = json!({ "document": document, "reason": "a tester" });
    let said = caller.put("/v1/policy", &tag, &body).unwrap();
    assert_eq!(said.status, 200, "{said:?}");
    assert_eq!(said.body["revision"].as_u64(), policy.body["revision"].as_u64().map(|r| r + 1));
    let late = caller.put("/v1/policy", &tag, &body).unwrap();
    assert_eq!(late.status, 412, "{late:?}");
    let mut wrong = body.clone();
    wrong["document"]["canary_percentage"] = json!(101);
    wrong["document"]["pinz"] = json!({});
    let said = caller.put("/v1/policy", &said.etag.unwrap(), &wrong).unwrap();
    assert_eq!(said.status, 422);
    assert_eq!(said.body["problems"].as_array().unwrap().len(), 2, "{said:?}");
    let history = server.get("/v1/policies").body["policies"].clone();
    let seen = (&history[0]["who"], &history[0]["why"]);
    assert_eq!(seen, (&json!("operator"), &json!("a tester")), "{history}");
    server.end();
}

#[test]
fn a_poll_is_held_until_another_policy_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), ROLLOUT)), &[]);
    let caller = server.caller();
    let before = server.get("/v1/policy");
    let tag = before.etag.clone().unwrap();
    let held = std::thread::spawn(move || caller.poll("/v1/policy?wait=30", &tag).unwrap());
    // The poll has arrived when the server has a second connection open; a change that
    // comes first is answered at once, and is as right.
    assert_eq!(server.post("/v1/rollout/promote", &json!({})).status, 200);
    let said = held.join().unwrap();
    assert_eq!(said.status, 200);
    assert!(said.body["revision"].as_u64() > before.body["revision"].as_u64(), "{said:?}");
    let same = server.caller().poll("/v1/policy?wait=1", &said.etag.unwrap()).unwrap();
    assert_eq!(same.status, 304);
    server.end();
}

#[test]
fn a_regression_is_taken_back_by_what_edges_report() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&file(directory.path(), ROLLOUT)), &[]);
    let report = |sequence: u64, failures: u64| {
        let mut line = totals("edge", sequence, sequence * 2_000, 0);
        line["revision"] = server.get("/v1/policy").body["revision"].clone();
        line["versions"][1]["failures"] = json!(failures);
        server.post("/v1/totals", &line)
    };
    assert_eq!(report(1, 0).status, 200);
    let mut sequence = 1;
    wait_for("v2 is taken back", || {
        sequence += 1;
        assert_eq!(report(sequence, sequence * 300).status, 200);
        let rollout = server.get("/v1/rollout").body;
        (rollout["phase"] == "rolled_back").then_some(())
    });
    let policy = server.get("/v1/policy").body;
    assert_eq!(policy["document"]["canary_percentage"], 0);
    let rows = audit(&server);
    assert!(rows.contains(&("crossfade".into(), "rolled_back".into())), "{rows:?}");
    server.kill();
    let server = Server::start(&data, None, &[]);
    assert_eq!(server.get("/v1/rollout").body["phase"], "rolled_back");
    assert_eq!(server.get("/v1/policy").body["document"]["canary_percentage"], 0);
    server.end();
}
