//! The engine: messages in, messages out.
//!
//! It owns the policy in force, the counts, the clients and the controller, and is the
//! only place where they meet. A line takes one of two ways: the known shape of
//! `get_users` is recognised by [`scan`] and answered without building a JSON value;
//! everything else is read by `crossfade-protocol` and answered in [`answer`].

mod answer;
#[cfg(feature = "ledger")]
mod brownouts;
mod changes;
#[cfg(feature = "ledger")]
mod clients;
mod counted;
mod deciding;
#[cfg(feature = "ledger")]
mod life;
mod lines;
mod questions;
mod route;
mod scan;
mod state;
mod sunset;
#[cfg(not(feature = "ledger"))]
mod without_ledger;
mod write;

use std::collections::VecDeque;

use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::{CLIENTS_MAX, EVENTS_MAX, TIME_MS_MAX};
use crossfade_protocol::plan::{Plan, Versions};
use crossfade_protocol::request::{Address, Clock, InitDocument};
use crossfade_protocol::totals::Totals;
use crossfade_protocol::{ErrorCode, Fault};

use crate::census::{Census, Identity};
use crate::changes::Changes;
#[cfg(feature = "ledger")]
use crate::clients::Clients;
use crate::controller::{Changed, Controller, Source};
use crate::decision::Decision;
use crate::draws::Draws;
use crate::event::{Event, NodeChange, What};
use crate::gate::Evidence;
use crate::gate::data::Suspicion;
use crate::guard::Guard;
use crate::guest::Guest;
use crate::health::Presented;
use crate::policy::Policy;
use crate::protocol;
use crate::request::Request;
use crate::tally::{Fleet, NotTaken, Tally, growth};

#[cfg(feature = "ledger")]
use clients::no_ledger;
#[cfg(not(feature = "ledger"))]
use without_ledger::{Clients, no_ledger};

/// One node's engine.
#[derive(Debug, Clone)]
pub struct Engine {
    node: String,
    epoch: u64,
    /// Grows with every report of totals.
    sequence: u64,
    clock: Clock,
    /// The engine's time: never goes back.
    now_ms: u64,
    /// When it was started. Before that nothing is known on the wall clock, and nothing
    /// happened on a virtual one.
    started_ms: u64,
    /// How far a virtual clock has been moved beyond the host's.
    ahead_ms: u64,
    draws: Draws,
    policy: Policy,
    /// How the answers to `get_users` end, by version.
    endings: Vec<write::Endings>,
    /// What this node counted, by version.
    tallies: Vec<Tally>,
    /// When each version last served a request.
    last_served_ms: Vec<Option<u64>>,
    /// What other nodes counted.
    fleet: Fleet,
    census: Census,
    /// What clients did and nobody was told yet, where this is wanted.
    changes: Option<Box<Changes>>,
    /// What nodes have reported of their clients, once one has.
    clients: Option<Box<Clients>>,
    /// Whether this node's own clients are in there, too.
    keeps_ledger: bool,
    guard: Guard,
    controller: Controller,
    /// Outcomes reported on a virtual clock: the evidence of every step.
    presented: Presented,
    /// Whom to tell when the rollout has ended.
    waiting: Option<Waiting>,
    /// Lines seen, blank ones included.
    lines: u64,
    /// Whether replies are enveloped: after a Maelstrom `init`.
    enveloped: bool,
    /// Event lines for the next tick.
    events: VecDeque<String>,
    /// Events dropped since the last tick because nobody took them.
    events_dropped: u64,
}

/// A reply that is owed.
#[derive(Debug, Clone, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
struct Waiting {
    address: Option<Address>,
    msg_id: Option<u64>,
}

