//! Totals of nodes, and their reports of clients, by way of a stream.
//!
//! One message is one line, under a subject that names the node and its epoch. A user's
//! permissions are on subjects, so a line that names another node than its subject does
//! is not taken. Of each subject the stream keeps the newest line alone: totals tell all
//! that those before them told. A report of clients does not, and has a subject of its own.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind, Stream};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
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

/// How often a line is tried while others write under its subject. There is one node that
/// they all have it from.
const TRIES: usize = 8;

/// How long to wait before reading is begun again.
const AGAIN: Duration = Duration::from_millis(500);

/// What a line says about whose it is.
#[derive(Deserialize)]
struct Whose {
    node: String,
    epoch: String,
    #[serde(default)]
    sequence: u64,
    /// Reports of clients alone have it.
    clients: Option<IgnoredAny>,
}

/// The subject that a line belongs under; `None` if it names no node or no epoch.
pub(super) fn subject_of(names: &Names, line: &[u8]) -> Option<String> {
    let Whose { node, epoch, sequence, clients } = serde_json::from_slice(line).ok()?;
    Some(match clients {
        None => names.totals_of(&node, &epoch),
        Some(_) => names.clients_of(&node, &epoch, sequence),
    })
}

/// A line to be handed on.
struct HandedOn {
    subject: String,
    line: Bytes,
    clients: bool,
}

/// Publishes lines in their order, and returns when the servers have all of them, or newer
/// ones in their place.
pub(super) async fn forward(
    context: &Context,
    stream: &Stream,
    names: &Names,
    totals: &[u8],
) -> Result<(), String> {
    let lines = totals.split(|byte| *byte == b'\n').enumerate();
    let mut all = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let subject = subject_of(names, line)
            .ok_or_else(|| format!("line {} of the totals names no node and epoch", index + 1))?;
        let clients = subject.contains(names.clients_mark());
        all.push(HandedOn { subject, line: Bytes::copy_from_slice(line), clients });
    }
    for window in all.chunks(WINDOW) {
        let looks = window.iter().map(|one| one.follows(stream, false));
        let follow: Vec<Option<u64>> =
            futures_util::stream::iter(looks).buffered(WINDOW).try_collect().await?;
        let mut under_way = Vec::with_capacity(window.len());
        for (one, after) in window.iter().zip(follow) {
            let Some(after) = after else { continue };
            under_way.push((one, one.publish(context, after).await?));
        }
        for (one, ack) in under_way {
            if !is_kept(ack).await? && !one.clients {
                one.try_again(context, stream).await?;
            }
        }
    }
    Ok(())
}

impl HandedOn {
    /// Which message of its subject it may follow; `None` if it is not wanted there.
    ///
    /// A report of clients follows none: one that comes again stays where it was, for behind
    /// the next one it would come too late, and not be counted. Totals may have been overtaken
    /// by way of another server, and must not take the place of newer ones, which were
    /// acknowledged.
    async fn follows(&self, stream: &Stream, surely: bool) -> Result<Option<u64>, String> {
        if self.clients {
            return Ok(Some(0));
        }
        let sequence =
            |line: &[u8]| serde_json::from_slice(line).map_or(0, |whose: Whose| whose.sequence);
        Ok(match last_of(stream, &self.subject, surely).await? {
            Some((_, there)) if sequence(&there) > sequence(&self.line) => None,
            Some((seq, _)) => Some(seq),
            None => Some(0),
        })
    }

    async fn publish(&self, context: &Context, after: u64) -> Result<PublishAckFuture, String> {
        let message = PublishMessage::build().payload(self.line.clone());
        let message = message.expected_last_subject_sequence(after);
        let sent = context.send_publish(self.subject.clone(), message).await;
        sent.map_err(|error| error.to_string())
    }

    /// Another wrote under its subject since it was looked at.
    async fn try_again(&self, context: &Context, stream: &Stream) -> Result<(), String> {
        for _ in 0..TRIES {
            let Some(after) = self.follows(stream, true).await? else { return Ok(()) };
            if is_kept(self.publish(context, after).await?).await? {
                return Ok(());
            }
        }
        Err(format!("others write under {}", self.subject))
    }
}

/// Whether a message was kept; not if it does not follow what it says.
async fn is_kept(ack: PublishAckFuture) -> Result<bool, String> {
    match ack.await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The newest message of a subject: from the stream's leader, or from whoever has one.
async fn last_of(
    stream: &Stream,
    subject: &str,
    surely: bool,
) -> Result<Option<(u64, Bytes)>, String> {
    if !surely {
        match stream.direct_get_last_for_subject(subject).await {
            Ok(message) => return Ok(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            // Its leader may be reached for all that.
            Err(_) => {}
        }
    }
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some((message.sequence, message.payload))),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Lets go of reports of clients that a commit holds: the messages with these numbers.
pub(super) async fn let_go(stream: Stream, taken: Vec<u64>) {
    for seq in taken {
        if let Err(error) = stream.delete_message(seq).await {
            // It goes by its age.
            debug!("a report of clients that was taken in is kept for now: {error}");
        }
    }
}

/// A line as it arrived.
struct Arrived {
    seq: u64,
    line: Bytes,
    /// Whether it is a report of clients, which is of no use once it was taken in.
    clients: bool,
}

/// Reads the stream ahead of the controller. Dropping it ends that.
pub(super) struct Incoming {
    ready: mpsc::Receiver<Arrived>,
    /// A line that no longer fitted.
    held: Option<Arrived>,
    /// Up to where lines were given.
    position: u64,
    /// Reports of clients that were given since [`Incoming::taken`] was asked.
    taken: Vec<u64>,
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
        let task = runtime.spawn(reader.run());
        Incoming { ready, held: None, position, taken: Vec::new(), task }
    }

    /// What has arrived, at most so many bytes of it, but one line at least if there is one.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.held.take().or_else(|| self.ready.try_recv().ok()) {
            if !lines.is_empty() && bytes + next.line.len() > bytes_max {
                self.held = Some(next);
                break;
            }
            bytes += next.line.len();
            self.position = next.seq;
            self.taken.extend(next.clients.then_some(next.seq));
            lines.push(next.line.to_vec());
        }
        lines
    }

    /// The reports of clients that were given since the last time.
    pub(super) fn taken(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.taken)
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
    deliver: mpsc::Sender<Arrived>,
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
            let clients = subject.contains(self.names.clients_mark());
            let arrived = Arrived { seq, line: message.payload.clone(), clients };
            if self.deliver.send(arrived).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
