//! The policy in force, where nodes find it.
//!
//! A leader puts what it has committed under the API's key. Whoever follows it hears of a
//! change by the bucket's republished subject, within milliseconds, and asks for the key
//! twice a second besides: a push is lost while a connection is made anew, and a watch
//! on the bucket was seen to be blind for more than five seconds. Revisions only rise:
//! one that is not higher than what is there is not put, and not taken.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind, Stream};
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, warn};

use super::super::PolicyRow;
use super::names::{self, Names};

/// How often the key is asked for.
const POLL: Duration = Duration::from_millis(500);

/// How long to wait before a policy is put again that could not be.
const AGAIN: Duration = Duration::from_millis(300);

/// A leader's side: puts the newest policy it is given.
pub(super) struct Publisher {
    newest: watch::Sender<Option<PolicyRow>>,
    task: JoinHandle<()>,
}

impl Publisher {
    pub(super) fn begin(
        runtime: &Handle,
        context: Context,
        bucket: Stream,
        names: &Names,
    ) -> Publisher {
        let (newest, wanted) = watch::channel(None);
        let putter = Putter { context, bucket, key: names.policy_key() };
        Publisher { newest, task: runtime.spawn(putter.run(wanted)) }
    }

    /// Has this one put. It is committed.
    pub(super) fn put(&self, policy: PolicyRow) {
        self.newest.send_replace(Some(policy));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // What it had not put yet, the next leader puts.
        self.task.abort();
    }
}

struct Putter {
    context: Context,
    bucket: Stream,
    key: String,
}

impl Putter {
    async fn run(self, mut wanted: watch::Receiver<Option<PolicyRow>>) {
        loop {
            let policy = wanted.borrow_and_update().clone();
            if let Some(policy) = policy
                && let Err(why) = self.put(&policy).await
            {
                warn!("policy {} cannot be put where nodes find it yet: {why}", policy.revision);
                tokio::time::sleep(AGAIN).await;
                // The newest by then.
                wanted.mark_changed();
            }
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    async fn put(&self, policy: &PolicyRow) -> Result<(), String> {
        let before = match self.bucket.get_last_raw_message_by_subject(&self.key).await {
            Ok(message) => match read(&message.payload) {
                Some(there) if there.revision >= policy.revision => return Ok(()),
                _ => message.sequence,
            },
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => 0,
            Err(error) => return Err(error.to_string()),
        };
        let value = serde_json::to_vec(policy).map_err(|error| error.to_string())?;
        let message = PublishMessage::build().payload(value.into());
        let message = message.expected_last_subject_sequence(before);
        let sent = self.context.send_publish(self.key.clone(), message).await;
        match sent.map_err(|error| error.to_string())?.await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err("another one was put meanwhile".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn read(value: &[u8]) -> Option<PolicyRow> {
    serde_json::from_slice(value).ok()
}

/// What a follower knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed {
    /// The newest policy heard of.
    pub(super) policy: Option<Arc<PolicyRow>>,
    /// When a server last answered what the policy is.
    pub(super) answered: Option<Instant>,
}

/// Follows the policy in force. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Follower {
    known: watch::Receiver<Followed>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow.
    pub(super) fn begin(
        runtime: &Handle,
        client: Client,
        context: Context,
        names: &Names,
    ) -> Follower {
        let (tell, known) = watch::channel(Followed::default());
        let listener = Listener { client, context, names: names.clone(), tell };
        Follower { known, task: runtime.spawn(listener.run()) }
    }

    /// What is known by now. It changes when anything was heard.
    pub(super) fn watch(&self) -> watch::Receiver<Followed> {
        self.known.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Listener {
    client: Client,
    context: Context,
    names: Names,
    tell: watch::Sender<Followed>,
}

impl Listener {
    async fn run(self) {
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut pushes = match self.client.subscribe(self.names.policy_push()).await {
                Ok(pushes) => pushes,
                Err(error) => {
                    debug!("no subscription to policies yet: {error}");
                    polls.tick().await;
                    continue;
                }
            };
            self.listen(&mut pushes, &mut polls).await;
        }
    }

    /// Until the subscription ends, which only a closed connection makes it do.
    async fn listen(&self, pushes: &mut Subscriber, polls: &mut tokio::time::Interval) {
        loop {
            tokio::select! {
                push = pushes.next() => match push {
                    Some(message) => self.heard(&message.payload),
                    None => return,
                },
                _ = polls.tick() => self.ask().await,
            }
        }
    }

    async fn ask(&self) {
        // Any replica answers. One that lags tells an older policy, which is not taken.
        let Ok(bucket) = self.context.get_stream_no_info(names::POLICY_STREAM).await else {
            return;
        };
        match bucket.direct_get_last_for_subject(self.names.policy_key()).await {
            Ok(message) => self.heard(&message.payload),
            // Nobody has put one yet.
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
            Err(error) => return debug!("the policy cannot be asked for: {error}"),
        }
        self.tell.send_modify(|known| known.answered = Some(Instant::now()));
    }

    fn heard(&self, value: &[u8]) {
        let Some(policy) = read(value) else {
            return warn!("a policy arrived that cannot be read");
        };
        self.tell.send_if_modified(|known| {
            let newer =
                known.policy.as_ref().is_none_or(|before| before.revision < policy.revision);
            if newer {
                known.policy = Some(Arc::new(policy));
            }
            newer
        });
    }
}
