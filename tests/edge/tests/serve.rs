//! The filter in a real Envoy, behind a real `crossfade serve`: policies come down, counts
//! go up, and neither is lost when the control plane is killed.

use std::fs;

use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::serve::Serve;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{folder, wait_for};
use serde_json::json;

const VERSIONS: [&str; 2] = ["v1", "v2"];

#[test]
fn envoy_follows_a_rollout_and_its_counts_survive_a_control_plane_that_is_killed() {
    let folder = folder("serve_files");
    let plan = json!({
        "api": "users", "versions": VERSIONS, "key": { "header": "x-user-id" },
        "rollout": { "steps": [
            { "percentage": 10, "duration_minutes": 600 },
            { "percentage": 100, "duration_minutes": 600 },
        ] },
    });
    fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let serve = Serve::start(&folder, "127.0.0.1:0");
    let listen = serve.address().to_string();

    let upstream = Upstream::start(&VERSIONS);
    let plugin = json!({ "control": {
        "cluster": "crossfade_control", "poll_ms": 200, "timeout_ms": 1_000, "report_ms": 200,
    } });
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("crossfade_control", serve.address()));
    let listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
    let envoy = Envoy::start("serve", 2, &config::bootstrap(vec![listener], clusters));
    let watched = envoy.watched();
    let in_force = |revision: u64| {
        wait_for(&format!("revision {revision}"), || {
            (envoy.metric("crossfade_policy_revision", &[]) == revision).then_some(())
        });
        let said = format!("policy revision {revision} is in force");
        wait_for("both workers and the main thread to take it", || {
            (envoy.log().matches(&said).count() >= 3).then_some(())
        });
    };
    let send = |users: std::ops::Range<u32>| {
        let mut connection = Connection::open(envoy.address("edge")).unwrap();
        users
            .map(|user| {
                let request = client::get([("x-user-id", format!("user-{user}"))]);
                let response = connection.ask(&request).unwrap();
                assert_eq!(response.status, 200, "{response:?}");
                u32::from(response.version() == "v2")
            })
            .sum::<u32>()
    };
    let served = || VERSIONS.map(|version| upstream.served(version));

    in_force(serve.revision());
    let new = send(0..500);
    assert!((20..100).contains(&new), "{new} of 500 went to v2 at 10 %");
    wait_for("all outcomes", || (serve.counted(VERSIONS) == served()).then_some(()));

    serve.say(&["promote", "--reason", "seen enough"]);
    in_force(serve.revision());
    assert_eq!(send(0..200), 200, "at 100 % all go to v2");
    wait_for("all outcomes", || (serve.counted(VERSIONS) == served()).then_some(()));

    // While it is away nobody notices, and what was counted meanwhile comes later.
    drop(serve);
    assert_eq!(send(0..300), 300);
    let serve = Serve::start(&folder, &listen);
    assert_eq!(serve.status()["rollout"]["step"], 2, "it goes on where it was");
    wait_for("all outcomes, also those of meanwhile", || {
        (serve.counted(VERSIONS) == served()).then_some(())
    });

    serve.say(&["abort", "--reason", "enough of this"]);
    in_force(serve.revision());
    assert_eq!(send(0..200), 0, "all are back on v1");
    wait_for("all outcomes", || (serve.counted(VERSIONS) == served()).then_some(()));
    assert_eq!(served().iter().sum::<u64>(), 1_200);
    drop(watched);
}
