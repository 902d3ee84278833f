//! What one entry of the log looks like, and how it is cut into messages.
//!
//! An entry is a line of JSON and then bytes. A message holds a whole entry or a part of
//! one, since a server takes no message over its `max_payload` (1 MiB unless it is set):
//! an entry is in the log when its last message is. Part of a store's format.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{AuditRow, Checkpoint, Commit, EventRow, PolicyRow, Receipt};
use crate::serve::calls::Calls;

/// First byte of every message.
const FORMAT: u8 = 1;

/// Second byte: what the rest is.
const PART: u8 = 1;
const LAST: u8 = 2;
const FENCE: u8 = 3;

/// First byte of an entry.
const COMMIT: u8 = b'C';
const CHECKPOINT: u8 = b'S';

const HEAD_BYTES: usize = 2;
const DIGEST_BYTES: usize = 32;

/// Why something is no message of ours, for after the word "message N".
pub(super) type Damage = &'static str;

/// Facts in a form for people, of one commit or of all before a checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CommitHead {
    pub(super) at_ms: u64,
    /// Up to where totals of the store's own stream have been taken.
    pub(super) position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<PolicyRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<EventRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) audit: Vec<AuditRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receipts: Vec<Receipt>,
}

/// A state, and what has to be known of the time before it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CheckpointHead {
    pub(super) at_ms: u64,
    pub(super) position: u64,
    pub(super) engine: String,
    /// How long the module is; it stands before the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<PolicyRow>,
    pub(super) last_event: u64,
    pub(super) last_audit: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receipts: Vec<Receipt>,
}

/// Something that was kept whole.
#[derive(Debug)]
pub(super) enum Entry {
    Commit(CommitHead, Calls),
    Checkpoint(CheckpointHead, Checkpoint),
}

/// One message of the log.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// A part of an entry; more follow.
    Part(&'a [u8]),
    /// The last part, or the only one, and the digest of the whole.
    Last(&'a [u8], &'a [u8]),
    /// Somebody took the lead. Parts before it will never be continued.
    Fence,
}

impl CommitHead {
    pub(super) fn of(commit: &Commit, position: u64) -> CommitHead {
        CommitHead {
            at_ms: commit.at_ms,
            position,
            policy: commit.policy.clone(),
            events: commit.events.clone(),
            audit: commit.audit.clone(),
            receipts: commit.receipts.clone(),
        }
    }

    pub(super) fn entry(&self, calls: &Calls) -> serde_json::Result<Vec<u8>> {
        let mut entry = head(COMMIT, self)?;
        entry.extend_from_slice(calls.as_bytes());
        Ok(entry)
    }
}

impl CheckpointHead {
    pub(super) fn entry(&self, checkpoint: &Checkpoint) -> serde_json::Result<Vec<u8>> {
        let mut entry = head(CHECKPOINT, self)?;
        entry.extend_from_slice(checkpoint.module.as_deref().unwrap_or_default());
        entry.extend_from_slice(&checkpoint.snapshot);
        Ok(entry)
    }
}

fn head(kind: u8, head: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut entry = vec![kind];
    serde_json::to_writer(&mut entry, head)?;
    entry.push(b'\n');
    Ok(entry)
}

impl Entry {
    pub(super) fn read(entry: &[u8]) -> Result<Entry, Damage> {
        let (kind, rest) = entry.split_first().ok_or("is empty")?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("has no head")?;
        let (head, body) = (&rest[..end], &rest[end + 1..]);
        match *kind {
            COMMIT => {
                let head = serde_json::from_slice(head).map_err(|_| "has an unreadable head")?;
                let calls = Calls::from_bytes(body.to_vec()).map_err(|_| "has unreadable calls")?;
                Ok(Entry::Commit(head, calls))
            }
            CHECKPOINT => {
                let mut head: CheckpointHead =
                    serde_json::from_slice(head).map_err(|_| "has an unreadable head")?;
                let (module, snapshot) =
                    body.split_at_checked(head.module_bytes.unwrap_or(0)).ok_or("is cut short")?;
                let checkpoint = Checkpoint {
                    snapshot: snapshot.to_vec(),
                    engine: head.engine.clone(),
                    module: head.module_bytes.map(|_| module.to_vec()),
                    at_ms: head.at_ms,
                    receipts: std::mem::take(&mut head.receipts),
                };
                Ok(Entry::Checkpoint(head, checkpoint))
            }
            _ => Err("is of an unknown kind: a newer Crossfade wrote it"),
        }
    }
}

/// An entry as messages of at most so many bytes each.
pub(super) fn messages(entry: &[u8], bytes_max: usize) -> Vec<Bytes> {
    let room = bytes_max.saturating_sub(HEAD_BYTES + DIGEST_BYTES).max(1);
    let mut chunks: Vec<&[u8]> = entry.chunks(room).collect();
    let last = chunks.pop().unwrap_or_default();
    let mut messages: Vec<Bytes> = chunks.iter().map(|chunk| message(PART, &[], chunk)).collect();
    messages.push(message(LAST, &Sha256::digest(entry), last));
    messages
}

