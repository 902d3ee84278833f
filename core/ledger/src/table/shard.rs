//! One part of the table: records in chunks, and an index from hashes to them.
//!
//! A part is small, so that it can be written anew when rows have gone or the index must
//! grow, and never more than a part is held twice.

use super::Hasher;
use super::row::{self, DEAD, HEAD_BYTES, Head, Note, Row};

/// Records of clients whose hashes begin alike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shard {
    /// All but the last as full as records allow.
    chunks: Vec<Vec<u8>>,
    /// A place of a record and some bits of its hash each.
    slots: Vec<u32>,
    /// Slots that are not free.
    taken: usize,
    len: usize,
    /// Bytes of records that nobody has.
    dead: usize,
}

const CHUNK_BITS: u32 = 13;
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;

/// Bits of a place; the first chunk begins at 0.
pub(crate) const PLACE_BITS: u32 = 24;
const PLACE: u32 = (1 << PLACE_BITS) - 1;
const TAG: u32 = !PLACE;

/// A slot that nobody has had.
const FREE: u32 = 0;
/// A slot that somebody had. Others have one more than a place in their lower bits.
const LEFT: u32 = PLACE;
const SLOTS_MIN: usize = 16;

/// A record that was read.
pub(crate) type Found<'a> = (Row, Note, &'a [u8]);

/// Where the search for a hash begins, of so many slots.
#[inline]
fn start(hash: u64, slots: usize) -> usize {
    (((hash & 0xFFFF_FFFF) * slots as u64) >> 32) as usize
}

/// Bits of the hash that neither [`start`] nor the choice of a shard uses.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 & (TAG >> PLACE_BITS)
}

impl Shard {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The record at a place, and what lies behind it in its chunk.
    #[inline]
    pub(crate) fn at(&self, place: u32) -> Option<&[u8]> {
        self.chunks.get((place >> CHUNK_BITS) as usize)?.get(place as usize % CHUNK_BYTES..)
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, place: u32) -> Option<&mut [u8]> {
        self.chunks.get_mut((place >> CHUNK_BITS) as usize)?.get_mut(place as usize % CHUNK_BYTES..)
    }

