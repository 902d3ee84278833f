//! A new configuration and a new build of the filter in an Envoy that serves: the right
//! ones take over, the wrong ones are refused, and no request notices.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::cell::Cell;
use std::fs;
use std::path::Path;

use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{folder, wait_for};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// The listener with this share and this build of the filter.
fn listener(percent: u32, module: &Path) -> Value {
    let plugin = json!({ "policy": { "api": "a", "versions": VERSIONS,
        "key": { "header": "x-user-id" }, "canary_percentage": percent } });
    let mut listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
    let filter = "/filter_chains/0/filters/0/typed_config/http_filters/0";
    let file = format!("{filter}/typed_config/config/vm_config/code/local/filename");
    *listener.pointer_mut(&file).unwrap() = json!(module);
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    listener
}

#[test]
fn a_right_update_takes_over_and_a_wrong_one_leaves_the_filter_that_was() {
    let files = folder("update_files");
    let listeners = files.join("listeners.json");
    let publish = |listener: &Value| {
        let beside = files.join("listeners.new");
        fs::write(&beside, json!({ "resources": [listener] }).to_string()).unwrap();
        fs::rename(beside, &listeners).unwrap();
    };
    let shipped = fs::read(Module::Shipped.path()).unwrap();
    let build = |name: &str, bytes: &[u8]| {
        let path = files.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let first = build("first.wasm", &shipped);
    // A build is another one by its bytes: an empty custom section says nothing.
    let second = build("second.wasm", &[&shipped[..], &[0, 2, 1, b'x']].concat());
    let broken = build("broken.wasm", &shipped[..shipped.len() / 2]);

    publish(&listener(0, &first));
    let upstream = Upstream::start(&VERSIONS);
    let mut bootstrap = config::bootstrap(Vec::new(), config::clusters(&upstream));
    let source = json!({ "path_config_source": { "path": listeners } });
    bootstrap["dynamic_resources"] = json!({ "lds_config": source });
    let envoy = Envoy::start("update", 2, &bootstrap);
    let envoy = envoy.watched();
    let address = envoy.address("edge");

    let asked = Cell::new(0);
    let version = || {
        asked.set(asked.get() + 1);
        let request = client::get([("x-user-id", "user123")]);
        let response = Connection::open(address).unwrap().ask(&request).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        response.version().to_owned()
    };
    let rejected = || envoy.metric("envoy_listener_manager_lds_update_rejected", &[]);
    assert_eq!(version(), "v1");

    publish(&listener(101, &first));
    wait_for("a wrong policy to be refused", || {
        assert_eq!(version(), "v1");
        (rejected() == 1).then_some(())
    });
    assert!(envoy.log().contains("policy.canary_percentage: 101"), "it says why");
    publish(&listener(100, &broken));
    wait_for("a broken build to be refused", || {
        assert_eq!(version(), "v1");
        (rejected() == 2).then_some(())
    });
    // The right policy in a new build.
    publish(&listener(100, &second));
    wait_for("the new build", || (version() == "v2").then_some(()));
    assert_eq!(rejected(), 2);
    // What the old one has counted is still there.
    wait_for("all to be counted", || {
        (envoy.metric("crossfade_decisions", &[]) == asked.get()).then_some(())
    });
}
