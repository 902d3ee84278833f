//! Somebody who gives commands, and asks again when no answer comes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::check::Held;
use crate::disk::Disk;
use crate::network::{Asker, Request, Response};
use crate::plan::Setup;

/// How often a command is repeated at most.
const REPEATS_MAX: u64 = 8;

/// A command that was given.
#[derive(Debug)]
struct Command {
    request: Request,
    /// How often a server did it, by what it answered: 200.
    done: u64,
    /// How often one said that it was not done.
    refused: u64,
    /// How often a server was asked.
    asked: u64,
    repeats: u64,
    /// Whether something certain was heard of it.
    heard: bool,
    /// What was answered first, when it was done.
    answer: Option<Vec<u8>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    given: BTreeMap<u64, Command>,
    /// An answer that must not have been given.
    wrong: Option<String>,
    /// The newest policy that was seen: its revision and document.
    pub(crate) policy: Option<(u64, Value)>,
}

impl Operator {
    /// A command, and what it is called.
    pub(crate) fn command(&mut self, setup: &Setup, chance: &mut Chance) -> (Request, String) {
        let id = self.given.len() as u64 + 1;
        let reason = format!("#{id}");
        let known = self.policy.clone().unwrap_or((1, setup.document.clone()));
        let (path, message, if_match) = match chance.below(12) {
            0 | 1 => ("rollout/pause", json!({ "type": "pause_rollout" }), 0),
            2 | 3 => ("rollout/resume", json!({ "type": "resume_rollout" }), 0),
            4 => ("rollout/promote", json!({ "type": "promote_rollout" }), 0),
            5 => ("rollout/abort", json!({ "type": "abort_rollout" }), 0),
            6 => ("rollout/retry", json!({ "type": "retry_rollout" }), 0),
            7 => ("rollout/start", json!({ "type": "gradual_rollout" }), 0),
            8 => {
                let to = *chance.of(&["old", "policy"]);
                let client = chance.of(&setup.keys);
                ("client", json!({ "type": "repin_client", "client": client, "to": to }), 0)
            }
            9 => {
                let says = *chance.of(&["blocked", "ready", "nothing"]);
                let client = chance.of(&setup.keys);
                ("client", json!({ "type": "declare_client", "client": client, "says": says }), 0)
            }
            _ => {
                let (revision, mut document) = known;
                match chance.below(3) {
                    0 => document["canary_percentage"] = json!(chance.below(101)),
                    1 => document["kill_switch"] = json!(document["kill_switch"] != true),
                    _ => document["salt"] = json!(format!("s{}", chance.below(3))),
                }
                ("policy", json!({ "type": "configure", "document": document }), revision)
            }
        };
        let body = json!({ "message": message, "reason": reason }).to_string();
        let request = Request {
            from: Asker::Operator(id),
            method: if path == "policy" { "PUT" } else { "POST" }.to_owned(),
            path: path.to_owned(),
            if_none_match: String::new(),
            if_match,
            key: chance.permille(700).then(|| format!("key-{id}")),
            body: body.into_bytes(),
        };
        let command = Command {
            request: request.clone(),
            done: 0,
            refused: 0,
            asked: 0,
            repeats: 0,
            heard: false,
            answer: None,
        };
        self.given.insert(id, command);
        (request, format!("{path} {reason}"))
    }

    /// A server is asked, perhaps not for the first time.
    pub(crate) fn asked(&mut self, id: u64) {
        if let Some(command) = self.given.get_mut(&id) {
            command.asked += 1;
        }
    }

    /// It was not asked after all, but will be.
    pub(crate) fn given_back(&mut self, id: u64) {
        if let Some(command) = self.given.get_mut(&id) {
            command.asked -= 1;
        }
    }

    /// A server answers, whether or not that arrives.
    pub(crate) fn answered(&mut self, id: u64, response: &Response) {
        let Some(command) = self.given.get_mut(&id) else { return };
        let Response { status, body, .. } = response;
        // 504 says that nobody knows.
        command.refused += u64::from(matches!(status, 307 | 409 | 412 | 422 | 503));
        let keyed = command.request.key.is_some();
        if keyed && command.done > 0 && matches!(status, 409 | 412 | 422) {
            self.wrong.get_or_insert(format!("#{id} was done, and is refused with {status}"));
        }
        if *status != 200 {
            return;
        }
        command.done += 1;
        // That of a policy is made by the route, from what is in force.
        if keyed && command.request.path != "policy" {
            let first = command.answer.get_or_insert_with(|| body.clone());
            if first != body {
                let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
                let (first, now) = (text(first), text(body));
                self.wrong.get_or_insert(format!("#{id} was answered {first}, and then {now}"));
            }
        }
    }

    /// An answer arrives.
    pub(crate) fn heard(&mut self, id: u64, status: u16) {
        if let Some(command) = self.given.get_mut(&id) {
            command.heard |= !matches!(status, 307 | 503 | 504);
        }
    }

    /// A command of which nothing certain was heard, if it can be repeated.
    pub(crate) fn unheard(&mut self, id: u64) -> Option<Request> {
        let command = self.given.get_mut(&id)?;
        command.repeats += 1;
        let can = command.request.key.is_some() && command.repeats <= REPEATS_MAX;
        (can && !command.heard).then(|| command.request.clone())
    }

    /// What was acknowledged is in the audit log once, what was refused is not.
    pub(crate) fn check(&self, disk: &Disk) -> Held {
        if let Some(wrong) = &self.wrong {
            return Err(format!("commands: {wrong}"));
        }
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for row in disk.audit.iter().filter(|row| row.who == "op") {
            *rows.entry(row.why.as_str()).or_default() += 1;
        }
        for (id, command) in &self.given {
            let kept = rows.get(format!("#{id}").as_str()).copied().unwrap_or_default();
            let Command { done, refused, asked, request, .. } = command;
            let keyed = request.key.is_some();
            if keyed && kept > 1 {
                return Err(format!("commands: #{id} was done {kept} times with one key"));
            }
            if kept < if keyed { 1.min(*done) } else { *done } {
                return Err(format!(
                    "commands: #{id} was done {done} times and is kept {kept} times"
                ));
            }
            if kept + refused > *asked {
                return Err(format!(
                    "commands: #{id} was asked for {asked} times, refused {refused} and kept {kept} times"
                ));
            }
        }
        Ok(())
    }
}
