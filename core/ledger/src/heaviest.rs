//! Who calls old versions most, when not everybody has a row.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::clients::Identity;

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
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Callers {
    counters: Vec<Counter>,
    /// What every count may be short by.
    short: u64,
    /// One more than the place of a counter, by hash.
    #[borsh(skip)]
    slots: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
        if calls == 0 {
            return;
        }
        if self.slots.len() != SLOTS {
            self.index();
        }
        let mut slot = hash as usize % SLOTS;
        while let Some(place) = usize::from(self.slots[slot]).checked_sub(1) {
            if let Some(found) = self.counters.get_mut(place)
                && found.hash == hash
                && found.identity == identity as u8
                && *found.key == *key
            {
                found.calls = found.calls.saturating_add(calls);
                return;
            }
            slot = (slot + 1) % SLOTS;
        }
        self.counters.push(Counter { hash, calls, identity: identity as u8, key: key.into() });
        self.slots[slot] = self.counters.len() as u16;
        if self.counters.len() == COUNTERS {
            let mut calls: Vec<u64> = self.counters.iter().map(|counter| counter.calls).collect();
            let (_, median, _) = calls.select_nth_unstable(COUNTERS / 2);
            let median = *median;
            self.short = self.short.saturating_add(median);
            self.counters.retain_mut(|counter| {
                counter.calls = counter.calls.saturating_sub(median);
                counter.calls > 0
            });
            self.index();
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

    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.counters.retain_mut(|counter| {
            let keep = *counter.key != *key;
            if !keep {
                crate::table::overwrite(&mut counter.key);
            }
            keep
        });
        self.index();
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.counters.len() < COUNTERS
            && self
                .counters
                .iter()
                .all(|counter| usize::from(counter.identity) < Identity::ALL.len())
    }
}

impl Ledger {
    pub(crate) fn tell_callers(&mut self, hash: u64, news: &News<'_>) {
        let Some(callers) = &mut self.callers else { return };
        let old = news.counts.iter().filter(|count| count.version != self.newest);
        let calls = old.fold(0, |sum: u64, count| sum.saturating_add(count.requests));
        callers.offer(hash, news.key, news.identity, calls);
    }

    /// Who has called old versions most, at most `limit` of them, by calls that are sure.
    /// Exact while nobody was left out.
    pub fn heaviest(&self, limit: usize) -> Vec<Heavy> {
        // What edges could not tell may have been anybody's.
        let untold = self.dropped_before;
        let Some(callers) = &self.callers else {
            let found = self.select(&Filter::default(), Order::OldRequests, false, 0, limit);
            let heavy = found.clients.iter().map(|client| {
                let calls = u64::from(client.old.requests);
                let high = if client.saturated { u64::MAX } else { calls.saturating_add(untold) };
                Heavy { key: client.key.to_vec(), identity: client.identity, low: calls, high }
            });
            return heavy.filter(|heavy| heavy.low > 0).collect();
        };
        let mut heavy: Vec<&Counter> = callers.counters.iter().collect();
        heavy.sort_unstable_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.key.cmp(&b.key)));
        let heavy = heavy.into_iter().take(limit).map(|counter| Heavy {
            key: counter.key.to_vec(),
            identity: Identity::from_byte(counter.identity),
            low: counter.calls,
            high: counter.calls.saturating_add(callers.short).saturating_add(untold),
        });
        heavy.collect()
    }
}
