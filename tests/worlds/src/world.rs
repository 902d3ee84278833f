//! A world: what happens when, and who is told.

mod answers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::chance::Chance;
use crate::check::{self, Held, Policies, Proof};
use crate::disk::{Disk, lock};
use crate::edge::Edge;
use crate::faults::Fault;
use crate::ledger::Books;
use crate::liveness::Liveness;
use crate::mutant::Mutant;
use crate::network::{Asker, Request, Response, Weather};
use crate::operator::Operator;
use crate::plan::Setup;
use crate::server::Server;

/// When every world begins, in Unix milliseconds.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// How often edges and servers let time act. Less often than they do it elsewhere: a world
/// is over sooner, and no check depends on it.
pub(crate) const TICK_MS: u64 = 500;

/// After so long a call to the control server is answered by the proxy itself.
const TIMEOUT_MS: u64 = 1_500;

/// Something that happens.
#[derive(Debug)]
enum Event {
    EdgeTick(usize),
    ServerTick(usize),
    /// A client calls.
    Call,
    Arrives(usize, Request),
    Answered(Response),
    /// The proxy gives a call up.
    GivenUp {
        edge: usize,
        uid: u64,
        token: u32,
    },
    Command,
    /// An operator without an answer repeats a command.
    Repeat(u64),
    /// Somebody asked a server that slept, and it wakes.
    Asked(usize),
    Fault,
    ServerBack(usize),
    EdgeBack(usize),
    /// A server reaches the store again.
    StoreBack(usize),
    /// The world asks the leader what it has counted.
    Probe,
}

/// How a world went.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// What was wrong.
    pub failure: Option<String>,
    /// Everything that happened, if it was asked for.
    pub trace: Vec<String>,
    /// Of everything that happened: the same for the same seed.
    pub digest: u64,
    /// Calls of clients.
    pub calls: u64,
    /// Commits of servers.
    pub commits: u64,
    /// Faults.
    pub faults: u64,
    /// The phase that the rollout ended in.
    pub phase: String,
    /// Whether the new version was no worse, and was taken back.
    pub false_alarm: bool,
}

/// See the module.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) chance: Chance,
    pub(crate) setup: Setup,
    pub(crate) mutant: Option<Mutant>,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    pub(crate) servers: Vec<Server>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) disk: Arc<Mutex<Disk>>,
    pub(crate) books: Books,
    pub(crate) policies: Policies,
    pub(crate) operator: Operator,
    proof: Proof,
    pub(crate) weather: Weather,
    uids: u64,
    /// Calls of workers that were not answered yet.
    open: Vec<Asker>,
    pub(crate) faulty: bool,
    pub(crate) calling: bool,
    /// The newest answers to the world's own questions.
    pub(crate) stats: Option<Value>,
    pub(crate) clients: Option<Value>,
    pub(crate) rollout: Option<Value>,
    pub(crate) played: Played,
    tracing: bool,
}

