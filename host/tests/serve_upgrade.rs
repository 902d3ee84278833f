//! A data directory of an earlier format goes on where it was; one of a later is left alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::json;
use support::process::{crossfade, run, stderr};
use support::serve::Server;

/// What the commit 858bd9c wrote, the last before reports of clients, whose engine had
/// snapshots of version 2: two steps of a rollout, 10,000 outcomes, promoted and paused.
const BEFORE: &[u8] = include_bytes!("upgrade/snapshot-2.db.gz");

/// A data directory as the earlier program left it.
fn data(directory: &Path) -> PathBuf {
    let data = directory.join("data");
    fs::create_dir(&data).unwrap();
    let mut file = fs::File::create(data.join("crossfade.db")).unwrap();
    std::io::copy(&mut GzDecoder::new(BEFORE), &mut file).unwrap();
    data
}

#[test]
fn a_migration_goes_on_through_an_upgrade() {
    let directory = tempfile::tempdir().unwrap();
    let data = data(directory.path());
    let checked = run(crossfade(&["data", "check", data.to_str().unwrap()]), b"");
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));

    let server = Server::start(&data, None, &[]);
    let rollout = server.get("/v1/rollout").body;
    assert_eq!((&rollout["phase"], &rollout["step"]), (&json!("paused"), &json!(2)), "{rollout}");
    let window = &rollout["evidence"]["failures"]["window"];
    assert_eq!(window["canary_requests"], 1000, "the evidence is there: {rollout}");
    assert_eq!(window["control_failures"], 80);
    let policy = server.get("/v1/policy").body;
    assert_eq!(
        (&policy["revision"], &policy["document"]["pins"]["partner-7"]),
        (&json!(3), &json!("v1"))
    );
    let audit = server.get("/v1/audit").body["audit"].clone();
    let paused = audit.as_array().unwrap().iter().find(|row| row["what"] == "pause").unwrap();
    assert_eq!(paused["why"], "database maintenance");
    // And it is no museum: it takes part again, and what it writes it reads.
    let resumed = server.post("/v1/rollout/resume", &json!({ "reason": "upgraded" }));
    assert_eq!(resumed.status, 200, "{resumed:?}");
    server.end();
    let server = Server::start(&data, None, &[]);
    assert_eq!(server.get("/v1/rollout").body["phase"], "progressing");
    server.end();
}

#[test]
fn a_later_format_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let data = data(directory.path());
    let file = data.join("crossfade.db");
    let mut bytes = fs::read(&file).unwrap();
    // The header's field for `user_version`.
    bytes[60..64].copy_from_slice(&2u32.to_be_bytes());
    fs::write(&file, &bytes).unwrap();
    let output = run(crossfade(&["serve", "--data", data.to_str().unwrap()]), b"");
    assert_eq!(output.status.code(), Some(65));
    let said = stderr(&output);
    assert!(said.contains("has format 2, this program knows 1: run the newer one"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}
