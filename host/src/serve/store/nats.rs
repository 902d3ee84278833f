//! A fleet's store: NATS JetStream, with any number of `crossfade serve` on it.
//!
//! | what | where |
//! |---|---|
//! | every commit, and checkpoints | stream `CROSSFADE_LOG_<api>`: see [`log`] |
//! | events, acts, policies, for good | `CROSSFADE_EVENTS_…`, `…_AUDIT_…`, `…_POLICIES_…`: see [`archive`] |
//! | the policy in force, for nodes | bucket `crossfade_policy`: see [`policy`] |
//! | totals of nodes, reports of their clients | stream `CROSSFADE_TOTALS_<api>`: see [`totals`] |
//! | who leads | bucket `crossfade_lease`: see [`lease`] |
//!
//! Only the log decides. Everything else can be made from it again, or is a hint.

mod archive;
pub(crate) mod connect;
mod entry;
mod lease;
mod log;
pub(crate) mod member;
mod names;
mod policy;
mod streams;
#[cfg(test)]
#[cfg(feature = "test-nats")]
mod tests;
mod totals;

use std::fmt;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use tokio::runtime::Handle;
use tracing::warn;

use super::{AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Saved, Store, StoreError};
use archive::{Archive, Rows};
use connect::Access;
use entry::{CheckpointHead, CommitHead, Entry};
use lease::Lease;
use log::{Log, Taken};
use names::Names;
use policy::{Follower, Publisher};
use streams::Streams;
use totals::Incoming;

/// How long the first [`Store::try_lead`] waits for the servers to say who leads, and the
/// first [`Store::policy`] for what the policy is.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// What a store on NATS is opened with.
#[derive(Debug, Clone)]
pub(crate) struct NatsOptions {
    /// Where the servers are and who we are to them.
    pub(crate) access: Access,
    /// The API of the plan: each has its own streams.
    pub(crate) api: String,
    /// Where this process's own API is reached: others send operators there.
    pub(crate) address: String,
}

/// A fleet's store.
pub(crate) struct Nats {
    options: NatsOptions,
    runtime: Handle,
    client: Client,
    context: Context,
    names: Names,
    streams: Streams,
    /// A random id of this process.
    owner: String,
    lease: Option<Lease>,
    follower: Option<Follower>,
    log: Log,
    archive: Archive,
    publisher: Publisher,
    /// Totals that came in; read by the leader alone.
    incoming: Option<Incoming>,
    /// What the log's end says, from [`Store::load`] to the first error.
    end: Option<End>,
}

/// The newest of everything in the log.
#[derive(Debug, Clone, Default)]
struct End {
    last_event: u64,
    last_audit: u64,
    policy: Option<PolicyRow>,
    position: u64,
    at_ms: u64,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nats({})", self.name())
    }
}

impl Nats {
    /// Connects, and makes the streams if they are not there. Must not be called from a
    /// task of `runtime`, nor may any method of the store.
    ///
    /// # Errors
    /// The servers cannot be reached, are too old, refuse us, or have streams of these
    /// names that are not ours.
    pub(crate) fn open(options: NatsOptions, runtime: Handle) -> Result<Nats, StoreError> {
        let owner = getrandom::u64().map_err(|error| options.access.failed(error))?;
        let (access, names) = (options.access.clone(), Names::new(&options.api));
        let name = format!("crossfade serve {}", options.api);
        let (client, context, streams) = runtime.block_on(async {
            let client = access.connect(&name).await?;
            let context = access.context(client.clone());
            let streams = Streams::open(&access, &context, &names).await?;
            Ok::<_, StoreError>((client, context, streams))
        })?;
        let subject = names.log();
        let log = Log::new(access.clone(), context.clone(), streams.log.clone(), subject);
        let archive = Archive::begin(&runtime, access, context.clone(), names.clone(), &streams);
        let publisher = Publisher::begin(&runtime, context.clone(), streams.policy.clone(), &names);
        Ok(Nats {
            options,
            runtime,
            client,
            context,
            names,
            streams,
            owner: format!("{owner:016x}"),
            lease: None,
            follower: None,
            log,
            archive,
            publisher,
            incoming: None,
            end: None,
        })
    }

    fn failed(&self, why: impl fmt::Display) -> StoreError {
        self.options.access.failed(why)
    }

    /// Superseded, unless we lead.
    fn led(&mut self) -> Result<(), StoreError> {
        match self.try_lead()? {
            Lead::Ours => Ok(()),
            Lead::Others { .. } => Err(StoreError::Superseded),
        }
    }

    /// Whether nodes can be told its policy: that goes in one message.
    fn fits(&self, commit: &Commit) -> Result<(), StoreError> {
        let Some(policy) = &commit.policy else { return Ok(()) };
        let bytes = serde_json::to_vec(policy).map_err(|error| self.failed(error))?.len();
        let most = self.client.server_info().max_payload.saturating_sub(log::HEADERS_BYTES);
        match bytes <= most {
            true => Ok(()),
            false => Err(self.failed(format!(
                "a policy of {bytes} bytes is over the {most} that fit in a message: raise \
                 `max_payload` of all servers"
            ))),
        }
    }

