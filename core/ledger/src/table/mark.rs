//! Marking clients, and forgetting them.

use crossfade_protocol::clients::{Declared, Identity};
use crossfade_protocol::limits::{AGENTS_MAX, DECLARED_BYTES_MAX};

use super::{At, Flags, Ledger, Note, Row, read, shard};

impl Ledger {
    /// Sets or lifts these flags; whether that changed something at a client who is known.
    pub fn set_flag(&mut self, key: &[u8], identity: Identity, flags: Flags, on: bool) -> bool {
        self.find(key, identity).is_some_and(|at| {
            self.change_row(at, |row| {
                row.flags = if on { row.flags.with(flags) } else { row.flags.without(flags) };
            })
        })
    }

    /// What a client says of itself, `None` to take it back; whether that changed something
    /// at a client who is known.
    pub fn declare(&mut self, key: &[u8], identity: Identity, says: Option<&Declared>) -> bool {
        let Some(at) = self.find(key, identity) else { return false };
        let marks = |ledger: &Ledger| {
            let client = ledger.get(key, identity);
            client.map(|client| (client.flags, client.reason))
        };
        let before = marks(self);
        self.set_declared(at, says);
        marks(self) != before
    }

    pub(super) fn set_declared(&mut self, at: At, says: Option<&Declared>) -> At {
        let (flag, reason) = match says {
            Some(Declared::Ready) => (Flags::READY, ""),
            Some(Declared::Blocked(reason)) => (Flags::BLOCKED, reason.as_str()),
            None => (Flags::NONE, ""),
        };
        self.change_row(at, |row| {
            row.flags = row.flags.without(Flags::READY.with(Flags::BLOCKED)).with(flag);
        });
        let (shard, _, place) = at;
        let Some((_, note, _)) = self.shards[shard].at(place).and_then(read) else { return at };
        if self.reasons.get(note.reason).unwrap_or_default() == reason {
            return at;
        }
        let cut = reason.char_indices().map(|(at, c)| at + c.len_utf8());
        let len = cut.take_while(|end| *end <= DECLARED_BYTES_MAX).last().unwrap_or_default();
        let reason = &reason[..len];
        let number = self.reasons.hold(self.hasher.name(reason), reason, AGENTS_MAX);
        self.reasons.release(note.reason);
        self.set_note(at, Note { reason: number, ..note })
    }

    pub(super) fn set_note(&mut self, at: At, note: Note) -> At {
        let (shard, slot, place) = at;
        let moved = self.shards[shard].note((slot, place), note);
        (shard, slot, moved.unwrap_or(place))
    }

    fn change_row(&mut self, (shard, _, place): At, change: impl FnOnce(&mut Row)) -> bool {
        let Some(record) = self.shards[shard].at_mut(place) else { return false };
        let Some((before, ..)) = read(record) else { return false };
        let mut row = before;
        change(&mut row);
        shard::set_head(record, &row.pack());
        self.marked |= row.flags != before.flags;
        self.marks += usize::from(row.flags.has_any(Flags::MARKS));
        self.marks -= usize::from(before.flags.has_any(Flags::MARKS));
        row != before
    }

    /// Whether a client has been marked, or a mark lifted, since this was last asked.
    pub fn was_marked(&mut self) -> bool {
        std::mem::take(&mut self.marked)
    }

    /// Takes out a client, and everything that was kept of it elsewhere; whether it had a
    /// row.
    pub fn forget(&mut self, key: &[u8], identity: Identity) -> bool {
        if let Some(callers) = &mut self.callers {
            callers.forget(key, identity);
        }
        self.find(key, identity).map(|at| self.remove(at)).is_some()
    }

    /// Takes out everybody who has not been seen since; how many that were.
    pub fn forget_before(&mut self, at_s: u32) -> usize {
        let before = self.len();
        self.retain(&|row, _| row.last_s() >= at_s);
        for threshold in &mut self.thresholds {
            // Whoever is still here called after the last was left out.
            if at_s > threshold.until_s {
                threshold.floor = threshold.now;
            }
        }
        self.relax();
        before - self.len()
    }

    pub(crate) fn remove(&mut self, (shard, slot, place): At) {
        let Some((row, note, _)) = self.shards[shard].at(place).and_then(read) else { return };
        self.per_version[usize::from(row.place)] -= 1;
        self.marks -= usize::from(row.flags.has_any(Flags::MARKS));
        self.software.release(row.software);
        self.reasons.release(note.reason);
        self.shards[shard].remove((slot, place), &self.hasher);
    }

    /// Keeps those for whom `keep` says so.
    pub(crate) fn retain(&mut self, keep: &dyn Fn(&Row, &[u8]) -> bool) {
        let Ledger { shards, hasher, per_version, software, reasons, marks, .. } = self;
        for shard in shards {
            shard.rewrite(
                &mut |row, note, key| {
                    let kept = keep(row, key);
                    if !kept {
                        per_version[usize::from(row.place)] -= 1;
                        *marks -= usize::from(row.flags.has_any(Flags::MARKS));
                        software.release(row.software);
                        reasons.release(note.reason);
                    }
                    kept
                },
                hasher,
            );
        }
    }

    pub(crate) fn hash(&self, key: &[u8], identity: u8) -> u64 {
        self.hasher.hash(key, identity)
    }
}
