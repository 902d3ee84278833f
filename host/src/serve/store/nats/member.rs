//! A node's part in a fleet: it hears the policy, and tells what it counted.
//!
//! Neither is in the way of a request. A node that cannot reach the servers, at its start
//! or later, goes on with the policy it has and tells its totals when it can: they are
//! cumulative, so the newest line is all there is to tell. Reports of clients are told one
//! after the other, each until the servers have it.

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

/// One line, and where it goes.
type Line = Option<(String, Bytes)>;

/// See the [module](self). Runs in threads of its own.
#[derive(Debug)]
pub(crate) struct Member {
    runtime: Runtime,
    names: Names,
    totals: Telling,
    clients: Telling,
}

/// Lines of one kind: the newest is told until it is there, or there is a newer one.
#[derive(Debug)]
struct Telling {
    newest: watch::Sender<Line>,
    /// The newest line that was told.
    told: watch::Receiver<Line>,
}

impl Telling {
    fn begin(runtime: &Runtime, context: Context) -> Telling {
        let (newest, lines) = watch::channel(None);
        let (tell, told) = watch::channel(None);
        runtime.spawn(publish(context, lines, tell));
        Telling { newest, told }
    }

    fn tell(&self, names: &Names, line: &[u8]) {
        let line = line.trim_ascii();
        match subject_of(names, line) {
            Some(subject) => {
                self.newest.send_replace(Some((subject, Bytes::copy_from_slice(line))));
            }
            None => warn!("a report names no node and epoch: it is not told"),
        }
    }

    fn is_told(&self) -> bool {
        *self.newest.borrow() == *self.told.borrow()
    }

    /// Waits a moment; whether the newest line is there.
    fn wait(&mut self, runtime: &Runtime) -> bool {
        let last = self.newest.borrow().clone();
        let told = self.told.wait_for(|told| *told == last);
        runtime.block_on(async {
            tokio::time::timeout(LEAVE, told).await.is_ok_and(|told| told.is_ok())
        })
    }
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
        let totals = Telling::begin(&runtime, context.clone());
        let clients = Telling::begin(&runtime, context);
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("policies".into())
            .spawn(move || {
                handle.block_on(async { hand_on(follower, deliver).await });
            })
            .map_err(|error| error.to_string())?;
        drop(_inside);
        Ok(Member { runtime, names, totals, clients })
    }

    /// Tells these totals, unless newer ones come before it could.
    pub(crate) fn tell(&self, line: &[u8]) {
        self.totals.tell(&self.names, line);
    }

    /// Tells this report of clients. It takes the place of one that was not told.
    pub(crate) fn tell_clients(&self, line: &[u8]) {
        self.clients.tell(&self.names, line);
    }

    /// Whether the servers have the report of clients that was given last, or none was.
    pub(crate) fn has_told_clients(&self) -> bool {
        self.clients.is_told()
    }

    /// Waits a moment for that; whether they have it.
    pub(crate) fn wait_for_clients(&mut self) -> bool {
        self.clients.wait(&self.runtime)
    }

    /// Waits a moment for the last totals to be told.
    pub(crate) fn leave(mut self) {
        if !self.totals.wait(&self.runtime) {
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
                debug!("what was counted could not be told: {why}");
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
