//! Messages about clients.

use crossfade_ledger::{Filter, Flags};
use crossfade_protocol::clients::{ClientsReport, Declared, Identity, client_hash};
use crossfade_protocol::limits::CLIENTS_LISTED_MAX;
use crossfade_protocol::plan::{ClientPlan, PinBackMode, Plan, Privacy};
use crossfade_protocol::reply::{
    ClientKnown, ClientOk, ClientOn, ClientSeen, Clients as ClientsReply, OneClient,
    ReportClientsOk,
};
use crossfade_protocol::request::{Ledger as Asked, Selection, Who};
use crossfade_protocol::{Fault, Share, json};

use super::{Engine, write};
use crate::census;
use crate::clients::{Clients, Known, Unlisted, lists};
use crate::event::{ClientChange, NodeChange, What};
use crate::survey::Look;

impl Engine {
    pub(super) fn ledger(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.collect();
        match asked {
            Asked::Report(report) => {
                write::reply(out, to, &self.take_report(&report)?);
                self.list_clients();
            }
            Asked::List(selection) => {
                let reply = match self.reported_clients() {
                    Some(clients) => self.select(clients, &selection)?,
                    None => self.counted_clients(&selection)?,
                };
                write::reply(out, to, &reply);
            }
            Asked::Show(who) => {
                let (key, identity) = self.find(&who)?;
                let clients = self.ledgered()?;
                let client = clients.table.get(key.as_bytes(), identity);
                let client = client.ok_or_else(|| nobody(&who))?;
                let look = self.look();
                let known = clients.known(client, &clients.hazards(look), look);
                write::reply(out, to, &OneClient { client: self.seen(clients, &known) });
            }
            Asked::Declare(who, says) => {
                let (key, identity) = self.find(&who)?;
                let clients = self.clients.as_mut().ok_or_else(no_ledger)?;
                let changed = clients.table.declare(key.as_bytes(), identity, says.as_ref());
                if changed {
                    let (says, reason) = match says {
                        Some(Declared::Ready) => ("ready", String::new()),
                        Some(Declared::Blocked(reason)) => ("blocked", reason),
                        None => ("nothing", String::new()),
                    };
                    let client = key.clone();
                    self.about_client(ClientChange::ClientDeclared { client, says, reason });
                }
                self.client_ok(key, changed, to, out);
            }
            Asked::Repin { who, back, reason } => {
                if back && self.is_hashed() {
                    return Err(Fault::precondition(HASHED));
                }
                if back && self.policy.is_gone() {
                    return Err(Fault::precondition(GONE));
                }
                let (key, identity) = self.find(&who)?;
                if back && identity != Identity::Key {
                    return Err(Fault::precondition(UNROUTED));
                }
                let clients = self.clients.as_mut().ok_or_else(no_ledger)?;
                let flag = Flags::PINNED_BACK;
                let changed = clients.table.set_flag(key.as_bytes(), identity, flag, back);
                if !back {
                    clients.lift(key.as_bytes(), identity);
                }
                if changed && back {
                    self.excuse(client_hash(key.as_bytes(), identity));
                }
                if changed {
                    let client = key.clone();
                    self.about_client(match back {
                        true => ClientChange::ClientPinnedBack { client, reason },
                        false => ClientChange::ClientLifted { client, reason },
                    });
                }
                self.client_ok(key, changed, to, out);
            }
            Asked::Forget(who) => {
                let changed = self.forget(&who);
                if self.clients.is_none() && !changed {
                    return Err(no_ledger());
                }
                self.client_ok(who.client, changed, to, out);
            }
        }
        Ok(())
    }

    /// Takes out every trace of a client, or of all of its name when its identity is not
    /// said; whether there was one.
    fn forget(&mut self, who: &Who) -> bool {
        let (key, mut changed) = (who.client.as_bytes(), false);
        let asked = |identity| who.identity.is_none_or(|asked| asked == identity);
        for identity in Identity::ALL.into_iter().filter(|identity| asked(*identity)) {
            changed |= self.clients.as_mut().is_some_and(|clients| clients.forget(key, identity));
        }
        for (identity, counted) in COUNTED {
            changed |= asked(identity) && self.census.forget(key, counted);
        }
        let revision = self.policy.revision();
        if asked(Identity::Key) {
            self.unlist(&who.client);
        }
        let others = |clients: &Clients| {
            Identity::ALL.into_iter().any(|other| clients.table.get(key, other).is_some())
        };
        let is_listed =
            lists(&self.policy.plan().clients).into_iter().any(|keys| keys.contains(&who.client));
        let is_counted = COUNTED.into_iter().any(|(_, it)| self.census.get(key, it).is_some());
        if !is_listed && !is_counted && !self.clients.as_deref().is_some_and(others) {
            self.controller.forget_name(&who.client);
            if let Some(clients) = &mut self.clients {
                clients.forget_name(&who.client);
            }
        }
        changed || revision != self.policy.revision()
    }

