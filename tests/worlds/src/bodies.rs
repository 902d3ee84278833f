//! Any bodies of requests, to one control plane and its store: for the fuzzer.
//!
//! A line is a step, by its first byte:
//!
//! | | |
//! |---|---|
//! | `tLINE`, `cLINE` | a body of totals, of client reports; `\` before `n` in it is a new line |
//! | `pDOCUMENT` | a policy, in the place of the one in force |
//! | `mMESSAGE` | any message, as an operator's command is made into one |
//! | `q0` to `q2` | a question |
//! | `wMS` | time passes, and acts |
//! | `k`, `s` | it is killed, or told to stop, and starts again |
//! | `f0` to `f3` | the next commit fails, or is kept and fails, or is the end of the process |

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::check;
use crate::disk::{Disk, Fate, lock};
use crate::network::{Asker, Request};
use crate::server::Server;

/// Steps of one run.
const STEPS_MAX: usize = 64;

/// Messages that change something, and have a route.
const MESSAGES: [&str; 14] = [
    "advance_life",
    "abort_rollout",
    "declare_client",
    "forget_client",
    "gradual_rollout",
    "pause_rollout",
    "promote_rollout",
    "repin_client",
    "report_outcomes",
    "resume_rollout",
    "retry_rollout",
    "start_brownout",
    "stop_brownout",
    "undo_rollout",
];

const BEGIN_MS: u64 = 1_800_000_000_000;

/// Plays it.
///
/// # Panics
/// A request goes unanswered, the store does not give the state that wrote it, or the
/// control plane does not come back.
pub fn run(bytes: &[u8]) {
    let mut run = Run::new();
    for line in bytes.split(|byte| *byte == b'\n').take(STEPS_MAX) {
        if let Some((verb, rest)) = line.split_first() {
            run.last = String::from_utf8_lossy(line).into_owned();
            run.step(*verb, rest);
        }
    }
    lock(&run.disk).fates = vec![None];
    run.again();
    run.turn(Vec::new(), true);
    run.wait(2_000);
    assert!(run.server.leads(), "it does not come back");
}

struct Run {
    server: Server,
    disk: Arc<Mutex<Disk>>,
    plan: Value,
    now_ms: u64,
    /// The newest step.
    last: String,
}

impl Run {
    fn new() -> Run {
        drop(crate::disk::take_mirror());
        let plan = json!({
            "api": "a", "versions": ["v1", "v2"], "key": { "header": "k" },
            "rollout": { "steps": [{ "percentage": 10, "duration_minutes": 0.05 },
                                   { "percentage": 100, "duration_minutes": 0.05 }] },
        });
        let disk = Arc::new(Mutex::new(Disk::new(BEGIN_MS, 1, None, 1)));
        let mut server = Server::new(0, 7, BEGIN_MS);
        server.start(&disk, &plan, BEGIN_MS);
        let mut run = Run { server, disk, plan, now_ms: BEGIN_MS, last: String::new() };
        run.turn(Vec::new(), true);
        run
    }

    fn step(&mut self, verb: u8, rest: &[u8]) {
        match verb {
            b't' => self.ask("POST", "totals", lines(rest)),
            b'c' => self.ask("POST", "client-reports", lines(rest)),
            b'p' => {
                let document: Value = serde_json::from_slice(rest).unwrap_or_default();
                let message = json!({ "type": "configure", "document": document });
                self.ask("PUT", "policy", command(&message));
            }
            b'm' => {
                let message: Value = serde_json::from_slice(rest).unwrap_or_default();
                let kind = message["type"].as_str().unwrap_or_default();
                // No route sends anything else.
                if MESSAGES.contains(&kind) {
                    self.ask("POST", "message", command(&message));
                }
            }
            b'q' => {
                let kinds = ["get_rollout", "get_migration_stats", "get_clients"];
                let kind = kinds[number(rest) as usize % kinds.len()];
                self.ask("ASK", kind, Vec::new());
            }
            b'w' => self.wait(number(rest)),
            b'k' => {
                self.server.kill(None);
                self.again();
            }
            b's' => {
                self.server.stop(self.now_ms);
                self.held();
                self.again();
            }
            b'f' => {
                let fates = [Fate::Fails, Fate::KeptAndFails, Fate::DiesBefore, Fate::DiesAfter];
                lock(&self.disk).fates[0] = Some(fates[number(rest) as usize % 4]);
            }
            _ => {}
        }
    }

    fn again(&mut self) {
        lock(&self.disk).died[0] = false;
        if !self.server.is_up() {
            self.server.start(&self.disk, &self.plan, self.now_ms);
        }
        self.wait(1_200);
    }

    fn wait(&mut self, ms: u64) {
        // A year at most, or a plan's dates would never be left behind.
        self.now_ms = self.now_ms.saturating_add(ms.min(31_536_000_000));
        lock(&self.disk).now_ms = self.now_ms;
        self.turn(Vec::new(), true);
    }

    fn ask(&mut self, method: &str, path: &str, body: Vec<u8>) {
        let if_match = lock(&self.disk).policies.last().map_or(0, |row| row.revision);
        let request = Request {
            from: Asker::Operator(1),
            method: method.to_owned(),
            path: path.to_owned(),
            if_none_match: String::new(),
            if_match,
            key: None,
            body,
        };
        self.turn(vec![request], false);
    }

    fn turn(&mut self, requests: Vec<Request>, due: bool) {
        let asked = requests.len();
        let answers = self.server.turn(requests, due, self.now_ms);
        let died = std::mem::take(&mut lock(&self.disk).died[0]);
        if died {
            self.server.kill(None);
        } else {
            assert_eq!(answers.len(), asked, "requests go unanswered");
        }
        self.held();
        if died {
            self.again();
        }
    }

    fn held(&self) {
        let held = check::store(&lock(&self.disk));
        assert!(held.is_ok(), "after {}: {held:?}", self.last);
    }
}

fn command(message: &Value) -> Vec<u8> {
    json!({ "message": message, "reason": "fuzz" }).to_string().into_bytes()
}

/// A body: `\n` is a new line in it.
fn lines(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).replace("\\n", "\n").into_bytes()
}

fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}
