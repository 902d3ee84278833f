//! What the controller knows of clients: the ledger, and what follows from it.
//!
//! It answers in its own types; the engine turns them into messages.

mod lists;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_ledger::again::{Hazards, State as Silence};
use crossfade_ledger::forecast::Curve;
use crossfade_ledger::readiness::Depend;
use crossfade_ledger::sick::{Config, Finding, Served, Watch};
use crossfade_ledger::{Client, Filter, Flags, Ledger, Order, Side};
use crossfade_protocol::clients::{ClientRow, ClientsReport, Declared, Identity, client_hash};
use crossfade_protocol::plan::{PinBack, PinBackMode};
use crossfade_protocol::request::{ClientOrder, ClientState};
use crossfade_protocol::totals::ShadowTotals;
use crossfade_protocol::{Share, names};

use self::lists::Awaited;
pub(crate) use self::lists::{Unlisted, lists};
use crate::brownouts::Book;
use crate::life::Life;
use crate::survey::{Look, Survey, past, silent_s};

/// Everything about clients.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) table: Ledger,
    /// What is kept of them beside the rows.
    pub(crate) kept: Kept,
    /// Whether flags have changed that the policy does not know of yet.
    pub(crate) unlisted: Unlisted,
    /// Whom the policy lists although they have not called yet.
    awaited: Awaited,
}

/// What is known beside the rows.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub(crate) struct Kept {
    pub(crate) book: Book,
    /// Clients whom the new version may be failing.
    watch: Watch,
    watched_s: u32,
    /// How many depended on the old version, over time.
    curve: Curve,
    survey: Survey,
    /// How many are marked so.
    pub(crate) blocked: u64,
    pub(crate) pinned_back: u64,
    /// The newest version's share, when this was last looked at.
    share: Share,
    /// When the policy last listed whom clients' own words concern.
    listed_ms: Option<u64>,
    pub(crate) life: Life,
    /// What had been compared when the shadow was entered, of which version.
    pub(crate) shadow_from: (String, ShadowTotals),
}

/// The new version is judged client by client so often.
const WATCH_S: u32 = 60;

/// How many depend on the old version is noted so often.
const NOTE_S: u32 = 6 * 3600;

/// A client, and what is to be expected of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) client: Client<'a>,
    pub(crate) again: f64,
    pub(crate) state: ClientState,
    pub(crate) expected_s: Option<u32>,
}

/// Clients who were looked for.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) total: crossfade_ledger::Counted,
    pub(crate) clients: Vec<Known<'a>>,
}

/// Who depends on the old version, and who may.
#[derive(Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) depend: Depend,
    pub(crate) candidates: Vec<Known<'a>>,
    /// The longest usual interval among those who may come back.
    pub(crate) longest_s: u32,
    /// When this was so.
    pub(crate) at_s: u32,
}

impl Clients {
    pub(crate) fn new(limit: usize, seed: u64, life: Life) -> Clients {
        let kept = Kept {
            book: Book::default(),
            watch: Watch::default(),
            watched_s: 0,
            curve: Curve::default(),
            survey: Survey::default(),
            blocked: 0,
            pinned_back: 0,
            share: Share::ZERO,
            listed_ms: None,
            life,
            shadow_from: Default::default(),
        };
        Clients::from_parts(Ledger::new(limit, seed), kept)
    }

    /// As it was saved: [`wait_for`](Clients::wait_for) whom the policy lists.
    pub(crate) fn from_parts(table: Ledger, kept: Kept) -> Clients {
        Clients { table, kept, unlisted: Unlisted::Soon, awaited: Default::default() }
    }

