//! Events, acts and policies, which outlive the part of the log that they came in.
//!
//! They are copied from the log, again by every new leader: a copy that is there already
//! is refused by the server. Of events and acts, whose ids have no gaps, message N is
//! number N; policies have their revision in the subject. The log is only cut where all
//! before it has been copied.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::super::{AuditRow, EventRow, PolicyRow, StoreError};
use super::connect::Access;
use super::log::fetch;
use super::names::Names;
use super::streams::Streams;

/// Copies under way at once.
const WINDOW: usize = 64;

/// Messages asked for at once.
const READ_AHEAD: usize = 64;

/// How long to wait before copies that failed are made again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a reader or a checkpoint waits for copies that are still to be made.
const CAUGHT_UP: Duration = Duration::from_secs(5);

/// What is to be copied of one commit.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) events: Vec<EventRow>,
    pub(super) audit: Vec<AuditRow>,
    pub(super) policy: Option<PolicyRow>,
}

/// See the [module](self).
pub(super) struct Archive {
    access: Access,
    names: Names,
    events: Stream,
    audit: Stream,
    policies: Stream,
    to_copy: mpsc::UnboundedSender<Rows>,
    /// How many were handed over, and how many of them are copied.
    handed: u64,
    copied: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Archive {
    pub(super) fn begin(
        runtime: &Handle,
        access: Access,
        context: Context,
        names: Names,
        streams: &Streams,
    ) -> Archive {
        let (to_copy, rows) = mpsc::unbounded_channel();
        let (done, copied) = watch::channel(0);
        let Streams { events, audit, policies, .. } = streams.clone();
        let (names_too, into) = (names.clone(), (events.clone(), audit.clone()));
        let copier = Copier { context, names: names_too, events: into.0, audit: into.1 };
        let task = runtime.spawn(copier.run(rows, done));
        Archive { access, names, events, audit, policies, to_copy, handed: 0, copied, task }
    }

    /// Has these copied, after all that were handed over before.
    pub(super) fn copy(&mut self, rows: Rows) {
        if self.to_copy.send(rows).is_ok() {
            self.handed += 1;
        }
    }

    /// Waits until all that was handed over is copied.
    pub(super) async fn caught_up(&mut self) -> Result<(), StoreError> {
        let handed = self.handed;
        let all = self.copied.wait_for(|copied| *copied >= handed);
        match tokio::time::timeout(CAUGHT_UP, all).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self.access.failed("events and acts are still being copied from the log")),
        }
    }

    /// Ids of the newest event and of the newest act.
    pub(super) async fn newest(&self) -> Result<(u64, u64), StoreError> {
        Ok((self.ends(&self.events).await?.1, self.ends(&self.audit).await?.1))
    }

    pub(super) async fn events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.rows(&self.events, after, limit).await
    }

    pub(super) async fn audit(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.rows(&self.audit, after, limit).await
    }

    /// The newest before this id, oldest first.
    pub(super) async fn audit_before(
        &self,
        before: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let (first, last) = self.ends(&self.audit).await?;
        let end = before.min(last + 1).max(first);
        let begin = end.saturating_sub(limit as u64).max(first);
        self.range(&self.audit, begin, end).await
    }

    /// Up to this revision, the newest first.
    pub(super) async fn policies(
        &self,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<PolicyRow>, StoreError> {
        let (first, last) = self.ends(&self.policies).await?;
        // Revisions rise with the sequence: the newest that counts is found by halving.
        let (mut low, mut high) = (first, last + 1);
        while low < high && up_to < u64::MAX {
            let middle = low + (high - low) / 2;
            let row: PolicyRow = self.row(&self.policies, middle).await?;
            match row.revision <= up_to {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let end = high;
        let begin = end.saturating_sub(limit as u64).max(first);
        let mut rows: Vec<PolicyRow> = self.range(&self.policies, begin, end).await?;
        rows.reverse();
        Ok(rows)
    }

    async fn rows<T: DeserializeOwned>(
        &self,
        stream: &Stream,
        after: u64,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        let (first, last) = self.ends(stream).await?;
        let begin = after.saturating_add(1).max(first);
        let end = begin.saturating_add(limit as u64).min(last + 1);
        self.range(stream, begin, end).await
    }

    /// Sequences of the oldest and the newest message; 1 and 0 when there is none.
    async fn ends(&self, stream: &Stream) -> Result<(u64, u64), StoreError> {
        let info = stream.get_info().await.map_err(|error| self.access.failed(error))?;
        Ok((info.state.first_sequence.max(1), info.state.last_sequence))
    }

    async fn range<T: DeserializeOwned>(
        &self,
        from: &Stream,
        begin: u64,
        end: u64,
    ) -> Result<Vec<T>, StoreError> {
        let rows = stream::iter(begin..end).map(|seq| self.row(from, seq)).buffered(READ_AHEAD);
        rows.try_collect().await
    }

    async fn row<T: DeserializeOwned>(&self, stream: &Stream, seq: u64) -> Result<T, StoreError> {
        let message = fetch(stream, seq).await.map_err(|why| self.access.failed(why))?;
        serde_json::from_slice(&message).map_err(|error| {
            let name = &stream.cached_info().config.name;
            self.access.foreign(format!("is damaged ({name}, message {seq}: {error})"))
        })
    }

    /// What these are copies for, for messages.
    pub(super) fn shown(&self) -> String {
        format!("{} and {}", self.names.events_stream(), self.names.audit_stream())
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // What it had not copied yet is in the log.
        self.task.abort();
    }
}

struct Copier {
    context: Context,
    names: Names,
    events: Stream,
    audit: Stream,
}

impl Copier {
    async fn run(self, mut rows: mpsc::UnboundedReceiver<Rows>, copied: watch::Sender<u64>) {
        let mut batch = Vec::new();
        loop {
            if batch.is_empty() && rows.recv_many(&mut batch, WINDOW).await == 0 {
                return;
            }
            match self.copy(&batch).await {
                Ok(()) => {
                    copied.send_modify(|copied| *copied += batch.len() as u64);
                    batch.clear();
                }
                Err(why) => {
                    warn!("events and acts cannot be copied from the log yet: {why}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn copy(&self, batch: &[Rows]) -> Result<(), String> {
        let mut under_way = Vec::new();
        let (mut last_event, mut last_act) = (0, 0);
        for Rows { events, audit, policy } in batch {
            for event in events {
                last_event = event.id;
                let message = message(event)?.expected_last_sequence(event.id.saturating_sub(1));
                under_way.push(self.send(self.names.events(), message).await?);
            }
            for act in audit {
                last_act = act.id;
                let message = message(act)?.expected_last_sequence(act.id.saturating_sub(1));
                under_way.push(self.send(self.names.audit(), message).await?);
            }
            if let Some(policy) = policy {
                let message = message(policy)?.expected_last_subject_sequence(0);
                let subject = self.names.policy_of(policy.revision);
                // One after the other: nothing else keeps them in their order.
                is_there(self.send(subject, message).await?).await?;
            }
        }
        let mut all_new = true;
        for ack in under_way {
            all_new &= is_there(ack).await?;
        }
        if !all_new {
            self.reaches(&self.events, last_event).await?;
            self.reaches(&self.audit, last_act).await?;
        }
        Ok(())
    }

    /// Whether a refused copy was refused for being there already.
    async fn reaches(&self, stream: &Stream, id: u64) -> Result<(), String> {
        let info = stream.get_info().await.map_err(|error| error.to_string())?;
        let last = info.state.last_sequence;
        match last >= id {
            true => Ok(()),
            false => Err(format!("{} ends at {last}, before {id}", info.config.name)),
        }
    }

    async fn send(&self, to: String, message: PublishMessage) -> Result<PublishAckFuture, String> {
        self.context.send_publish(to, message).await.map_err(|error| error.to_string())
    }
}

fn message(row: &impl Serialize) -> Result<PublishMessage, String> {
    let row = serde_json::to_vec(row).map_err(|error| error.to_string())?;
    Ok(PublishMessage::build().payload(row.into()))
}

/// Whether this copy is new; `false` when the server has one in its place.
async fn is_there(ack: PublishAckFuture) -> Result<bool, String> {
    match ack.await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}
