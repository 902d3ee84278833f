//! The clients themselves: a record each, with the key behind it, so that whoever is
//! found has been read. Memory grows in chunks, and no record ever moves.

use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::{CLIENT_KEY_BYTES_MAX, CLIENTS_MAX, KEY_BYTES_MAX};

use super::Identity;

/// Records in order of first appearance.
#[derive(Debug, Default, Clone)]
pub(super) struct Records {
    /// Zero behind their last record.
    chunks: Vec<Box<[Word; CHUNK_WORDS]>>,
    /// Words taken of the last chunk.
    taken: usize,
    len: usize,
    /// Bytes that keys take.
    key_bytes: usize,
}

/// A `u64` in little-endian order, since keys are also looked at as bytes.
type Word = [u8; 8];

/// A power of two, so that a place is `chunk << BITS | word`.
const CHUNK_BITS: u32 = 13;
const CHUNK_WORDS: usize = 1 << CHUNK_BITS;

/// More places than there can be: keys of the largest total, heads, and at the end of
/// each chunk room for less than a record with the longest key.
pub(super) const PLACES: usize = {
    let bytes = CLIENT_KEY_BYTES_MAX + CLIENTS_MAX * HEAD_WORDS * size_of::<Word>();
    let usable = CHUNK_WORDS - HEAD_WORDS - KEY_BYTES_MAX / size_of::<Word>();
    (bytes / size_of::<Word>() / usable + 2) * CHUNK_WORDS
};

/// What is known of a client beside the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) last_seen_s: u32,
    pub(super) requests: u32,
    /// What was decided for this key in this generation.
    pub(super) word: RouteWord,
    /// 0 is none.
    pub(super) generation: u32,
    pub(super) key_len: u16,
    pub(super) version: u8,
    pub(super) identity: Identity,
}

const HEAD_WORDS: usize = 3;

/// Tells a record from the zeros behind the last.
const PRESENT: u64 = 1 << 63;

impl Seen {
    #[inline(always)]
    fn unpack(words: &[Word; HEAD_WORDS]) -> Seen {
        let [seen, decided, key] = words.map(u64::from_le_bytes);
        Seen {
            last_seen_s: seen as u32,
            requests: (seen >> 32) as u32,
            word: RouteWord(decided as u32),
            generation: (decided >> 32) as u32,
            key_len: key as u16,
            version: (key >> 16) as u8,
            identity: Identity::from_byte((key >> 24) as u8),
        }
    }

    #[inline(always)]
    fn pack(&self) -> [Word; HEAD_WORDS] {
        let seen = two(self.last_seen_s, self.requests);
        let decided = two(self.word.0, self.generation);
        let key = u64::from(self.key_len)
            | u64::from(self.version) << 16
            | u64::from(self.identity as u8) << 24
            | PRESENT;
        [seen, decided, key].map(u64::to_le_bytes)
    }
}

/// A client who was found.
pub(super) struct Record<'a> {
    head: &'a mut [Word; HEAD_WORDS],
    /// The key, filled up with zeros, and what comes behind.
    key: &'a mut [Word],
}

impl Record<'_> {
    #[inline(always)]
    pub(super) fn seen(&self) -> Seen {
        Seen::unpack(self.head)
    }

    #[inline(always)]
    pub(super) fn set(&mut self, seen: Seen) {
        *self.head = seen.pack();
    }

    /// One request more; `seen` is what is there.
    #[inline(always)]
    pub(super) fn count(self, seen: &Seen, now_s: u32) {
        let requests = seen.requests.saturating_add(1);
        self.head[0] = two(seen.last_seen_s.max(now_s), requests).to_le_bytes();
    }

    /// Whether this is that client.
    #[inline(always)]
    pub(super) fn is_of(&self, key: &[u8], identity: Identity) -> bool {
        let seen = Seen::unpack(self.head);
        if usize::from(seen.key_len) != key.len() || seen.identity != identity {
            return false;
        }
        let (Some([first, rest]), [kept, kept_rest, ..]) = (short(key), &*self.key) else {
            return has_long_key(self.key, key);
        };
        u64::from_le_bytes(*kept) == first && u64::from_le_bytes(*kept_rest) == rest
    }
}

