//! Two services, an Envoy with the filter, and a control plane: started, killed, and asked.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{crossfade, folder};
use serde_json::{Value, json};

use crate::crowd::{Crowd, Expect};
use crate::wait_for;

/// Old and new.
pub const VERSIONS: [&str; 2] = ["v1", "v2"];

/// Everything but the store's servers.
#[derive(Debug)]
pub struct World {
    name: String,
    folder: PathBuf,
    store: Option<String>,
    serve: Option<Child>,
    control: SocketAddr,
    /// The services.
    pub upstream: Upstream,
    envoy: Option<Envoy>,
    envoys: u32,
    /// The users.
    pub crowd: Crowd,
    /// What was reported, and served, when the last Envoy was killed.
    lost_with: ([u64; 2], [u64; 2]),
}

impl World {
    /// Starts everything, with this plan; a rollout begins if it has one. `store` is where a
    /// fleet's servers are.
    ///
    /// # Panics
    /// When a part does not start.
    pub fn start(name: &str, store: Option<String>, plan: &Value) -> World {
        let folder = folder(&format!("e2e_{name}"));
        fs::write(folder.join("plan.json"), plan.to_string()).expect("target can be written to");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut world = World {
            name: name.to_owned(),
            folder,
            store,
            serve: None,
            control: any,
            upstream: Upstream::start(&VERSIONS),
            envoy: None,
            envoys: 0,
            crowd: Crowd::new(name),
            lost_with: ([0; 2], [0; 2]),
        };
        world.start_control();
        world.start_envoy();
        world
    }

