//! What the controller knows of clients: the ledger, and what follows from it.
//!
//! It answers in its own types; the engine turns them into messages.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_ledger::again::{Hazards, Past, State as Silence};
use crossfade_ledger::readiness::{Depend, Readiness};
use crossfade_ledger::{Client, Filter, Flags, Ledger, Order, Side};
use crossfade_protocol::clients::{ClientsReport, client_hash};
use crossfade_protocol::plan::SunsetPlan;
use crossfade_protocol::request::{ClientOrder, ClientState};

use crate::brownouts::Book;

/// Candidates that a statement of readiness names.
const CANDIDATES_MAX: usize = 20;

/// Everything about clients.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) table: Ledger,
    pub(crate) book: Book,
    /// Whether flags have changed that the policy does not know of yet.
    pub(crate) unlisted: bool,
}

/// How sure one has to be of what, at which moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) now_s: u32,
    pub(crate) horizon_s: u32,
    pub(crate) confidence: f64,
}

impl Look {
    pub(crate) fn new(plan: &SunsetPlan, now_ms: u64) -> Look {
        Look {
            now_s: seconds(now_ms),
            horizon_s: plan.horizon_days.saturating_mul(86_400),
            confidence: plan.confidence,
        }
    }
}

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
    pub(crate) blocked: u64,
    pub(crate) pinned_back: u64,
}

impl Clients {
    pub(crate) fn new(limit: usize, seed: u64) -> Clients {
        Clients { table: Ledger::new(limit, seed), book: Book::default(), unlisted: false }
    }

    /// Takes in a report; whether it was new.
    pub(crate) fn take(
        &mut self,
        report: &ClientsReport,
        places: &[u8],
        now_ms: u64,
    ) -> Result<bool, crossfade_ledger::SourcesFull> {
        let new = self.table.take(report, places, seconds(now_ms))?;
        if new {
            for row in &report.clients {
                self.unlisted |= row.says.is_some();
                if row.refused > 0 {
                    let last_s = row.counts.iter().map(|count| count.last_s).max();
                    let at_ms = last_s.map_or(now_ms, |last_s| u64::from(last_s) * 1000);
                    let hash = client_hash(row.key.as_bytes(), row.identity);
                    self.book.refused(hash, row.refused, at_ms.min(now_ms));
                }
            }
        }
        Ok(new)
    }

    /// What the silences of all clients teach.
    pub(crate) fn hazards(&self, look: Look) -> Hazards {
        let mut hazards = Hazards::new(self.table.population());
        for client in self.table.iter().filter(|client| client.old.requests > 0) {
            hazards.watch(&past(&client), silent_s(&client, look));
        }
        hazards.ready();
        hazards
    }