impl Engine {
    /// Starts an engine.
    pub fn new(init: InitDocument, now_ms: u64, seed: u64) -> Engine {
        let mut draws = Draws::new(seed);
        let epoch = init.epoch.unwrap_or_else(|| draws.next_u64());
        let policy = Policy::new(init.plan.map_or_else(Plan::bare, |plan| *plan), 1, None);
        let census = Census::new(draws.next_u64());
        let mut engine = Engine {
            node: init.node,
            epoch,
            sequence: 0,
            clock: init.clock,
            now_ms: now_ms.min(TIME_MS_MAX),
            started_ms: now_ms.min(TIME_MS_MAX),
            ahead_ms: 0,
            draws,
            endings: Vec::new(),
            tallies: vec![Tally::default(); policy.versions().len()],
            last_served_ms: vec![None; policy.versions().len()],
            policy,
            fleet: Fleet::default(),
            census,
            changes: None,
            clients: None,
            keeps_ledger: init.keep_clients,
            guard: Guard::default(),
            controller: Controller::default(),
            presented: Presented::default(),
            waiting: None,
            lines: 0,
            enveloped: false,
            events: VecDeque::new(),
            events_dropped: 0,
        };
        engine.name_versions();
        engine.begin_life();
        engine.turn();
        if init.report_clients {
            engine.report_clients();
        }
        engine
    }

    fn name_versions(&mut self) {
        self.endings = self.policy.versions().iter().map(|v| write::Endings::of(v)).collect();
    }

    fn versions(&self) -> &Versions {
        &self.policy.plan().versions
    }

    /// Moves the engine's time forward to the host's.
    fn observe(&mut self, now_ms: u64) {
        let now_ms = now_ms.saturating_add(self.ahead_ms).min(TIME_MS_MAX);
        self.now_ms = self.now_ms.max(now_ms);
        self.turn();
    }

    /// Lets the policy have the time: brownouts begin and end by it.
    fn turn(&mut self) {
        if self.policy.is_due(self.now_ms) {
            self.policy.observe(self.now_ms);
        }
    }

    fn refuse_at(&self, address: Option<&Address>, fault: &Fault, out: &mut Vec<u8>) {
        let text = format!("line {}: {}", self.lines, fault.text);
        write::error(out, self.reply_to(address, None), &Fault { code: fault.code, text });
    }

