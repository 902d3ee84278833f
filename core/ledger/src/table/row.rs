//! One client in 41 bytes and its key.
//!
//! | bytes | bits | |
//! |---|---|---|
//! | 0..8 | | rhythm |
//! | 8..16 | 32 + 32 | last call to the old side and to the new, in seconds |
//! | 16..24 | 32 + 32 | requests to each |
//! | 24..32 | 26 + 26 | minute of the first call to each |
//! | | 10 + 1 + 1 | length of the key less one; whether a note follows; whether a count has stopped |
//! | 32..40 | 24 + 24 | failures on each |
//! | | 12 + 3 + 1 | software; identity, or 7 in a row nobody has any more; a suspicion |
//! | 40 | 4 + 4 | place of the version; ready, blocked, pinned back, one to spare |
//!
//! Behind it a note of 6 bytes, where there is one: refused calls and a reason. Then the
//! key as it is.

use crossfade_protocol::clients::{ClientCount, Identity};

use crate::again::{Past, Population};
use crate::rhythm::Rhythm;

/// Bytes before the key, without a note.
pub(crate) const HEAD_BYTES: usize = 41;
const NOTE_BYTES: usize = 6;

/// What is packed before a key.
pub(crate) type Head = [u8; HEAD_BYTES];

/// What is marked at a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing.
    pub const NONE: Flags = Flags(0);
    /// It said that it may be moved.
    pub const READY: Flags = Flags(1);
    /// It said that it must not be moved.
    pub const BLOCKED: Flags = Flags(2);
    /// It was sent back to the old version.
    pub const PINNED_BACK: Flags = Flags(4);
    /// It went back to an old version by itself after it had moved, so it may again.
    pub const WAVERED: Flags = Flags(16);
    /// Whom the policy sends to an old version, or says that it may go.
    pub(crate) const MARKS: [Flags; 3] = [Flags::READY, Flags::BLOCKED, Flags::PINNED_BACK];

    /// Whether all of these are set.
    pub fn has(self, all: Flags) -> bool {
        self.0 & all.0 == all.0
    }

    /// Whether one of these is set.
    pub fn has_any(self, of: [Flags; 3]) -> bool {
        of.into_iter().any(|flag| self.0 & flag.0 != 0)
    }

    /// These and those.
    #[must_use]
    pub fn with(self, more: Flags) -> Flags {
        Flags(self.0 | more.0)
    }

    /// These but those.
    #[must_use]
    pub fn without(self, fewer: Flags) -> Flags {
        Flags(self.0 & !fewer.0)
    }
}

/// A client's calls to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct On {
    /// Requests; 0 is never.
    pub requests: u32,
    /// How many are known to have failed; stops at 2^24 - 1.
    pub failures: u32,
    /// The first, rounded down to the minute; 0 while there was none.
    pub first_s: u32,
    /// The last; 0 while there was none.
    pub last_s: u32,
}

const FAILURES_MAX: u32 = (1 << 24) - 1;
/// Minutes since 1970 end in the year 2097 here; a first call after that is written as then.
const MINUTE_MAX: u32 = (1 << 26) - 1;

impl On {
    /// Whether this can have come from calls.
    pub(crate) fn is_right(&self) -> bool {
        self.first_s <= self.last_s && (self.requests > 0 || self.last_s == 0)
    }

    /// Adds calls; whether one of the counts had to stop.
    fn add(&mut self, count: &ClientCount) -> bool {
        let requests = u64::from(self.requests).saturating_add(count.requests);
        let failures = u64::from(self.failures).saturating_add(count.failures);
        if count.requests > 0 {
            let minute = (count.first_s / 60).min(MINUTE_MAX) * 60;
            self.first_s = if self.requests == 0 { minute } else { self.first_s.min(minute) };
            self.last_s = self.last_s.max(count.last_s);
        }
        self.requests = requests.min(u64::from(u32::MAX)) as u32;
        self.failures = failures.min(u64::from(FAILURES_MAX)) as u32;
        requests > u64::from(u32::MAX) || failures > u64::from(FAILURES_MAX)
    }

    /// Both together; whether one of the counts had to stop.
    fn join(&mut self, other: &On) -> bool {
        self.add(&ClientCount {
            version: 0,
            requests: other.requests.into(),
            failures: other.failures.into(),
            first_s: other.first_s,
            last_s: other.last_s,
        })
    }
}

/// What a client is marked with beside its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Note {
    pub(crate) refused: u32,
    /// In the table of reasons; 0 is none.
    pub(crate) reason: u16,
}

