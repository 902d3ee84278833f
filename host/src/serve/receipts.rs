//! What commands were answered that came with a key of their own.
//!
//! A receipt is kept in the same commit as its act. So wherever a command is repeated, and
//! whatever died in between, there is either both or neither.

use std::collections::VecDeque;

use super::store::{Receipt, scrub};

/// Receipts that are kept; the oldest go first.
const RECEIPTS_MAX: usize = 4_096;

/// Bytes of all of them.
const BYTES_MAX: usize = 4 << 20;

/// How long one is kept. Nobody waits that long for an answer.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// Those that are of use, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    rows: VecDeque<Receipt>,
    bytes: usize,
}

impl Receipt {
    /// What it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        self.who.len() + self.key.len() + self.request.len() + self.reply.len() + 32
    }

    /// Whether it is of this key.
    pub(crate) fn is_of(&self, who: &str, key: &str) -> bool {
        self.key == key && self.who == who
    }
}

impl Receipts {
    /// Takes one in, for which older ones may have to go.
    pub(crate) fn push(&mut self, receipt: Receipt) {
        let now_ms = receipt.at_ms;
        self.bytes += receipt.len_bytes();
        self.rows.push_back(receipt);
        while self.rows.len() > RECEIPTS_MAX
            || self.bytes > BYTES_MAX
            || self.rows.front().is_some_and(|oldest| is_old(oldest, now_ms))
        {
            let Some(oldest) = self.rows.pop_front() else { return };
            self.bytes -= oldest.len_bytes();
        }
    }

    /// The one of this key.
    pub(crate) fn find(&self, who: &str, key: &str, now_ms: u64) -> Option<&Receipt> {
        let found = self.rows.iter().rev().find(|receipt| receipt.is_of(who, key));
        found.filter(|receipt| !is_old(receipt, now_ms))
    }

    /// All that are of use.
    pub(crate) fn all(&self, now_ms: u64) -> Vec<Receipt> {
        self.rows.iter().filter(|receipt| !is_old(receipt, now_ms)).cloned().collect()
    }

    /// Takes somebody out of them; how many had a trace. A key that names them goes with its
    /// receipt.
    pub(crate) fn forget(&mut self, names: &[String]) -> u64 {
        let mut traces = 0;
        for receipt in std::mem::take(self).rows {
            if scrub::sentence(&receipt.key, names).is_some() {
                traces += 1;
                continue;
            }
            let scrubbed = scrub::answer(&receipt.reply, names);
            traces += u64::from(scrubbed.is_some());
            self.push(match scrubbed {
                Some(reply) => Receipt { reply, ..receipt },
                None => receipt,
            });
        }
        traces
    }
}

impl FromIterator<Receipt> for Receipts {
    fn from_iter<I: IntoIterator<Item = Receipt>>(all: I) -> Receipts {
        let mut receipts = Receipts::default();
        all.into_iter().for_each(|receipt| receipts.push(receipt));
        receipts
    }
}

fn is_old(receipt: &Receipt, now_ms: u64) -> bool {
    receipt.at_ms.saturating_add(KEPT_MS) < now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(at_ms: u64, key: &str, reply: &str) -> Receipt {
        let (who, key, reply) = ("alice".to_owned(), key.to_owned(), reply.to_owned());
        Receipt { at_ms, who, key, request: "r".to_owned(), reply, revision: 1 }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let of = |n: usize| receipt(n as u64, &n.to_string(), "{}");
        let mut receipts: Receipts = (0..RECEIPTS_MAX).map(of).collect();
        assert!(receipts.find("alice", "0", 0).is_some());
        receipts.push(of(RECEIPTS_MAX));
        assert!(receipts.find("alice", "0", 0).is_none());
        assert!(receipts.find("alice", "1", 0).is_some());
        assert_eq!(receipts.all(0).len(), RECEIPTS_MAX);
    }

    #[test]
    fn or_too_large_together() {
        let quarter = "x".repeat(BYTES_MAX / 4 - 100);
        let mut receipts: Receipts =
            (0..4).map(|n: u64| receipt(n, &n.to_string(), &quarter)).collect();
        assert!(receipts.find("alice", "0", 0).is_some());
        receipts.push(receipt(4, "4", &"x".repeat(400)));
        assert!(receipts.find("alice", "0", 0).is_none());
        assert!(receipts.find("alice", "1", 0).is_some());
    }

    #[test]
    fn or_after_a_day() {
        let receipts: Receipts = [receipt(1_000, "a", "{}")].into_iter().collect();
        assert!(receipts.find("alice", "a", 1_000 + KEPT_MS).is_some());
        assert!(receipts.find("alice", "a", 1_001 + KEPT_MS).is_none());
        assert!(receipts.all(1_001 + KEPT_MS).is_empty());
        assert!(receipts.find("bob", "a", 1_000).is_none(), "a key is its holder's");
    }

    #[test]
    fn somebody_who_is_forgotten_is_in_none_of_them() {
        let mut receipts: Receipts = [
            receipt(1, "a", r#"{"type":"client_ok","client":"42","revision":42}"#),
            receipt(2, "block-42", "{}"),
            receipt(3, "c", r#"{"sentence":"142 and 42b stay"}"#),
        ]
        .into_iter()
        .collect();
        assert_eq!(receipts.forget(&["42".to_owned()]), 2);
        let left: Vec<String> = receipts.all(3).into_iter().map(|left| left.reply).collect();
        assert_eq!(
            left,
            [
                r#"{"type":"client_ok","client":"(forgotten)","revision":42}"#,
                r#"{"sentence":"142 and 42b stay"}"#
            ]
        );
    }
}
