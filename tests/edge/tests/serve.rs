//! The filter in a real Envoy, behind a real `crossfade serve`: policies come down, counts
//! go up, and neither is lost when the control plane is killed.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{crossfade, folder, wait_for};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// A control plane; it is killed when it is dropped.
struct Serve {
    child: Child,
    data: PathBuf,
    address: SocketAddr,
}

impl Serve {
    /// On a port of its own the first time, on the same one again later.
    fn start(folder: &Path, listen: &str) -> Serve {
        let (plan, data, log) = (folder.join("plan.json"), folder.join("data"), folder.join("log"));
        let said = fs::File::create(&log).unwrap();
        let arguments = ["serve", plan.to_str().unwrap(), "--listen", listen, "--data"];
        let mut command = crossfade(&arguments);
        let child = command.arg(&data).stdin(Stdio::null()).stderr(said).spawn().unwrap();
        let address = wait_for("the control plane to listen", || {
            let log = fs::read_to_string(&log).unwrap();
            log.split("listening on http://").nth(1)?.lines().next()?.trim().parse().ok()
        });
        Serve { child, data, address }
    }

    /// What a command says that speaks with it.
    fn say(&self, arguments: &[&str]) -> String {
        let url = format!("http://{}", self.address);
        let token = self.data.join("operator.token");
        let mut command = crossfade(arguments);
        let output = command.args(["--server", &url, "--token-file"]).arg(token).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "crossfade {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.say(&["status", "--output", "json"])).unwrap()
    }

    fn revision(&self) -> u64 {
        self.status()["revision"].as_u64().unwrap()
    }

    /// Requests whose outcome was reported, of each version.
    fn counted(&self) -> [u64; 2] {
        let outcomes = self.status()["migration"]["outcomes"].clone();
        VERSIONS.map(|version| outcomes[version]["requests"].as_u64().unwrap())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    let listen = serve.address.to_string();

    let upstream = Upstream::start(&VERSIONS);
    let plugin = json!({ "control": {
        "cluster": "crossfade_control", "poll_ms": 200, "timeout_ms": 1_000, "report_ms": 200,
    } });
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("crossfade_control", serve.address));
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
    wait_for("all outcomes", || (serve.counted() == served()).then_some(()));

    serve.say(&["promote", "--reason", "seen enough"]);
    in_force(serve.revision());
    assert_eq!(send(0..200), 200, "at 100 % all go to v2");
    wait_for("all outcomes", || (serve.counted() == served()).then_some(()));

    // While it is away nobody notices, and what was counted meanwhile comes later.
    drop(serve);
    assert_eq!(send(0..300), 300);
    let serve = Serve::start(&folder, &listen);
    assert_eq!(serve.status()["rollout"]["step"], 2, "it goes on where it was");
    wait_for("all outcomes, also those of meanwhile", || {
        (serve.counted() == served()).then_some(())
    });

    serve.say(&["abort", "--reason", "enough of this"]);
    in_force(serve.revision());
    assert_eq!(send(0..200), 0, "all are back on v1");
    wait_for("all outcomes", || (serve.counted() == served()).then_some(()));
    assert_eq!(served().iter().sum::<u64>(), 1_200);
    drop(watched);
}