impl Note {
    fn pack(self) -> [u8; NOTE_BYTES] {
        let [a, b, c, d] = self.refused.to_le_bytes();
        let [e, f] = self.reason.to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn unpack([a, b, c, d, e, f]: [u8; NOTE_BYTES]) -> Note {
        Note { refused: u32::from_le_bytes([a, b, c, d]), reason: u16::from_le_bytes([e, f]) }
    }
}

/// All of a client but its key and note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) rhythm: Rhythm,
    pub(crate) old: On,
    pub(crate) new: On,
    pub(crate) key_len: usize,
    pub(crate) noted: bool,
    pub(crate) saturated: bool,
    /// In the table of software; 0 is none.
    pub(crate) software: u16,
    /// As a number; [`DEAD`] in a row that nobody has.
    pub(crate) identity: u8,
    pub(crate) flags: Flags,
    /// Of the version that served it last.
    pub(crate) place: u8,
}

pub(crate) const DEAD: u8 = 7;

/// One of the words of a head.
#[inline]
fn word(head: &Head, at: usize) -> u64 {
    let bytes = head.get(at * 8..).and_then(|rest| rest.first_chunk());
    u64::from_le_bytes(bytes.copied().unwrap_or_default())
}

impl Row {
    #[inline]
    pub(crate) fn unpack(head: &Head) -> Row {
        let [rhythm, last, requests, first, rest] = [0, 1, 2, 3, 4].map(|at| word(head, at));
        let side = |requests: u64, last: u64, first: u64, failures: u64| On {
            requests: requests as u32,
            failures: failures as u32 & FAILURES_MAX,
            first_s: (first as u32 & MINUTE_MAX) * 60,
            last_s: last as u32,
        };
        Row {
            rhythm: Rhythm(rhythm),
            old: side(requests, last, first, rest),
            new: side(requests >> 32, last >> 32, first >> 26, rest >> 24),
            key_len: key_len(first),
            noted: is_noted(first),
            saturated: first >> 63 == 1,
            software: (rest >> 48) as u16 & 0xFFF,
            identity: identity(rest),
            flags: Flags(head[40] >> 4 | ((rest >> 63) as u8) << 4),
            place: head[40] & 15,
        }
    }

    #[inline]
    pub(crate) fn pack(&self) -> Head {
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let first = u64::from(self.old.first_s / 60)
            | u64::from(self.new.first_s / 60) << 26
            | (self.key_len.saturating_sub(1) as u64) << 52
            | u64::from(self.noted) << 62
            | u64::from(self.saturated) << 63;
        let rest = u64::from(self.old.failures)
            | u64::from(self.new.failures) << 24
            | u64::from(self.software) << 48
            | u64::from(self.identity) << 60
            | u64::from(self.flags.0 >> 4) << 63;
        let words = [
            self.rhythm.0,
            two(self.old.last_s, self.new.last_s),
            two(self.old.requests, self.new.requests),
            first,
            rest,
        ];
        let mut head = [0; HEAD_BYTES];
        for (to, word) in head.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        head[40] = self.place | self.flags.0 << 4;
        head
    }

