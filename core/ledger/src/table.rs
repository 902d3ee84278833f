//! The table: a row for each client, exact up to a limit, and a sample beyond.

mod mark;
mod row;
mod shard;
mod walk;

use std::hash::Hasher as _;

use crossfade_protocol::agent::product;
use crossfade_protocol::clients::{ClientCount, Declared, Identity, client_hash};
use crossfade_protocol::limits::{AGENTS_MAX, KEY_BYTES_MAX, LEDGER_BYTES_MAX, VERSIONS_MAX};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::again::Population;
use crate::heaviest::Callers;
use crate::rhythm::Rhythm;
use crate::sample::{Side, Threshold};
use crate::software::Names;
use crate::sources::Sources;

pub use row::{Flags, On};
pub(crate) use row::{Note, Row, read, write};
pub(crate) use shard::overwrite;
use shard::{PLACE_BITS, Shard};

/// One client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Where that comes from.
    pub identity: Identity,
    /// Place of the version that served it last.
    pub version: u8,
    /// Its calls to every version but the newest.
    pub old: On,
    /// Its calls to the newest.
    pub new: On,
    /// How it comes and goes.
    pub rhythm: Rhythm,
    /// Its software, by [`Ledger::software`].
    pub software: Option<u16>,
    /// What is marked at it.
    pub flags: Flags,
    /// Why, by [`Ledger::reason`].
    pub reason: Option<u16>,
    /// Calls that were refused.
    pub refused: u32,
    /// Whether one of its counts has stopped at the largest number there is room for.
    pub saturated: bool,
}

impl<'a> Client<'a> {
    pub(crate) fn new((row, note, key): (Row, Note, &'a [u8])) -> Client<'a> {
        let some = |number: u16| (number != 0).then_some(number);
        Client {
            key,
            identity: row.identity(),
            version: row.place,
            old: row.old,
            new: row.new,
            rhythm: row.rhythm,
            software: some(row.software),
            flags: row.flags,
            reason: some(note.reason),
            refused: note.refused,
            saturated: row.saturated,
        }
    }

    /// Requests to all versions.
    pub fn requests(&self) -> u64 {
        u64::from(self.old.requests) + u64::from(self.new.requests)
    }

    /// When it was last seen; 0 while it has not called.
    pub fn last_seen_s(&self) -> u32 {
        self.old.last_s.max(self.new.last_s)
    }

    /// When it was first seen, rounded down to the minute; 0 while it has not called.
    pub fn first_seen_s(&self) -> u32 {
        match (self.old.requests, self.new.requests) {
            (_, 0) => self.old.first_s,
            (0, _) => self.new.first_s,
            _ => self.old.first_s.min(self.new.first_s),
        }
    }
}

/// One request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Place of the version it went to.
    pub version: u8,
    /// Whether it is known to have failed.
    pub failed: bool,
    /// When.
    pub at_s: u32,
}

/// What is new of one client.
pub(crate) struct News<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) identity: Identity,
    /// In order of their first calls; times are not in the future.
    pub(crate) counts: &'a [ClientCount],
    /// The version of the last call.
    pub(crate) on: u8,
    /// Whether that one stands when another was as late.
    pub(crate) latest_counts: bool,
    pub(crate) agent: Option<&'a str>,
    pub(crate) refused: u64,
    pub(crate) says: Option<&'a Declared>,
}

/// The shards are chosen by the highest bits of a hash.
const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;

/// Parts of the table, for who goes through it bit by bit.
pub const PARTS: usize = SHARDS;
const _: () = assert!(SHARD_BITS + PLACE_BITS < u32::BITS);

/// Keys may take so many bytes for each client that the limit allows: attackers choose
/// long ones. And never more than [`LEDGER_BYTES_MAX`].
const ROW_BYTES_MEAN_MAX: usize = 256;

/// So long after the policy has changed an edge may still go by the one before.
const LATE_S: u32 = 10 * 60;

/// The table of clients.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) shards: Vec<Shard>,
    pub(crate) hasher: Hasher,
    pub(crate) limit: usize,
    pub(crate) newest: u8,
    /// Rows by the version that served them last.
    pub(crate) per_version: [u64; VERSIONS_MAX],
    /// For the old side and the new.
    pub(crate) thresholds: [Threshold; 2],
    /// The latest moment heard of.
    pub(crate) latest_s: u32,
    /// Requests of clients that got no row.
    pub(crate) left_out: u64,
    /// Requests of which an edge did not say whose they were.
    pub(crate) dropped_before: u64,
    /// Those of them, and of ours, that belong to no sample, and when the last came.
    pub(crate) untold: u64,
    pub(crate) untold_until_s: u32,
    /// What records take, or took before some went.
    pub(crate) bytes: usize,
    pub(crate) software: Names,
    pub(crate) reasons: Names,
    pub(crate) sources: Sources,
    /// Once old rows are sampled.
    pub(crate) callers: Option<Callers>,
    /// How long silences ended.
    pub(crate) population: Population,
    /// Whether somebody's marks have changed.
    pub(crate) marked: bool,
    /// Clients that are marked.
    pub(crate) marks: usize,
    /// Until when clients of the newest version may have been sent back.
    pub(crate) sent_back_s: u32,
}

