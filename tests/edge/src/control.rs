//! A control server as `docs/protocol.md` describes it, which can also misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossfade_core::tally::{Fleet, Tally};
use crossfade_protocol::totals::Totals;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::collector::{Collector, Taking};
use crate::server::{self, Answer, Request, Response};

/// What the server does with `GET /v1/policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    /// As it should: the policy, or `304`.
    Well,
    /// Nobody listens.
    Down,
    /// The request is taken and never answered.
    Silent,
    /// This status and body.
    Says(u16, String),
}

/// A poll as it arrived.
#[derive(Debug, Clone)]
pub struct Poll {
    /// The request's `if-none-match`.
    pub if_none_match: Option<String>,
    /// The request's `authorization`.
    pub authorization: Option<String>,
    /// The status of the answer; 0 when there was none.
    pub answered: u16,
    /// When it arrived.
    pub at: Instant,
}

/// The server.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    state: Arc<Shared>,
    open: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    mood: Mood,
    revision: u64,
    document: Value,
    polls: Vec<Poll>,
    fleet: Fleet,
    reports: u64,
    taking: Taking,
    clients: Collector,
    wrong: Vec<String>,
}

impl Control {
    /// A server that is well and has this policy.
    pub fn start(revision: u64, document: &Value) -> Control {
        let (open, listening) = watch::channel(true);
        let state = Arc::new(Shared(Mutex::new(State {
            mood: Mood::Well,
            revision,
            document: document.clone(),
            polls: Vec::new(),
            fleet: Fleet::default(),
            reports: 0,
            taking: Taking::default(),
            clients: Collector::default(),
            wrong: Vec::new(),
        })));
        Control { address: server::start(&state, listening), state, open }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another policy from now on.
    pub fn publish(&self, revision: u64, document: &Value) {
        let mut state = self.state.lock();
        state.revision = revision;
        state.document = document.clone();
    }

    /// Another mood from now on.
    pub fn be(&self, mood: Mood) {
        self.open.send_replace(mood != Mood::Down);
        self.state.lock().mood = mood;
    }

    /// The polls so far.
    pub fn polls(&self) -> Vec<Poll> {
        self.state.lock().polls.clone()
    }

    /// Reports taken in so far.
    pub fn reports(&self) -> u64 {
        self.state.lock().reports
    }

    /// How reports of clients are taken from now on.
    pub fn take_clients(&self, taking: Taking) {
        self.state.lock().taking = taking;
    }

    /// What reports of clients have told so far.
    pub fn clients(&self) -> Collector {
        self.state.lock().clients.clone()
    }

    /// What was wrong with requests so far: reports that cannot be read, unknown paths.
    pub fn wrong(&self) -> Vec<String> {
        self.state.lock().wrong.clone()
    }

    /// How many nodes and epochs have reported.
    pub fn sources(&self) -> usize {
        self.state.lock().fleet.sources()
    }

    /// The newest report of every source together, for each of `versions`.
    pub fn sum(&self, versions: &[&str]) -> Vec<Tally> {
        let versions: Vec<String> = versions.iter().map(|name| (*name).to_owned()).collect();
        self.state.lock().fleet.sum(&versions)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy(&self, request: &Request) -> Option<Response> {
        let header = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let mut state = self.lock();
        let etag = format!("\"{}\"", state.revision);
        let if_none_match = header("if-none-match");
        let answer = match &state.mood {
            Mood::Well if if_none_match.as_ref() == Some(&etag) => {
                Some(server::response(304, &[("etag", &etag)], ""))
            }
            Mood::Well => {
                let body = json!({ "revision": state.revision, "document": state.document });
                let headers = [("etag", etag.as_str()), ("content-type", "application/json")];
                Some(server::response(200, &headers, body.to_string()))
            }
            Mood::Says(status, body) => Some(server::response(*status, &[], body.clone())),
            Mood::Down | Mood::Silent => None,
        };
        let answered = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let authorization = header("authorization");
        state.polls.push(Poll { if_none_match, authorization, answered, at: Instant::now() });
        answer
    }

    fn totals(&self, body: &[u8]) -> Response {
        let mut state = self.lock();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Totals::read(line) {
                Ok(report) => {
                    state.reports += 1;
                    // No test lasts so long that a run would make room.
                    if state.fleet.merge(report, 0).is_err() {
                        state.wrong.push("too many sources".to_owned());
                    }
                }
                Err(fault) => {
                    let line = String::from_utf8_lossy(line);
                    state.wrong.push(format!("{}: {line}", fault.text));
                    return server::response(400, &[], fault.text);
                }
            }
        }
        server::response(200, &[], "{\"type\":\"merge_ok\"}\n")
    }
}

impl Shared {
    fn client_reports(&self, body: &[u8]) -> Response {
        let mut state = self.lock();
        let taking = state.taking;
        let mut status = 200;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match state.clients.take(line, taking) {
                Ok(answer) => status = answer,
                Err(fault) => {
                    let line = String::from_utf8_lossy(line);
                    state.wrong.push(format!("{fault}: {line}"));
                    return server::response(400, &[], fault);
                }
            }
        }
        server::response(status, &[], "{\"type\":\"report_clients_ok\"}\n")
    }
}

impl Answer for Shared {
    async fn answer(self: Arc<Self>, request: Request) -> Option<Response> {
        match (request.method().as_str(), request.uri().path()) {
            ("GET", "/v1/policy") => {
                let answer = self.policy(&request);
                if answer.is_none() {
                    std::future::pending::<()>().await;
                }
                answer
            }
            ("POST", "/v1/totals") => {
                let body = request.into_body().collect().await.ok()?.to_bytes();
                Some(self.totals(&body))
            }
            ("POST", "/v1/client-reports") => {
                let body = request.into_body().collect().await.ok()?.to_bytes();
                Some(self.client_reports(&body))
            }
            (method, path) => {
                self.lock().wrong.push(format!("asked for {method} {path}"));
                Some(server::response(404, &[], ""))
            }
        }
    }
}
