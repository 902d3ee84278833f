//! What it takes to bring a dead instance back: its last snapshot, and every call it
//! accepted since.

use std::ops::Range;

use super::short;

/// Calls are journalled up to this many bytes, or twice the last snapshot, before a
/// new snapshot is taken: its cost is then a small, constant part of the work, and a
/// replay takes tens of milliseconds.
const CALLS_BYTES_MIN: usize = 4 << 20;

/// The journal's end when no snapshot can be taken. Beyond it calls are not written
/// down: a trap then loses them, which beats a host that runs out of memory.
const CALLS_BYTES_MAX: usize = 512 << 20;

/// A call that changed, or may have changed, the guest's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call<'a> {
    Handle {
        lines: &'a [u8],
        now_ms: u64,
    },
    Route {
        key: &'a [u8],
        draw: u32,
    },
    Tick {
        now_ms: u64,
    },
    Merge {
        totals: &'a [u8],
    },
    /// Changes the state too: reports are numbered.
    Totals,
}

/// Last snapshot and calls since, the latter packed in one buffer.
#[derive(Debug)]
pub(super) struct Journal {
    snapshot: Option<Vec<u8>>,
    /// The calls, and room for more.
    calls: Vec<u8>,
    /// Where that room begins.
    end: usize,
    /// How many of them are written down.
    written: u64,
    /// Bytes of calls since the last snapshot, written down or not.
    seen_bytes: usize,
    /// When `seen_bytes` reaches this, a snapshot is due.
    due_bytes: usize,
    /// Calls since the last snapshot that were not written down.
    forgotten: u64,
}

/// Tag, number (time or draw), length of the bytes that follow.
const HEAD_BYTES: usize = 1 + 8 + 4;

/// What is made room for at first.
const ROOM_BYTES_MIN: usize = 4 << 10;

impl Journal {
    /// The journal of an instance that has just been started.
    pub(super) fn new() -> Journal {
        Journal {
            snapshot: None,
            calls: Vec::new(),
            end: 0,
            written: 0,
            seen_bytes: 0,
            due_bytes: CALLS_BYTES_MIN,
            forgotten: 0,
        }
    }

    /// The last snapshot, or `None` when the start is all there is to go back to.
    pub(super) fn snapshot(&self) -> Option<&[u8]> {
        self.snapshot.as_deref()
    }

    /// Bytes that a replay would go through.
    pub(super) fn calls_bytes(&self) -> usize {
        self.end
    }

    /// Whether enough has been journalled for a new snapshot.
    pub(super) fn is_due(&self) -> bool {
        self.seen_bytes >= self.due_bytes
    }

    /// Writes a call down, after the guest has accepted it.
    #[inline]
    pub(super) fn accept(&mut self, call: Call<'_>) {
        let (tag, number, bytes) = match call {
            Call::Handle { lines, now_ms } => (0, now_ms, lines),
            Call::Route { key, draw } => (1, u64::from(draw), key),
            Call::Tick { now_ms } => (2, now_ms, [].as_slice()),
            Call::Merge { totals } => (3, 0, totals),
            Call::Totals => (4, 0, [].as_slice()),
        };
        self.seen_bytes = self.seen_bytes.saturating_add(HEAD_BYTES + bytes.len());
        let len = match u32::try_from(bytes.len()) {
            Ok(len) if self.seen_bytes <= CALLS_BYTES_MAX => len,
            _ => {
                self.forgotten += 1;
                return;
            }
        };
        let mut head = [0; HEAD_BYTES];
        head[0] = tag;
        head[1..9].copy_from_slice(&number.to_le_bytes());
        head[9..].copy_from_slice(&len.to_le_bytes());
        let end = self.end + HEAD_BYTES + bytes.len();
        if end > self.calls.len() {
            self.make_room(end);
        }
        let room = self.calls.get_mut(self.end..end).unwrap_or_default();
        if let Some((to, rest)) = room.split_first_chunk_mut() {
            *to = head;
            short::copy(bytes, rest);
            self.end = end;
            self.written += 1;
        }
    }

    #[cold]
    fn make_room(&mut self, end: usize) {
        self.calls.resize(end.max(self.calls.len() * 2).max(ROOM_BYTES_MIN), 0);
    }

    /// Starts anew from a snapshot.
    pub(super) fn checkpoint(&mut self, snapshot: &[u8]) {
        let kept = self.snapshot.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(snapshot);
        self.due_bytes = (2 * snapshot.len()).clamp(CALLS_BYTES_MIN, CALLS_BYTES_MAX / 2);
        self.forget_calls();
    }

