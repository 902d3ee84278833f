//! The index of the client table: from a hash to the record that has it.
//!
//! Open addressing with linear probing, of one word a slot: the place of a record and a
//! part of its hash. It is smaller than a general table, and most look-ups end at the slot at which
//! they begin; the module has no vector instructions with which to look at many at once.

use super::records::PLACES;

/// Places of records by the hash of their keys.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// A power of two of them, at most half taken.
    slots: Vec<u32>,
    taken: usize,
}

/// A slot that nobody has.
const FREE: u32 = 0;

/// A slot has one more than the place in its lower bits, and bits of the hash above.
const PLACE: u32 = (1 << 26) - 1;
const TAG: u32 = !PLACE;
const _: () = assert!(PLACES <= PLACE as usize);

const SLOTS_MIN: usize = 64;

impl Index {
    pub(super) fn new() -> Index {
        Index { slots: vec![FREE; SLOTS_MIN], taken: 0 }
    }

    /// The first thing that `look` finds at a place with this hash.
    #[inline(always)]
    pub(super) fn find<T>(&self, hash: u64, mut look: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == FREE {
                return None;
            }
            if (slot ^ tag(hash)) & TAG == 0
                && let Some(found) = look((slot & PLACE) - 1)
            {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }

    /// The place with this hash, if it lies where most do. Without a loop: there is nothing
    /// to jump back to, and the compiler of the module keeps all in registers.
    #[inline(always)]
    pub(super) fn likely(&self, hash: u64) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let at = hash as usize & mask;
        let (first, second) = (*self.slots.get(at)?, *self.slots.get((at + 1) & mask)?);
        let slot = if (first ^ tag(hash)) & TAG == 0 { first } else { second };
        ((slot ^ tag(hash)) & TAG == 0 && slot & PLACE != FREE).then(|| (slot & PLACE) - 1)
    }

    /// Adds a place that is not there yet. `hash_of` gives the hash of any earlier one.
    pub(super) fn insert(&mut self, hash: u64, place: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.taken + 1) * 2 > self.slots.len() {
            let larger = vec![FREE; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, larger) {
                if slot != FREE {
                    let place = (slot & PLACE) - 1;
                    self.put(hash_of(place), place);
                }
            }
        }
        self.put(hash, place);
        self.taken += 1;
    }

    fn put(&mut self, hash: u64, place: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != FREE {
            at = (at + 1) & mask;
        }
        self.slots[at] = tag(hash) & TAG | (place + 1);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// Other bits than those that choose the slot, of which there are 21 at most.
#[inline(always)]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
