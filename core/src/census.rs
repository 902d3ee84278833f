//! The census: who is on which version. Exact, and bounded.
//!
//! A client costs 24 bytes, its key in whole words, and two to four slots of the index:
//! under 64 bytes for keys of the usual length (tested). Memory grows in chunks, so there
//! is no moment at which everything is held twice.

mod index;
mod records;

use std::hash::Hasher as _;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::{CLIENT_KEY_BYTES_MAX, CLIENTS_MAX};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use index::Index;
use records::{Records, Seen};

/// Where a client's identity came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Identity {
    /// The routing key.
    Key = 0,
    /// The sender of the message, since there was no key.
    Sender = 1,
}

/// One client, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// What kind of key.
    pub identity: Identity,
    /// The version that served it last: its place in the policy's list.
    pub version: u16,
    /// When, in seconds since 1970 or of the virtual clock.
    pub last_seen_s: u32,
    /// Requests decided for it; stops at the largest `u32`.
    pub requests: u32,
}

/// The table of clients.
#[derive(Debug, Clone)]
pub struct Census {
    records: Records,
    index: Index,
    /// Clients per version.
    per_version: Vec<u64>,
    /// Requests of clients that did not fit.
    uncounted: u64,
    hasher: Hasher,
    terms: Terms,
    /// Grows with every change of `terms`: what a client of this generation was told was
    /// decided under them.
    generation: u32,
}

/// What a decision by the key alone depends on beside the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Of the policy.
    pub(crate) revision: u64,
    /// Of that policy: how often time has changed whom it refuses.
    pub(crate) turn: u32,
    pub(crate) guard_tripped: bool,
}

impl Census {
    /// An empty table; `seed` keys its hash.
    pub fn new(seed: u64) -> Census {
        Census {
            records: Records::default(),
            index: Index::new(),
            per_version: Vec::new(),
            uncounted: 0,
            hasher: Hasher::new(seed),
            terms: Terms::default(),
            generation: 0,
        }
    }

    /// Counts a request of this client on `version`. A client that does not fit any more
    /// is not counted; [`uncounted`](Census::uncounted) grows instead.
    pub fn record(&mut self, key: &[u8], identity: Identity, version: u16, now_ms: u64) {
        self.count(key, identity, version, now_ms);
    }

    /// [`record`](Census::record) of a decision that depends on the key and `terms` alone:
    /// [`again`](Census::again) gives it then, until the terms change.
    pub(crate) fn record_decided(
        &mut self,
        key: &[u8],
        word: RouteWord,
        terms: Terms,
        now_ms: u64,
    ) {
        if self.terms != terms || self.generation == 0 {
            self.terms = terms;
            self.generation = self.generation.checked_add(1).unwrap_or_else(|| {
                self.records.for_each_mut(|seen| seen.generation = 0);
                1
            });
        }
        let version = word.version().unwrap_or_default();
        if let Some(at) = self.count(key, Identity::Key, version, now_ms)
            && let Some(mut record) = self.records.get_mut(at)
        {
            let seen = record.seen();
            record.set(Seen { word, generation: self.generation, ..seen });
        }
    }

    /// Counts a request of a client for whom [`record_decided`](Census::record_decided)
    /// was called under the same terms, and gives what was decided then.
    ///
    /// `None` has counted nothing, and is also the answer for a few clients who would take
    /// longer to find. No calls and no loops are in here: either would make the module
    /// twice as slow, since its compiler then keeps little in registers.
    #[inline(always)]
    pub(crate) fn again(&mut self, key: &[u8], terms: Terms, now_ms: u64) -> Option<RouteWord> {
        let hash = self.hasher.hash(key, Identity::Key);
        let record = self.records.get_mut(self.index.likely(hash)?)?;
        let seen = record.seen();
        let known = seen.generation == self.generation
            && self.terms == terms
            && u32::from(seen.version) == seen.word.0 & 0xFFFF
            && record.is_of(key, Identity::Key);
        if !known {
            return None;
        }
        record.count(&seen, seconds(now_ms));
        Some(seen.word)
    }

