//! What brownouts did: whom they hit, and what became of them.
//!
//! The windows themselves are the policy's, and every edge carries them out alone. Here is
//! what came back: a client is hit once however often it calls, and what it did afterwards
//! is read off the ledger when somebody asks.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::limits::BROWNOUT_CLIENTS_MAX as HIT_MAX;
use crossfade_protocol::names;

/// Brownouts that are remembered; the oldest go first.
const BROWNOUTS_MAX: usize = 64;

/// Reports come late: a refusal told this long after the end still belongs to it.
const LATE_MS: u64 = 10 * 60_000;

/// What is known of all brownouts so far.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Book {
    entries: Vec<Entry>,
}

/// What is known of one.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// When it began.
    pub(crate) start_ms: u64,
    /// When it ended, or will.
    pub(crate) end_ms: u64,
    /// Hashes of those it hit, in order.
    hit: Vec<u64>,
    /// How many of them asked to be forgotten since.
    forgotten: u64,
    /// Whether there were more than could be told apart.
    pub(crate) overflow: bool,
    /// Calls that were refused.
    pub(crate) refused: u64,
    /// Whether its beginning was told.
    pub(crate) told: bool,
    /// Whether its end was told.
    pub(crate) over: bool,
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<String>,
}

impl Entry {
    /// How many clients it hit.
    pub(crate) fn clients(&self) -> u64 {
        self.hit.len() as u64 + self.forgotten
    }

    /// Whether it hit the client with this hash.
    pub(crate) fn has_hit(&self, hash: u64) -> bool {
        self.hit.binary_search(&hash).is_ok()
    }
}

impl Book {
    /// What is known of this one.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The entry of a brownout that has begun.
    pub(crate) fn open(&mut self, name: &str, start_ms: u64, end_ms: u64) -> &mut Entry {
        let at = self.entries.iter().position(|entry| entry.name == name);
        let at = at.unwrap_or_else(|| {
            if self.entries.len() >= BROWNOUTS_MAX {
                self.entries.remove(0);
            }
            self.entries.push(Entry { name: name.to_owned(), ..Entry::default() });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[at];
        (entry.start_ms, entry.end_ms) = (start_ms, end_ms);
        entry
    }

    /// Nothing is known of this client any more; how many were hit stays.
    pub(crate) fn forget(&mut self, hash: u64) {
        for entry in &mut self.entries {
            if let Ok(at) = entry.hit.binary_search(&hash) {
                entry.hit.remove(at);
                entry.forgotten += 1;
            }
        }
    }

    /// Takes a name out of why they were stopped.
    pub(crate) fn forget_name(&mut self, name: &str) {
        for reason in self.entries.iter_mut().filter_map(|entry| entry.stopped.as_mut()) {
            if let Some(scrubbed) = names::without(reason, name) {
                *reason = scrubbed;
            }
        }
    }

    /// A client whose last call came at `at_ms` says that calls were refused: they are put
    /// down to the brownout that ran then. From `gone_ms` on it is the sunset that refuses.
    pub(crate) fn refused(&mut self, hash: u64, calls: u64, at_ms: u64, gone_ms: u64) {
        if at_ms >= gone_ms {
            return;
        }
        let ran = |entry: &&mut Entry| {
            (entry.start_ms..entry.end_ms.saturating_add(LATE_MS)).contains(&at_ms)
        };
        let Some(entry) = self.entries.iter_mut().rev().find(ran) else { return };
        entry.refused = entry.refused.saturating_add(calls);
        if let Err(at) = entry.hit.binary_search(&hash) {
            if entry.hit.len() < HIT_MAX {
                entry.hit.insert(at, hash);
            } else {
                entry.overflow = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_hit_once_and_by_the_brownout_that_ran() {
        let mut book = Book::default();
        book.open("first", 1_000_000, 2_000_000);
        book.open("second", 9_000_000, 10_000_000);
        book.refused(7, 3, 1_500_000, u64::MAX);
        book.refused(7, 2, 1_600_000, u64::MAX);
        book.refused(5, 1, 9_500_000, u64::MAX);
        book.refused(6, 1, 5_000_000, u64::MAX);
        let first = book.get("first").unwrap();
        assert_eq!((first.clients(), first.refused, first.has_hit(7)), (1, 5, true));
        assert_eq!(book.get("second").unwrap().refused, 1);
        assert!(!first.has_hit(6), "nothing ran then");
    }

    #[test]
    fn what_the_sunset_refuses_is_no_brownouts() {
        let mut book = Book::default();
        book.open("last", 1_000_000, 2_000_000);
        book.refused(7, 3, 2_099_999, 2_100_000);
        book.refused(8, 3, 2_100_000, 2_100_000);
        book.refused(9, 3, 1_999_999, 1_900_000);
        let last = book.get("last").unwrap();
        assert_eq!((last.clients(), last.refused, last.has_hit(7)), (1, 3, true));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut book = Book::default();
        for n in 0..BROWNOUTS_MAX as u64 + 5 {
            book.open(&format!("b{n}"), n, n + 1);
        }
        assert_eq!(book.entries.len(), BROWNOUTS_MAX);
        assert!(book.get("b4").is_none() && book.get("b5").is_some());
        book.open("many", 1_000_000, 2_000_000);
        for hash in 0..HIT_MAX as u64 + 1 {
            book.refused(hash, 1, 1_000_000, u64::MAX);
        }
        let many = book.get("many").unwrap();
        assert_eq!((many.clients(), many.overflow), (HIT_MAX as u64, true));
        assert_eq!(many.refused, HIT_MAX as u64 + 1);
    }
}