/// Plays the world of a seed, with everything that happens written down if `tracing`.
pub fn play(seed: u64, mutant: Option<Mutant>, tracing: bool) -> Played {
    let mut world = World::new(seed, mutant, tracing);
    world.note(|| format!("seed {seed}"));
    if let Err(failure) = world.run() {
        world.note(|| format!("WRONG  {failure}"));
        world.played.failure = Some(failure);
    }
    world.played
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, tracing: bool) -> World {
        let mut chance = Chance::new(seed);
        let mut setup = Setup::draw(&mut chance);
        setup.adapt(mutant);
        let disk = Disk::new(BEGIN_MS, setup.servers, mutant, chance.between(8, 60));
        drop(crate::disk::take_mirror());
        let servers =
            (0..setup.servers).map(|id| Server::new(id, chance.number(), BEGIN_MS)).collect();
        let edges = (0..setup.edges).map(|id| Edge::new(id, &setup)).collect();
        World {
            now_ms: BEGIN_MS,
            chance,
            mutant,
            events: BTreeMap::new(),
            number: 0,
            servers,
            edges,
            disk: Arc::new(Mutex::new(disk)),
            books: Books::default(),
            policies: Policies::default(),
            operator: Operator::default(),
            proof: Proof::default(),
            weather: Weather::default(),
            uids: 0,
            open: Vec::new(),
            faulty: true,
            calling: true,
            stats: None,
            clients: None,
            rollout: None,
            played: Played::default(),
            tracing,
            setup,
        }
    }

    /// Writes down what happens, for whoever looks at a failure.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tracing {
            let at = self.now_ms - BEGIN_MS;
            self.played.trace.push(format!("{:>4}.{:03} s  {}", at / 1000, at % 1000, what()));
        }
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.number += 1;
        self.events.insert((self.now_ms + after_ms, self.number), event);
    }

    fn run(&mut self) -> Held {
        if self.setup.bundled {
            self.policies.given(0, &self.setup.document.clone())?;
        }
        let Setup { document, servers, edges, workers, failures, .. } = &self.setup;
        let setup = format!(
            "{servers} servers, {edges} edges of {workers} workers, {failures:?} ‰ fail, and the \
             plan is {document}"
        );
        self.note(|| setup);
        for server in 0..self.servers.len() {
            self.servers[server].start(&self.disk, &self.setup.document, self.now_ms);
            self.at(server as u64, Event::ServerTick(server));
        }
        for edge in 0..self.edges.len() {
            self.boot(edge);
            let phase = self.chance.below(TICK_MS);
            self.at(5 + phase, Event::EdgeTick(edge));
        }
        self.at(10, Event::Call);
        self.at(2_000, Event::Fault);
        self.at(3_000, Event::Probe);
        if self.setup.operated {
            self.at(1_000, Event::Command);
        }
        let faulty_until_ms = self.now_ms + self.setup.faulty_ms;
        self.go_on(|world| world.now_ms >= faulty_until_ms)?;
        self.converge()
    }

    /// Lets things happen until this holds; looked at before everything that happens.
    pub(crate) fn go_on(&mut self, until: impl Fn(&World) -> bool) -> Held {
        while !until(self) {
            let Some(((at_ms, _), event)) = self.events.pop_first() else { return Ok(()) };
            self.now_ms = at_ms;
            lock(&self.disk).now_ms = at_ms;
            self.happens(event)?;
        }
        Ok(())
    }

    fn happens(&mut self, event: Event) -> Held {
        match event {
            Event::EdgeTick(edge) => self.edge_tick(edge),
            Event::ServerTick(server) => {
                self.at(TICK_MS, Event::ServerTick(server));
                let stopped = self.mutant == Some(Mutant::TimeStops) && !self.faulty;
                if self.mutant == Some(Mutant::PromotesByItself) && self.chance.permille(20) {
                    self.tell("promote_rollout", Asker::Probe)?;
                }
                self.turn(server, Vec::new(), !stopped)
            }
            Event::Call => self.call(),
            Event::Arrives(server, request) => self.arrives(server, request),
            Event::Answered(response) => self.answered(response),
            Event::GivenUp { edge, uid, token } => {
                let asker = Asker::Worker { edge, uid, token };
                if self.closes(asker) {
                    let next = self.edges[edge].answer(uid, token, None);
                    self.send_all(next);
                }
                Ok(())
            }
            Event::Command => self.command(),
            Event::Repeat(id) => {
                self.repeat(id);
                Ok(())
            }
            Event::Asked(server) => self.ask(server, "get_rollout"),
            Event::Fault => self.fault(),
            Event::ServerBack(server) => {
                if !self.servers[server].is_up() {
                    self.note(|| format!("server {server} starts"));
                    self.servers[server].start(&self.disk, &self.setup.document, self.now_ms);
                }
                Ok(())
            }
            Event::EdgeBack(edge) => {
                if self.edges[edge].down_until_ms.is_some_and(|until| until <= self.now_ms) {
                    self.note(|| format!("edge {edge} starts"));
                    self.boot(edge);
                }
                Ok(())
            }
            Event::StoreBack(server) => {
                lock(&self.disk).unreachable[server] = false;
                Ok(())
            }
            Event::Probe => {
                self.at(4_000, Event::Probe);
                self.probe()
            }
        }
    }

    fn boot(&mut self, edge: usize) {
        let workers = self.setup.workers;
        self.edges[edge].down_until_ms = None;
        self.edges[edge].boot(workers, &mut self.uids, &mut self.chance);
    }

    fn edge_tick(&mut self, edge: usize) -> Held {
        self.at(TICK_MS, Event::EdgeTick(edge));
        for place in 0..self.edges[edge].workers.len() {
            let requests = self.edges[edge].tick(place, self.now_ms);
            let uid = self.edges[edge].workers[place].uid;
            self.looked_at(edge, uid)?;
            self.send_all(requests);
        }
        Ok(())
    }

    /// A worker's revision may have changed.
    fn looked_at(&mut self, edge: usize, uid: u64) -> Held {
        let Some(worker) = self.edges[edge].worker(uid) else { return Ok(()) };
        if check::never_back(edge, worker)? {
            worker.since = (0, 0);
            worker.tripped = false;
            let revision = worker.revision;
            self.note(|| format!("edge {edge}, worker {uid}: revision {revision:?} is in force"));
        }
        Ok(())
    }

    /// To any server that may be there.
    pub(crate) fn send_all(&mut self, requests: Vec<Request>) {
        for request in requests {
            if let Asker::Worker { edge, uid, token } = request.from {
                self.books.sent(uid, &request.path, &request.body);
                self.open.push(request.from);
                self.at(TIMEOUT_MS, Event::GivenUp { edge, uid, token });
            }
            self.send(request);
        }
    }

    fn send(&mut self, request: Request) {
        let Some(request) = self.on_the_way(request) else { return };
        if self.is_cut(request.from) {
            return;
        }
        for delay_ms in self.weather.delays(&mut self.chance) {
            let server = self.chance.below(self.servers.len() as u64) as usize;
            self.at(delay_ms, Event::Arrives(server, request.clone()));
        }
    }

    fn is_cut(&self, who: Asker) -> bool {
        matches!(who, Asker::Worker { edge, .. } if self.edges[edge].cut_until_ms > self.now_ms)
    }

    fn arrives(&mut self, server: usize, request: Request) -> Held {
        if let Asker::Operator(id) = request.from {
            self.operator.asked(id);
        }
        let stalled = self.servers[server].stalled_until_ms > self.now_ms;
        if stalled {
            // It lies in the machine's buffers until then.
            let wait = self.servers[server].stalled_until_ms - self.now_ms;
            if let Asker::Operator(id) = request.from {
                self.operator.given_back(id);
            }
            self.at(wait, Event::Arrives(server, request));
            return Ok(());
        }
        let mut request = request;
        if matches!(self.mutant, Some(Mutant::IgnoresKeys | Mutant::ActsTwice)) {
            request.key = None;
        }
        let twice = self.mutant == Some(Mutant::ActsTwice) && request.method == "POST";
        let requests = match twice && matches!(request.from, Asker::Operator(_)) {
            true => vec![request.clone(), request],
            false => vec![request],
        };
        self.turn(server, requests, false)
    }

    fn command(&mut self) -> Held {
        let next = self.chance.between(800, 6_000);
        self.at(next, Event::Command);
        if !self.faulty {
            return Ok(());
        }
        // Operators look before they write, more often than not.
        let newest =
            lock(&self.disk).policies.last().map(|row| (row.revision, row.document.clone()));
        if let Some(newest) = newest.filter(|_| self.chance.permille(800)) {
            self.operator.policy = Some(newest);
        }
        let (request, what) = self.operator.command(&self.setup, &mut self.chance);
        self.note(|| format!("command {what}"));
        if self.chance.permille(200) {
            self.send(request.clone());
        }
        if let Asker::Operator(id) = request.from {
            self.repeat_later(id);
        }
        self.send(request);
        Ok(())
    }

    fn repeat_later(&mut self, id: u64) {
        let after_ms = self.chance.between(500, 5_000);
        self.at(after_ms, Event::Repeat(id));
    }

    /// A command with a key is repeated until something is heard of it.
    fn repeat(&mut self, id: u64) {
        let Some(request) = self.operator.unheard(id).filter(|_| self.faulty) else { return };
        self.note(|| format!("command #{id} is repeated"));
        self.repeat_later(id);
        self.send(request);
    }

    pub(crate) fn asked_at(&mut self, server: usize, after_ms: u64) {
        self.at(after_ms, Event::Asked(server));
    }

    fn fault(&mut self) -> Held {
        if !self.faulty {
            return Ok(());
        }
        let next = self.chance.between(300, 4_000);
        self.at(next, Event::Fault);
        let fault = Fault::draw(&mut self.chance, self.servers.len(), self.edges.len());
        self.played.faults += 1;
        self.note(|| format!("fault {fault:?}"));
        self.befalls(fault)
    }

    pub(crate) fn server_back(&mut self, server: usize, after_ms: u64) {
        self.at(after_ms, Event::ServerBack(server));
    }

    pub(crate) fn store_back(&mut self, server: usize, after_ms: u64) {
        self.at(after_ms, Event::StoreBack(server));
    }

    pub(crate) fn answer_later(&mut self, response: Response) {
        self.at(5, Event::Answered(response));
    }

    pub(crate) fn edge_back(&mut self, edge: usize, after_ms: u64) {
        self.edges[edge].down_until_ms = Some(self.now_ms + after_ms);
        self.at(after_ms, Event::EdgeBack(edge));
    }

    pub(crate) fn call_again(&mut self) {
        let next = self.chance.between(20, 120);
        self.at(next, Event::Call);
    }

    pub(crate) fn traps(&mut self, edge: usize, place: usize) -> Held {
        let old = self.edges[edge].trap(place, &mut self.uids, &mut self.chance);
        let Some(old) = old else { return Ok(()) };
        check::edge_counts(edge, &old)?;
        let new = &self.edges[edge].workers[place];
        if new.revision < old.revision {
            let (new, old) = (new.revision, old.revision);
            return Err(format!("never back: a worker with {new:?} follows one with {old:?}"));
        }
        Ok(())
    }
}
