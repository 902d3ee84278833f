//! `edge/envoy/envoy.yaml` as it is, and configurations that are refused.

use std::fs;
use std::net::Ipv4Addr;

use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::{self, Envoy};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{folder, root, wait_for};
use serde_json::{Value, json};

#[test]
fn the_configuration_that_we_ship_is_valid() {
    let _ = Module::Shipped.path();
    envoy::validate(&root().join("edge/envoy/envoy.yaml")).unwrap();
}

#[test]
fn the_configuration_that_we_ship_decides_marks_and_counts() {
    // Its ports are fixed, so its address becomes one that only this process uses.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 100, high, low.clamp(1, 254));
    let text = fs::read_to_string(root().join("edge/envoy/envoy.yaml")).unwrap();
    let text = text.replace("127.0.0.1", &address.to_string());
    // And it names the module beside it.
    let folder = folder("shipped_file");
    std::os::unix::fs::symlink(Module::Shipped.path(), folder.join("crossfade_envoy.wasm"))
        .unwrap();
    fs::write(folder.join("envoy.yaml"), text).unwrap();
    let envoy = Envoy::start_file("shipped", 1, &folder.join("envoy.yaml"));
    let envoy = envoy.watched();
    let ask = |headers: &[(&str, &str)]| -> Response {
        let request = client::get(headers.iter().copied());
        Connection::open((address, 10_000).into()).unwrap().ask(&request).unwrap()
    };
    // `user3` is in the canary of 10 %, `user123` is not.
    let new = ask(&[("x-user-id", "user3")]);
    assert_eq!((new.status, &new.body[..]), (200, &b"v2\n"[..]));
    assert_eq!(new.header("deprecation"), "");
    let old = ask(&[("x-user-id", "user123"), ("x-api-version", "v2")]);
    assert_eq!((old.status, &old.body[..]), (200, &b"v1\n"[..]), "a forged version");
    assert_eq!(old.header("deprecation"), "@1801353600");
    assert_eq!(old.header("sunset"), "Sat, 31 Jul 2027 00:00:00 GMT");
    let nobody = ask(&[]);
    assert_eq!(nobody.body, b"v1\n");

    for (name, labels, value) in [
        ("crossfade_decisions", &[("version", "v1"), ("reason", "canary")][..], 1),
        ("crossfade_decisions", &[("version", "v2"), ("reason", "canary")], 1),
        ("crossfade_decisions", &[("version", "v1"), ("reason", "no_key")], 1),
        ("crossfade_outcomes", &[("version", "v1"), ("class", "2xx")], 2),
        ("crossfade_outcomes", &[("version", "v2"), ("class", "2xx")], 1),
    ] {
        wait_for(&format!("{name} {labels:?} to be {value}"), || {
            (envoy.metric(name, labels) == value).then_some(())
        });
    }
    let metrics = envoy.admin("GET", "/stats/prometheus");
    assert!(metrics.contains("# TYPE crossfade_decisions counter\n"), "{metrics}");
    assert!(metrics.contains("# TYPE crossfade_policy_revision gauge\n"), "{metrics}");
    for gauge in ["crossfade_policy_revision{} 0\n", "crossfade_guard_tripped{} 0\n"] {
        assert!(metrics.contains(gauge), "{gauge} in {metrics}");
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_all_that_is_wrong() {
    let upstream = Upstream::start(&["v1", "v2"]);
    let refused = |name: &str, plugin: &Value| -> String {
        let listener = config::filtered("edge", Module::Shipped, &["v1", "v2"], plugin);
        let bootstrap = config::bootstrap(vec![listener], config::clusters(&upstream));
        let file = folder(name).join("envoy.json");
        fs::write(&file, bootstrap.to_string()).unwrap();
        envoy::validate(&file).unwrap_err()
    };
    let log = refused(
        "wrong",
        &json!({
            "policy": { "api": "a", "versions": ["v1"], "canary_percentage": 101 },
            "control": { "poll_ms": 0 }, "version_header": "a b", "nodes": 1,
        }),
    );
    for problem in [
        "policy.versions: fewer than two versions",
        "policy: `key` is missing",
        "policy.canary_percentage: 101 is not a percentage",
        "control: `cluster` is missing",
        "control.poll_ms: 0 is not a number of milliseconds",
        "version_header: \"a b\" is not the name of a header",
        "nodes: unknown field",
    ] {
        assert!(log.contains(&format!("configuration: {problem}")), "{problem} in {log}");
    }
    assert!(refused("empty", &json!({})).contains("`policy` or `control` is needed"));
}