    /// Takes in a report; whether it was new. The sunset is at `gone_ms`.
    pub(crate) fn take(
        &mut self,
        report: &ClientsReport,
        places: &[u8],
        (now_ms, gone_ms): (u64, u64),
    ) -> Result<bool, crossfade_ledger::SourcesFull> {
        let new = self.table.take(report, places, seconds(now_ms))?;
        if new {
            if self.table.was_marked() {
                self.unlisted = self.unlisted.max(Unlisted::Soon);
            }
            self.meet(report);
            self.kept.survey.changed(report.clients.len());
            for row in &report.clients {
                self.watch(row, places);
                if row.refused > 0 {
                    let last_s = row.counts.iter().map(|count| count.last_s).max();
                    let at_ms = last_s.map_or(now_ms, |last_s| u64::from(last_s) * 1000);
                    let hash = client_hash(row.key.as_bytes(), row.identity);
                    self.kept.book.refused(hash, row.refused, at_ms.min(now_ms), gone_ms);
                }
            }
        }
        Ok(new)
    }

    /// Looks at how a client fares on the new version.
    fn watch(&mut self, row: &ClientRow, places: &[u8]) {
        let (mut old, mut new, mut last_s) = (Served::default(), Served::default(), 0);
        for count in &row.counts {
            let place = places.get(usize::from(count.version)).copied().unwrap_or_default();
            let side = if place == self.table.newest() { &mut new } else { &mut old };
            side.requests = side.requests.saturating_add(count.requests);
            side.failures = side.failures.saturating_add(count.failures);
            last_s = last_s.max(count.last_s);
        }
        self.kept.watch.count_old(old);
        // Most rows are of somebody who has not failed, while nobody is suspected.
        if new.requests == 0 || new.failures == 0 && self.kept.watch.suspects().0 == 0 {
            return self.kept.watch.count_new(new);
        }
        let client = self.table.get(row.key.as_bytes(), row.identity);
        let on = client.map(|client| client.old).unwrap_or_default();
        let before = Served { requests: on.requests.into(), failures: on.failures.into() };
        let hash = client_hash(row.key.as_bytes(), row.identity);
        self.kept.watch.count(hash, new, before, last_s);
    }

    /// Those whom the new version is newly found to be failing, with their keys. They are
    /// marked, where the plan says so: whether they were not before.
    pub(crate) fn judge(&mut self, plan: &PinBack, now_ms: u64) -> Vec<(String, bool, Finding)> {
        let now_s = seconds(now_ms);
        if plan.mode == PinBackMode::Off || now_s < self.kept.watched_s.saturating_add(WATCH_S) {
            return Vec::new();
        }
        self.kept.watched_s = now_s;
        let min_requests = u32::try_from(plan.min_requests).unwrap_or(u32::MAX);
        self.kept.watch.configure(Config { fdr: plan.fdr, min_requests, ..Config::default() });
        let served = self.table.count(Side::New, None).high;
        let findings = self.kept.watch.tick(now_s, served);
        if findings.is_empty() {
            return Vec::new();
        }
        // In one pass, in the order of their ids.
        let mut found: Vec<Option<(Vec<u8>, Identity)>> = vec![None; findings.len()];
        for client in self.table.iter() {
            let hash = client_hash(client.key, client.identity);
            if let Ok(at) = findings.binary_search_by_key(&hash, |finding| finding.client) {
                found[at] = Some((client.key.to_vec(), client.identity));
            }
        }
        let found = found.into_iter().zip(findings);
        found
            .filter_map(|(client, finding)| {
                let (key, identity) = client?;
                let newly = plan.mode == PinBackMode::Auto
                    && identity == Identity::Key
                    && self.table.set_flag(&key, identity, Flags::PINNED_BACK, true);
                if newly {
                    self.unlisted = Unlisted::Now;
                }
                Some((String::from_utf8_lossy(&key).into_owned(), newly, finding))
            })
            .collect()
    }

    /// Since when, in milliseconds, the client with this hash has failed on the new version,
    /// and how often.
    pub(crate) fn failures(&self, client: u64) -> Option<(u64, u64)> {
        let (since_s, failures) = self.kept.watch.failures(client)?;
        Some((u64::from(since_s) * 1000, failures))
    }

