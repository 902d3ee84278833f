<<<<<<< HEAD
//! Totals of nodes, and their reports of clients, by way of a stream.
//!
//! One message is one line, under a subject that names the node and its epoch. A user's
//! permissions are on subjects, so a line that names another node than its subject does
//! is not taken. Of each subject the stream keeps the newest line alone: totals tell all
//! that those before them told. A report of clients does not, and has a subject of its own.
=======
//! Totals of nodes and reports of their clients, by way of a stream.
//!
//! One message is one line, under a subject that names the node and its epoch. A user's
//! permissions are on subjects, so a line that names another node than its subject does
//! is not taken. Of each node and epoch the stream keeps the newest totals alone. Reports
//! of clients are not cumulative: each has a subject of its own, and goes when a commit of
//! the leader holds it.
>>>>>>> shadow

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::names::Names;

/// Lines held ready for the controller. Beyond, the stream itself keeps them.
const READY: usize = 4096;

/// Lines under way at once when totals are handed on.
const WINDOW: usize = 256;

/// How long to wait before reading is begun again.
const AGAIN: Duration = Duration::from_millis(500);

/// What a line says about whose it is.
#[derive(Deserialize)]
struct Whose {
    node: String,
    epoch: String,
    #[serde(default)]
<<<<<<< HEAD
    sequence: u64,
    /// Reports of clients alone have it.
=======
    sequence: Option<u64>,
    /// A report of clients has a list of them.
    #[serde(default)]
>>>>>>> shadow
    clients: Option<IgnoredAny>,
}

/// The subject that a line belongs under; `None` if it names no node or no epoch.
pub(super) fn subject_of(names: &Names, line: &[u8]) -> Option<String> {
    let Whose { node, epoch, sequence, clients } = serde_json::from_slice(line).ok()?;
<<<<<<< HEAD
    Some(match clients {
        None => names.totals_of(&node, &epoch),
        Some(_) => names.clients_of(&node, &epoch, sequence),
    })
=======
    match clients {
        None => Some(names.totals_of(&node, &epoch)),
        Some(IgnoredAny) => Some(names.clients_of(&node, &epoch, sequence?)),
    }
}

/// Lets go of the reports of clients that a commit holds: those up to this position.
pub(super) async fn let_go(stream: Stream, names: Names, position: u64) {
    let purge = stream.purge().filter(names.clients()).sequence(position.saturating_add(1));
    if let Err(error) = purge.await {
        // They go by their age.
        debug!("reports of clients that were taken in are kept for now: {error}");
    }
>>>>>>> shadow
}

/// Publishes lines, and returns when the servers have all of them.
pub(super) async fn forward(context: &Context, names: &Names, totals: &[u8]) -> Result<(), String> {
    let lines = totals.split(|byte| *byte == b'\n').enumerate();
    let mut messages = Vec::new();
    let clients = names.clients_mark();
    for (index, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let subject = subject_of(names, line)
            .ok_or_else(|| format!("line {} of the totals names no node and epoch", index + 1))?;
        messages.push((subject, Bytes::copy_from_slice(line)));
    }
    for window in messages.chunks(WINDOW) {
        let mut under_way = Vec::with_capacity(window.len());
        for (subject, line) in window {
            let mut message = PublishMessage::build().payload(line.clone());
            if subject.contains(clients) {
                // One that comes again stays where it was: behind the next one it would come
                // too late, and not be counted.
                message = message.expected_last_subject_sequence(0);
            }
            let sent = context.send_publish(subject.clone(), message).await;
            under_way.push(sent.map_err(|error| error.to_string())?);
        }
        for ack in under_way {
            match ack.await {
                Err(error) if error.kind() != PublishErrorKind::WrongLastSequence => {
                    return Err(error.to_string());
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Reads the stream ahead of the controller. Dropping it ends that.
pub(super) struct Incoming {
    ready: mpsc::Receiver<(u64, Bytes)>,
    /// A line that no longer fitted.
    held: Option<(u64, Bytes)>,
    /// Up to where lines were given.
    position: u64,
    task: JoinHandle<()>,
}

impl Incoming {
    /// Begins after this position.
    pub(super) fn begin(
        runtime: &Handle,
        stream: Stream,
        names: &Names,
        position: u64,
    ) -> Incoming {
        let (deliver, ready) = mpsc::channel(READY);
        let reader = Reader { stream, names: names.clone(), position, deliver };
        Incoming { ready, held: None, position, task: runtime.spawn(reader.run()) }
    }

    /// What has arrived, at most so many bytes of it, but one line at least if there is one.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while let Some((seq, line)) = self.held.take().or_else(|| self.ready.try_recv().ok()) {
            if !lines.is_empty() && bytes + line.len() > bytes_max {
                self.held = Some((seq, line));
                break;
            }
            bytes += line.len();
            self.position = seq;
            lines.push(line.to_vec());
        }
        lines
    }

    /// Up to where lines were given.
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    stream: Stream,
    names: Names,
    position: u64,
    deliver: mpsc::Sender<(u64, Bytes)>,
}

impl Reader {
    async fn run(mut self) {
        while !self.deliver.is_closed() {
            if let Err(why) = self.read().await {
                debug!("totals cannot be read just now: {why}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn read(&mut self) -> Result<(), String> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.position + 1 },
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let messages = consumer.map_err(|error| error.to_string())?.messages().await;
        let mut messages = messages.map_err(|error| error.to_string())?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| error.to_string())?;
            let seq = message.info().map_err(|error| error.to_string())?.stream_sequence;
            let subject = message.subject.as_str();
            self.position = seq;
            if subject_of(&self.names, &message.payload).as_deref() != Some(subject) {
                warn!("totals under {subject} name another node, or none: they are not taken");
                continue;
            }
            if self.deliver.send((seq, message.payload.clone())).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