    /// Whether clients are kept as hashes, by which no edge knows them.
    fn is_hashed(&self) -> bool {
        self.policy.plan().privacy == Privacy::Hashed
    }

    fn client_ok(
        &mut self,
        client: String,
        changed: bool,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) {
        if let Some(clients) = self.clients.as_mut().filter(|_| changed) {
            clients.unlisted = Unlisted::Now;
        }
        self.list_clients();
        write::reply(out, to, &ClientOk { client, changed, revision: self.policy.revision() });
    }

    /// Says what happened to a client.
    fn about_client(&mut self, change: ClientChange) {
        self.happened(What::Client(change), None);
    }

    fn ledgered(&self) -> Result<&Clients, Fault> {
        self.clients.as_deref().ok_or_else(no_ledger)
    }

    pub(super) fn look(&self) -> Look {
        Look::new(&self.policy.plan().sunset, self.now_ms)
    }

    /// Takes in a node's report; what this engine keeps of clients begins with the first.
    pub(super) fn take_report(&mut self, report: &ClientsReport) -> Result<ReportClientsOk, Fault> {
        // Requests under a version that the policy no longer has count as the stable one's.
        let place = |name: &String| self.versions().index(name).unwrap_or_default() as u8;
        let places: Vec<u8> = report.versions.iter().map(place).collect();
        let (now_ms, share) = (self.now_ms, self.share_in_force());
        let gone_ms = self.policy.sunset_ms().unwrap_or(u64::MAX);
        let clients = self.keep_clients();
        clients.share(share, now_ms);
        let new = clients
            .take(report, &places, (now_ms, gone_ms))
            .map_err(|_| Fault::unavailable(super::SOURCES_FULL))?;
        let sequence = clients.table.sequence(&report.node, report.epoch);
        Ok(ReportClientsOk { node: report.node.clone(), new, sequence })
    }

    /// The same of a report that is none of totals: one of clients, which has a list of them.
    pub(super) fn merge_clients(&mut self, report: &[u8], fault: &Fault, out: &mut Vec<u8>) {
        let to = write::ReplyTo::default();
        if !report.windows(9).any(|part| part == b"\"clients\"") {
            return write::error(out, to, fault);
        }
        match ClientsReport::read(report).and_then(|report| self.take_report(&report)) {
            Ok(taken) => write::reply(out, to, &taken),
            Err(fault) => write::error(out, to, &fault),
        }
        self.list_clients();
    }

    /// The newest version's share, of which the kill switch and the guard leave nothing.
    fn share_in_force(&self) -> Share {
        let stopped = self.policy.plan().kill_switch || self.guard.tripped();
        let stopped = stopped && !self.policy.is_gone();
        let share = self.policy.traffic().share_of(self.policy.newest());
        if stopped { Share::ZERO } else { share }
    }

    /// What time does to clients.
    pub(super) fn tend_clients(&mut self) {
        self.collect();
        let (now_ms, share) = (self.now_ms, self.share_in_force());
        if let Some(clients) = &mut self.clients {
            clients.share(share, now_ms);
        }
        if !self.policy.plan().brownouts.is_empty() {
            self.watch_brownouts();
        }
        self.judge_clients();
        self.tend_life();
        self.list_clients();
    }

    /// Tells of clients whom the new version fails.
    fn judge_clients(&mut self) {
        let (mut plan, look, now_ms) =
            (self.policy.plan().clients.pin_back, self.look(), self.now_ms);
        let nowhere = self.is_hashed() || self.policy.is_gone();
        if plan.mode == PinBackMode::Auto && nowhere {
            plan.mode = PinBackMode::Suggest;
        }
        let Some(clients) = &mut self.clients else { return };
        let found = clients.judge(&plan, now_ms);
        clients.tend(look);
        for (client, marked, finding) in found {
            if marked {
                self.excuse(finding.client);
            }
            let names = self.policy.names();
            let reason = finding.sentence(&client, names.old, names.new);
            // JSON has no infinity; nobody is surer than this.
            let exp = |log: f64| libm::exp(log.min(700.0));
            self.about_client(ClientChange::ClientSick {
                client: client.clone(),
                requests: finding.new.requests,
                failures: finding.new.failures,
                expected_ratio: finding.allowed,
                e_value: exp(finding.log_e),
                threshold: exp(finding.needed),
            });
            if marked {
                self.about_client(ClientChange::ClientPinnedBack { client, reason });
            }
        }
    }