    /// A client is judged afresh from here.
    pub(crate) fn lift(&mut self, key: &[u8], identity: Identity) {
        self.kept.watch.lift(client_hash(key, identity));
    }

    /// Looks at some of many clients, and notes from time to time how many depend on the old
    /// version.
    pub(crate) fn tend(&mut self, look: Look) {
        self.kept.survey.tend(&self.table, look);
        let noted_s = self.kept.curve.points().last().map(|point| point.0);
        if noted_s.is_some_and(|noted_s| look.now_s < noted_s.saturating_add(NOTE_S)) {
            return;
        }
        if let Some(found) = self.kept.survey.outlook(&self.table, look) {
            self.kept.curve.point(look.now_s, found.depend.at_most);
        }
    }

    /// The newest version's share is this now: who is sent back by that has not wavered.
    pub(crate) fn share(&mut self, share: Share, now_ms: u64) {
        if share < self.kept.share {
            self.table.sent_back(seconds(now_ms));
        }
        self.kept.share = share;
    }

    /// Gives clients the places their versions have in a new list. What was found against
    /// the version that was the newest says nothing of another one: then everybody is judged
    /// anew, and whoever was pinned back is not any more: `Some` with how many were.
    pub(crate) fn renumber(&mut self, places: &[u8], newest: u8) -> Option<u64> {
        self.kept.survey.restart();
        let lifted = self.table.renumber(places, newest)?;
        (self.kept.watch, self.kept.curve) = Default::default();
        Some(lifted)
    }

    /// Takes out every trace of a client; whether there was one.
    pub(crate) fn forget(&mut self, key: &[u8], identity: Identity) -> bool {
        let known = self.table.forget(key, identity);
        if identity == Identity::Key {
            self.awaited.iter_mut().for_each(|keys| keys.retain(|other| other.as_bytes() != key));
        }
        self.lift(key, identity);
        self.kept.book.forget(client_hash(key, identity));
        self.kept.survey.forget(self.table.id(key, identity));
        known
    }

    /// Takes a name that nobody has any more out of what was said of others.
    pub(crate) fn forget_name(&mut self, name: &str) {
        self.kept.book.forget_name(name);
        let named = self.table.iter().filter_map(|client| {
            let reason = self.table.reason(client.reason?)?;
            Some((client.key.to_vec(), client.identity, names::without(reason, name)?))
        });
        for (key, identity, reason) in named.collect::<Vec<_>>() {
            self.table.declare(&key, identity, Some(&Declared::Blocked(reason)));
        }
    }

    /// When at most `at_most` will depend on it, if there is a trend.
    pub(crate) fn forecast(&self, at_most: u64) -> Option<crossfade_ledger::forecast::Forecast> {
        self.kept.curve.forecast(at_most)
    }

    /// What the silences of all clients teach.
    pub(crate) fn hazards(&self, look: Look) -> Hazards {
        self.kept.survey.hazards(&self.table, look)
    }

