//! A trap in the filter: what it costs, and what comes after it.
//!
//! With a build of the filter that traps at one key. No key does that to the build that
//! people run.

use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::control::Control;
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::wait_for;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

fn canary(percent: u32) -> Value {
    json!({ "api": "a", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "canary_percentage": percent })
}

/// What is shown: requests in flight on the worker that trapped are answered with 503,
/// those on the other are not touched. What comes next is decided, by the policy that was
/// live at the time and never by the one that Envoy's configuration begins with. What was
/// reported stays reported.
#[test]
fn a_trap_costs_the_requests_in_flight_on_its_worker_and_the_next_one_follows_the_live_policy() {
    let control = Control::start(2, &canary(100));
    let upstream = Upstream::start(&VERSIONS);
    let plugin = json!({
        "policy": canary(0), "revision": 1,
        "control": { "cluster": "control", "poll_ms": 200, "timeout_ms": 300, "report_ms": 200 },
    });
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("control", control.address()));
    let listener = config::filtered("edge", Module::Trapping, &VERSIONS, &plugin);
    let envoy = Envoy::start("trap", 2, &config::bootstrap(vec![listener], clusters));
    let envoy = envoy.watched();
    let in_force = |revision: u64| {
        let said = format!("policy revision {revision} is in force");
        wait_for("all instances to have the policy", || {
            (envoy.log().matches(&said).count() >= 3).then_some(())
        });
    };
    in_force(2);

    let open = || Connection::open(envoy.address("edge")).unwrap();
    let usual = client::get([("x-user-id", "user123")]);
    let held = client::get([("x-user-id", "user123"), ("x-answer-hold", "1")]);
    let trapping = client::get([("x-user-id", "crossfade-test-trap")]);
    // Connections go to the workers in turn, once each is known to be there: those of
    // even number to the trapper's worker.
    let opened = |_| {
        let mut connection = open();
        assert_eq!(connection.ask(&usual).unwrap().version(), "v2");
        connection
    };
    let mut connections: Vec<_> = (0..10).map(opened).collect();
    wait_for("10 requests to be reported", || {
        (control.sum(&VERSIONS)[1].requests == 10).then_some(())
    });
    let (mut trapper, mut next) = {
        let mut connections = connections.split_off(8).into_iter();
        (connections.next().unwrap(), connections.next().unwrap())
    };
    for connection in &mut connections {
        connection.send(&held).unwrap();
    }
    wait_for("8 requests in flight", || (upstream.held() == 8).then_some(()));
    assert_eq!(trapper.ask(&trapping).unwrap().status, 503);
    // The other worker serves as if nothing had been.
    let response = next.ask(&usual).unwrap();
    assert_eq!((response.status, response.version()), (200, "v2"));
    upstream.release();
    let answers: Vec<_> = connections.iter_mut().map(|c| c.receive().unwrap()).collect();
    for (n, response) in answers.iter().enumerate() {
        let right = if n % 2 == 0 { (503, "") } else { (200, "v2") };
        assert_eq!((response.status, response.version()), right, "the one of connection {n}");
    }
    // On the worker that trapped: 503 until the new instance is there, then right. It is
    // never `v1`, as the inline policy would have it.
    wait_for("the trapped worker to serve", || {
        let response = trapper.ask(&usual).unwrap();
        let said = (response.status, response.version());
        assert!([(503, ""), (200, "v2")].contains(&said), "{said:?}");
        (response.status == 200).then_some(())
    });
    assert!(envoy.log().contains("proxy_on_request_headers failed"), "no trap in the log");
    // What `docs/operations.md` alerts on.
    assert_eq!(envoy.metric("envoy_wasm_edge_vm_reload_success", &[]), 1);

    // What was reported before the trap is still counted, and more comes.
    let before = control.sum(&VERSIONS)[1].requests;
    assert!(before >= 10, "{before}");
    for worker in [&mut trapper, &mut next] {
        for _ in 0..5 {
            assert_eq!(worker.ask(&usual).unwrap().version(), "v2");
        }
    }
    wait_for("reports after the trap", || {
        (control.sum(&VERSIONS)[1].requests >= before + 10).then_some(())
    });
    assert_eq!(control.wrong(), Vec::<String>::new());
    // And the new instance takes part in what comes.
    control.publish(3, &canary(0));
    wait_for("both workers to follow", || {
        let both = [&mut trapper, &mut next].map(|worker| worker.ask(&usual).unwrap());
        both.iter().all(|response| response.version() == "v1").then_some(())
    });
    assert_eq!(envoy.metric("crossfade_policy_revision", &[]), 3);
}