    fn reply_to<'m>(
        &self,
        address: Option<&'m Address>,
        msg_id: Option<u64>,
    ) -> write::ReplyTo<'m> {
        let envelope = address.filter(|_| self.enveloped);
        write::ReplyTo { envelope: envelope.map(|a| (a.dest.as_str(), a.src.as_str())), msg_id }
    }

    fn get_users_scanned(&mut self, message: &scan::GetUsers<'_>, out: &mut Vec<u8>) {
        let key = message.user_id.filter(|key| !key.is_empty());
        let traffic =
            message.canary.map(|share| crate::policy::Traffic::Canary { share, sticky: true });
        let request = Request {
            key: key.map(str::as_bytes),
            attributes: &(),
            traffic: traffic.as_ref(),
            guard_tripped: self.guard.tripped(),
        };
        let draw = self.draws.next_u32();
        let decision = self.policy.decide(&request, draw);
        self.count(&decision, key, message.src);
        let envelope = match (self.enveloped, message.src, message.dest) {
            (true, Some(src), Some(dest)) => Some((dest, src)),
            _ => None,
        };
        let to = write::ReplyTo { envelope, msg_id: message.msg_id };
        if decision.reason.refuses() {
            return write::reply(out, to, &self.users_response(&decision));
        }
        if let Some(endings) = self.endings.get(usize::from(decision.version)) {
            write::users_response(out, to, endings.of_answer(decision.canary));
        }
    }

    /// Counts a decided request, and its client if it has a name. One that is refused is
    /// none of its version's, and tells that its client still calls it.
    #[inline]
    fn count(&mut self, decision: &Decision, key: Option<&str>, src: Option<&str>) {
        let refused = decision.reason.refuses();
        if !refused {
            self.count_version(decision.version);
        }
        let (client, identity) = match (key, src) {
            (Some(key), _) => (key.as_bytes(), Identity::Key),
            (None, Some(src)) => (src.as_bytes(), Identity::Sender),
            (None, None) => return,
        };
        self.count_client(client, identity, decision.version, refused);
    }

    #[inline(always)]
    fn count_version(&mut self, version: u16) {
        if let Some(tally) = self.tallies.get_mut(usize::from(version)) {
            tally.routed += 1;
        }
        if let Some(last) = self.last_served_ms.get_mut(usize::from(version)) {
            *last = Some(self.now_ms);
        }
    }

    #[inline]
    fn count_client(&mut self, client: &[u8], identity: Identity, version: u16, refused: bool) {
        let complete = self.census.uncounted() == 0;
        self.census.record(client, identity, version, self.now_ms);
        if complete && self.census.uncounted() > 0 {
            self.clients_full();
        }
        if self.changes.is_some() {
            let identity = protocol::clients::Identity::from_byte(identity as u8);
            self.reported(client, identity, version, (1, 0, refused.into()));
        }
    }

    /// To be called for the first client who was not counted.
    #[cold]
    fn clients_full(&mut self) {
        let clients = self.census.len() as u64;
        self.happened(What::Node(NodeChange::ClientsFull { clients }), None);
    }

    /// Counts of all nodes together, by version.
    fn counted(&self) -> Vec<Tally> {
        let mut sum = self.fleet.sum(self.policy.versions());
        for (sum, own) in sum.iter_mut().zip(&self.tallies) {
            sum.merge(own);
        }
        sum
    }

    /// What other nodes counted, of all versions but the newest and of the newest.
    fn fleet_pair(&self) -> (Tally, Tally) {
        let mut sum = self.fleet.sum(self.policy.versions());
        let canary = sum.pop().unwrap_or_default();
        let mut control = Tally::default();
        sum.iter().for_each(|tally| control.merge(tally));
        (control, canary)
    }

    fn happened(&mut self, what: What, evidence: Option<Box<Evidence>>) {
        let event = Event { at_ms: self.now_ms, what, evidence };
        let sentence = event.sentence(self.policy.names());
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.events_dropped += 1;
        }
        self.controller.remember(&event, &sentence);
        self.events.push_back(write::event(&event, &sentence));
    }

    /// Takes up what the controller asks for.
    fn follow(&mut self, changes: Vec<Changed>) {
        if changes.is_empty() {
            return;
        }
        if let Some(traffic) =
            self.controller.traffic().filter(|traffic| traffic != self.policy.traffic())
        {
            self.policy = self.policy.with_traffic(traffic);
        }
        for (change, evidence) in changes {
            self.happened(What::Rollout(change), evidence);
        }
    }

    /// Lets time and evidence act on the rollout, as far as they go at this moment.
    fn act(&mut self) {
        while self.controller.is_active() {
            let fleet = match self.clock {
                Clock::Virtual => self.fleet_pair(),
                Clock::Wall => Default::default(),
            };
            let source = match self.clock {
                Clock::Virtual => Source::Before(&self.presented, &fleet),
                Clock::Wall => Source::Live,
            };
            let told = (self.policy.names(), self.policy.is_gone());
            let changes = self.controller.tick(source, told, self.now_ms);
            if changes.is_empty() {
                return;
            }
            self.follow(changes);
        }
    }

    /// Plays an active rollout on the virtual clock, as far as time alone takes it.
    fn play(&mut self) {
        self.act();
        while let Some(next_ms) = self.controller.next_ms(self.now_ms) {
            let ahead_ms = next_ms.saturating_sub(self.now_ms);
            self.ahead_ms = self.ahead_ms.saturating_add(ahead_ms);
            self.now_ms = next_ms;
            self.turn();
            self.act();
        }
    }

    /// Pays the reply that is owed once the rollout has ended.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if !self.controller.is_active()
            && let Some(waiting) = self.waiting.take()
        {
            self.rollout_complete(&waiting, out);
        }
    }
}

impl Guest for Engine {
    fn init(document: &[u8], now_ms: u64, seed: u64, out: &mut Vec<u8>) -> Engine {
        let init = InitDocument::read(document).unwrap_or_else(|fault| {
            write::error(out, write::ReplyTo::default(), &fault);
            InitDocument::default()
        });
        Engine::new(init, now_ms, seed)
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) {
        self.observe(now_ms);
        self.serve(lines, out);
    }

    #[inline(always)]
    fn route(&mut self, key: &[u8], draw: u32) -> RouteWord {
        self.route_key(key, draw)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        self.observe(now_ms);
        self.tend_clients();
        if self.clock == Clock::Wall {
            self.act();
            self.settle(out);
        }
        if self.events_dropped > 0 {
            write::events_dropped(out, self.events_dropped);
            self.events_dropped = 0;
        }
        for event in self.events.drain(..) {
            out.extend_from_slice(event.as_bytes());
        }
    }

