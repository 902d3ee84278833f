//! `examples/plugin`, built, loaded, and asked: what docs/plugin.md says of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::example_plugin;
use support::process::{crossfade, run, stderr};
use support::serve::{PLAN, Server};

/// Versions that two users of each of these tenants get, with half of all keys on v2.
fn versions(more: &[&str]) -> Vec<[String; 2]> {
    let tenants = ["acme", "umbrella", "initech", "hooli"];
    let users = tenants.iter().flat_map(|tenant| ["alice", "bob"].map(|user| (tenant, user)));
    let ask = |(tenant, user): (&&str, &str)| {
        let key = format!("{tenant}/{user}");
        json!({ "type": "get_users", "user_id": key, "canary_percentage": 50 }).to_string() + "\n"
    };
    let lines: String = users.map(ask).collect();
    let output = run(crossfade(&[&["node"], more].concat()), lines.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let replies = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let versions: Vec<_> =
        replies.map(|reply| reply["version"].as_str().unwrap().to_owned()).collect();
    versions.chunks_exact(2).map(|two| [two[0].clone(), two[1].clone()]).collect()
}

#[test]
fn users_of_a_tenant_stay_together_with_it_and_not_without() {
    let module = example_plugin();
    let together = |pairs: &[[String; 2]]| pairs.iter().all(|[one, other]| one == other);
    let with = versions(&["--module", module.to_str().unwrap()]);
    assert!(together(&with), "{with:?}");
    assert!(with.iter().any(|pair| pair[0] == "v1") && with.iter().any(|pair| pair[0] == "v2"));
    assert!(!together(&versions(&[])), "the rule is the module's");
}

#[test]
fn a_control_plane_takes_it_and_decides_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.yaml");
    fs::write(&file, PLAN.replace("canary_percentage: 10", "canary_percentage: 50")).unwrap();
    let server = Server::start(&directory.path().join("data"), Some(&file), &[]);
    let wasm = fs::read(example_plugin()).unwrap();
    let said = server.caller().post_bytes("/v1/module?reason=tenants", &wasm).unwrap();
    assert_eq!((said.status, &said.body["on_trial"]), (200, &json!(true)), "{said:?}");
    let version = |key: &str| {
        let flag = json!({ "context": { "targetingKey": key } });
        let said = server.post("/ofrep/v1/evaluate/flags/users", &flag);
        assert_eq!(said.status, 200, "{said:?}");
        said.body["value"].clone()
    };
    for tenant in ["acme", "umbrella"] {
        let [alice, bob] = ["alice", "bob"].map(|user| version(&format!("{tenant}/{user}")));
        assert_eq!(alice, bob, "{tenant}");
    }
    assert_eq!((version("acme/x"), version("umbrella/x")), (json!("v2"), json!("v1")));
    server.end();
}