    /// Puts the next attempt off, after a snapshot could not be taken: twice as far each
    /// time, so that failing attempts stay a small part of the work too.
    pub(super) fn postpone(&mut self) {
        self.due_bytes = self.seen_bytes.saturating_mul(2).max(CALLS_BYTES_MIN);
    }

    /// Drops the calls, and keeps the snapshot. Returns how many were dropped.
    pub(super) fn forget_calls(&mut self) -> u64 {
        let dropped = self.written + self.forgotten;
        (self.end, self.written) = (0, 0);
        self.calls.truncate(self.due_bytes + self.due_bytes / 4);
        self.calls.shrink_to_fit();
        self.seen_bytes = 0;
        self.forgotten = 0;
        dropped
    }

    /// Drops the snapshot too: the start is all there is to go back to.
    pub(super) fn forget_everything(&mut self) {
        *self = Journal::new();
    }

    /// Drops one call, named by its place.
    pub(super) fn forget(&mut self, place: Range<usize>) {
        self.end -= place.len();
        self.written -= 1;
        self.calls.drain(place);
    }

    /// The calls since the last snapshot, oldest first, each with its place.
    pub(super) fn calls(&self) -> Calls<'_> {
        Calls { calls: self.calls.get(..self.end).unwrap_or_default(), at: 0 }
    }
}

/// See [`Journal::calls`].
pub(super) struct Calls<'a> {
    calls: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Calls<'a> {
    type Item = (Range<usize>, Call<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.calls.get(self.at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let number = u64::from_le_bytes(head[1..9].try_into().ok()?);
        let len = u32::from_le_bytes(head[9..].try_into().ok()?) as usize;
        let bytes = rest.get(..len)?;
        let place = self.at..self.at + HEAD_BYTES + len;
        self.at = place.end;
        let call = match head[0] {
            0 => Call::Handle { lines: bytes, now_ms: number },
            1 => Call::Route { key: bytes, draw: number as u32 },
            2 => Call::Tick { now_ms: number },
            3 => Call::Merge { totals: bytes },
            _ => Call::Totals,
        };
        Some((place, call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: [Call<'_>; 5] = [
        Call::Handle { lines: b"{}\n", now_ms: 1 << 50 },
        Call::Route { key: b"user123", draw: u32::MAX },
        Call::Tick { now_ms: 7 },
        Call::Merge { totals: b"" },
        Call::Totals,
    ];

    fn calls(journal: &Journal) -> Vec<Call<'_>> {
        journal.calls().map(|(_, call)| call).collect()
    }

    #[test]
    fn calls_come_back_as_they_were_written() {
        let mut journal = Journal::new();
        CALLS.into_iter().for_each(|call| journal.accept(call));
        assert_eq!(calls(&journal), CALLS);
    }

    #[test]
    fn one_call_can_be_left_out() {
        let mut journal = Journal::new();
        CALLS.into_iter().for_each(|call| journal.accept(call));
        let (place, _) = journal.calls().nth(1).unwrap();
        journal.forget(place);
        assert_eq!(calls(&journal), [CALLS[0], CALLS[2], CALLS[3], CALLS[4]]);
    }

    #[test]
    fn a_snapshot_that_fails_is_tried_again_ever_more_rarely_and_memory_stays_bounded() {
        let mut journal = Journal::new();
        let lines = vec![0; 1 << 20];
        let mut attempts = 0;
        for _ in 0..2048 {
            journal.accept(Call::Handle { lines: &lines, now_ms: 0 });
            if journal.is_due() {
                attempts += 1;
                journal.postpone();
            }
        }
        assert_eq!(attempts, 10);
        assert!(journal.calls_bytes() <= CALLS_BYTES_MAX);
        assert_eq!(journal.forget_calls(), 2048);
    }

    #[test]
    fn a_snapshot_is_due_after_four_mib_or_twice_its_size() {
        let mut journal = Journal::new();
        let lines = vec![0; (4 << 20) - HEAD_BYTES];
        journal.accept(Call::Handle { lines: &lines[1..], now_ms: 0 });
        assert!(!journal.is_due());
        journal.checkpoint(b"");
        journal.accept(Call::Handle { lines: &lines, now_ms: 0 });
        assert!(journal.is_due());
        journal.checkpoint(&vec![0; 3 << 20]);
        assert_eq!(journal.calls_bytes(), 0);
        journal.accept(Call::Handle { lines: &lines, now_ms: 0 });
        assert!(!journal.is_due());
        journal.accept(Call::Handle { lines: &lines, now_ms: 0 });
        assert!(journal.is_due());
    }
}