    /// Starts the control plane, or starts it again on what it has kept.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start_control(&mut self) {
        let (plan, data) = (self.folder.join("plan.json"), self.folder.join("data"));
        let log = self.folder.join("serve.log");
        let said = File::create(&log).expect("target can be written to");
        let listen = self.control.to_string();
        let mut command = crossfade(&["serve", text(&plan), "--listen", &listen]);
        command.arg("--data").arg(&data);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        self.serve = Some(child.expect("crossfade can be started"));
        self.control = wait_for("the control plane to listen", || {
            let log = fs::read_to_string(&log).ok()?;
            log.split("listening on http://").nth(1)?.lines().next()?.trim().parse().ok()
        });
        // On a fleet's store the one that was killed holds the lead for some seconds.
        wait_for("the control plane to lead", || self.try_status());
    }

    /// As `kill -9` does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_control(&mut self) {
        let mut child = self.serve.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Starts an Envoy, and waits until each of its workers has the policy in force, as a
    /// load balancer waits until it is ready.
    ///
    /// # Panics
    /// When it does not get that far.
    pub fn start_envoy(&mut self) {
        let plugin = json!({ "control": {
            "cluster": "crossfade_control", "poll_ms": 100, "timeout_ms": 1_000, "report_ms": 100,
        } });
        let mut clusters = config::clusters(&self.upstream);
        clusters.push(config::cluster("crossfade_control", self.control));
        let listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
        self.envoys += 1;
        let name = format!("e2e_{}_envoy_{}", self.name, self.envoys);
        let mut bootstrap = config::bootstrap(vec![listener], clusters);
        bootstrap["node"]["id"] = format!("edge-{}", self.envoys).into();
        self.envoy = Some(Envoy::start(&name, 2, &bootstrap));
        self.in_force();
    }

    /// Ends Envoy with `kill -9`, and has users call nobody. What it had not reported is lost.
    ///
    /// # Panics
    /// When none runs.
    pub fn kill_envoy(&mut self) {
        drop(self.envoy.take().expect("it runs"));
        self.crowd.pause();
        // Nobody reports any more, so what is counted stays as it is.
        self.lost_with = (self.reported(), self.served());
        let [reported, served] = [self.lost_with.0, self.lost_with.1];
        assert!((0..2).all(|place| reported[place] <= served[place]), "{reported:?} {served:?}");
    }

    /// Everybody calls.
    ///
    /// # Panics
    /// When no Envoy runs.
    pub fn call(&self, expect: Expect) {
        self.crowd.call(self.edge(), expect);
    }

    /// Where users call.
    ///
    /// # Panics
    /// When no Envoy runs.
    pub fn edge(&self) -> SocketAddr {
        self.envoy.as_ref().expect("it runs").address("edge")
    }

    /// Waits until each worker has the policy that is in force; its revision.
    ///
    /// # Panics
    /// When they do not get it.
    pub fn in_force(&self) -> u64 {
        let envoy = self.envoy.as_ref().expect("it runs");
        wait_for("all workers to have the policy in force", || {
            let revision = self.try_status()?["revision"].as_u64()?;
            let said = format!("policy revision {revision} is in force");
            // Two workers, and the main thread.
            (envoy.log().matches(&said).count() >= 3).then_some(revision)
        })
    }

    /// What a command says that speaks with the control plane; `Err` is why it failed.
    ///
    /// # Errors
    /// What the command said.
    ///
    /// # Panics
    /// When there is no such command.
    pub fn try_say(&self, arguments: &[&str]) -> Result<String, String> {
        let url = format!("http://{}", self.control);
        let token = self.folder.join("data/operator.token");
        let mut command = crossfade(arguments);
        command.args(["--server", &url, "--token-file"]).arg(token);
        let output = command.output().expect("crossfade can be started");
        let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }

    /// The same of a command that has to work.
    ///
    /// # Panics
    /// When it fails.
    pub fn say(&self, arguments: &[&str]) -> String {
        let said = self.try_say(arguments);
        said.unwrap_or_else(|why| panic!("crossfade {arguments:?}: {why}"))
    }

    /// Puts another policy into force.
    ///
    /// # Panics
    /// When it is refused.
    pub fn set_policy(&self, document: &Value) {
        let file = self.folder.join("next.json");
        fs::write(&file, document.to_string()).expect("target can be written to");
        self.say(&["policy", "set", text(&file), "--reason", "a test"]);
    }

    fn try_status(&self) -> Option<Value> {
        let said = self.try_say(&["status", "--output", "json"]).ok()?;
        serde_json::from_str(&said).ok()
    }

    /// Everything about the migration.
    ///
    /// # Panics
    /// When the control plane does not answer.
    pub fn status(&self) -> Value {
        wait_for("the status", || self.try_status())
    }

    /// Waits until the rollout stands in this step (or beyond), or in this phase.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[track_caller]
    pub fn reaches(&self, step: u64, phase: &str) -> Value {
        wait_for(&format!("step {step}, or {phase}"), || {
            self.crowd.assert_right();
            let status = self.try_status()?;
            let rollout = &status["rollout"];
            let there = rollout["step"].as_u64()? >= step && phase.is_empty();
            let ended = ["completed", "rolled_back", "aborted"];
            let found = rollout["phase"].as_str()?;
            assert!(
                found == phase || !ended.contains(&found),
                "the rollout has ended otherwise: {rollout}"
            );
            (there || found == phase).then_some(status)
        })
    }

    /// Requests that each service has in its own log.
    pub fn served(&self) -> [u64; 2] {
        VERSIONS.map(|version| self.upstream.served(version))
    }

    /// Requests whose outcome was reported.
    ///
    /// # Panics
    /// When the control plane does not say.
    pub fn reported(&self) -> [u64; 2] {
        let outcomes = self.status()["migration"]["outcomes"].clone();
        VERSIONS.map(|version| outcomes[version]["requests"].as_u64().expect("it is counted"))
    }

    /// Has users be quiet, and compares what everybody has counted: users, services, and the
    /// control plane.
    ///
    /// # Panics
    /// When they differ.
    #[track_caller]
    pub fn assert_counts_agree(&self) {
        self.crowd.pause();
        let (seen, served, lost) = (self.crowd.served(), self.served(), self.crowd.lost());
        let (all_seen, all_served) = (seen[0] + seen[1], served[0] + served[1]);
        assert!(
            (0..2).all(|place| seen[place] <= served[place]) && all_served <= all_seen + lost,
            "users saw {seen:?} and lost {lost}; services have {served:?}"
        );
        // Of the Envoy that was killed what it had told, of the one after it everything.
        let (told, had) = self.lost_with;
        let grown = |now: [u64; 2], then: [u64; 2]| [now[0] - then[0], now[1] - then[1]];
        wait_for(&format!("reports of all {:?}", grown(served, had)), || {
            (grown(self.reported(), told) == grown(served, had)).then_some(())
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("{}: the end of serve.log:\n{end}", self.name);
        }
        if let Some(mut child) = self.serve.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the folder's name is text")
}
