//! Servers' turns: what they are asked, what they keep and what they say.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Event, World};
use crate::check::{self, Held};
use crate::disk::lock;
use crate::network::{Asker, Request, Response};

impl World {
    /// One turn of a server, and what it led to.
    pub(crate) fn turn(&mut self, server: usize, requests: Vec<Request>, due: bool) -> Held {
        if self.servers[server].stalled_until_ms > self.now_ms || !self.servers[server].is_up() {
            return Ok(());
        }
        let bodies: Vec<Request> = requests.clone();
        let before = lock(&self.disk).policies.len();
        let leading = self.servers[server].leads();
        let responses = self.servers[server].turn(requests, due, self.now_ms);
        let leads = self.servers[server].leads();
        if leading != leads {
            self.note(|| {
                format!("server {server} {}", if leads { "leads" } else { "leads no more" })
            });
        }
        let died = std::mem::take(&mut lock(&self.disk).died[server]);
        self.kept(before)?;
        if died {
            self.note(|| format!("server {server} dies in a commit"));
            let back_ms = self.chance.between(200, 5_000);
            self.servers[server].kill(None);
            self.at(back_ms, Event::ServerBack(server));
            return Ok(());
        }
        for response in responses {
            let body = bodies.iter().find(|request| request.from == response.to);
            self.said(server, response, body, leads)?;
        }
        Ok(())
    }

    /// What the store says now.
    pub(crate) fn kept(&mut self, policies_before: usize) -> Held {
        let disk = Arc::clone(&self.disk);
        let disk = lock(&disk);
        for row in &disk.policies[policies_before..] {
            self.policies.given(row.revision, &row.document)?;
            let Known { revision, share } = known(row.revision, &row.document);
            let who = row.who.clone();
            self.note(|| format!("policy {revision}: {share} % to v2, by {who}"));
        }
        check::store(&disk)?;
        self.proof.look(&disk, &self.setup)
    }

    /// A server answers; that may arrive.
    fn said(
        &mut self,
        server: usize,
        response: Response,
        request: Option<&Request>,
        leads: bool,
    ) -> Held {
        match response.to {
            Asker::Operator(id) => {
                self.operator.answered(id, &response);
                let (status, body) = (response.status, &response.body);
                let why =
                    String::from_utf8_lossy(if status == 200 { &[] } else { body }).into_owned();
                self.note(|| format!("command #{id} is answered {status} {why}"));
            }
            Asker::Worker { .. } => {
                if let Some(request) = request.filter(|_| response.status == 200) {
                    if request.path == "client-reports" {
                        let what = String::from_utf8_lossy(&request.body)
                            .chars()
                            .take(80)
                            .collect::<String>();
                        let role = if leads { "the leader" } else { "a standby" };
                        self.note(|| format!("server {server}, {role}, acknowledges {what}"));
                    }
                    self.books.acknowledged(&request.path, &request.body, leads);
                }
            }
            Asker::Probe => return self.learnt(server, request, response),
        }
        if self.is_cut(response.to) {
            return Ok(());
        }
        for delay_ms in self.weather.delays(&mut self.chance) {
            self.at(delay_ms, Event::Answered(response.clone()));
        }
        Ok(())
    }

    fn learnt(&mut self, server: usize, request: Option<&Request>, response: Response) -> Held {
        let Some(request) = request.filter(|_| response.status == 200) else { return Ok(()) };
        if request.method == "ASK" {
            check::reads(&lock(&self.disk), server)?;
        }
        let value = serde_json::from_slice(&response.body).ok();
        match request.path.as_str() {
            "get_migration_stats" => self.stats = value,
            "get_rollout" => self.rollout = value,
            "get_clients" => self.clients = value,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn closes(&mut self, asker: Asker) -> bool {
        let known = self.open.iter().position(|open| *open == asker);
        known.map(|place| self.open.swap_remove(place)).is_some()
    }

    pub(super) fn answered(&mut self, response: Response) -> Held {
        match response.to {
            Asker::Worker { edge, uid, token } => {
                let open = self.closes(response.to);
                let policy: Option<Value> = match response.status {
                    200 => serde_json::from_slice(&response.body).ok(),
                    _ => None,
                };
                if let Some(policy) = policy.filter(|policy| policy.get("document").is_some()) {
                    let revision = policy["revision"].as_u64().unwrap_or_default();
                    self.policies.given(revision, &policy["document"])?;
                }
                if !open {
                    // Too late: the proxy has given it up, and the worker hears nothing.
                    return Ok(());
                }
                let response = self.tampered(edge, uid, response);
                let next = self.edges[edge].answer(uid, token, Some(&response));
                self.looked_at(edge, uid)?;
                self.send_all(next);
            }
            Asker::Operator(id) => {
                self.operator.heard(id, response.status);
                let policy = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
                if let (200, Some(revision)) = (response.status, policy["revision"].as_u64())
                    && policy.get("document").is_some()
                {
                    self.operator.policy = Some((revision, policy["document"].clone()));
                }
            }
            Asker::Probe => {}
        }
        Ok(())
    }

    /// Who leads. One that has slept may believe for a moment that it does.
    fn leader(&self) -> Option<usize> {
        let writer = lock(&self.disk).writer()?;
        self.servers[writer].leads().then_some(writer)
    }

    /// The world's own questions to whoever leads.
    pub(crate) fn ask_leader(&mut self, kind: &str) -> Held {
        match self.leader() {
            Some(server) => self.ask(server, kind),
            None => Ok(()),
        }
    }

    /// The same to any server.
    pub(super) fn ask(&mut self, server: usize, kind: &str) -> Held {
        let request = Request {
            from: Asker::Probe,
            method: "ASK".to_owned(),
            path: kind.to_owned(),
            if_none_match: String::new(),
            if_match: 0,
            key: None,
            body: Vec::new(),
        };
        self.turn(server, vec![request], false)
    }

    pub(super) fn probe(&mut self) -> Held {
        self.stats = None;
        self.ask_leader("get_migration_stats")?;
        if let Some(stats) = &self.stats {
            check::counts(&self.books, stats, false)?;
        }
        let disk = lock(&self.disk);
        self.operator.check(&disk)
    }

    /// Tells whoever leads, without a network between.
    pub(crate) fn tell(&mut self, kind: &str, from: Asker) -> Held {
        let Some(server) = self.leader() else { return Ok(()) };
        let body = json!({ "message": { "type": kind }, "reason": "" }).to_string().into_bytes();
        let (method, path) = ("POST".to_owned(), format!("rollout/{kind}"));
        let request = Request {
            from,
            method,
            path,
            if_none_match: String::new(),
            if_match: 0,
            key: None,
            body,
        };
        self.turn(server, vec![request], false)
    }
}

/// For the trace.
struct Known {
    revision: u64,
    share: String,
}

fn known(revision: u64, document: &Value) -> Known {
    Known { revision, share: document["canary_percentage"].to_string() }
}
