//! What operators do with a data directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};
use support::serve::{Server, totals};

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout: { steps: [ { percentage: 10, duration_minutes: 60 } ] }
";

/// A migration with some history, whose server was killed.
fn migration(directory: &Path) -> std::path::PathBuf {
    let file = directory.join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let data = directory.join("data");
    let server = Server::start(&data, Some(&file), &[]);
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 7, 0)).status, 200);
    assert_eq!(server.post("/v1/rollout/pause", &json!({ "reason": "lunch" })).status, 200);
    server.kill();
    data
}

fn data(what: &str, directory: &Path, input: &[u8]) -> (Option<i32>, String, String) {
    let output = run(crossfade(&["data", what, directory.to_str().unwrap()]), input);
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), stdout, stderr(&output))
}

fn audit(server: &Server) -> Value {
    let mut rows = server.get("/v1/audit").body["audit"].clone();
    rows.as_array_mut().unwrap().retain(|row| row["what"] != "resumed");
    rows
}

#[test]
fn what_is_exported_and_imported_goes_on_as_the_original_does() {
    let directory = tempfile::tempdir().unwrap();
    let original = migration(directory.path());
    let (code, said, error) = data("check", &original, b"");
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("is sound") && said.contains("paused in step 1 of 1 at 10 %"), "{said}");

    let (code, exported, error) = data("export", &original, b"");
    assert_eq!(code, Some(0), "{error}");
    let copy = directory.path().join("copy");
    let (code, _, error) = data("import", &copy, exported.as_bytes());
    assert_eq!(code, Some(0), "{error}");
    let (_, again, _) = data("export", &copy, b"");
    assert_eq!(again, exported, "nothing is lost on the way");

    let (first, second) = (Server::start(&original, None, &[]), Server::start(&copy, None, &[]));
    assert_eq!(audit(&first), audit(&second));
    for server in [first, second] {
        assert_eq!(server.get("/v1/rollout").body["phase"], "paused");
        let stats = server.get("/v1/status").body["migration"].clone();
        assert_eq!(stats["outcomes"]["v2"]["requests"], 7);
        server.end();
    }
}

#[test]
fn a_copy_of_the_files_is_a_backup_and_a_running_server_can_be_checked() {
    let directory = tempfile::tempdir().unwrap();
    let original = migration(directory.path());
    let backup = directory.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    let server = Server::start(&original, None, &[]);
    let (code, _, error) = data("check", &original, b"");
    assert_eq!(code, Some(0), "while it runs: {error}");
    server.kill();
    for file in std::fs::read_dir(&original).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), backup.join(file.file_name())).unwrap();
    }
    let (code, said, error) = data("check", &backup, b"");
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("paused"), "{said}");
    let server = Server::start(&backup, None, &[]);
    assert_eq!(server.get("/v1/rollout").body["phase"], "paused");
    server.end();
}

#[test]
fn what_cannot_be_checked_or_imported_is_named_and_nothing_is_made_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let original = migration(directory.path());
    let (_, exported, _) = data("export", &original, b"");
    let lines: Vec<&str> = exported.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let fewer = [&lines[..2], &lines[3..]].concat().join("\n");
    let newer = exported.replacen("\"format\":1", "\"format\":2", 1);
    let cases = [
        (cut.as_str(), "the end is missing: the file was cut off"),
        (&fewer, "lines were written"),
        (&newer, "format 2 is unknown: this program knows 1"),
        ("hello\n", "line 1: expected value"),
        ("", "line 1: the end is missing"),
    ];
    let fresh = directory.path().join("fresh");
    for (input, message) in cases {
        let (code, _, error) = data("import", &fresh, input.as_bytes());
        assert!(code == Some(65) && error.contains(message), "{code:?} {error}");
        assert!(!fresh.exists(), "{message}");
    }
    let (code, _, error) = data("import", &original, exported.as_bytes());
    assert!(code == Some(65) && error.contains("holds a migration already"), "{error}");
    for what in ["check", "export"] {
        let (code, _, error) = data(what, &fresh, b"");
        assert!(code == Some(74) && error.contains("nothing has been stored here"), "{error}");
    }
}

/// Every file in the directory that holds these bytes.
fn files_with(directory: &Path, bytes: &[u8]) -> usize {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let holds = |path: &std::path::PathBuf| {
        let content = std::fs::read(path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    };
    files.filter(holds).count()
}

#[test]
fn under_hashed_privacy_nobodys_name_is_on_the_disk() {
    for (privacy, kept) in [("plain", true), ("hashed", false)] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plan.yaml");
        std::fs::write(&file, format!("{PLAN}privacy: {privacy}\n")).unwrap();
        let data = directory.path().join("data");
        let server = Server::start(&data, Some(&file), &["--log-level", "trace"]);
        let body =
            json!({ "outcomes": [{ "version": "v2", "ok": false, "user_id": "ann-of-york" }] });
        assert_eq!(server.post("/v1/outcomes", &body).status, 200);
        let stats = server.get("/v1/status").body["migration"].clone();
        assert_eq!(stats["outcomes"]["v2"]["failures"], 1);
        server.kill();
        assert_eq!(files_with(&data, b"ann-of-york") > 0, kept, "{privacy}: calls");
        // An orderly end writes a checkpoint.
        assert_eq!(Server::start(&data, None, &[]).end().code(), Some(143));
        if !kept {
            assert_eq!(files_with(&data, b"ann-of-york"), 0, "{privacy}: a checkpoint");
        }
    }
}