#[inline(always)]
fn two(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A key of 4 to 16 bytes as the words in which it is kept: filled up with zeros.
#[inline(always)]
fn short(key: &[u8]) -> Option<[u64; KEY_WORDS_MIN]> {
    let len = key.len() as u32;
    if let (Some(first), Some(last), 8..=16) = (key.first_chunk(), key.last_chunk(), len) {
        let rest = u64::from_le_bytes(*last).checked_shr(8 * (16 - len)).unwrap_or(0);
        return Some([u64::from_le_bytes(*first), rest]);
    }
    let (first, last) = (key.first_chunk()?, key.last_chunk()?);
    let rest = u64::from(u32::from_le_bytes(*last)).checked_shr(8 * 8u32.checked_sub(len)?)?;
    Some([u64::from(u32::from_le_bytes(*first)) | rest << 32, 0])
}

/// Not inlined: a loop would cost short keys more than the call costs long ones.
#[inline(never)]
fn has_long_key(words: &[Word], key: &[u8]) -> bool {
    let mut words = words.iter();
    let mut same = |part: Word| {
        words.next().is_some_and(|kept| u64::from_le_bytes(*kept) == u64::from_le_bytes(part))
    };
    let (parts, rest) = key.as_chunks();
    parts.iter().all(|part| same(*part)) && (rest.is_empty() || same(word(rest)))
}

/// Up to eight bytes, filled up with zeros.
fn word(part: &[u8]) -> Word {
    let mut word = Word::default();
    word.iter_mut().zip(part).for_each(|(to, byte)| *to = *byte);
    word
}

/// A record at the start of these words.
fn read(words: &[Word]) -> Option<(Seen, &[u8])> {
    let (head, key) = words.split_first_chunk()?;
    if u64::from_le_bytes(head[2]) & PRESENT == 0 {
        return None;
    }
    let head = Seen::unpack(head);
    Some((head, key.as_flattened().get(..head.key_len.into())?))
}

/// So that a short key is compared without a look at its length.
const KEY_WORDS_MIN: usize = 2;

fn key_words(key_len: usize) -> usize {
    key_len.div_ceil(8).max(KEY_WORDS_MIN)
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The record at a place that [`push`](Records::push) has given.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<Record<'_>> {
        let chunk = self.chunks.get_mut((place >> CHUNK_BITS) as usize)?;
        let record = chunk.get_mut(place as usize % CHUNK_WORDS..)?;
        let (head, key) = record.split_first_chunk_mut()?;
        Some(Record { head, key })
    }

    /// The head and the key at a place.
    pub(super) fn get(&self, place: u32) -> Option<(Seen, &[u8])> {
        let chunk = self.chunks.get((place >> CHUNK_BITS) as usize)?;
        read(chunk.get(place as usize % CHUNK_WORDS..)?)
    }

    /// Adds a record, and gives its place.
    pub(super) fn push(&mut self, head: Seen, key: &[u8]) -> u32 {
        debug_assert!(key.len() <= KEY_BYTES_MAX);
        let words = HEAD_WORDS + key_words(key.len());
        if self.chunks.is_empty() || self.taken + words > CHUNK_WORDS {
            let chunk = vec![Word::default(); CHUNK_WORDS].into_boxed_slice();
            self.chunks.extend(chunk.try_into().ok());
            self.taken = 0;
        }
        let place = ((self.chunks.len() - 1) as u32) << CHUNK_BITS | self.taken as u32;
        if let Some(mut record) = self.get_mut(place) {
            for (to, part) in record.key.iter_mut().zip(key.chunks(8)) {
                *to = word(part);
            }
            record.set(head);
        }
        self.taken += words;
        self.key_bytes += key_words(key.len()) * size_of::<Word>();
        self.len += 1;
        place
    }

    /// Every record, in order of first appearance.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Seen, &[u8])> {
        self.chunks.iter().flat_map(|chunk| {
            let mut rest = chunk.as_slice();
            std::iter::from_fn(move || {
                let (head, key) = read(rest)?;
                rest = rest.get(HEAD_WORDS + key_words(key.len())..)?;
                Some((head, key))
            })
        })
    }

    /// Changes every head; the keys stay.
    pub(super) fn for_each_mut(&mut self, mut change: impl FnMut(&mut Seen)) {
        for chunk in &mut self.chunks {
            let mut at = 0;
            while let Some(words) = chunk.get_mut(at..)
                && let Some((kept, _)) = words.split_first_chunk_mut()
                && u64::from_le_bytes(kept[2]) & PRESENT != 0
            {
                let mut head = Seen::unpack(kept);
                change(&mut head);
                *kept = head.pack();
                at += HEAD_WORDS + key_words(head.key_len.into());
            }
        }
    }

    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Box<()>>()
            + self.chunks.len() * CHUNK_WORDS * size_of::<Word>()
    }
}
