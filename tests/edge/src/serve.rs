//! A real `crossfade serve`, built in the same target folder as the tests.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::{crossfade, wait_for};

/// A control plane; it is killed when it is dropped.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    data: PathBuf,
    address: SocketAddr,
}

impl Serve {
    /// With the plan in `plan.json` of this folder; on a port of its own (`127.0.0.1:0`),
    /// or on one that it had before.
    ///
    /// # Panics
    /// When it cannot be started, or does not listen.
    pub fn start(folder: &Path, listen: &str) -> Serve {
        let (plan, data, log) = (folder.join("plan.json"), folder.join("data"), folder.join("log"));
        let said = fs::File::create(&log).expect("the folder can be written to");
        let plan = plan.to_str().expect("a path of text");
        let mut command = crossfade(&["serve", plan, "--listen", listen, "--data"]);
        command.arg(&data).stdin(Stdio::null()).stderr(said);
        let child = command.spawn().expect("crossfade can be started");
        let address = wait_for("the control plane to listen", || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.split("listening on http://").nth(1)?.lines().next()?.trim().parse().ok()
        });
        Serve { child, data, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a command says that speaks with it, and whether it went well.
    ///
    /// # Panics
    /// When the command cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let url = format!("http://{}", self.address);
        let token = self.data.join("operator.token");
        let mut command = crossfade(arguments);
        command.args(["--server", &url, "--token-file"]).arg(token);
        let output = command.output().expect("crossfade can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What a command says that goes well.
    ///
    /// # Panics
    /// When it does not.
    pub fn say(&self, arguments: &[&str]) -> String {
        self.run(arguments).unwrap_or_else(|error| panic!("crossfade {arguments:?}: {error}"))
    }

    /// What a command answers as JSON.
    ///
    /// # Panics
    /// When it fails, or says no JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.say(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// `crossfade status`.
    pub fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// The revision of the policy in force.
    ///
    /// # Panics
    /// When it says none.
    pub fn revision(&self) -> u64 {
        self.status()["revision"].as_u64().expect("a revision")
    }

    /// Requests whose outcome was reported, of each version.
    ///
    /// # Panics
    /// When it knows none of a version.
    pub fn counted(&self, versions: [&str; 2]) -> [u64; 2] {
        let outcomes = self.status()["migration"]["outcomes"].clone();
        versions.map(|version| outcomes[version]["requests"].as_u64().expect("a count"))
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
