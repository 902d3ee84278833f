//! Engines that are exchanged while the control plane serves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::Path;

use crossfade::module::BUILTIN_WASM;
use serde_json::{Value, json};
use support::guest;
use support::serve::{PLAN, Said, Server, totals};

fn started(directory: &Path) -> Server {
    let file = directory.join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    Server::start(&directory.join("data"), Some(&file), &[])
}

fn bring(server: &Server, wasm: &[u8]) -> Said {
    server.caller().post_bytes("/v1/module?reason=try", wasm).unwrap()
}

fn requests(server: &Server) -> Value {
    server.get("/v1/status").body["migration"]["outcomes"]["v1"]["requests"].clone()
}

#[test]
fn an_engine_that_fails_on_trial_makes_room_for_the_one_before_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path());
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 40, 0)).status, 200);
    let falters = std::fs::read(guest("guest_falters")).unwrap();
    let said = bring(&server, &falters);
    assert_eq!((said.status, &said.body["on_trial"]), (200, &json!(true)), "{said:?}");
    assert_eq!(requests(&server), 40, "the state was carried over");
    assert_eq!(server.post("/v1/totals", &totals("edge", 2, 50, 0)).status, 200);

    let poison = json!({ "outcomes": [{ "version": "v1", "ok": true, "user_id": "poison" }] });
    assert_eq!(server.post("/v1/outcomes", &poison).status, 200, "the old engine served it");
    server.logged("takes over again");
    let flag = json!({ "context": { "targetingKey": "user123" } });
    let said = server.post("/ofrep/v1/evaluate/flags/users", &flag);
    assert_eq!((said.status, &said.body["value"]), (200, &json!("v1")), "{said:?}");
    let engine = server.get("/v1/status").body["engine"].clone();
    assert_eq!((&engine["module"], &engine["on_trial"]), (&json!("built-in"), &json!(false)));
    assert_eq!(engine["calls_lost"], 0);
    assert_eq!(requests(&server), 51);
    let audit = server.get("/v1/audit").body["audit"].clone();
    let what: Vec<&str> =
        audit.as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["created", "module", "module_failed"], "{audit}");
    assert!(audit[2]["why"].as_str().unwrap().contains("I looked fit"), "{audit}");
    server.kill();

    let server = Server::start(&directory.path().join("data"), None, &[]);
    assert_eq!(requests(&server), 51);
    server.end();
}

#[test]
fn a_state_that_nobody_can_read_back_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let data = directory.path().join("data");
    let module = guest("guest_scribbles");
    let server = Server::start(&data, Some(&file), &["--module", module.to_str().unwrap()]);
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 40, 0)).status, 200);
    let poison = json!({ "outcomes": [{ "version": "v1", "ok": true, "user_id": "poison" }] });
    assert_eq!(server.post("/v1/outcomes", &poison).status, 200);
    let said = server.caller().delete("/v1/clients/ann?reason=asked").unwrap();
    assert_eq!(said.status, 503, "the calls may name it: {said:?}");
    server.logged("cannot be read back");
    assert_eq!(requests(&server), 41, "it serves on");
    assert_eq!(server.post("/v1/totals", &totals("edge", 2, 50, 0)).status, 200);
    let mut metrics = ureq::get(format!("{}/metrics", server.url)).call().unwrap();
    let metrics = metrics.body_mut().read_to_string().unwrap();
    assert!(metrics.contains("crossfade_store_checkpoints_unreadable_total 1"), "{metrics}");
    assert_eq!(server.end().code(), Some(143));
    let server = Server::start(&data, None, &[]);
    assert_eq!(requests(&server), 51, "the checkpoint before and every call since are there");
    server.end();
}

#[test]
fn what_is_no_engine_or_fails_its_vectors_is_refused_and_the_old_one_serves_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path());
    let read = |name: &str| std::fs::read(guest(name)).unwrap();
    let boasts = read("guest_boasts");
    let cases: [(&str, &[u8], &str); 5] = [
        ("text", b"hello", "is not a WebAssembly module"),
        ("cut", &BUILTIN_WASM[..BUILTIN_WASM.len() / 2], "is truncated, damaged"),
        ("without vectors", &read("guest_panics"), "carries no vectors"),
        ("wrong vectors", &boasts, "it fails its own vectors"),
        ("another ABI", &wat::parse_str(ABI_9).unwrap(), "speaks ABI 9"),
    ];
    for (name, wasm, message) in cases {
        let said = bring(&server, wasm);
        let detail = said.body["detail"].as_str().unwrap_or_default();
        assert!(said.status == 422 && detail.contains(message), "{name}: {said:?}");
    }
    assert_eq!(server.get("/v1/status").body["engine"]["module"], "built-in");
    server.end();
}

const ABI_9: &str = r#"(module (memory (export "memory") 1)
    (func (export "crossfade_abi_version") (result i32) i32.const 9))"#;
