//! Clients, who call; and what faults and mutants do to a world.

use serde_json::Value;

use crate::check::{self, Held};
use crate::disk::{Fate, lock};
use crate::edge::{Edge, Seen};
use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::network::{Asker, Request, Response};
use crate::plan::Setup;
use crate::world::World;

impl World {
    /// One client calls, by way of any worker that is up.
    pub(crate) fn call(&mut self) -> Held {
        if self.calling {
            self.call_again();
        }
        let client = self.chance.below(self.setup.keys.len() as u64) as usize;
        let edge = self.chance.below(self.edges.len() as u64) as usize;
        let workers = self.edges[edge].workers.len();
        if workers == 0 {
            return Ok(());
        }
        let place = self.chance.below(workers as u64) as usize;
        self.played.calls += 1;
        let key = self.setup.keys[client].clone();
        let cut = self.edges[edge].cut_until_ms > self.now_ms;
        let host_ms = self.now_ms.saturating_add_signed(self.edges[edge].clock_off_ms);
        let worker = &mut self.edges[edge].workers[place];
        worker.instance.host.now_ns.set(host_ms * 1_000_000);
        let mut exchange = worker.instance.request(&[("x-user-id", key.as_bytes())]);
        let mut version = worker.instance.version();
        if self.mutant == Some(Mutant::WaitsForTheServer) && cut {
            version = None;
        }
        if self.mutant == Some(Mutant::DecidesByChance) && self.chance.permille(30) {
            version = version.map(|version| if version == "v1" { "v2" } else { "v1" }.to_owned());
        }
        let place_of = self.policies.decided(worker, &self.setup, client, version.as_deref())?;
        let Some(to) = place_of else { return Ok(()) };
        let fails = self.chance.permille(self.setup.failures[to]);
        let status: &[u8] = if fails { b"503" } else { b"200" };
        worker.instance.response(&mut exchange, &[(":status", status)]);
        worker.instance.end(&mut exchange);
        worker.instance.host.host_calls.take();
        let count = |seen: &mut Seen| {
            seen.routed[to] += 1;
            seen.failures[to] += u64::from(fails);
        };
        count(&mut worker.seen);
        count(worker.clients.entry(client).or_default());
        let revision = worker.revision_now().unwrap_or_default();
        worker.last.insert(client, (to, revision));
        if to == 1 {
            worker.since = (worker.since.0 + 1, worker.since.1 + u64::from(fails));
            if let Some((ratio, requests)) = self.setup.guard {
                let (seen, failed) = worker.since;
                worker.tripped |= seen >= requests && failed as f64 > ratio * seen as f64;
            }
        }
        self.played.digest = self.played.digest.wrapping_mul(0x100_0000_01B3)
            ^ (client as u64) << 8
            ^ (to as u64) << 4
            ^ revision;
        Ok(())
    }

    /// Something goes wrong.
    pub(crate) fn befalls(&mut self, fault: Fault) -> Held {
        let now_ms = self.now_ms;
        match fault {
            Fault::Kill { server, back_ms, reboot } => {
                self.servers[server].kill(reboot.then_some(now_ms));
                self.server_back(server, back_ms);
            }
            Fault::Stop { server, back_ms } => {
                let before = lock(&self.disk).policies.len();
                self.servers[server].stop(now_ms);
                lock(&self.disk).died[server] = false;
                self.kept(before)?;
                self.server_back(server, back_ms);
            }
            Fault::Stall { server, for_ms } => {
                self.servers[server].stalled_until_ms = now_ms + for_ms;
                self.asked_at(server, for_ms);
            }
            Fault::SetClock { server, off_ms } => self.servers[server].wall_off_ms = off_ms,
            Fault::CutStore { server, for_ms } => {
                lock(&self.disk).unreachable[server] = true;
                self.store_back(server, for_ms);
            }
            Fault::Commit { server, fate, back_ms } => {
                lock(&self.disk).fates[server] = Some(fate);
                if matches!(fate, Fate::DiesBefore | Fate::DiesAfter) {
                    lock(&self.disk).compare_every = back_ms % 40 + 1;
                }
            }
            Fault::CutEdge { edge, for_ms } => self.edges[edge].cut_until_ms = now_ms + for_ms,
            Fault::Crash { edge, back_ms } => {
                for worker in &self.edges[edge].workers {
                    check::edge_counts(edge, worker)?;
                }
                self.edges[edge].workers.clear();
                self.edge_back(edge, back_ms);
            }
            Fault::Trap { edge, worker } => self.traps(edge, worker)?,
            Fault::EdgeClock { edge, off_ms } => self.edges[edge].clock_off_ms = off_ms,
            Fault::Weather(weather) => self.weather = weather,
        }
        Ok(())
    }

