//! A node's part in a fleet: it hears the policy, and tells what it counted.
//!
//! Neither is in the way of a request. A node that cannot reach the servers, at its start
//! or later, goes on with the policy it has and tells its totals when it can: they are
//! cumulative, so the newest line is all there is to tell.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::connect::Access;
use super::names::Names;
use super::policy::Follower;
use super::totals::subject_of;
use crate::serve::store::PolicyRow;

/// How long the last totals may take when a node ends.
const LEAVE: Duration = Duration::from_secs(2);

/// How long to wait before totals are told again that could not be.
const AGAIN: Duration = Duration::from_millis(500);

/// One line of totals, and where it goes.
type Line = Option<(String, Bytes)>;

/// See the [module](self). Runs in threads of its own.
#[derive(Debug)]
pub(crate) struct Member {
    runtime: Runtime,
    names: Names,
    newest: watch::Sender<Line>,
    /// The newest line that was told.
    told: watch::Receiver<Line>,
}

impl Member {
    /// Joins under the node's name. `deliver` is called with each policy that is newer
    /// than those before, until it says `false`.
    ///
    /// # Errors
    /// The credentials or the CA cannot be used, or a thread cannot be started. That no
    /// server can be reached is no error: it is tried again and again.
    pub(crate) fn join(
        access: &Access,
        api: &str,
        node: &str,
        deliver: impl FnMut(Arc<PolicyRow>) -> bool + Send + 'static,
    ) -> Result<Member, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fleet")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let names = Names::new(api);
        let client = runtime.block_on(access.connect_whenever(node));
        let client = client.map_err(|error| error.to_string())?;
        let _inside = runtime.enter();
        let context = access.context(client.clone());
        let follower = Follower::begin(runtime.handle(), client, context.clone(), &names);
        let (newest, lines) = watch::channel(None);
        let (tell, told) = watch::channel(None);
        runtime.spawn(publish(context, lines, tell));
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("policies".into())
            .spawn(move || {
                handle.block_on(async { hand_on(follower, deliver).await });
            })
            .map_err(|error| error.to_string())?;
        drop(_inside);
        Ok(Member { runtime, names, newest, told })
    }

    /// Tells these totals, unless newer ones come before it could.
    pub(crate) fn tell(&self, line: &[u8]) {
        let line = line.trim_ascii();
        match subject_of(&self.names, line) {
            Some(subject) => {
                self.newest.send_replace(Some((subject, Bytes::copy_from_slice(line))));
            }
            None => warn!("the engine's totals name no node and epoch: they are not told"),
        }
    }

    /// Waits a moment for the last totals to be told.
    pub(crate) fn leave(mut self) {
        let last = self.newest.borrow().clone();
        let told = self.told.wait_for(|told| *told == last);
        let told = self.runtime.block_on(async { tokio::time::timeout(LEAVE, told).await.is_ok() });
        if !told {
            warn!("the fleet could not be reached: what was counted last is not told");
        }
        self.runtime.shutdown_background();
    }
}

/// Calls `deliver`, which may take its time, with each newer policy.
async fn hand_on(follower: Follower, mut deliver: impl FnMut(Arc<PolicyRow>) -> bool) {
    let mut known = follower.watch();
    let mut before = None;
    while known.changed().await.is_ok() {
        let policy = known.borrow_and_update().policy.clone();
        let Some(policy) = policy.filter(|policy| Some(policy.revision) > before) else {
            continue;
        };
        before = Some(policy.revision);
        if !deliver(policy) {
            return;
        }
    }
}

async fn publish(context: Context, mut lines: watch::Receiver<Line>, told: watch::Sender<Line>) {
    while lines.changed().await.is_ok() {
        let Some((subject, line)) = lines.borrow_and_update().clone() else { continue };
        match publish_one(&context, &subject, &line).await {
            Ok(()) => {
                told.send_replace(Some((subject, line)));
            }
            Err(why) => {
                debug!("totals could not be told: {why}");
                tokio::time::sleep(AGAIN).await;
                lines.mark_changed();
            }
        }
    }
}

async fn publish_one(context: &Context, subject: &str, line: &Bytes) -> Result<(), String> {
    let message = PublishMessage::build().payload(line.clone());
    let sent = context.send_publish(subject.to_owned(), message).await;
    let ack = sent.map_err(|error| error.to_string())?.await;
    ack.map(|_| ()).map_err(|error| error.to_string())
}