    /// Takes out every trace of a client, by writing the others anew; whether it was there.
    pub fn forget(&mut self, key: &[u8], identity: Identity) -> bool {
        if self.get(key, identity).is_none() {
            return false;
        }
        let mut others = Census {
            uncounted: self.uncounted,
            terms: self.terms,
            generation: self.generation,
            ..Census::new(self.hasher.seed)
        };
        for (seen, other) in self.records.iter() {
            if other == key && seen.identity == identity {
                continue;
            }
            let at = others.count(other, seen.identity, seen.version.into(), 0);
            if let Some(mut record) = at.and_then(|at| others.records.get_mut(at)) {
                record.set(seen);
            }
        }
        *self = others;
        true
    }

    /// The place of the client, who is counted now; or `None` when there is no room.
    fn count(&mut self, key: &[u8], identity: Identity, version: u16, now_ms: u64) -> Option<u32> {
        let Census { records, index, per_version, uncounted, hasher, .. } = self;
        let hash = hasher.hash(key, identity);
        if per_version.len() <= usize::from(version) {
            per_version.resize(usize::from(version) + 1, 0);
        }
        let last_seen_s = seconds(now_ms);
        let found = index.find(hash, |at| {
            let mut record = records.get_mut(at)?;
            if !record.is_of(key, identity) {
                return None;
            }
            let seen = record.seen();
            record.set(Seen { version: version as u8, ..seen });
            record.count(&seen, last_seen_s);
            Some((at, u16::from(seen.version)))
        });
        if let Some((at, before)) = found {
            if before != version {
                per_version[usize::from(before)] -= 1;
                per_version[usize::from(version)] += 1;
            }
            return Some(at);
        }
        if records.len() >= CLIENTS_MAX || records.key_bytes() + key.len() > CLIENT_KEY_BYTES_MAX {
            *uncounted += 1;
            return None;
        }
        let seen = Seen {
            last_seen_s,
            requests: 1,
            word: RouteWord::CANNOT,
            generation: 0,
            key_len: key.len() as u16,
            version: version as u8,
            identity,
        };
        let at = records.push(seen, key);
        index.insert(hash, at, |at| {
            records.get(at).map_or(0, |(seen, key)| hasher.hash(key, seen.identity))
        });
        per_version[usize::from(version)] += 1;
        Some(at)
    }

    /// Clients counted.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nobody was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clients last served by `version`.
    pub fn on_version(&self, version: u16) -> u64 {
        self.per_version.get(usize::from(version)).copied().unwrap_or_default()
    }

    /// Requests of clients that did not fit into the table; 0 means that the census is
    /// complete.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// One client.
    pub fn get(&self, key: &[u8], identity: Identity) -> Option<Client<'_>> {
        self.index.find(self.hasher.hash(key, identity), |at| {
            let client = client(self.records.get(at)?);
            (client.identity == identity && client.key == key).then_some(client)
        })
    }

    /// Every client, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = Client<'_>> {
        self.records.iter().map(client)
    }

    /// The `limit` clients with the most requests, on `version` if given; of equals the
    /// one with the smaller key first.
    pub fn busiest(&self, version: Option<u16>, limit: usize) -> Vec<Client<'_>> {
        let clients = self.iter().filter(|client| version.is_none_or(|v| v == client.version));
        crossfade_protocol::order::first(clients, limit, |a, b| {
            b.requests
                .cmp(&a.requests)
                .then_with(|| a.key.cmp(b.key))
                .then(a.identity.cmp(b.identity))
        })
    }

    /// Gives every client the place its version has in a new list; `places[old]` is the
    /// new place.
    pub fn renumber(&mut self, places: &[u16]) {
        let mut per_version = vec![0; places.len()];
        self.records.for_each_mut(|seen| {
            let place = places.get(usize::from(seen.version)).copied().unwrap_or_default();
            seen.version = place as u8;
            if per_version.len() <= usize::from(place) {
                per_version.resize(usize::from(place) + 1, 0);
            }
            per_version[usize::from(place)] += 1;
        });
        self.per_version = per_version;
    }

    /// Bytes of memory held, index and unused room included.
    pub fn memory_bytes(&self) -> usize {
        self.records.memory_bytes() + self.index.memory_bytes()
    }
}

