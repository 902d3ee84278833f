//! Who leads, as far as a lease can tell.
//!
//! The lease is a key that vanishes when it is not renewed. It keeps two processes from
//! working against each other; it does not keep a process that slept from believing that
//! it still holds it. The log does that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::super::Lead;

/// How often the holder renews it: a few of these may fail before it runs out.
const RENEW: Duration = Duration::from_millis(700);

/// How often everybody else looks whether it is free.
const LOOK: Duration = Duration::from_millis(300);

/// How long after the last renewal was *sent* its holder trusts in it. Below
/// [`streams::LEASE`](super::streams::LEASE), which the servers count from when it arrived.
const TRUST: Duration = Duration::from_millis(2300);

/// How long giving it back may take when we end.
const GIVE_BACK: Duration = Duration::from_secs(3);

/// What stands in the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// A random id of one process.
    owner: String,
    /// Where its API is reached.
    address: String,
}

/// What the task that renews has found out.
#[derive(Debug, Default)]
struct View {
    /// When the last renewal that succeeded was sent.
    renewed: Option<Instant>,
    /// Where the holder is reached, when it is another.
    other: Option<String>,
}

/// Our side of the lease. Dropping it gives the lease back.
pub(super) struct Lease {
    view: Arc<Mutex<View>>,
    stop: Option<oneshot::Sender<()>>,
    stopped: std::sync::mpsc::Receiver<()>,
}

impl Lease {
    /// Begins to try for it. `looked` becomes true after the first try.
    pub(super) fn begin(
        runtime: &Handle,
        context: Context,
        stream: Stream,
        key: String,
        address: &str,
        owner: &str,
    ) -> (Lease, watch::Receiver<bool>) {
        let view = Arc::new(Mutex::new(View::default()));
        let (stop, stopping) = oneshot::channel();
        let (done, stopped) = std::sync::mpsc::channel();
        let (looked, first_look) = watch::channel(false);
        let us = Holder { owner: owner.to_owned(), address: address.to_owned() };
        let keeper = Keeper {
            view: Arc::clone(&view),
            context,
            stream,
            key,
            us,
            revision: None,
            looked,
            failing: false,
        };
        runtime.spawn(async move {
            keeper.keep(stopping).await;
            // Whoever waits for it may have stopped waiting.
            let _ = done.send(());
        });
        (Lease { view, stop: Some(stop), stopped }, first_look)
    }

    /// Who leads now. A process that did not run for a while no longer does.
    pub(super) fn lead(&self) -> Lead {
        let view = lock(&self.view);
        match view.renewed {
            Some(renewed) if renewed.elapsed() < TRUST => Lead::Ours,
            _ => Lead::Others { address: view.other.clone() },
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
        {
            let _ = self.stopped.recv_timeout(GIVE_BACK);
        }
    }
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Keeper {
    view: Arc<Mutex<View>>,
    context: Context,
    stream: Stream,
    key: String,
    us: Holder,
    /// Revision of the key when it is ours.
    revision: Option<u64>,
    looked: watch::Sender<bool>,
    /// Whether it was said that the servers do not answer.
    failing: bool,
}

impl Keeper {
    async fn keep(mut self, mut stopping: oneshot::Receiver<()>) {
        loop {
            self.turn().await;
            self.looked.send_replace(true);
            let pause = if self.revision.is_some() { RENEW } else { LOOK };
            tokio::select! {
                _ = &mut stopping => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(revision) = self.revision {
            let sent = self.put(false, revision);
            let _ = tokio::time::timeout(GIVE_BACK, sent).await;
        }
    }

    async fn turn(&mut self) {
        let sent = Instant::now();
        let after = match self.revision {
            Some(revision) => revision,
            None => match self.holder().await {
                // A renewal whose answer was lost.
                Ok((revision, Some(holder))) if holder == self.us => revision,
                Ok((_, Some(holder))) => {
                    self.failing = false;
                    return self.lost(Some(holder.address));
                }
                Ok((revision, None)) => revision,
                Err(why) => return self.fail(&why).await,
            },
        };
        match self.put(true, after).await {
            Ok(revision) => {
                if self.revision.is_none() {
                    info!("this process leads");
                }
                self.revision = Some(revision);
                *lock(&self.view) = View { renewed: Some(sent), other: None };
            }
            Err(PublishErrorKind::WrongLastSequence) => match self.holder().await {
                Ok((revision, Some(holder))) if holder == self.us => self.revision = Some(revision),
                Ok((_, holder)) => self.lost(holder.map(|holder| holder.address)),
                Err(_) => self.revision = None,
            },
            // It may have arrived; the next turn finds out.
            Err(kind) => return self.fail(&kind).await,
        }
        self.failing = false;
    }

    /// Says so once, however often it is tried. The bucket is in memory: when all servers
    /// have begun anew it is gone, and nobody else makes it again.
    async fn fail(&mut self, why: &(dyn std::fmt::Display + Sync)) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!("nobody can lead just now: {why}");
        }
        let config = self.stream.cached_info().config.clone();
        if let Ok(stream) = self.context.get_or_create_stream(config).await {
            self.stream = stream;
        }
    }

    fn lost(&mut self, other: Option<String>) {
        if self.revision.take().is_some() {
            warn!("this process no longer leads");
        }
        *lock(&self.view) = View { renewed: None, other };
    }

    async fn put(&self, held: bool, after: u64) -> Result<u64, PublishErrorKind> {
        let value = match held {
            true => serde_json::to_vec(&self.us).map_err(|_| PublishErrorKind::Other)?,
            // Somebody may have it at once.
            false => Vec::new(),
        };
        let message = PublishMessage::build().payload(value.into());
        let message = match held {
            true => message,
            false => message.header("KV-Operation", "DEL"),
        };
        let message = message.expected_last_subject_sequence(after);
        let sent = self.context.send_publish(self.key.clone(), message).await;
        let ack = sent.map_err(|error| error.kind())?.await.map_err(|error| error.kind())?;
        Ok(ack.sequence)
    }

    /// Revision of the key and who holds it, by the server that leads the bucket. A key
    /// that was given back has a revision and is nobody's.
    async fn holder(&self) -> Result<(u64, Option<Holder>), String> {
        match self.stream.get_last_raw_message_by_subject(&self.key).await {
            Ok(message) => Ok((message.sequence, serde_json::from_slice(&message.payload).ok())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok((0, None)),
            Err(error) => Err(error.to_string()),
        }
    }
}