    /// A client that was pinned back does not speak against the rollout any more.
    fn excuse(&mut self, client: u64) {
        let failed = self.clients.as_ref().and_then(|clients| clients.failures(client));
        if let (Some((since_ms, failures)), Some(health)) = (failed, self.controller.health()) {
            health.excuse(since_ms, failures, self.now_ms);
        }
    }

    /// What is known of clients, begun if it is not there.
    pub(super) fn keep_clients(&mut self) -> &mut Clients {
        let (life, limit) = (self.new_life(), self.policy.plan().clients.limit as usize);
        if self.clients.is_none() {
            let seed = self.draws.next_u64();
            let mut clients = Clients::new(limit, seed, life);
            let places: Vec<u8> = (0..self.policy.versions().len() as u8).collect();
            clients.renumber(&places, self.policy.newest() as u8);
            self.clients = Some(Box::new(clients));
            self.mark_listed();
        }
        // Just made, if it was not there.
        self.clients.get_or_insert_with(|| Box::new(Clients::new(limit, 0, life)))
    }

    /// What this node's own clients did goes into its own ledger, where it keeps one.
    pub(super) fn collect(&mut self) {
        while self.keeps_ledger
            && let Some(changes) = &mut self.changes
            && let Some(report) = changes.next(&self.node, self.epoch, self.policy.revision())
        {
            let (sequence, report) = (report.sequence, ClientsReport::read(report.text.as_bytes()));
            changes.acknowledge(sequence);
            // What this engine wrote it can read.
            let taken = report.and_then(|report| self.take_report(&report));
            debug_assert!(taken.is_ok(), "{taken:?}");
        }
    }

    /// The ledger, once something was reported to it: it is there before, where a phase or a
    /// brownout is noted.
    pub(super) fn reported_clients(&self) -> Option<&Clients> {
        let known = |clients: &&Clients| !clients.table.is_empty() || clients.table.dropped() > 0;
        self.clients.as_deref().filter(known)
    }

    /// Clients by the version that served them last, and whether all of them were counted;
    /// `None` when nobody has reported any.
    pub(super) fn clients_reported(&self) -> Option<(Vec<u64>, bool)> {
        let table = &self.reported_clients()?.table;
        let counted = table.by_version().into_iter().take(self.policy.versions().len());
        let exact = table.sampled_until_s().is_none();
        Some((counted.map(|counted| counted.value).collect(), exact))
    }

    /// Gives clients the places their versions have in a new plan. Where another version is
    /// the newest in it, those who were pinned back from the one before are not listed any
    /// more; whom the plan lists beside them is.
    pub(super) fn renumber_clients(&mut self, places: &[u16], plan: &mut Plan) {
        let Some(clients) = &mut self.clients else { return };
        let places: Vec<u8> = places.iter().map(|place| *place as u8).collect();
        let newest = plan.versions.0.len().saturating_sub(1) as u8;
        let Some(lifted) = clients.renumber(&places, newest) else { return };
        let before = &self.policy.plan().clients.pinned_back;
        plan.clients.pinned_back.retain(|key| !before.contains(key));
        if self.reported_clients().is_some() {
            let version = plan.versions.new_version().to_owned();
            self.about_client(ClientChange::JudgedAnew { version, lifted });
        }
    }

    /// What the policy says of clients is marked in the ledger.
    pub(super) fn mark_listed(&mut self) {
        let Some(clients) = &mut self.clients else { return };
        let plan = &self.policy.plan().clients;
        clients.table.set_limit(plan.limit as usize);
        clients.mark(plan);
        clients.unlisted = Unlisted::Now;
    }

