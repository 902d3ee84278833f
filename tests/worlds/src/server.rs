//! One `crossfade serve`: the host's controller, and in the place of its HTTP routes a few
//! lines that make jobs of requests and statuses of answers.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use crossfade_protocol::clients::ClientsReport;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::disk::{Disk, Store1};
use crate::module::Module;
use crate::network::{Asker, Request, Response};
use crate::plugin::PluginOptions;
use crate::serve::controller::nodes;
use crate::serve::controller::{Controller, Setup};
use crate::serve::job::{Answer, Candidate, JOBS_MAX, Job, Note, Once, Refusal, Work};
use crate::serve::machine::{self, Machine};
use crate::serve::shared::{Shared, State};

type Reply = oneshot::Receiver<Result<Answer, Refusal>>;

/// A machine, and the process on it while there is one.
pub(crate) struct Server {
    pub(crate) id: usize,
    machine: Machine,
    /// How far its wall clock is off.
    pub(crate) wall_off_ms: i64,
    booted_ms: u64,
    running: Option<Running>,
    /// It does not run until then: a machine that was paused.
    pub(crate) stalled_until_ms: u64,
}

struct Running {
    controller: Controller,
    shared: Arc<Shared>,
    desk: SyncSender<Job>,
    jobs: Receiver<Job>,
    /// Jobs that are not answered yet.
    waiting: Vec<(Request, Reply)>,
}

pub(crate) fn candidate() -> Candidate {
    Candidate { module: Module, bytes: None, digest: "linked in".to_owned() }
}