    /// Bytes before the key.
    pub(crate) fn key_at(&self) -> usize {
        key_at(self.noted)
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> usize {
        self.key_at() + self.key_len
    }

    pub(crate) fn last_s(&self) -> u32 {
        self.old.last_s.max(self.new.last_s)
    }

    /// Takes in calls to one side. Gaps are counted between calls to old versions, whatever
    /// the client called in between: they say when it may call one again. A client that was
    /// sent back did not come by itself, and its gap says nothing: whoever called the newest
    /// version until `sent_back_s` at most was.
    pub(crate) fn count(
        &mut self,
        count: &ClientCount,
        newest: u8,
        sent_back_s: u32,
        population: &mut Population,
    ) {
        let is_new = count.version == newest;
        if !is_new && count.requests > 0 {
            let back_s = count.first_s.saturating_sub(self.old.last_s);
            let moved = self.new.requests > 0 && self.new.last_s > self.old.last_s;
            let sent_back = moved
                && (self.new.last_s <= sent_back_s
                    || self.flags.has(Flags::PINNED_BACK)
                    || self.flags.has(Flags::BLOCKED));
            if self.old.requests > 0 && back_s > 0 && !sent_back {
                let past = Past {
                    rhythm: self.rhythm,
                    span_s: self.old.last_s.saturating_sub(self.old.first_s),
                    moved: moved && !self.flags.has(Flags::WAVERED),
                };
                population.returned(&past, back_s);
                self.rhythm = self.rhythm.gap(back_s, count.first_s);
                if moved {
                    self.flags = self.flags.with(Flags::WAVERED);
                }
            }
            if let Ok(times @ 1..) = u32::try_from(count.requests - 1) {
                let each_s = count.last_s.saturating_sub(count.first_s) / times;
                self.rhythm = self.rhythm.count(each_s, times, count.last_s);
            }
        }
        let side = if is_new { &mut self.new } else { &mut self.old };
        self.saturated |= side.add(count);
    }

    /// What went to the newest version went to an old one from now on.
    pub(crate) fn fold(&mut self) {
        self.saturated |= self.old.join(&self.new);
        self.new = On::default();
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_byte(self.identity)
    }
}

#[inline]
fn key_len(first: u64) -> usize {
    (first >> 52) as usize % 1024 + 1
}

#[inline]
fn is_noted(first: u64) -> bool {
    first >> 62 & 1 == 1
}

#[inline]
fn identity(rest: u64) -> u8 {
    (rest >> 60) as u8 & 7
}

#[inline]
fn key_at(noted: bool) -> usize {
    HEAD_BYTES + if noted { NOTE_BYTES } else { 0 }
}

/// Whose the record at the start of these bytes is: identity, key, and how long it is. Who
/// looks for somebody asks every record on the way, and need not unpack the rest of it.
#[inline]
pub(crate) fn whose(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head = bytes.first_chunk()?;
    let (first, rest) = (word(head, 3), word(head, 4));
    let at = key_at(is_noted(first));
    let end = at + key_len(first);
    Some((identity(rest), bytes.get(at..end)?, end))
}

/// The record at the start of these bytes: row, note, key.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Option<(Row, Note, &[u8])> {
    let row = Row::unpack(bytes.first_chunk()?);
    let note = if row.noted {
        Note::unpack(*bytes.get(HEAD_BYTES..)?.first_chunk()?)
    } else {
        Note::default()
    };
    Some((row, note, bytes.get(row.key_at()..row.record_bytes())?))
}

/// Writes a record behind others.
pub(crate) fn write(out: &mut Vec<u8>, row: &Row, note: Note, key: &[u8]) {
    out.extend_from_slice(&row.pack());
    if row.noted {
        out.extend_from_slice(&note.pack());
    }
    out.extend_from_slice(key);
}

/// Writes a note over the one that is there.
pub(crate) fn set_note(record: &mut [u8], note: Note) {
    if let Some(place) = record.get_mut(HEAD_BYTES..HEAD_BYTES + NOTE_BYTES) {
        place.copy_from_slice(&note.pack());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_packed_and_unpacked_is_the_same_at_every_bound() {
        let most = On {
            requests: u32::MAX,
            failures: FAILURES_MAX,
            first_s: MINUTE_MAX * 60,
            last_s: u32::MAX,
        };
        let row = Row {
            rhythm: Rhythm(u64::MAX),
            old: most,
            new: On::default(),
            key_len: 1024,
            noted: true,
            saturated: false,
            software: 4095,
            identity: DEAD,
            flags: Flags::READY.with(Flags::WAVERED),
            place: 15,
        };
        let mirrored = Row {
            old: On::default(),
            new: most,
            key_len: 1,
            noted: false,
            saturated: true,
            software: 0,
            identity: 0,
            flags: Flags::BLOCKED.with(Flags::PINNED_BACK),
            place: 0,
            ..row
        };
        for row in [row, mirrored, Row { key_len: 1, ..Row::default() }] {
            assert_eq!(Row::unpack(&row.pack()), row);
        }
    }

    #[test]
    fn counts_stop_at_their_largest_and_say_so() {
        let mut row = Row { key_len: 1, ..Row::default() };
        let count = |requests, failures| ClientCount {
            version: 0,
            requests,
            failures,
            first_s: 1,
            last_s: 2,
        };
        row.count(&count(u64::from(u32::MAX), 0), 1, 0, &mut Population::default());
        assert!(!row.saturated);
        row.count(&count(1, 0), 1, 0, &mut Population::default());
        assert!(row.saturated);
        assert_eq!(row.old.requests, u32::MAX);
        let mut row = Row { key_len: 1, ..Row::default() };
        row.count(&count(5, u64::MAX), 1, 0, &mut Population::default());
        assert_eq!((row.saturated, row.old.failures), (true, FAILURES_MAX));
    }
}
