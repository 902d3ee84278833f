//! The clients of a buffer, in the order in which they came, and an index over them.

use std::hash::Hasher as _;

use crossfade_protocol::clients::{ClientCount, Declared, Identity};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crossfade_protocol::limits::{AGENT_BYTES_MAX, DECLARED_BYTES_MAX};

use super::{Call, cut};

/// One client.
#[derive(Debug, Clone)]
pub(super) struct Row {
    hash: u64,
    key: Box<str>,
    agent: Option<Box<str>>,
    says: Option<Declared>,
    counts: Vec<ClientCount>,
    refused: u64,
    identity: Identity,
    on: u8,
}

impl Row {
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    pub(super) fn on(&self) -> u8 {
        self.on
    }

    pub(super) fn counts(&self) -> &[ClientCount] {
        &self.counts
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn says(&self) -> Option<&Declared> {
        self.says.as_ref()
    }

    fn requests(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(count.requests))
    }

    /// Bytes of memory, without those of the index.
    pub(super) fn bytes(&self) -> usize {
        let agent = self.agent.as_deref().map_or(0, str::len);
        let says = match &self.says {
            Some(Declared::Blocked(reason)) => reason.len(),
            _ => 0,
        };
        let counts = self.counts.capacity() * size_of::<ClientCount>();
        size_of::<Row>() + self.key.len() + agent + says + counts
    }

    fn record(&mut self, call: &Call<'_>, (first_s, last_s): (u32, u32)) {
        // Failures alone are of calls that were recorded before.
        if call.requests > 0 || call.failures == 0 {
            self.on = call.version;
        }
        self.refused = self.refused.saturating_add(call.refused);
        let known = self.counts.iter_mut().find(|count| count.version == call.version);
        match known {
            Some(count) => {
                count.requests = count.requests.saturating_add(call.requests);
                count.failures = count.failures.saturating_add(call.failures);
                if call.requests > 0 {
                    count.first_s = count.first_s.min(first_s);
                    count.last_s = count.last_s.max(last_s);
                }
            }
            None if call.requests > 0 || call.failures > 0 => {
                self.counts.reserve_exact(1);
                self.counts.push(ClientCount {
                    version: call.version,
                    requests: call.requests,
                    failures: call.failures,
                    first_s,
                    last_s,
                });
            }
            None => {}
        }
        if let Some(agent) = call.agent.map(|agent| cut(agent, AGENT_BYTES_MAX))
            && self.agent.as_deref() != Some(agent)
        {
            self.agent = Some(agent.into());
        }
        if call.says.is_some() && self.says.as_ref() != call.says {
            self.says = call.says.map(|says| match says {
                Declared::Ready => Declared::Ready,
                Declared::Blocked(reason) => {
                    Declared::Blocked(cut(reason, DECLARED_BYTES_MAX).to_owned())
                }
            });
        }
    }
}

/// Marks a slot in which nobody is.
const NOBODY: u32 = u32::MAX;

/// Slots at the least.
const SLOTS_MIN: usize = 64;

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Places in `rows`, each at the first free slot from that of its hash on; a power of
    /// two of them, and at least twice as many as there are rows.
    slots: Vec<u32>,
    /// Of the rows.
    bytes: usize,
    seed: u64,
    derived: SharedSeed,
}

impl Rows {
    pub(super) fn new(seed: u64) -> Rows {
        let derived = SharedSeed::from_u64(seed);
        Rows { rows: Vec::new(), slots: Vec::new(), bytes: 0, seed, derived }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let unused = self.rows.capacity() - self.rows.len();
        self.bytes + unused * size_of::<Row>() + self.slots.capacity() * size_of::<u32>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Records a call of a client who is here, or whom one `wanted` to have here; `false`
    /// when it is neither.
    pub(super) fn record(
        &mut self,
        key: &str,
        call: &Call<'_>,
        seconds: (u32, u32),
        wanted: impl FnOnce() -> bool,
    ) -> bool {
        self.grow();
        let hash = self.hash(key, call.identity);
        let slot = self.slot(hash, |row| row.identity == call.identity && *row.key == *key);
        let Some(place) = self.slots.get_mut(slot) else { return false };
        let (before, row) = match self.rows.get_mut(*place as usize) {
            Some(row) => (row.bytes(), row),
            None if !wanted() => return false,
            None => {
                *place = self.rows.len() as u32;
                let row = Row {
                    hash,
                    key: key.into(),
                    agent: None,
                    says: None,
                    counts: Vec::new(),
                    refused: 0,
                    identity: call.identity,
                    on: call.version,
                };
                (0, self.rows.push_mut(row))
            }
        };
        row.record(call, seconds);
        self.bytes = self.bytes + row.bytes() - before;
        true
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Makes room in the index for one more.
    fn grow(&mut self) {
        if self.slots.len() < 2 * (self.rows.len() + 1) {
            self.index((2 * self.slots.len()).max(SLOTS_MIN));
        }
    }

    fn hash(&self, key: &str, identity: Identity) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed ^ identity as u64, &self.derived);
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    /// The slot in which the row with this hash is, or may be put.
    fn slot(&self, hash: u64, is: impl Fn(&Row) -> bool) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        // At least half of the slots are free.
        while let Some(row) = self.slots.get(at).and_then(|place| self.rows.get(*place as usize)) {
            if row.hash == hash && is(row) {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    /// Makes the index anew, of so many slots.
    fn index(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.resize(slots, NOBODY);
        for (place, row) in self.rows.iter().enumerate() {
            let slot = self.slot(row.hash, |_| false);
            if let Some(free) = self.slots.get_mut(slot) {
                *free = place as u32;
            }
        }
    }

    /// Keeps the rows that are wanted; the requests of the others.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Row) -> bool) -> u64 {
        let mut gone: u64 = 0;
        self.rows.retain(|row| {
            let keep = wanted(row);
            if !keep {
                gone = gone.saturating_add(row.requests());
            }
            keep
        });
        self.changed();
        gone
    }

    /// Takes rows out, the first ones first, as long as `take` takes them; the requests of
    /// those that it took.
    pub(super) fn take(&mut self, mut take: impl FnMut(&Row) -> bool) -> u64 {
        let (mut taken, mut requests) = (0, 0_u64);
        for row in self.rows.iter().take_while(|row| take(row)) {
            taken += 1;
            requests = requests.saturating_add(row.requests());
        }
        self.rows.drain(..taken);
        self.changed();
        requests
    }

    /// Rows have gone: counts and indexes what is left, and gives room back.
    fn changed(&mut self) {
        self.bytes = self.rows.iter().map(Row::bytes).sum();
        if self.rows.capacity() / 4 > self.rows.len() {
            self.rows.shrink_to(self.rows.len() * 2);
        }
        self.index((2 * (self.rows.len() + 1)).next_power_of_two().max(SLOTS_MIN));
    }
}
