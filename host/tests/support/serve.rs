//! A real `crossfade serve`, and whoever speaks HTTP to it.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use ureq::Agent;

use super::process::{Running, crossfade};

/// Longer than anything takes on a busy machine; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A plan without a rollout.
pub(crate) const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
canary_percentage: 10
";

/// Hours for each step, so that only commands move it.
pub(crate) const ROLLOUT: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 1, duration_minutes: 60 }
    - { percentage: 10, duration_minutes: 60 }
    - { percentage: 20, duration_minutes: 60 }
    - { percentage: 50, duration_minutes: 60 }
";

/// A running server, on a port of its own. It is killed when a test fails.
pub(crate) struct Server {
    running: Running,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    token: String,
    agent: Agent,
}

/// An answer: its status and its body, `null` when that is no JSON.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl Server {
    /// Starts with a plan (if there is one) on the data in this directory, and waits until
    /// it listens.
    pub(crate) fn start(data: &Path, plan: Option<&Path>, more: &[&str]) -> Server {
        let data_text = data.display().to_string();
        let mut arguments = vec!["serve", "--data", &data_text, "--listen", "127.0.0.1:0"];
        let plan = plan.map(|plan| plan.display().to_string());
        arguments.extend(plan.as_deref());
        arguments.extend(more);
        Server::listening(Running::start(crossfade(&arguments)), data)
    }

    /// A server that has been started, once it listens.
    pub(crate) fn listening(running: Running, data: &Path) -> Server {
        let line = running.logged("listening on ");
        let url = line.split("listening on ").nth(1).expect("the line has it").trim().to_owned();
        let token = std::fs::read_to_string(data.join("operator.token")).unwrap_or_default();
        let config = Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(PATIENCE)).build().new_agent();
        Server { running, url, token: token.trim().to_owned(), agent }
    }

    /// Somebody who goes on asking when the server is gone, from another thread.
    pub(crate) fn caller(&self) -> Caller {
        let config = Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(PATIENCE)).build().new_agent();
        Caller { url: self.url.clone(), token: self.token.clone(), agent }
    }

    pub(crate) fn get(&self, path: &str) -> Said {
        self.caller_now().get(path).expect("the server answers")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Said {
        self.caller_now().post(path, &body.to_string()).expect("the server answers")
    }

    fn caller_now(&self) -> Caller {
        let (url, token) = (self.url.clone(), self.token.clone());
        Caller { url, token, agent: self.agent.clone() }
    }

    /// The next line of its log that contains `text`.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.running.logged(text)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Ends it as an operator does, and waits for that.
    pub(crate) fn end(self) -> ExitStatus {
        self.running.signal(Signal::TERM);
        self.running.end()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        self.running.signal(Signal::KILL);
        self.running.end();
    }
}

/// Asks a server that may be gone.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) url: String,
    token: String,
    agent: Agent,
}

impl Caller {
    /// `None` when there was no whole answer.
    pub(crate) fn get(&self, path: &str) -> Option<Said> {
        let request = self.agent.get(format!("{}{path}", self.url));
        said(request.header("authorization", self.bearer()).call().ok()?)
    }

    /// Asks for something other than what has this entity tag.
    pub(crate) fn poll(&self, path: &str, etag: &str) -> Option<Said> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("if-none-match", etag);
        said(request.header("authorization", self.bearer()).call().ok()?)
    }

    /// `None` when there was no whole answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> Option<Said> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("authorization", self.bearer());
        said(request.header("content-type", "application/json").send(body).ok()?)
    }

    /// `None` when there was no whole answer.
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> Option<Said> {
        let request = self.agent.post(format!("{}{path}", self.url));
        said(request.header("authorization", self.bearer()).send(body).ok()?)
    }

    /// `None` when there was no whole answer.
    pub(crate) fn put(&self, path: &str, etag: &str, body: &Value) -> Option<Said> {
        let request = self.agent.put(format!("{}{path}", self.url)).header("if-match", etag);
        let request = request.header("authorization", self.bearer());
        said(request.header("content-type", "application/json").send(body.to_string()).ok()?)
    }

    /// `None` when there was no whole answer.
    pub(crate) fn delete(&self, path: &str) -> Option<Said> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        said(request.header("authorization", self.bearer()).call().ok()?)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

fn said(mut response: ureq::http::Response<ureq::Body>) -> Option<Said> {
    let etag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = response.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
    let status = response.status().as_u16();
    Some(Said { status, body: serde_json::from_str(&body).unwrap_or_default(), etag })
}

/// Totals of a node: the same numbers for both versions.
pub(crate) fn totals(node: &str, sequence: u64, requests: u64, failures: u64) -> Value {
    let version = |version: &str| {
        json!({
            "version": version,
            "routed": requests,
            "requests": requests,
            "failures": failures,
            "latency": [[20, requests]],
        })
    };
    json!({
        "node": node,
        "epoch": "00000000000000e1",
        "sequence": sequence,
        "revision": 1,
        "versions": [version("v1"), version("v2")],
    })
}

/// Asks until the answer is there.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