    fn totals(&mut self, out: &mut Vec<u8>) {
        self.sequence += 1;
        let versions = self.policy.versions().iter().zip(&self.tallies);
        let totals = Totals {
            node: self.node.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            revision: self.policy.revision(),
            versions: versions.map(|(version, tally)| tally.to_totals(version)).collect(),
        };
        totals.write(out);
    }

    fn merge(&mut self, totals: &[u8], out: &mut Vec<u8>) {
        let to = write::ReplyTo::default();
        // What collects this node's own reports sends no line of the input.
        if totals.starts_with(br#"{"type":"take_clients""#)
            && let Ok(line) = std::str::from_utf8(totals)
        {
            return self.ask(line.trim_end(), out);
        }
        let report = match Totals::read(totals) {
            Ok(report) => report,
            Err(fault) => return self.merge_clients(totals, &fault, out),
        };
        if let Some(fault) = self.unacceptable(&report) {
            return write::error(out, to, &fault);
        }
        let before = self.fleet.newest(&report.node, report.epoch).cloned();
        let (node, epoch, revision) = (report.node.clone(), report.epoch, report.revision);
        // A report says that, not when: taken as now, for a version that may be in use
        // must not be called quiet.
        let served = self.fleet.served_since(&report);
        let places: Vec<_> = served.iter().filter_map(|name| self.versions().index(name)).collect();
        match self.fleet.merge(report, self.now_ms) {
            Ok(new) => {
                for place in places {
                    if let Some(last) = self.last_served_ms.get_mut(place) {
                        *last = Some(self.now_ms);
                    }
                }
                if new {
                    self.weigh(before.as_ref(), &node, epoch, revision);
                }
                write::merged(out, new, self.fleet.sources());
            }
            Err(NotTaken::Full) => write::error(out, to, &Fault::unavailable(SOURCES_FULL)),
            Err(NotTaken::Folded) => write::error(out, to, &Fault::precondition(FOLDED)),
        }
    }

    fn snapshot(&mut self, out: &mut Vec<u8>) {
        state::save(self, out);
    }

    fn restore(&mut self, snapshot: &[u8], out: &mut Vec<u8>) {
        if let Err(text) = state::load(self, snapshot) {
            let fault = Fault { code: ErrorCode::PreconditionFailed, text };
            write::error(out, write::ReplyTo::default(), &fault);
        }
    }
}

impl Engine {
    /// Lets the gates see what a node has counted since its report before.
    fn weigh(&mut self, before: Option<&Totals>, node: &str, epoch: u64, revision: u64) {
        let Some(now) = self.fleet.newest(node, epoch).filter(|_| self.clock == Clock::Wall) else {
            return;
        };
        let grown = growth(before, now, self.policy.versions());
        let current = self.policy.counts(revision);
        let now_ms = self.now_ms;
        if let Some(health) = self.controller.health() {
            // The first report of a node is all it ever counted: it is taken as a start.
            if before.is_some() {
                health.record_counts(&grown.control, &grown.canary, current, now_ms);
            }
            if grown.went_back {
                health.refused(Suspicion::WentBack);
            }
        }
        self.act();
    }

    /// Why a report cannot be taken in at all.
    fn unacceptable(&self, report: &Totals) -> Option<Fault> {
        if report.node == self.node && report.epoch == self.epoch {
            return Some(Fault::precondition("these are this node's own totals"));
        }
        let unknown =
            report.versions.iter().find(|v| self.versions().index(&v.version).is_none())?;
        let shown = crossfade_protocol::json::shown(&unknown.version);
        let listed = self.versions().listed();
        Some(Fault::malformed(format!(
            "totals of an unknown version `{shown}`: known are {listed}"
        )))
    }
}

const SOURCES_FULL: &str = "the limit of 65536 nodes and epochs is reached, and each was heard within a day: let edges live longer, or let fewer report";

/// Its counts are in the sum, and what it would tell has them as well.
const FOLDED: &str = "this run of the node was silent for a day and made room for others: its counts stay as they were; start it anew, under another epoch";

const _: () = assert!(CLIENTS_MAX < u32::MAX as usize);

#[cfg(test)]
mod tests;
