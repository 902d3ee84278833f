//! The census: who is on which version. Exact, and bounded.
//!
//! A client costs 16 bytes, its key, and a slot of the index: under 64 bytes for keys
//! of the usual length (tested). Memory grows in chunks, so there is no moment at which
//! everything is held twice.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::limits::{CLIENT_KEY_BYTES_MAX, CLIENTS_MAX};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh64::xxh64;

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
#[derive(Debug, Default)]
pub struct Census {
    entries: Chunks<ClientRow>,
    keys: KeyArena,
    index: HashTable<u32>,
    /// Clients per version.
    per_version: Vec<u64>,
    /// Requests of clients that did not fit.
    uncounted: u64,
    /// Keyed so that a sender cannot choose colliding keys.
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
struct ClientRow {
    key_at: u32,
    key_len: u16,
    version: u8,
    identity: Identity,
    last_seen_s: u32,
    requests: u32,
}

const _: () = assert!(size_of::<ClientRow>() == 16);

impl Census {
    /// An empty table; `seed` keys its hash.
    pub fn new(seed: u64) -> Census {
        Census { seed, ..Census::default() }
    }

    /// Counts a request of this client on `version`. A client that does not fit any more
    /// is not counted; [`uncounted`](Census::uncounted) grows instead.
    pub fn record(&mut self, key: &[u8], identity: Identity, version: u16, now_ms: u64) {
        let Census { entries, keys, index, per_version, uncounted, seed } = self;
        let seed = *seed;
        let hash = hash(key, identity, seed);
        let same = |at: &u32| {
            let row = entries.get(*at);
            row.identity == identity && keys.get(row) == key
        };
        let rehash = |at: &u32| {
            let row = entries.get(*at);
            self::hash(keys.get(row), row.identity, seed)
        };
        if per_version.len() <= usize::from(version) {
            per_version.resize(usize::from(version) + 1, 0);
        }
        // A clock beyond the year 2106 stands still here rather than begin again.
        let last_seen_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
        match index.entry(hash, same, rehash) {
            Entry::Occupied(slot) => {
                let row = entries.get_mut(*slot.get());
                if u16::from(row.version) != version {
                    per_version[usize::from(row.version)] -= 1;
                    per_version[usize::from(version)] += 1;
                    row.version = version as u8;
                }
                row.last_seen_s = row.last_seen_s.max(last_seen_s);
                row.requests = row.requests.saturating_add(1);
            }
            Entry::Vacant(slot) => {
                if entries.len() >= CLIENTS_MAX || keys.bytes() + key.len() > CLIENT_KEY_BYTES_MAX {
                    *uncounted += 1;
                    return;
                }
                slot.insert(entries.len() as u32);
                let key_at = keys.push(key);
                let row = ClientRow {
                    key_at,
                    key_len: key.len() as u16,
                    version: version as u8,
                    identity,
                    last_seen_s,
                    requests: 1,
                };
                entries.push(row);
                per_version[usize::from(version)] += 1;
            }
        }
    }

    /// Clients counted.
    pub fn len(&self) -> usize {
        self.entries.len()
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
        let at = self.index.find(hash(key, identity, self.seed), |at| {
            let row = self.entries.get(*at);
            row.identity == identity && self.keys.get(row) == key
        })?;
        Some(self.client(self.entries.get(*at)))
    }

    /// Every client, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = Client<'_>> {
        self.entries.iter().map(|row| self.client(row))
    }