/// A message that closes the log to whoever wrote before; `who` is for people.
pub(super) fn fence(who: &str) -> Bytes {
    message(FENCE, &[], who.as_bytes())
}

fn message(kind: u8, digest: &[u8], chunk: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(HEAD_BYTES + digest.len() + chunk.len());
    message.put_slice(&[FORMAT, kind]);
    message.put_slice(digest);
    message.put_slice(chunk);
    message.freeze()
}

impl<'a> Message<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Message<'a>, Damage> {
        match message {
            [FORMAT, PART, chunk @ ..] => Ok(Message::Part(chunk)),
            [FORMAT, LAST, rest @ ..] => {
                let (digest, chunk) = rest.split_at_checked(DIGEST_BYTES).ok_or("is cut short")?;
                Ok(Message::Last(chunk, digest))
            }
            [FORMAT, FENCE, ..] => Ok(Message::Fence),
            _ => Err("is not in a format that this program knows"),
        }
    }
}

/// Puts entries together from messages, in their order.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    entry: Vec<u8>,
    /// The message that the entry began with.
    first: u64,
}

impl Assembly {
    /// Takes the next message. Gives an entry when it is whole, and where it began.
    pub(super) fn push(
        &mut self,
        seq: u64,
        message: &[u8],
    ) -> Result<Option<(u64, Entry)>, Damage> {
        if self.entry.is_empty() {
            self.first = seq;
        }
        match Message::read(message)? {
            Message::Part(chunk) => {
                self.entry.extend_from_slice(chunk);
                Ok(None)
            }
            // Whoever wrote the parts before it never came to their end.
            Message::Fence => {
                self.entry.clear();
                Ok(None)
            }
            Message::Last(chunk, digest) => {
                self.entry.extend_from_slice(chunk);
                let entry = std::mem::take(&mut self.entry);
                if digest != Sha256::digest(&entry).as_slice() {
                    return Err("is not what was written");
                }
                Ok(Some((self.first, Entry::read(&entry)?)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::calls::Call;

    fn sample() -> (CommitHead, Calls) {
        let mut calls = Calls::default();
        calls.push(Call::Handle { lines: &[7; 1000], now_ms: 5 });
        let body = serde_json::value::RawValue::from_string(r#"{"n":1}"#.to_owned()).unwrap();
        let events = vec![EventRow { id: 1, at_ms: 2, body }];
        (CommitHead { at_ms: 9, position: 4, events, ..CommitHead::default() }, calls)
    }

    fn assemble(messages: &[Bytes]) -> Result<Option<(u64, Entry)>, Damage> {
        let mut assembly = Assembly::default();
        let mut whole = None;
        for (seq, message) in (10..).zip(messages) {
            whole = assembly.push(seq, message)?;
        }
        Ok(whole)
    }

    #[test]
    fn a_commit_comes_back_from_one_message_or_many() {
        let (head, calls) = sample();
        let entry = head.entry(&calls).unwrap();
        for bytes_max in [40, 100, entry.len() + 33, entry.len() + 34, 1 << 20] {
            let messages = messages(&entry, bytes_max);
            assert!(messages.iter().all(|message| message.len() <= bytes_max));
            assert_eq!(messages.len() == 1, bytes_max >= entry.len() + 34);
            let (first, Entry::Commit(back, same)) = assemble(&messages).unwrap().unwrap() else {
                panic!("a commit was written");
            };
            assert_eq!((first, back.at_ms, back.position, back.events.len()), (10, 9, 4, 1));
            assert_eq!(back.events[0].body.get(), r#"{"n":1}"#);
            assert_eq!(same, calls);
        }
    }

    #[test]
    fn parts_that_were_never_finished_are_dropped_at_the_next_fence() {
        let (head, calls) = sample();
        let mut parts = messages(&head.entry(&calls).unwrap(), 300);
        parts.pop();
        parts.push(fence("n2"));
        parts.extend(messages(&head.entry(&Calls::default()).unwrap(), 1 << 20));
        let first = 10 + parts.len() as u64 - 1;
        let (began, Entry::Commit(_, calls)) = assemble(&parts).unwrap().unwrap() else {
            panic!("a commit was written");
        };
        assert!(calls.is_empty());
        assert_eq!(began, first);
    }

    #[test]
    fn a_flipped_bit_a_cut_and_a_foreign_message_are_noticed() {
        let (head, calls) = sample();
        let message = messages(&head.entry(&calls).unwrap(), 1 << 20).remove(0);
        for place in 0..message.len() {
            let mut flipped = message.to_vec();
            flipped[place] ^= 0x10;
            assert!(assemble(&[flipped.into()]).is_err(), "flipped at {place}");
        }
        for end in 0..message.len() {
            assert!(assemble(&[message.slice(..end)]).is_err(), "cut at {end}");
        }
        assert!(assemble(&[Bytes::from_static(b"hello")]).is_err());
    }
}