fn client((seen, key): (Seen, &[u8])) -> Client<'_> {
    Client {
        key,
        identity: seen.identity,
        version: u16::from(seen.version),
        last_seen_s: seen.last_seen_s,
        requests: seen.requests,
    }
}

impl Identity {
    fn cmp(self, other: Identity) -> std::cmp::Ordering {
        (self as u8).cmp(&(other as u8))
    }

    fn from_byte(byte: u8) -> Identity {
        if byte == Identity::Sender as u8 { Identity::Sender } else { Identity::Key }
    }
}

/// Keyed, so that a sender cannot choose colliding keys.
#[derive(Debug, Clone)]
struct Hasher {
    seed: u64,
    derived: SharedSeed,
}

impl Hasher {
    fn new(seed: u64) -> Hasher {
        Hasher { seed, derived: SharedSeed::from_u64(seed) }
    }

    #[inline(always)]
    fn hash(&self, key: &[u8], identity: Identity) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed ^ identity as u64, &self.derived);
        hasher.write(key);
        hasher.finish()
    }
}

/// A clock beyond the year 2106 stands still here rather than begin again.
#[inline(always)]
fn seconds(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}

/// What a snapshot says of a census beside its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Head {
    clients: usize,
    uncounted: u64,
    seed: u64,
}

/// A row in a snapshot: key length, version, identity, last seen, requests; all
/// little-endian. The keys follow the rows.
const SAVED_ROW_BYTES: usize = 12;

impl Census {
    pub(crate) fn head(&self) -> Head {
        Head { clients: self.len(), uncounted: self.uncounted, seed: self.hasher.seed }
    }

    /// Writes every client.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() * SAVED_ROW_BYTES + self.records.key_bytes());
        for (seen, _) in self.records.iter() {
            let [l0, l1] = seen.key_len.to_le_bytes();
            let [s0, s1, s2, s3] = seen.last_seen_s.to_le_bytes();
            let [r0, r1, r2, r3] = seen.requests.to_le_bytes();
            let identity = seen.identity as u8;
            let saved: [u8; SAVED_ROW_BYTES] =
                [l0, l1, seen.version, identity, s0, s1, s2, s3, r0, r1, r2, r3];
            out.extend_from_slice(&saved);
        }
        self.records.iter().for_each(|(_, key)| out.extend_from_slice(key));
    }

    /// The census that was saved, or `None` when the bytes do not fit together.
    pub(crate) fn load(head: &Head, clients: &[u8]) -> Option<Census> {
        if head.clients > CLIENTS_MAX {
            return None;
        }
        let mut census = Census { uncounted: head.uncounted, ..Census::new(head.seed) };
        let (rows, mut keys) = clients.split_at_checked(head.clients * SAVED_ROW_BYTES)?;
        for row in rows.chunks_exact(SAVED_ROW_BYTES) {
            let [l0, l1, version, identity, s0, s1, s2, s3, r0, r1, r2, r3] =
                row.try_into().ok()?;
            let (key, rest) = keys.split_at_checked(usize::from(u16::from_le_bytes([l0, l1])))?;
            keys = rest;
            let last_seen_ms = u64::from(u32::from_le_bytes([s0, s1, s2, s3])) * 1000;
            let identity = Identity::from_byte(identity);
            let before = census.len();
            let at = census.count(key, identity, u16::from(version), last_seen_ms)?;
            if census.len() == before {
                return None; // a client twice
            }
            let mut record = census.records.get_mut(at)?;
            let seen = record.seen();
            record.set(Seen { requests: u32::from_le_bytes([r0, r1, r2, r3]), ..seen });
        }
        keys.is_empty().then_some(census)
    }
}

#[cfg(test)]
#[path = "census/tests.rs"]
mod tests;