impl Ledger {
    /// An empty table with exact rows for `limit` clients; `seed` keys its hash.
    pub fn new(limit: usize, seed: u64) -> Ledger {
        Ledger {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: Hasher { seed, derived: SharedSeed::from_u64(seed) },
            limit: limit.max(1),
            newest: 1,
            per_version: [0; VERSIONS_MAX],
            thresholds: [Threshold::default(); 2],
            latest_s: 0,
            left_out: 0,
            dropped_before: 0,
            untold: 0,
            untold_until_s: 0,
            bytes: 0,
            software: Names::default(),
            reasons: Names::default(),
            sources: Sources::default(),
            callers: None,
            population: Population::default(),
            marked: false,
            marks: 0,
            sent_back_s: 0,
        }
    }

    /// The policy sends clients back to an old version from `at_s` on: whoever comes from the
    /// newest has not wavered. Edges hear of it a little later.
    pub fn sent_back(&mut self, at_s: u32) {
        self.sent_back_s = self.sent_back_s.max(at_s.saturating_add(LATE_S));
    }

    /// How long silences of all clients ended.
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// How many clients have exact rows.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Allows more, or fewer: then the table is sampled at once if it must be.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
        self.make_room(0);
    }

    /// Place of the version that counts as new.
    pub fn newest(&self) -> u8 {
        self.newest
    }

    /// Clients that have a row.
    pub fn len(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// Whether nobody has a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts one request.
    pub fn record(&mut self, key: &[u8], identity: Identity, call: Call) {
        let counts = [ClientCount {
            version: call.version,
            requests: 1,
            failures: call.failed.into(),
            first_s: call.at_s,
            last_s: call.at_s,
        }];
        self.hear(&News {
            key,
            identity,
            counts: &counts,
            on: call.version,
            latest_counts: true,
            agent: None,
            refused: 0,
            says: None,
        });
    }

    /// Takes in what is new of one client; whether it has a row now.
    pub(crate) fn hear(&mut self, news: &News<'_>) -> bool {
        let calls = news.counts.iter().filter(|count| count.requests > 0);
        let last_s = calls.map(|count| count.last_s).max();
        self.latest_s = self.latest_s.max(last_s.unwrap_or_default());
        let right = !news.key.is_empty() && news.key.len() <= KEY_BYTES_MAX;
        let heard = right && self.try_hear(news, last_s).unwrap_or_default();
        if !heard {
            let requests = news.counts.iter().map(|count| count.requests);
            let requests = requests.fold(0, u64::saturating_add);
            self.left_out = self.left_out.saturating_add(requests);
            if !right {
                self.leave_untold(requests, self.latest_s);
            }
        }
        heard
    }

    fn try_hear(&mut self, news: &News<'_>, last_s: Option<u32>) -> Option<bool> {
        let on = news.on.min(VERSIONS_MAX as u8 - 1);
        let hash = self.hasher.hash(news.key, news.identity as u8);
        self.tell_callers(hash, news);
        let shard = shard_of(hash);
        let found = self.shards[shard].find(hash, news.key, news.identity as u8);
        let (slot, place) = match found {
            Some(found) => found,
            None => {
                let (identity, key_len) = (news.identity as u8, news.key.len());
                let row = Row { key_len, identity, place: on, ..Row::default() };
                let marked = news.says.is_some();
                if !self.has_room(&row, news.key, marked) {
                    return None;
                }
                self.insert(hash, &row, Note::default(), news.key)?
            }
        };
        let (mut row, note, _) = self.shards[shard].at(place).and_then(read)?;
        let (before, seen_s) = (row.place, row.last_s());
        for count in news.counts {
            row.count(count, self.newest, self.sent_back_s, &mut self.population);
        }
        let newer = |last_s: u32| {
            last_s > seen_s || last_s == seen_s && (news.latest_counts || on < before)
        };
        if last_s.is_some_and(newer) {
            row.place = on;
        }
        if let Some(agent) = news.agent {
            self.set_software(&mut row, agent);
        }
        shard::set_head(self.shards[shard].at_mut(place)?, &row.pack());
        self.per_version[usize::from(before)] -= 1;
        self.per_version[usize::from(row.place)] += 1;
        let mut at = (shard, slot, place);
        if news.refused > 0 {
            let refused = u64::from(note.refused).saturating_add(news.refused);
            let refused = u32::try_from(refused).unwrap_or(u32::MAX);
            at = self.set_note(at, Note { refused, ..note });
        }
        if news.says.is_some() {
            at = self.set_declared(at, news.says);
        }
        Some(self.keep_or_drop(at, before))
    }

    /// Adds a client that has no row yet; `None` when it has, or there is no room.
    pub(crate) fn add(&mut self, row: &Row, note: Note, key: &[u8]) -> Option<()> {
        let hash = self.hasher.hash(key, row.identity);
        match self.shards.get(shard_of(hash))?.find(hash, key, row.identity) {
            Some(_) => None,
            None => self.insert(hash, row, note, key).map(|_| ()),
        }
    }

    /// The same for who is known to have no row: the slot and the place of the new one.
    fn insert(&mut self, hash: u64, row: &Row, note: Note, key: &[u8]) -> Option<(usize, u32)> {
        let shard = self.shards.get_mut(shard_of(hash))?;
        let at = shard.insert(hash, (row, note), key, &self.hasher)?;
        *self.per_version.get_mut(usize::from(row.place))? += 1;
        self.marks += usize::from(row.flags.has_any(Flags::MARKS));
        Some(at)
    }

    fn set_software(&mut self, row: &mut Row, agent: &str) {
        // A name is the product of itself: one that is known need not be looked for in it.
        if self.software.get(row.software) == Some(agent) {
            return;
        }
        let number = self.software.again(self.hasher.name(agent), agent).unwrap_or_else(|| {
            let name = product(agent.as_bytes()).unwrap_or_default();
            self.software.hold(self.hasher.name(name), name, AGENTS_MAX - 2)
        });
        self.software.release(row.software);
        row.software = number;
    }

    /// One client.
    pub fn get(&self, key: &[u8], identity: Identity) -> Option<Client<'_>> {
        let (shard, _, place) = self.find(key, identity)?;
        self.client_at((shard as u32) << PLACE_BITS | place)
    }

    fn find(&self, key: &[u8], identity: Identity) -> Option<At> {
        let hash = self.hasher.hash(key, identity as u8);
        let shard = shard_of(hash);
        let (slot, place) = self.shards.get(shard)?.find(hash, key, identity as u8)?;
        Some((shard, slot, place))
    }

    /// Rows whose last call went to this version.
    pub fn on_version(&self, version: u8) -> u64 {
        self.per_version.get(usize::from(version)).copied().unwrap_or_default()
    }

    /// Requests that were counted, here or at an edge, but could not be put to a client.
    pub fn dropped(&self) -> u64 {
        self.left_out.saturating_add(self.dropped_before)
    }

    /// What a client's software is called.
    pub fn software(&self, number: u16) -> Option<&str> {
        self.software.get(number)
    }

    /// What a client's reason says.
    pub fn reason(&self, number: u16) -> Option<&str> {
        self.reasons.get(number)
    }

    /// The highest sequence taken in of this run of a node; 0 is none.
    pub fn sequence(&self, node: &str, epoch: u64) -> u64 {
        self.sources.get(node, epoch)
    }

    /// Gives every client the place its version has in a new list: `places[before]`. When
    /// another version is the newest now, all calls so far went to old ones, and nobody is
    /// pinned back: `Some` with how many were.
    pub fn renumber(&mut self, places: &[u8], newest: u8) -> Option<u64> {
        let place_of = |place: u8| {
            let place = places.get(usize::from(place)).copied().unwrap_or_default();
            place.min(VERSIONS_MAX as u8 - 1)
        };
        let fold = place_of(self.newest) != newest;
        let mut per_version = [0; VERSIONS_MAX];
        let (mut lifted, mut marks) = (0, 0);
        for shard in &mut self.shards {
            shard.change(&mut |row| {
                row.place = place_of(row.place);
                per_version[usize::from(row.place)] += 1;
                if fold {
                    row.fold();
                    lifted += u64::from(row.flags.has(Flags::PINNED_BACK));
                    row.flags = row.flags.without(Flags::PINNED_BACK);
                }
                marks += usize::from(row.flags.has_any(Flags::MARKS));
            });
        }
        self.per_version = per_version;
        self.marks = marks;
        self.newest = newest;
        fold.then(|| {
            self.fold_thresholds();
            lifted
        })
    }

    pub(crate) fn side_of(&self, version: u8) -> Side {
        if version == self.newest { Side::New } else { Side::Old }
    }

    /// Bytes that hold clients, index and unused room included.
    pub fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|shard| size_of::<Shard>() + shard.memory_bytes()).sum()
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.hasher.seed
    }

    pub(crate) fn record_bytes_max(&self) -> usize {
        self.limit.saturating_mul(ROW_BYTES_MEAN_MAX).min(LEDGER_BYTES_MAX)
    }
}

/// Shard, slot and place of a row.
pub(crate) type At = (usize, usize, u32);

#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

/// Where a client stands in every sample.
pub(crate) fn sample_hash(row: &Row, key: &[u8]) -> u64 {
    client_hash(key, row.identity())
}

/// Keyed, so that nobody can choose keys that collide.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    seed: u64,
    derived: SharedSeed,
}

impl Hasher {
    #[inline]
    fn hash(&self, key: &[u8], identity: u8) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed ^ u64::from(identity), &self.derived);
        hasher.write(key);
        hasher.finish()
    }

    /// That of a name which clients share.
    pub(crate) fn name(&self, name: &str) -> u64 {
        self.hash(name.as_bytes(), u8::MAX)
    }
}