    fn take_over(&mut self) -> Result<Saved, StoreError> {
        let who = format!("{} {}", self.owner, self.options.address);
        let Taken { first, entries } = self.runtime.block_on(self.log.take_over(&who))?;
        let mut replay = Replay::default();
        for (seq, entry) in entries {
            replay.take(seq, entry);
        }
        let Replay { saved, end, mut rows, checkpoint_at } = replay;
        self.keep_uncopied(first, &end, &mut rows)?;
        for rows in rows {
            self.archive.copy(rows);
        }
        if let Some(policy) = end.policy.clone() {
            self.publisher.put(policy);
        }
        let totals = self.streams.totals.clone();
        self.incoming = Some(Incoming::begin(&self.runtime, totals, &self.names, end.position));
        self.end = Some(end);
        // A checkpoint whose writer died before it dropped what stands before it.
        if let Some(seq) = checkpoint_at.filter(|seq| *seq > first) {
            self.drop_before(seq);
        }
        Ok(saved)
    }

    /// Leaves of the log's rows those that are not in the archive yet, after a look whether
    /// the streams fit each other: one that was emptied or restored alone does not.
    fn keep_uncopied(&self, first: u64, end: &End, rows: &mut [Rows]) -> Result<(), StoreError> {
        let (events, acts) = self.runtime.block_on(self.archive.newest())?;
        for rows in &mut *rows {
            rows.events.retain(|row| row.id > events);
            rows.audit.retain(|row| row.id > acts);
        }
        let next_event = rows.iter().flat_map(|rows| &rows.events).map(|row| row.id).next();
        let next_act = rows.iter().flat_map(|rows| &rows.audit).map(|row| row.id).next();
        let joined = |copied: u64, next: Option<u64>, last: u64| match next {
            Some(next) => next == copied + 1,
            None => copied == last,
        };
        let fits =
            joined(events, next_event, end.last_event) && joined(acts, next_act, end.last_audit);
        if fits {
            return Ok(());
        }
        Err(self.options.access.foreign(format!(
            "has streams that do not fit each other: {} (from message {first}) leads to event {} \
             and act {}, and {} end at {events} and {acts}; restore all of them from one backup",
            self.names.log_stream(),
            end.last_event,
            end.last_audit,
            self.archive.shown(),
        )))
    }

    fn drop_before(&mut self, seq: u64) {
        match self.runtime.block_on(self.archive.caught_up()) {
            Ok(()) => self.runtime.block_on(self.log.drop_before(seq)),
            Err(error) => warn!("the log before {seq} is kept for now: {error}"),
        }
    }
}

/// Reads entries into what they come to.
#[derive(Default)]
struct Replay {
    saved: Saved,
    end: End,
    rows: Vec<Rows>,
    /// Where the newest checkpoint begins.
    checkpoint_at: Option<u64>,
}

impl Replay {
    fn take(&mut self, seq: u64, entry: Entry) {
        match entry {
            Entry::Checkpoint(head, checkpoint) => {
                let CheckpointHead { at_ms, position, policy, last_event, last_audit, .. } = head;
                self.saved.receipts.clone_from(&checkpoint.receipts);
                self.end = End { last_event, last_audit, policy, position, at_ms };
                self.saved.checkpoint = Some(checkpoint);
                self.saved.calls.clear();
                self.checkpoint_at = Some(seq);
            }
            Entry::Commit(head, calls) => {
                let CommitHead { at_ms, position, policy, events, audit, receipts } = head;
                self.saved.receipts.extend(receipts);
                let end = &mut self.end;
                end.last_event = events.last().map_or(end.last_event, |row| row.id);
                end.last_audit = audit.last().map_or(end.last_audit, |row| row.id);
                end.position = position;
                if !calls.is_empty() {
                    end.at_ms = at_ms;
                    self.saved.calls.push(calls);
                }
                if policy.is_some() {
                    end.policy.clone_from(&policy);
                }
                self.rows.push(Rows { events, audit, policy });
            }
        }
        let End { last_event, last_audit, policy, at_ms, .. } = self.end.clone();
        (self.saved.last_event, self.saved.last_audit) = (last_event, last_audit);
        (self.saved.policy, self.saved.at_ms) = (policy, at_ms);
    }
}

impl End {
    /// The end after this commit, or why it does not follow.
    fn after(&self, commit: &Commit, position: u64) -> Result<End, String> {
        let mut end = self.clone();
        for event in &commit.events {
            end.last_event = follow("event", end.last_event, event.id)?;
        }
        for act in &commit.audit {
            end.last_audit = follow("act", end.last_audit, act.id)?;
        }
        if let Some(policy) = &commit.policy {
            let before = end.policy.as_ref().map_or(0, |policy| policy.revision);
            if policy.revision <= before {
                return Err(format!("revision {} does not follow {before}", policy.revision));
            }
            end.policy = Some(policy.clone());
        }
        if !commit.calls.is_empty() {
            end.at_ms = commit.at_ms;
        }
        end.position = position;
        Ok(end)
    }
}

