//! The log: the one place that says what happened.
//!
//! Every message is published with the sequence that it has to follow. The server refuses
//! one that follows something else, so whoever has not seen the newest message cannot
//! write: that is what makes two leaders harmless, not the lease. A leader begins with a
//! fence of its own. Once that is in the log, nothing that an earlier leader still has
//! under way can be, and what the new one has read is all there is.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use tracing::warn;

use super::super::StoreError;
use super::connect::Access;
use super::entry::{self, Assembly, Entry};

/// Messages under way at once, when something takes several.
const WINDOW: usize = 8;

/// Messages asked for at once when the log is read.
const READ_AHEAD: usize = 64;

/// How long a leader tries to begin while somebody else writes, or while the stream has no
/// leader of its own: a new one is not to be reached at once from every server.
const BEGIN: Duration = Duration::from_secs(5);

/// How long to wait in between.
const AGAIN: Duration = Duration::from_millis(100);

/// Most that one message holds, whatever the server takes: a message that is asked for by
/// way of the stream's leader comes back as text, a third longer.
const MESSAGE_BYTES_MAX: usize = 512 << 10;

/// Room that a server's `max_payload` has to leave for headers.
pub(super) const HEADERS_BYTES: usize = 1024;

/// See the [module](self).
pub(super) struct Log {
    access: Access,
    context: Context,
    stream: Stream,
    subject: String,
    /// What may be in one message.
    message_bytes_max: usize,
    /// The newest message, as long as we know it.
    tail: Option<u64>,
}

impl Log {
    pub(super) fn new(access: Access, context: Context, stream: Stream, subject: String) -> Log {
        let payload = context.client().server_info().max_payload;
        let message_bytes_max = payload.saturating_sub(HEADERS_BYTES).min(MESSAGE_BYTES_MAX);
        Log { access, context, stream, subject, message_bytes_max, tail: None }
    }

    /// Everything that is in it, oldest first, and the right to go on. `who` is for people
    /// who look into the log.
    pub(super) async fn take_over(&mut self, who: &str) -> Result<Taken, StoreError> {
        self.tail = None;
        let mut reader = Reader::default();
        let deadline = Instant::now() + BEGIN;
        loop {
            let info = self.stream.get_info().await.map_err(|error| self.access.failed(error))?;
            let state = info.state;
            reader.read(self, state.first_sequence, state.last_sequence).await?;
            match self.publish(entry::fence(who), state.last_sequence).await?.await {
                Ok(_) => {
                    self.tail = Some(state.last_sequence + 1);
                    return reader.whole(self);
                }
                // Another wrote since, which has to be read first; or nobody was there to
                // hear it. Either way it is not in the log.
                Err(error) if Instant::now() < deadline && is_refusal(error.kind()) => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(self.access.failed(error)),
            }
        }
    }

    /// Keeps an entry, whole or not at all; the sequence that it begins at.
    ///
    /// After an error nothing more is taken before [`take_over`](Self::take_over).
    pub(super) async fn append(&mut self, entry: &[u8]) -> Result<u64, StoreError> {
        let Some(tail) = self.tail.take() else {
            return Err(self.access.failed("the log has to be read again first"));
        };
        let mut last = tail;
        let mut under_way = VecDeque::new();
        for message in entry::messages(entry, self.message_bytes_max) {
            if under_way.len() == WINDOW {
                self.settle(under_way.pop_front()).await?;
            }
            under_way.push_back(self.publish(message, last).await?);
            last += 1;
        }
        while !under_way.is_empty() {
            self.settle(under_way.pop_front()).await?;
        }
        self.tail = Some(last);
        Ok(tail + 1)
    }

    /// Drops what stands before this message. What cannot be dropped now is with the next
    /// checkpoint.
    pub(super) async fn drop_before(&self, seq: u64) {
        if let Err(error) = self.stream.purge().sequence(seq).await {
            warn!("the log before {seq} could not be dropped: {error}");
        }
    }

    async fn publish(&self, message: Bytes, after: u64) -> Result<PublishAckFuture, StoreError> {
        let message = PublishMessage::build().payload(message).expected_last_sequence(after);
        let sent = self.context.send_publish(self.subject.clone(), message).await;
        sent.map_err(|error| self.access.unclear(error))
    }

    async fn settle(&self, ack: Option<PublishAckFuture>) -> Result<(), StoreError> {
        let Some(ack) = ack else { return Ok(()) };
        match ack.await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(StoreError::Superseded)
            }
            // It may be in the log for all that.
            Err(error) => Err(self.access.unclear(error)),
        }
    }
}

fn is_refusal(kind: PublishErrorKind) -> bool {
    matches!(kind, PublishErrorKind::WrongLastSequence | PublishErrorKind::StreamNotFound)
}

/// What was found in the log.
pub(super) struct Taken {
    /// The oldest message.
    pub(super) first: u64,
    /// What was kept, and where it begins.
    pub(super) entries: Vec<(u64, Entry)>,
}

/// Reads the log, and on when there is more of it.
#[derive(Default)]
struct Reader {
    assembly: Assembly,
    entries: Vec<(u64, Entry)>,
    /// The oldest message, and the newest that was read.
    first: u64,
    last: u64,
}

impl Reader {
    async fn read(&mut self, log: &Log, first: u64, last: u64) -> Result<(), StoreError> {
        if last == 0 {
            return Ok(());
        }
        if first > last {
            let why = "has an empty log that was not: restore a backup of all its streams";
            return Err(log.access.foreign(why));
        }
        // What was dropped since we began belongs to before a checkpoint that is ahead.
        if first > self.last + 1 {
            *self = Reader { first, last: first - 1, ..Reader::default() };
        }
        let from = self.last + 1;
        let mut messages = stream::iter(from..=last)
            .map(|seq| async move { fetch(&log.stream, seq).await })
            .buffered(READ_AHEAD);
        let mut seq = from;
        while let Some(message) = messages.try_next().await.map_err(|why| log.access.failed(why))? {
            let damage = |why| log.access.foreign(format!("is damaged (log message {seq} {why})"));
            if let Some(entry) = self.assembly.push(seq, &message).map_err(damage)? {
                self.entries.push(entry);
            }
            seq += 1;
        }
        self.last = last;
        Ok(())
    }

    /// What was read, if it is all there is to know: it begins with the first message ever,
    /// or with a state.
    fn whole(self, log: &Log) -> Result<Taken, StoreError> {
        let Reader { first, entries, .. } = self;
        let begins = match entries.first() {
            Some((seq, Entry::Checkpoint(..))) if *seq == first => true,
            _ => first <= 1,
        };
        match begins {
            true => Ok(Taken { first, entries }),
            false => Err(log.access.foreign(format!(
                "is damaged (the log begins at message {first}, without a state to begin from)"
            ))),
        }
    }
}

/// One message: from whichever server has it, else from the one that leads the stream.
pub(super) async fn fetch(stream: &Stream, seq: u64) -> Result<Bytes, String> {
    match stream.direct_get(seq).await {
        Ok(message) => Ok(message.payload),
        Err(_) => {
            let message = stream.get_raw_message(seq).await;
            message
                .map(|message| message.payload)
                .map_err(|error| format!("message {seq}: {error}"))
        }
    }
}