    /// A request on its way, and what a mutant makes of it.
    pub(crate) fn on_the_way(&mut self, mut request: Request) -> Option<Request> {
        let Asker::Worker { edge, .. } = request.from else { return Some(request) };
        let acknowledged = |to| Response { to, status: 200, etag: None, body: Vec::new() };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        match (self.mutant, request.path.as_str()) {
            (Some(Mutant::SwallowsTotals), "totals") if self.chance.permille(100) => {
                self.books.acknowledged("totals", &request.body, true);
                self.answer_later(acknowledged(request.from));
                None
            }
            (Some(Mutant::SwallowsClients), "client-reports") if self.chance.permille(100) => {
                self.books.acknowledged("client-reports", &request.body, true);
                self.answer_later(acknowledged(request.from));
                None
            }
            (Some(Mutant::CountsTwice), "totals") if self.chance.permille(100) => {
                let mut report: Value = serde_json::from_str(&text).unwrap_or_default();
                report["epoch"] = "00000000000000ff".into();
                request.body = format!("{}\n{report}\n", text.trim_end()).into_bytes();
                Some(request)
            }
            (Some(Mutant::RepeatsClients), "client-reports") if self.chance.permille(200) => {
                let mut report: Value = serde_json::from_str(&text).unwrap_or_default();
                report["sequence"] = (report["sequence"].as_u64().unwrap_or_default() + 1).into();
                request.body = format!("{}\n{report}\n", text.trim_end()).into_bytes();
                Some(request)
            }
            (Some(Mutant::EdgeStaysAway), _) if edge == 0 && !self.faulty => None,
            _ => Some(request),
        }
    }

    /// An answer at an edge, and what a mutant makes of it or of the edge.
    pub(crate) fn tampered(&mut self, edge: usize, uid: u64, mut response: Response) -> Response {
        let Ok(mut policy) = serde_json::from_slice::<Value>(&response.body) else {
            return response;
        };
        if policy.get("document").is_none() {
            return response;
        }
        match self.mutant {
            Some(Mutant::AnotherSalt) if edge == 0 => policy["document"]["salt"] = "other".into(),
            Some(Mutant::KeepsShareAfterRollback)
                if policy["document"]["canary_percentage"] == 0 =>
            {
                policy["document"]["canary_percentage"] = 50.into();
            }
            Some(Mutant::TakesOlderPolicies) => {
                let revision = policy["revision"].as_u64().unwrap_or_default();
                let (Some(worker), true) =
                    (self.edges[edge].worker(uid), self.chance.permille(200))
                else {
                    return response;
                };
                let plan = crossfade_protocol::plan::Plan::read(&policy["document"]);
                if let (Ok(plan), true) = (plan, revision > 1) {
                    worker.instance.root.node().borrow_mut().adopt(plan, revision - 1);
                }
                return response;
            }
            _ => return response,
        }
        response.body = policy.to_string().into_bytes();
        response
    }
}

impl Setup {
    /// What a mutant needs to be seen at all.
    pub(crate) fn adapt(&mut self, mutant: Option<Mutant>) {
        match mutant {
            Some(
                Mutant::KeepsOneLine
                | Mutant::KeepsTheLaterLine
                | Mutant::Unfenced
                | Mutant::AnswersWithoutLease,
            ) => {
                self.servers = 2;
            }
            Some(
                Mutant::ActsTwice
                | Mutant::IgnoresKeys
                | Mutant::ForgetsReceipts
                | Mutant::ClaimsNotDone,
            ) => self.operated = true,
            Some(Mutant::PromotesByItself) => (self.hold, self.operated) = (true, false),
            Some(Mutant::KeepsShareAfterRollback) => self.failures = [0, 700],
            _ => {}
        }
        if self.hold {
            self.document["gate"]["on_inconclusive"] = "hold".into();
        }
    }
}

impl Edge {
    /// Whether every worker has this revision.
    pub(crate) fn all_have(&self, revision: u64) -> bool {
        !self.workers.is_empty()
            && self.workers.iter().all(|worker| worker.revision == Some(revision))
    }
}