fn follow(what: &str, before: u64, id: u64) -> Result<u64, String> {
    match id == before + 1 {
        true => Ok(id),
        false => Err(format!("{what} {id} does not follow {before}")),
    }
}

impl Store for Nats {
    fn name(&self) -> String {
        self.options.access.address.to_string()
    }

    fn try_lead(&mut self) -> Result<Lead, StoreError> {
        let lease = match &mut self.lease {
            Some(lease) => lease,
            none => {
                let (lease, mut looked) = Lease::begin(
                    &self.runtime,
                    self.context.clone(),
                    self.streams.lease.clone(),
                    self.names.lease_key(),
                    &self.options.address,
                    &self.owner,
                );
                let first = looked.wait_for(|looked| *looked);
                let _ =
                    self.runtime.block_on(async { tokio::time::timeout(FIRST_LOOK, first).await });
                none.insert(lease)
            }
        };
        let lead = lease.lead();
        if lead != Lead::Ours {
            // Others may write from now on: what we know of the end may be old.
            self.incoming = None;
            self.end = None;
        }
        Ok(lead)
    }

    fn leads(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.lead() == Lead::Ours)
    }

    fn load(&mut self) -> Result<Saved, StoreError> {
        self.end = None;
        self.incoming = None;
        self.led()?;
        self.take_over()
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.led()?;
        let end = self.end.take().ok_or_else(|| self.failed("the store was not loaded"))?;
        // What was given by `incoming` is in this commit, or was of no use.
        let position = self.incoming.as_ref().map_or(end.position, Incoming::position);
        let end = end.after(commit, position).map_err(|why| self.failed(why))?;
        self.fits(commit)?;
        let entry = CommitHead::of(commit, position).entry(&commit.calls);
        let entry = entry.map_err(|error| self.failed(error))?;
        self.runtime.block_on(self.log.append(&entry))?;
        self.end = Some(end);
        self.archive.copy(Rows {
            events: commit.events.clone(),
            audit: commit.audit.clone(),
            policy: commit.policy.clone(),
        });
        if let Some(policy) = &commit.policy {
            self.publisher.put(policy.clone());
        }
        let taken = self.incoming.as_mut().map(Incoming::taken).unwrap_or_default();
        if !taken.is_empty() {
            self.runtime.spawn(totals::let_go(self.streams.totals.clone(), taken));
        }
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.led()?;
        let end = self.end.take().ok_or_else(|| self.failed("the store was not loaded"))?;
        let head = CheckpointHead {
            at_ms: checkpoint.at_ms,
            position: end.position,
            engine: checkpoint.engine.clone(),
            module_bytes: checkpoint.module.as_ref().map(Vec::len),
            policy: end.policy.clone(),
            last_event: end.last_event,
            last_audit: end.last_audit,
            receipts: checkpoint.receipts.clone(),
        };
        let entry = head.entry(checkpoint).map_err(|error| self.failed(error))?;
        let seq = self.runtime.block_on(self.log.append(&entry))?;
        self.end = Some(End { at_ms: checkpoint.at_ms, ..end });
        self.drop_before(seq);
        Ok(())
    }

    fn policy(&mut self) -> Result<Option<PolicyRow>, StoreError> {
        if let Some(end) = &self.end {
            return Ok(end.policy.clone());
        }
        if let Some(follower) = &self.follower {
            return Ok(follower.watch().borrow().policy.as_deref().cloned());
        }
        let (client, context) = (self.client.clone(), self.context.clone());
        let follower = Follower::begin(&self.runtime, client, context, &self.names);
        let mut known = follower.watch();
        let first = known.wait_for(|known| known.answered.is_some());
        // Without an answer there is none that we know of yet.
        let _ = self.runtime.block_on(async { tokio::time::timeout(FIRST_LOOK, first).await });
        let policy = follower.watch().borrow().policy.as_deref().cloned();
        self.follower = Some(follower);
        Ok(policy)
    }

    fn incoming(&mut self, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.incoming.as_mut().map(|incoming| incoming.take(bytes_max)).unwrap_or_default())
    }

    fn forward(&mut self, totals: &[u8]) -> Result<(), StoreError> {
        let sent = totals::forward(&self.context, &self.streams.totals, &self.names, totals);
        self.runtime.block_on(sent).map_err(|why| self.failed(why))
    }

    fn events(&mut self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        self.runtime.block_on(async {
            self.archive.caught_up().await?;
            self.archive.events(after, limit).await
        })
    }

    fn audit(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.runtime.block_on(async {
            self.archive.caught_up().await?;
            self.archive.audit(after, limit).await
        })
    }

    fn audit_before(&mut self, before: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.runtime.block_on(async {
            self.archive.caught_up().await?;
            self.archive.audit_before(before, limit).await
        })
    }

    fn policies(&mut self, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, StoreError> {
        self.runtime.block_on(async {
            self.archive.caught_up().await?;
            self.archive.policies(up_to, limit).await
        })
    }
}