    /// What is to be expected of one client.
    pub(crate) fn known<'a>(&self, client: Client<'a>, hazards: &Hazards, look: Look) -> Known<'a> {
        Known {
            client,
            again: again(&client, hazards, look),
            state: state(&client, hazards, look),
            expected_s: expected_s(&client, look),
        }
    }

    /// The clients that pass, in order.
    pub(crate) fn select(
        &self,
        filter: Filter<'_>,
        wanted: Option<ClientState>,
        (order, reverse): (ClientOrder, bool),
        (offset, limit): (usize, usize),
        look: Look,
    ) -> Found<'_> {
        let hazards = self.hazards(look);
        let also = |client: &Client<'_>| {
            wanted.is_none_or(|wanted| state(client, &hazards, look) == wanted)
        };
        // Probabilities that are no less than 0 are in order as their bits are.
        let again = |client: &Client<'_>| again(client, &hazards, look).max(0.0).to_bits();
        let expected = |client: &Client<'_>| {
            u64::from(u32::MAX - expected_s(client, look).unwrap_or(u32::MAX))
        };
        let order = match order {
            ClientOrder::Requests => Order::Requests,
            ClientOrder::OldRequests => Order::OldRequests,
            ClientOrder::LastSeen => Order::LastSeen,
            ClientOrder::FirstSeen => Order::FirstSeen,
            ClientOrder::Interval => Order::Interval,
            ClientOrder::Client => Order::Key,
            ClientOrder::Expected => Order::By(&expected),
            ClientOrder::Again => Order::By(&again),
        };
        let filter = Filter { also: wanted.is_some().then_some(&also), ..filter };
        let selected = self.table.select(&filter, order, reverse, offset, limit);
        let clients = selected.clients.into_iter();
        Found {
            total: selected.total,
            clients: clients.map(|client| self.known(client, &hazards, look)).collect(),
        }
    }

    /// How many still depend on the old version, and who; `None` while that is not known.
    pub(crate) fn outlook(&self, look: Look) -> Option<Outlook<'_>> {
        let found = self.kept.survey.outlook(&self.table, look)?;
        let candidates = found.candidates.iter().filter_map(|id| self.table.with_id(*id));
        let candidates = candidates.map(|client| self.known(client, &found.hazards, look));
        let may = |known: &Known<'_>| known.again >= (1.0 - look.confidence) / 10.0;
        Some(Outlook {
            depend: found.depend,
            candidates: candidates.filter(may).collect(),
            longest_s: found.longest_s,
            at_s: found.look.now_s,
        })
    }

    /// What became of those whom a brownout hit: moved to the new version since, came back
    /// to the old one after its end unchanged, or not heard of since.
    pub(crate) fn aftermath(&self, name: &str) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(entry) = self.kept.book.get(name) else { return aftermath };
        let (start_s, end_s) = (seconds(entry.start_ms), seconds(entry.end_ms));
        for client in self.table.iter() {
            if !entry.has_hit(client_hash(client.key, client.identity)) {
                continue;
            }
            let count = if client.old.last_s > end_s && client.old.last_s >= client.new.last_s {
                &mut aftermath.unchanged
            } else if client.new.last_s > start_s && client.new.last_s > client.old.last_s {
                &mut aftermath.moved
            } else {
                &mut aftermath.silent
            };
            *count += 1;
        }
        aftermath
    }
}

/// How likely a client calls an old version again.
fn again(client: &Client<'_>, hazards: &Hazards, look: Look) -> f64 {
    match client.old.requests {
        0 => 0.0,
        _ => hazards.probability(&past(client), silent_s(client, look), look.horizon_s),
    }
}

fn state(client: &Client<'_>, hazards: &Hazards, look: Look) -> ClientState {
    if client.flags.has(Flags::PINNED_BACK) {
        return ClientState::PinnedBack;
    }
    if client.flags.has(Flags::BLOCKED) {
        return ClientState::Blocked;
    }
    if client.old.requests == 0 {
        return ClientState::Moved;
    }
    let past = past(client);
    match hazards.state(&past, silent_s(client, look), look.horizon_s, look.confidence) {
        Silence::Active => ClientState::Active,
        Silence::Silent => ClientState::Silent,
        Silence::Gone if past.moved => ClientState::Moved,
        Silence::Gone => ClientState::Gone,
    }
}

/// When it is expected next at an old version, if it is.
fn expected_s(client: &Client<'_>, look: Look) -> Option<u32> {
    let past = past(client);
    if client.old.requests == 0 || past.moved {
        return None;
    }
    let due_s = past.rhythm.expected_next_s(silent_s(client, look))?;
    Some(client.old.last_s.saturating_add(due_s))
}

/// What became of those whom a brownout hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    pub(crate) moved: u64,
    pub(crate) unchanged: u64,
    pub(crate) silent: u64,
}

/// A clock beyond the year 2106 stands still here rather than begin again.
pub(crate) fn seconds(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}