impl Server {
    pub(crate) fn new(id: usize, chance: u64, now_ms: u64) -> Server {
        let machine = Machine { chance, ..Machine::default() };
        Server {
            id,
            machine,
            wall_off_ms: 0,
            booted_ms: now_ms,
            running: None,
            stalled_until_ms: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn leads(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.shared.state() == State::Leading)
    }

    fn enter(&mut self, now_ms: u64) {
        self.machine.wall_ms = now_ms.saturating_add_signed(self.wall_off_ms);
        self.machine.boot_ms = now_ms - self.booted_ms;
        machine::enter(self.machine);
        crate::plugin::another_turn();
        // Chance goes on from where it was, a little further each time.
        self.machine.chance = self.machine.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
    }

    pub(crate) fn start(&mut self, disk: &Arc<Mutex<Disk>>, plan: &Value, now_ms: u64) {
        self.enter(now_ms);
        let shared = Shared::new();
        let setup = Setup {
            store: Box::new(Store1::new(Arc::clone(disk), self.id)),
            candidate: candidate(),
            candidate_is_given: false,
            plugin: PluginOptions,
            plan: Some(plan.clone()),
            start_rollout: true,
        };
        let controller = Controller::new(setup, Arc::clone(&shared));
        let (desk, jobs) = sync_channel(JOBS_MAX);
        self.running = Some(Running { controller, shared, desk, jobs, waiting: Vec::new() });
    }

    /// It ends as told: with a checkpoint, if it can.
    pub(crate) fn stop(&mut self, now_ms: u64) {
        self.enter(now_ms);
        if let Some(mut running) = self.running.take() {
            running.controller.stop();
        }
    }

    /// `kill -9`; whoever waits hears nothing. A machine that was switched off has another
    /// boot clock afterwards.
    pub(crate) fn kill(&mut self, reboot_at_ms: Option<u64>) {
        self.running = None;
        self.stalled_until_ms = 0;
        self.booted_ms = reboot_at_ms.unwrap_or(self.booted_ms);
    }

    /// Serves what has come, and lets time act if that is due. Gives what is answered now.
    pub(crate) fn turn(&mut self, requests: Vec<Request>, due: bool, now_ms: u64) -> Vec<Response> {
        self.enter(now_ms);
        let Some(running) = &mut self.running else { return Vec::new() };
        let mut answers = Vec::new();
        for request in requests {
            match running.job(&request) {
                Err(response) => answers.push(response),
                Ok(work) => {
                    let (reply, answer) = oneshot::channel();
                    // Worlds are far too small for the desk to be full.
                    let _ = running.desk.try_send(Job { work, reply });
                    running.waiting.push((request, answer));
                }
            }
        }
        let first = running.jobs.try_recv().ok();
        if first.is_some() || due {
            running.controller.turn(first, &running.jobs, due);
        }
        let shared = &running.shared;
        running.waiting.retain_mut(|(request, reply)| match reply.try_recv() {
            Ok(answer) => {
                answers.push(response(request, answer, shared));
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            Err(oneshot::error::TryRecvError::Closed) => false,
        });
        answers
    }
}

fn answered(to: Asker, status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { to, status, etag: None, body: body.into() }
}

impl Running {
    /// What a request asks for, or its answer when nobody needs to be asked.
    fn job(&self, request: &Request) -> Result<Work, Response> {
        let Request { from, method, path, body, .. } = request;
        let lines = || body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let refused =
            |text: String| json!({ "type": "error", "code": 12, "text": text }).to_string();
        Ok(match (method.as_str(), path.as_str()) {
            ("GET", "policy") => return Err(self.policy(request)),
            ("POST", "totals") => {
                let reports = lines().map(|line| nodes::read(line).map_err(refused)).collect();
                Work::Totals { reports }
            }
            ("POST", "client-reports") => {
                let read = |line: &[u8]| match ClientsReport::read(line) {
                    Ok(report) => Ok(nodes::of_clients(&report, line.to_vec())),
                    Err(fault) => Err(refused(fault.text)),
                };
                Work::Totals { reports: lines().map(read).collect() }
            }
            ("ASK", kind) => {
                let answer = match kind {
                    "get_rollout" => "rollout",
                    "get_migration_stats" => "migration_stats",
                    _ => "clients",
                };
                Work::Ask { message: json!({ "type": kind, "limit": 10_000 }), answer }
            }
            _ => {
                let said: Value = serde_json::from_slice(body).unwrap_or_default();
                let answer = answer_to(said["message"]["type"].as_str().unwrap_or_default());
                let who = if *from == Asker::Probe { "crossfade" } else { "op" };
                let why = said["reason"].as_str().unwrap_or_default().to_owned();
                let once = request
                    .key
                    .clone()
                    .map(|key| Once { key, request: String::from_utf8_lossy(body).into_owned() });
                let note = Note { who: who.to_owned(), what: "command", why, once };
                let expected = (method == "PUT").then_some(request.if_match);
                Work::Act { message: said["message"].clone(), answer, note: Some(note), expected }
            }
        })
    }

    fn policy(&self, request: &Request) -> Response {
        match self.shared.policy().borrow().as_deref() {
            None => answered(request.from, 503, "starting"),
            Some(policy) if policy.etag == request.if_none_match => {
                Response { etag: Some(policy.etag.clone()), ..answered(request.from, 304, "") }
            }
            Some(policy) => Response {
                etag: Some(policy.etag.clone()),
                ..answered(request.from, 200, policy.body.clone())
            },
        }
    }
}

/// The type of the answer to a message, as the routes have it.
fn answer_to(kind: &str) -> Option<&'static str> {
    match kind {
        // Its own comes when the rollout is over.
        "gradual_rollout" => None,
        "configure" => Some("configure_ok"),
        "report_outcomes" => Some("report_outcomes_ok"),
        "declare_client" | "repin_client" | "forget_client" => Some("client_ok"),
        "start_brownout" | "stop_brownout" => Some("brownouts"),
        "advance_life" => Some("life"),
        _ => Some("rollout"),
    }
}

/// As the routes do it.
fn response(request: &Request, answer: Result<Answer, Refusal>, shared: &Shared) -> Response {
    let to = request.from;
    match answer {
        Ok(Answer::Lines(lines)) => {
            let refused = lines.iter().any(|line| line.contains(r#""type":"error""#));
            answered(to, if refused { 400 } else { 200 }, lines.join("\n"))
        }
        Ok(Answer::Reply(reply)) if request.path == "policy" => {
            let policy = shared.policy().borrow().clone();
            let body = policy.map_or(reply, |policy| policy.body.clone());
            answered(to, 200, body)
        }
        Ok(Answer::Reply(reply) | Answer::Again { reply, .. }) => answered(to, 200, reply),
        Ok(_) => answered(to, 200, ""),
        Err(Refusal::Engine { text, .. }) => answered(to, 409, text),
        Err(refusal @ Refusal::Revision { .. }) => answered(to, 412, refusal.to_string()),
        Err(refusal @ Refusal::KeyUsed { .. }) => answered(to, 422, refusal.to_string()),
        Err(refusal @ Refusal::Unclear(_)) => answered(to, 504, refusal.to_string()),
        Err(refusal @ Refusal::Elsewhere { .. }) => answered(to, 307, refusal.to_string()),
        Err(refusal) => answered(to, 503, refusal.to_string()),
    }
}