    /// The same after a restore: who has called is marked already.
    pub(super) fn wait_for_listed(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.wait_for(&self.policy.plan().clients);
        }
    }

    /// Clients marked since are listed in the next policy, so that every edge knows them.
    ///
    /// Where identities are hashed, no edge would recognise them: nothing is listed.
    pub(super) fn list_clients(&mut self) {
        let Some(clients) = &mut self.clients else { return };
        let listed = clients.list(&self.policy.plan().clients, self.now_ms);
        if let Some(listed) = listed.filter(|_| !self.is_hashed()) {
            self.publish(listed);
        }
    }

    /// The policy treats these clients apart from now on, if it does not already.
    fn publish(&mut self, listed: ClientPlan) {
        let mut before = self.policy.plan().clients.clone();
        for keys in [&mut before.ready, &mut before.blocked, &mut before.pinned_back] {
            crossfade_protocol::order::sort(keys);
        }
        if before != listed {
            self.policy = self.policy.with_clients(listed);
            // Whoever holds the policy has to hand it out.
            let revision = self.policy.revision();
            self.happened(What::Node(NodeChange::Configured { revision }), None);
        }
    }

    /// The policy does not name this client any more.
    fn unlist(&mut self, client: &str) {
        let mut listed = self.policy.plan().clients.clone();
        for keys in [&mut listed.ready, &mut listed.blocked, &mut listed.pinned_back] {
            keys.retain(|key| key != client);
            crossfade_protocol::order::sort(keys);
        }
        self.publish(listed);
    }

    /// Which client is meant: the first of its name when its identity is not said.
    fn find(&self, who: &Who) -> Result<(String, Identity), Fault> {
        let table = &self.ledgered()?.table;
        let known = |identity: &Identity| table.get(who.client.as_bytes(), *identity).is_some();
        let found = match who.identity {
            Some(identity) => Some(identity).filter(known),
            None => Identity::ALL.into_iter().find(known),
        };
        Ok((who.client.clone(), found.ok_or_else(|| nobody(who))?))
    }

    fn select(&self, clients: &Clients, selection: &Selection) -> Result<ClientsReply, Fault> {
        let filter = Filter {
            version: self.place(selection)?.map(|place| place as u8),
            software: selection.software.as_deref(),
            contains: selection.contains.as_deref().map(str::as_bytes),
            ..Filter::default()
        };
        let order = (selection.sort, selection.reverse);
        let page = (selection.offset, selection.limit.min(CLIENTS_LISTED_MAX));
        let found = clients.select(filter, selection.state, order, page, self.look());
        let total = found.total;
        let bound = |bound| (!total.exact).then_some(bound);
        Ok(ClientsReply {
            total: total.value,
            exact: total.exact,
            low: bound(total.low),
            high: bound(total.high),
            clients: found.clients.iter().map(|known| self.seen(clients, known)).collect(),
        })
    }

    pub(super) fn seen(&self, clients: &Clients, known: &Known<'_>) -> ClientSeen {
        let client = &known.client;
        let ms = |seconds: u32| u64::from(seconds) * 1000;
        let on = |on: &crossfade_ledger::On| ClientOn {
            requests: on.requests.into(),
            failures: on.failures.into(),
            first_seen_ms: (on.requests > 0).then(|| ms(on.first_s)),
            last_seen_ms: (on.requests > 0).then(|| ms(on.last_s)),
        };
        let says = match client.flags {
            flags if flags.has(Flags::READY) => Some("ready"),
            flags if flags.has(Flags::BLOCKED) => Some("blocked"),
            _ => None,
        };
        let interval_ms = client.rhythm.typical_s().map(ms);
        ClientSeen {
            client: String::from_utf8_lossy(client.key).into_owned(),
            identity: client.identity.as_str(),
            version: self.policy.version_name(client.version.into()).to_owned(),
            last_seen_ms: ms(client.last_seen_s()),
            requests: client.requests(),
            known: Some(Box::new(ClientKnown {
                software: client
                    .software
                    .and_then(|it| clients.table.software(it))
                    .map(str::to_owned),
                old: on(&client.old),
                new: on(&client.new),
                interval_ms,
                regularity: interval_ms.map(|_| client.rhythm.regular()),
                expected_ms: known.expected_s.map(ms),
                again: known.again,
                state: known.state.as_str(),
                says,
                because: client.reason.and_then(|it| clients.table.reason(it)).map(str::to_owned),
                refused: client.refused.into(),
            })),
        }
    }
}

/// Identities of those whom this engine counts itself, as the census has them.
const COUNTED: [(Identity, census::Identity); 2] =
    [(Identity::Key, census::Identity::Key), (Identity::Sender, census::Identity::Sender)];

/// Edges would need the key of the hashes, and get all they know from the policy: it would lie
/// beside the hashes in every copy of the store.
const HASHED: &str = "the policy says `privacy: hashed`: what is kept of a client is a hash, and no edge has the key to tell whose; write the name into the plan's `clients.pinned_back`, by which edges go";

/// Decisions go by the routing key, and this client sends none.
const UNROUTED: &str = "this client sends no routing key, by which alone edges could send it back: the plan's `key.on_missing` says where such requests go";

const GONE: &str = "the sunset has passed, so nobody is sent back to the old version: if it still runs, move `sunset_at` first";

fn nobody(who: &Who) -> Fault {
    Fault::unknown(format!("no client `{}` has been seen", json::shown(&who.client)))
}

pub(super) fn no_ledger() -> Fault {
    Fault::precondition(
        "no node has reported clients here: rhythms, states and software are known once one has",
    )
}

#[cfg(test)]
mod tests;