    /// The slot and the place of this client.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8], identity: u8) -> Option<(usize, u32)> {
        self.search(hash, |its, kept| its == identity && kept == key)
    }

    /// The place of the client whose key has this hash.
    pub(crate) fn with_hash(&self, hash: u64, hasher: &Hasher) -> Option<u32> {
        let found = self.search(hash, |identity, key| hasher.hash(key, identity) == hash);
        found.map(|(_, place)| place)
    }

    #[inline(always)]
    fn search(&self, hash: u64, is_it: impl Fn(u8, &[u8]) -> bool) -> Option<(usize, u32)> {
        let count = self.slots.len();
        let mut slot = start(hash, count);
        loop {
            let found = *self.slots.get(slot)?;
            if found == FREE {
                return None;
            }
            if found >> PLACE_BITS == tag(hash) && found & PLACE != LEFT {
                let place = (found & PLACE) - 1;
                let (identity, key, _) = row::whose(self.at(place)?)?;
                if is_it(identity, key) {
                    return Some((slot, place));
                }
            }
            slot += 1;
            if slot == count {
                slot = 0;
            }
        }
    }

    /// Adds a record of somebody who has none; its slot and its place, or `None` when the
    /// shard is full.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        (row, note): (&Row, Note),
        key: &[u8],
        hasher: &Hasher,
    ) -> Option<(usize, u32)> {
        if (self.taken + 1) * 8 > self.slots.len() * 7 {
            self.index(1, hasher);
        }
        let place = self.push(row, note, key)?;
        self.len += 1;
        self.taken += 1;
        Some((put(&mut self.slots, hash, place)?, place))
    }

    fn push(&mut self, row: &Row, note: Note, key: &[u8]) -> Option<u32> {
        let bytes = row.record_bytes();
        let first = self.chunks.len() == 1;
        let fits = |chunk: &Vec<u8>| chunk.len() + bytes <= CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            if (self.chunks.len() + 1) << CHUNK_BITS >= PLACE as usize {
                return None;
            }
            if self.chunks.len() == self.chunks.capacity() {
                self.chunks.reserve_exact(8);
            }
            let room = if self.chunks.is_empty() { bytes } else { CHUNK_BYTES };
            self.chunks.push(Vec::with_capacity(room));
        } else if let Some(chunk) = self.chunks.last_mut().filter(|_| first)
            && chunk.capacity() < chunk.len() + bytes
        {
            // Few clients take little: only the first chunk grows.
            let room = (chunk.len() * 2).clamp(bytes, CHUNK_BYTES - chunk.len());
            let mut larger = Vec::with_capacity(chunk.len() + room);
            larger.extend_from_slice(chunk);
            overwrite(&mut std::mem::replace(chunk, larger));
        }
        let place = (self.chunks.len() - 1) << CHUNK_BITS;
        let chunk = self.chunks.last_mut()?;
        let place = (place | chunk.len()) as u32;
        row::write(chunk, row, note, key);
        Some(place)
    }

    /// Builds the index anew for so many more, with an eighth more room: seven of eight slots
    /// are taken at most, and seven of nine at least.
    ///
    /// A shard that grows comes here eight times for every client there is.
    fn index(&mut self, more: usize, hasher: &Hasher) {
        // Never two of them at once.
        self.slots = Vec::new();
        self.slots = vec![FREE; ((self.len + more) * 9 / 7).max(SLOTS_MIN)];
        self.taken = self.len;
        for (chunk, first) in self.chunks.iter().zip((0..).step_by(CHUNK_BYTES)) {
            let mut at = 0;
            while let Some((identity, key, bytes)) = chunk.get(at..).and_then(row::whose) {
                if identity != DEAD {
                    put(&mut self.slots, hasher.hash(key, identity), first | at as u32);
                }
                at += bytes;
            }
        }
    }

    /// Gives a record a note, which may take another place.
    pub(crate) fn note(&mut self, (slot, place): (usize, u32), note: Note) -> Option<u32> {
        let (mut row, _, key) = row::read(self.at(place)?)?;
        if row.noted {
            row::set_note(self.at_mut(place)?, note);
            return Some(place);
        }
        let key = key.to_vec();
        row.noted = true;
        let moved = self.push(&row, note, &key)?;
        self.wipe(place);
        let slot = self.slots.get_mut(slot)?;
        *slot = *slot & TAG | (moved + 1);
        Some(moved)
    }

    /// Takes a client out. Its key is overwritten at once.
    pub(crate) fn remove(&mut self, (slot, place): (usize, u32), hasher: &Hasher) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = LEFT;
        }
        self.wipe(place);
        self.len -= 1;
        // An eighth of a part is nobody's at most.
        if self.dead * 8 > self.bytes() + CHUNK_BYTES {
            self.rewrite(&mut |_, _, _| true, hasher);
        }
    }

    /// Overwrites a record; its length stays, so that the one behind it is found.
    fn wipe(&mut self, place: u32) {
        let Some(record) = self.at_mut(place) else { return };
        let Some(head) = record.first_chunk::<HEAD_BYTES>() else { return };
        let row = Row::unpack(head);
        let nobody =
            Row { identity: DEAD, key_len: row.key_len, noted: row.noted, ..Row::default() };
        let bytes = row.record_bytes();
        record.iter_mut().take(bytes).for_each(|byte| *byte = 0);
        if let Some(head) = record.first_chunk_mut::<HEAD_BYTES>() {
            *head = nobody.pack();
        }
        self.dead += bytes;
    }

    /// Keeps those for whom `keep` says so, and closes the gaps.
    pub(crate) fn rewrite(
        &mut self,
        keep: &mut dyn FnMut(&mut Row, Note, &[u8]) -> bool,
        hasher: &Hasher,
    ) {
        let mut before = std::mem::take(self);
        for chunk in &mut before.chunks {
            let mut rest = chunk.as_slice();
            while let Some((mut row, note, key)) = row::read(rest) {
                if row.identity != DEAD && keep(&mut row, note, key) {
                    self.push(&row, note, key);
                    self.len += 1;
                }
                rest = rest.get(row.record_bytes()..).unwrap_or_default();
            }
            overwrite(&mut std::mem::take(chunk));
        }
        self.index(0, hasher);
    }

    /// Shows every client.
    pub(crate) fn each<'a>(&'a self, show: &mut dyn FnMut(u32, Row, Note, &'a [u8])) {
        let mut at = 0;
        while let Some((place, (row, note, key), next)) = self.next(at) {
            show(place, row, note, key);
            at = next;
        }
    }

    /// The client at this place or the first behind it: its place, the record, and the
    /// place behind that.
    pub(crate) fn next(&self, mut at: u32) -> Option<(u32, Found<'_>, u32)> {
        loop {
            let chunk = self.chunks.get((at >> CHUNK_BITS) as usize)?;
            match chunk.get(at as usize % CHUNK_BYTES..).and_then(row::read) {
                Some(found) => {
                    let (place, bytes) = (at, found.0.record_bytes());
                    at += bytes as u32;
                    if found.0.identity != DEAD {
                        return Some((place, found, at));
                    }
                }
                None => at = ((at >> CHUNK_BITS) + 1) << CHUNK_BITS,
            }
        }
    }

    /// Changes every head; lengths and keys stay.
    pub(crate) fn change(&mut self, change: &mut dyn FnMut(&mut Row)) {
        for chunk in &mut self.chunks {
            let mut at = 0;
            while let Some(head) =
                chunk.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<HEAD_BYTES>())
            {
                let mut row = Row::unpack(head);
                at += row.record_bytes();
                if row.identity != DEAD {
                    change(&mut row);
                    *head = row.pack();
                }
            }
        }
    }

    /// Bytes of records.
    pub(crate) fn bytes(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK_BYTES + last
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Vec::capacity).sum();
        chunks
            + self.chunks.capacity() * size_of::<Vec<u8>>()
            + self.slots.capacity() * size_of::<u32>()
    }
}

/// Nothing of a key stays in memory that is given back.
pub(crate) fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    // Or the compiler would leave out what nobody reads.
    std::hint::black_box(bytes);
}

/// Takes the first slot that nobody has had; there is one.
#[inline]
fn put(slots: &mut [u32], hash: u64, place: u32) -> Option<usize> {
    let mut slot = start(hash, slots.len());
    loop {
        let found = slots.get_mut(slot)?;
        if *found == FREE {
            *found = tag(hash) << PLACE_BITS | (place + 1);
            return Some(slot);
        }
        slot = if slot + 1 == slots.len() { 0 } else { slot + 1 };
    }
}

/// Writes a head over the one that is there.
#[inline]
pub(crate) fn set_head(record: &mut [u8], head: &Head) {
    if let Some(place) = record.first_chunk_mut() {
        *place = *head;
    }
}