    /// What is to be expected of one client.
    pub(crate) fn known<'a>(&self, client: Client<'a>, hazards: &Hazards, look: Look) -> Known<'a> {
        let never = client.old.requests == 0;
        let (past, silent_s) = (past(&client), silent_s(&client, look));
        let silence = hazards.state(&past, silent_s, look.horizon_s, look.confidence);
        let state = if client.flags.has(Flags::PINNED_BACK) {
            ClientState::PinnedBack
        } else if client.flags.has(Flags::BLOCKED) {
            ClientState::Blocked
        } else {
            match silence {
                _ if never => ClientState::Moved,
                Silence::Active => ClientState::Active,
                Silence::Silent => ClientState::Silent,
                Silence::Gone if past.moved => ClientState::Moved,
                Silence::Gone => ClientState::Gone,
            }
        };
        let again = if never { 0.0 } else { hazards.probability(&past, silent_s, look.horizon_s) };
        let due_s = (!never && !past.moved).then(|| past.rhythm.expected_next_s(silent_s));
        let expected_s = due_s.flatten().map(|due_s| client.old.last_s.saturating_add(due_s));
        Known { client, again, state, expected_s }
    }

    /// The clients that pass, in order.
    pub(crate) fn select(
        &self,
        filter: Filter<'_>,
        state: Option<ClientState>,
        (order, reverse): (ClientOrder, bool),
        (offset, limit): (usize, usize),
        look: Look,
    ) -> Found<'_> {
        let hazards = self.hazards(look);
        let also = |client: &Client<'_>| {
            state.is_none_or(|state| self.known(*client, &hazards, look).state == state)
        };
        let again = |client: &Client<'_>| {
            let again = self.known(*client, &hazards, look).again;
            // Probabilities that are no less than 0 are in order as their bits are.
            again.max(0.0).to_bits()
        };
        let expected = |client: &Client<'_>| {
            let expected_s = self.known(*client, &hazards, look).expected_s;
            u64::from(u32::MAX - expected_s.unwrap_or(u32::MAX))
        };
        let order = match order {
            ClientOrder::Requests => Order::Requests,
            ClientOrder::LastSeen => Order::LastSeen,
            ClientOrder::FirstSeen => Order::FirstSeen,
            ClientOrder::Interval => Order::Interval,
            ClientOrder::Client => Order::Key,
            ClientOrder::Expected => Order::By(&expected),
            ClientOrder::Again => Order::By(&again),
        };
        let filter = Filter { also: state.is_some().then_some(&also), ..filter };
        let selected = self.table.select(&filter, order, reverse, offset, limit);
        let clients = selected.clients.into_iter();
        Found {
            total: selected.total,
            clients: clients.map(|client| self.known(client, &hazards, look)).collect(),
        }
    }

    /// How many still depend on the old version, and who.
    pub(crate) fn outlook(&self, look: Look) -> Outlook<'_> {
        let hazards = self.hazards(look);
        let mut readiness = Readiness::new(&hazards, look.horizon_s, CANDIDATES_MAX);
        let (mut blocked, mut pinned_back, mut longest_s) = (0, 0, 0);
        for (id, client) in self.table.iter().enumerate() {
            blocked += u64::from(client.flags.has(Flags::BLOCKED));
            pinned_back += u64::from(client.flags.has(Flags::PINNED_BACK));
            if client.old.requests == 0 {
                continue;
            }
            let past = past(&client);
            let again = readiness.add(id, &past, silent_s(&client, look));
            if again >= 1.0 - look.confidence && !past.moved {
                longest_s = longest_s.max(past.rhythm.typical_s().unwrap_or_default());
            }
        }
        let depend = readiness.depend(look.confidence, self.table.kept(Side::Old));
        let likely = |id: usize| readiness.candidates().iter().position(|it| it.id == id);
        let mut candidates: Vec<(usize, Known<'_>)> = Vec::new();
        for (id, client) in self.table.iter().enumerate() {
            if let Some(rank) = likely(id) {
                let known = self.known(client, &hazards, look);
                let may = known.again >= (1.0 - look.confidence) / 10.0;
                candidates.extend(may.then_some((rank, known)));
            }
        }
        crossfade_protocol::order::sort_by(&mut candidates, |a, b| a.0.cmp(&b.0));
        Outlook {
            depend,
            candidates: candidates.into_iter().map(|(_, known)| known).collect(),
            longest_s,
            blocked,
            pinned_back,
        }
    }

    /// What became of those whom a brownout hit: moved to the new version since, came back
    /// to the old one after its end unchanged, or not heard of since.
    pub(crate) fn aftermath(&self, name: &str) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(entry) = self.book.get(name) else { return aftermath };
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

    /// The keys with this flag, in order of their bytes, at most `limit`.
    pub(crate) fn listed(&self, flag: Flags, limit: usize) -> Vec<String> {
        let filter = Filter { flags: flag, ..Filter::default() };
        let found = self.table.select(&filter, Order::Key, true, 0, limit).clients;
        let mut keys: Vec<String> = found
            .iter()
            .filter_map(|client| std::str::from_utf8(client.key).ok().map(str::to_owned))
            .collect();
        crossfade_protocol::order::sort(&mut keys);
        keys.dedup();
        keys
    }
}

/// What became of those whom a brownout hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Aftermath {
    pub(crate) moved: u64,
    pub(crate) unchanged: u64,
    pub(crate) silent: u64,
}

/// What is known of a client's calls to old versions.
fn past(client: &Client<'_>) -> Past {
    Past {
        rhythm: client.rhythm,
        span_s: client.old.last_s.saturating_sub(client.old.first_s),
        moved: client.new.requests > 0
            && client.new.last_s > client.old.last_s
            && !client.flags.has(Flags::WAVERED),
    }
}

fn silent_s(client: &Client<'_>, look: Look) -> u32 {
    look.now_s.saturating_sub(client.old.last_s)
}

/// A clock beyond the year 2106 stands still here rather than begin again.
pub(crate) fn seconds(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}
