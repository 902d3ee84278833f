//! What `crossfade export` writes, in a real Envoy: routes that follow a plan while it is
//! edited, and a whole Envoy with the filter.

use std::fs;
use std::process::{Child, Stdio};

use crossfade_core::{Policy, Request};
use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module, Routes};
use crossfade_edge_tests::control::Control;
use crossfade_edge_tests::envoy::{self, Envoy};
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{crossfade, crossfade_says, folder, wait_for};
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

fn canary(percent: u32) -> Value {
    json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "canary_percentage": percent })
}

/// Ends a process when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn routes_follow_the_plan_while_it_is_edited_and_no_request_fails() {
    let folder = folder("watch_files");
    let (plan, routes) = (folder.join("plan.json"), folder.join("routes.yaml"));
    let edit = |document: &Value| {
        // As careful editors do it.
        let new = folder.join("plan.new");
        fs::write(&new, document.to_string()).unwrap();
        fs::rename(new, &plan).unwrap();
    };
    edit(&canary(0));
    let arguments =
        ["export", "envoy", plan.to_str().unwrap(), "--to", routes.to_str().unwrap(), "--watch"];
    let said = fs::File::create(folder.join("said")).unwrap();
    let _watching =
        Running(crossfade(&arguments).stderr(said).stdin(Stdio::null()).spawn().unwrap());
    wait_for("the routes", || routes.exists().then_some(()));

    let upstream = Upstream::start(&VERSIONS);
    let listener = config::listener("edge", &Routes::File(routes.clone()), &[], &json!({}));
    let bootstrap = config::bootstrap(vec![listener], config::clusters(&upstream));
    let envoy = Envoy::start("watch", 2, &bootstrap);
    let envoy = envoy.watched();
    let mut connection = Connection::open(envoy.address("edge")).unwrap();
    let request = client::get([("x-user-id", "user123")]);
    let mut version = || {
        let response = connection.ask(&request).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        response.version().to_owned()
    };
    assert_eq!(version(), "v1");
    // `user123` is in bucket 4497.
    for (percent, right) in [(45, "v2"), (44, "v1"), (100, "v2")] {
        edit(&canary(percent));
        wait_for(&format!("{percent} %"), || (version() == right).then_some(()));
    }
    // What cannot be exported is said, and the routes stay.
    let mut salted = canary(0);
    salted["salt"] = json!("2027");
    let before = fs::read(&routes).unwrap();
    edit(&salted);
    wait_for("it to say why", || {
        fs::read_to_string(folder.join("said")).unwrap().contains("salt").then_some(())
    });
    assert_eq!(fs::read(&routes).unwrap(), before);
    assert_eq!(version(), "v2");
    edit(&canary(0));
    wait_for("0 %", || (version() == "v1").then_some(()));
    assert_eq!(envoy.metric("envoy_http_rds_update_rejected", &[]), 0);
}

#[test]
fn an_exported_filter_is_valid_decides_by_its_plan_and_follows_its_control_server() {
    let mut plan = canary(30);
    plan["salt"] = json!("2027");
    plan["rules"] =
        json!([{ "name": "beta", "to": "v2", "when": { "attribute": "plan", "equals": "beta" } }]);
    plan["attributes"] = json!({ "plan": { "header": "x-plan" } });
    plan["deprecation"] = json!({ "deprecated_at": "2027-01-31" });
    let (upstream, control) = (Upstream::start(&VERSIONS), Control::start(0, &plan));
    let clusters: Vec<_> =
        upstream.addresses().map(|(version, address)| format!("{version}={address}")).collect();
    let module = Module::Shipped.path();
    let control_address = control.address().to_string();
    let yaml = crossfade_says(
        &[
            "export",
            "envoy-filter",
            "-",
            "--cluster",
            &clusters[0],
            "--cluster",
            &clusters[1],
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--wasm",
            module.to_str().unwrap(),
            "--control",
            &control_address,
            "--reason-header",
            "x-why",
        ],
        &plan,
    );
    let file = folder("exported_file").join("envoy.yaml");
    fs::write(&file, yaml).unwrap();
    envoy::validate(&file).unwrap();
    let envoy = Envoy::start_file("exported", 2, &file);
    let envoy = envoy.watched();
    let address = envoy.any_address();

    let policy = Policy::new(Plan::read(&plan).unwrap(), 0, None);
    let keys: Vec<_> = (0..1000).map(|n| format!("user-{n}")).collect();
    let requests: Vec<_> = keys.iter().map(|key| client::get([("x-user-id", key)])).collect();
    for (key, response) in keys.iter().zip(client::ask_all(address, &requests, 2).unwrap()) {
        let decision = policy.decide(&Request::of_key(key.as_bytes()), 0);
        assert_eq!(response.version(), policy.version_name(decision.version), "{key}");
        assert_eq!(response.header("x-why"), "canary");
        assert_eq!(response.header("deprecation").is_empty(), decision.version == 1);
    }
    let beta = client::get([("x-plan", "beta"), ("x-api-version", "v1")]);
    let response = Connection::open(address).unwrap().ask(&beta).unwrap();
    assert_eq!((response.version(), response.header("x-why")), ("v2", "rule"));

    wait_for("reports", || {
        let sum = control.sum(&VERSIONS);
        (sum.iter().map(|tally| tally.requests).sum::<u64>() == 1001).then_some(())
    });
    assert_eq!(control.wrong(), Vec::<String>::new());
    control.publish(1, &canary(100));
    let request = client::get([("x-user-id", "user123")]);
    wait_for("the live policy", || {
        let response = Connection::open(address).unwrap().ask(&request).unwrap();
        assert_eq!(response.status, 200);
        (response.version() == "v2").then_some(())
    });
    let labels = [("version", "v2"), ("reason", "rule")];
    wait_for("labels", || (envoy.metric("crossfade_decisions", &labels) == 1).then_some(()));
}
