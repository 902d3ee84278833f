//! Who calls old versions most, when not everybody has a row.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::order;

use crate::sample::Side;
use crate::save;
use crate::select::{Filter, Order};
use crate::table::{Ledger, News};

/// A client that calls old versions a lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heavy {
    /// Its key.
    pub key: Vec<u8>,
    /// Where that comes from.
    pub identity: Identity,
    /// At least so many calls.
    pub low: u64,
    /// At most so many; the same when it is exact.
    pub high: u64,
}

/// Frequent items after Misra and Gries (1982), with the median taken off as in "A
/// High-Performance Algorithm for Identifying Frequent Items in Data Streams" (Anderson and
/// others, 2017): of W calls, a client's count is short by at most 2 W / [`COUNTERS`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers {
    counters: Vec<Counter>,
    /// What every count may be short by.
    short: u64,
    /// One more than the place of a counter, by hash.
    slots: Vec<u16>,
}

#[derive(Debug, Clone)]
struct Counter {
    hash: u64,
    calls: u64,
    identity: u8,
    key: Box<[u8]>,
}

const COUNTERS: usize = 1024;
const SLOTS: usize = COUNTERS * 4;

impl Callers {
    /// Counts calls.
    pub(crate) fn offer(&mut self, hash: u64, key: &[u8], identity: Identity, calls: u64) {
        let slot = match self.find(hash, key, identity) {
            Ok(found) => {
                found.calls = found.calls.saturating_add(calls);
                return;
            }
            Err(slot) => slot,
        };
        if calls == 0 {
            return;
        }
        self.counters.push(Counter { hash, calls, identity: identity as u8, key: key.into() });
        self.slots[slot] = self.counters.len() as u16;
        if self.counters.len() == COUNTERS {
            let median = self.median();
            self.short = self.short.saturating_add(median);
            self.counters.retain_mut(|counter| {
                counter.calls = counter.calls.saturating_sub(median);
                counter.calls > 0
            });
            self.index();
        }
    }

    /// A number that half of the counters do not exceed, found bit by bit.
    fn median(&self) -> u64 {
        let mut median = u64::MAX;
        for bit in (0..64).rev() {
            let less = median & !(1 << bit);
            let under = self.counters.iter().filter(|counter| counter.calls <= less).count();
            if under >= self.counters.len() / 2 {
                median = less;
            }
        }
        median
    }

    /// Forgets how often a client called that has moved on.
    fn leave(&mut self, hash: u64, key: &[u8], identity: Identity) {
        if let Ok(found) = self.find(hash, key, identity) {
            found.calls = 0;
        }
    }

    /// The counter of a client, or the slot it would have.
    fn find(&mut self, hash: u64, key: &[u8], identity: Identity) -> Result<&mut Counter, usize> {
        if self.slots.len() != SLOTS {
            self.index();
        }
        let mut slot = hash as usize % SLOTS;
        loop {
            let Some(place) = usize::from(self.slots[slot]).checked_sub(1) else {
                return Err(slot);
            };
            let is_found = self.counters.get(place).is_some_and(|found| {
                found.hash == hash && found.identity == identity as u8 && *found.key == *key
            });
            if is_found {
                return self.counters.get_mut(place).ok_or(slot);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn index(&mut self) {
        self.slots = vec![0; SLOTS];
        for (place, counter) in self.counters.iter().enumerate() {
            let mut slot = counter.hash as usize % SLOTS;
            while self.slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            self.slots[slot] = place as u16 + 1;
        }
    }

    pub(crate) fn forget(&mut self, key: &[u8], identity: Identity) {
        self.counters.retain_mut(|counter| {
            let keep = *counter.key != *key || counter.identity != identity as u8;
            if !keep {
                crate::table::overwrite(&mut counter.key);
            }
            keep
        });
        self.index();
    }

    /// Writes what is known of each.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        save::number(out, self.short);
        save::number(out, self.counters.len() as u64);
        for counter in &self.counters {
            save::entry(out, &counter.key, counter.calls, counter.identity.into());
        }
    }

    /// What was saved; `hash` is the table's.
    pub(crate) fn load(from: &mut &[u8], hash: &dyn Fn(&[u8], u8) -> u64) -> Option<Callers> {
        let mut callers = Callers { short: save::read_number(from)?, ..Callers::default() };
        let count = save::read_number(from)?;
        if count >= COUNTERS as u64 {
            return None;
        }
        for _ in 0..count {
            let (key, calls, identity) = save::read_entry(from)?;
            let identity = u8::try_from(identity).ok()?;
            let hash = hash(key, identity);
            callers.counters.push(Counter { hash, calls, identity, key: key.into() });
        }
        Some(callers)
    }
}

impl Ledger {
    pub(crate) fn tell_callers(&mut self, hash: u64, news: &News<'_>) {
        let Some(callers) = &mut self.callers else { return };
        if news.on == self.newest {
            callers.leave(hash, news.key, news.identity);
            return;
        }
        let old = news.counts.iter().filter(|count| count.version != self.newest);
        let calls = old.fold(0, |sum: u64, count| sum.saturating_add(count.requests));
        callers.offer(hash, news.key, news.identity, calls);
    }

    /// Of those whose last call went to an old version, who has called old versions most:
    /// at most `limit` of them, by calls that are sure. Exact while nobody was left out.
    pub fn heaviest(&self, limit: usize) -> Vec<Heavy> {
        // What edges could not tell may have been anybody's.
        let untold = self.dropped_before;
        let Some(callers) = &self.callers else {
            let old = Filter { side: Some(Side::Old), ..Filter::default() };
            let found = self.select(&old, Order::OldRequests, false, 0, limit);
            let heavy = found.clients.iter().map(|client| {
                let calls = u64::from(client.old.requests);
                let high = if client.saturated { u64::MAX } else { calls.saturating_add(untold) };
                Heavy { key: client.key.to_vec(), identity: client.identity, low: calls, high }
            });
            return heavy.filter(|heavy| heavy.low > 0).collect();
        };
        let calling = callers.counters.iter().filter(|counter| counter.calls > 0);
        let heavy = order::first(calling, limit, |a, b| {
            b.calls.cmp(&a.calls).then_with(|| a.key.cmp(&b.key))
        });
        let heavy = heavy.into_iter().map(|counter| Heavy {
            key: counter.key.to_vec(),
            identity: Identity::from_byte(counter.identity),
            low: counter.calls,
            high: counter.calls.saturating_add(callers.short).saturating_add(untold),
        });
        heavy.collect()
    }
}