    /// The `limit` clients with the most requests, on `version` if given; of equals the
    /// one with the smaller key first.
    pub fn busiest(&self, version: Option<u16>, limit: usize) -> Vec<Client<'_>> {
        let mut clients: Vec<Client<'_>> =
            self.iter().filter(|client| version.is_none_or(|v| v == client.version)).collect();
        let order = |a: &Client<'_>, b: &Client<'_>| {
            b.requests
                .cmp(&a.requests)
                .then_with(|| a.key.cmp(b.key))
                .then(a.identity.cmp(b.identity))
        };
        if limit < clients.len() && limit > 0 {
            clients.select_nth_unstable_by(limit - 1, order);
        }
        clients.truncate(limit);
        clients.sort_unstable_by(order);
        clients
    }

    /// Gives every client the place its version has in a new list; `places[old]` is the
    /// new place.
    pub fn renumber(&mut self, places: &[u16]) {
        let mut per_version = vec![0; places.len()];
        self.entries.for_each_mut(|row| {
            let place = places.get(usize::from(row.version)).copied().unwrap_or_default();
            row.version = place as u8;
            if per_version.len() <= usize::from(place) {
                per_version.resize(usize::from(place) + 1, 0);
            }
            per_version[usize::from(place)] += 1;
        });
        self.per_version = per_version;
    }

    /// Bytes of memory held, index and unused room included.
    pub fn memory_bytes(&self) -> usize {
        self.entries.chunks.capacity() * size_of::<Vec<ClientRow>>()
            + self
                .entries
                .chunks
                .iter()
                .map(|c| c.capacity() * size_of::<ClientRow>())
                .sum::<usize>()
            + self.keys.chunks.iter().map(Vec::capacity).sum::<usize>()
            + self.index.allocation_size()
    }

    fn client(&self, row: &ClientRow) -> Client<'_> {
        Client {
            key: self.keys.get(row),
            identity: row.identity,
            version: u16::from(row.version),
            last_seen_s: row.last_seen_s,
            requests: row.requests,
        }
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

#[inline]
fn hash(key: &[u8], identity: Identity, seed: u64) -> u64 {
    xxh64(key, seed ^ identity as u64)
}

/// A vector that grows by whole chunks and never moves what it holds.
#[derive(Debug)]
struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

const CHUNK_ROWS: usize = 4096;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn get(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK_ROWS][at as usize % CHUNK_ROWS]
    }

    #[inline(always)]
    fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK_ROWS][at as usize % CHUNK_ROWS]
    }

    fn push(&mut self, value: T) {
        if self.len.is_multiple_of(CHUNK_ROWS) {
            self.chunks.push(Vec::with_capacity(CHUNK_ROWS));
        }
        self.len += 1;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(value);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    fn for_each_mut(&mut self, f: impl FnMut(&mut T)) {
        self.chunks.iter_mut().flatten().for_each(f);
    }
}

/// The keys' bytes, in chunks that a key never straddles.
#[derive(Debug, Default)]
struct KeyArena {
    chunks: Vec<Vec<u8>>,
}

/// A power of two, so that an address is `chunk << BITS | offset`.
const KEY_CHUNK_BITS: u32 = 16;

impl KeyArena {
    fn push(&mut self, key: &[u8]) -> u32 {
        let size = 1 << KEY_CHUNK_BITS;
        if self.chunks.last().is_none_or(|chunk| chunk.len() + key.len() > size) {
            self.chunks.push(Vec::with_capacity(size));
        }
        let chunk_at = (self.chunks.len() - 1) as u32;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        let at = chunk_at << KEY_CHUNK_BITS | chunk.len() as u32;
        chunk.extend_from_slice(key);
        at
    }

    #[inline(always)]
    fn get(&self, row: &ClientRow) -> &[u8] {
        let chunk = &self.chunks[(row.key_at >> KEY_CHUNK_BITS) as usize];
        let from = (row.key_at & ((1 << KEY_CHUNK_BITS) - 1)) as usize;
        &chunk[from..from + usize::from(row.key_len)]
    }

    fn bytes(&self) -> usize {
        self.chunks.len() << KEY_CHUNK_BITS
    }
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
        Head { clients: self.len(), uncounted: self.uncounted, seed: self.seed }
    }

    /// Writes every client.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() * SAVED_ROW_BYTES + self.keys.bytes());
        for row in self.entries.iter() {
            let [l0, l1] = row.key_len.to_le_bytes();
            let [s0, s1, s2, s3] = row.last_seen_s.to_le_bytes();
            let [r0, r1, r2, r3] = row.requests.to_le_bytes();
            let identity = row.identity as u8;
            let saved: [u8; SAVED_ROW_BYTES] =
                [l0, l1, row.version, identity, s0, s1, s2, s3, r0, r1, r2, r3];
            out.extend_from_slice(&saved);
        }
        // Keys lie in the order of their rows: a row and its key came together.
        self.keys.chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
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
            census.record(key, identity, u16::from(version), last_seen_ms);
            if census.len() == before {
                return None; // a client twice
            }
            census.entries.get_mut(before as u32).requests = u32::from_le_bytes([r0, r1, r2, r3]);
        }
        keys.is_empty().then_some(census)
    }
}

#[cfg(test)]
#[path = "census/tests.rs"]
mod tests;
