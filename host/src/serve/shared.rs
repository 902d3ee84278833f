//! What the controller's thread shows to everybody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::history::{History, Sample};
use super::store::{EventRow, Lead, PolicyRow, scrub};
use crate::module::Module;

/// Events kept in memory; older ones are read from the store.
const EVENTS_MAX: usize = 1_024;

/// The policy in force, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    /// Its revision.
    pub(crate) revision: u64,
    /// Its entity tag, in quotes.
    pub(crate) etag: String,
    /// `{"revision":…,"document":…}`.
    pub(crate) body: String,
    /// The plan document.
    pub(crate) document: Value,
}

impl Published {
    /// Of a policy that has been kept.
    pub(crate) fn of(policy: &PolicyRow) -> Published {
        let PolicyRow { revision, document, .. } = policy;
        Published {
            revision: *revision,
            etag: format!("\"{revision}\""),
            body: json!({ "revision": revision, "document": document }).to_string(),
            document: document.clone(),
        }
    }
}

/// Whether there is somebody who decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Not yet.
    #[default]
    Starting,
    /// This process leads.
    Leading,
    /// Another one leads.
    Standby {
        /// Its address, if known.
        address: Option<String>,
    },
    /// Nothing can be kept or read.
    Failing {
        /// Why.
        why: String,
    },
}

impl State {
    /// Of who leads.
    pub(crate) fn of(lead: Lead) -> State {
        match lead {
            Lead::Ours => State::Leading,
            Lead::Others { address } => State::Standby { address },
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    policy: watch::Sender<Option<Arc<Published>>>,
    engine: watch::Sender<Option<Module>>,
    state: watch::Sender<State>,
    last_event: watch::Sender<u64>,
    events: Mutex<VecDeque<EventRow>>,
    history: Mutex<History>,
    /// What is counted for `/metrics`.
    pub(crate) counters: Counters,
}

/// Numbers that only grow, and a few that do not.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Reports of totals taken in.
    pub(crate) reports: AtomicU64,
    /// Those among them that changed nothing.
    pub(crate) reports_old: AtomicU64,
    /// Those that were refused.
    pub(crate) reports_refused: AtomicU64,
    /// Commits that were kept.
    pub(crate) commits: AtomicU64,
    /// Commits that could not be.
    pub(crate) commits_failed: AtomicU64,
    /// Time that commits took, in microseconds.
    pub(crate) commit_us: AtomicU64,
    /// Checkpoints that were kept.
    pub(crate) checkpoints: AtomicU64,
    /// Checkpoints that could not be read back.
    pub(crate) checkpoints_unreadable: AtomicU64,
    /// Bytes of calls that were kept.
    pub(crate) kept_bytes: AtomicU64,
    /// How far the wall clock is ahead of the engine's time.
    pub(crate) clock_offset_ms: AtomicI64,
}

use std::sync::atomic::{AtomicI64, AtomicU64};

impl Shared {
    /// Before anything is known.
    pub(crate) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            policy: watch::Sender::new(None),
            engine: watch::Sender::new(None),
            state: watch::Sender::new(State::Starting),
            last_event: watch::Sender::new(0),
            events: Mutex::new(VecDeque::new()),
            history: Mutex::new(History::default()),
            counters: Counters::default(),
        })
    }

    /// Shows a policy, unless it is the one that is shown.
    pub(crate) fn publish(&self, policy: &PolicyRow) {
        self.policy.send_if_modified(|shown| {
            let known = shown.as_ref().is_some_and(|shown| shown.revision == policy.revision);
            if !known {
                *shown = Some(Arc::new(Published::of(policy)));
            }
            !known
        });
    }

    /// The policy in force; changes wake whoever waits.
    pub(crate) fn policy(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.policy.subscribe()
    }

    /// Says which module runs now.
    pub(crate) fn use_engine(&self, module: &Module) {
        self.engine.send_replace(Some(module.clone()));
    }

    /// The module that runs, once one does; changes wake whoever waits.
    pub(crate) fn engine(&self) -> watch::Receiver<Option<Module>> {
        self.engine.subscribe()
    }

    /// Says how things stand.
    pub(crate) fn set_state(&self, state: State) {
        self.state.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
    }

    /// How things stand.
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Shows events that have been kept.
    pub(crate) fn happened(&self, rows: &[EventRow]) {
        let Some(last) = rows.last().map(|row| row.id) else { return };
        let mut events = self.lock();
        for row in rows {
            if events.len() == EVENTS_MAX {
                events.pop_front();
            }
            events.push_back(row.clone());
        }
        drop(events);
        self.last_event.send_replace(last);
    }

    /// Says which event was the last before this process began to show any.
    pub(crate) fn begin_events(&self, last: u64) {
        self.lock().clear();
        *self.past() = History::default();
        self.last_event.send_replace(last);
    }

    /// The id of the newest event; changes wake whoever waits.
    pub(crate) fn last_event(&self) -> watch::Receiver<u64> {
        self.last_event.subscribe()
    }

    /// Events after this id from memory, or `None` when they are older than that.
    pub(crate) fn events_after(&self, after: u64, limit: usize) -> Option<Vec<EventRow>> {
        let events = self.lock();
        if after >= *self.last_event.borrow() {
            return Some(Vec::new());
        }
        let first = events.front().filter(|first| first.id <= after + 1)?;
        let skip = usize::try_from(after + 1 - first.id).ok()?;
        Some(events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Takes these names out of the events in memory.
    pub(crate) fn forget_events(&self, names: &[String]) {
        for row in self.lock().iter_mut() {
            if let Some(body) = scrub::event(row.body.get(), names) {
                row.body = body;
            }
        }
    }

    /// Whether the numbers are to be kept again.
    pub(crate) fn history_is_due(&self, now_ms: u64) -> bool {
        self.past().is_due(now_ms)
    }

    /// Keeps the numbers of now.
    pub(crate) fn remember(&self, sample: Sample) {
        self.past().keep(sample);
    }

    /// The numbers so far, the oldest first.
    pub(crate) fn history(&self) -> Vec<Sample> {
        self.past().samples()
    }

    fn past(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EventRow>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64) -> EventRow {
        let body = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
        EventRow { id, at_ms: id, body }
    }

    #[test]
    fn events_in_memory_are_given_from_where_one_was_or_not_at_all() {
        let shared = Shared::new();
        shared.begin_events(5);
        let ids = |after, limit| {
            let rows = shared.events_after(after, limit)?;
            Some(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(5, 10), Some(vec![]));
        assert_eq!(ids(4, 10), None, "the store has it");
        shared.happened(&(6..=6 + EVENTS_MAX as u64).map(row).collect::<Vec<_>>());
        assert_eq!(ids(5, 10), None, "it has been dropped");
        assert_eq!(ids(6, 2), Some(vec![7, 8]));
        assert_eq!(ids(6 + EVENTS_MAX as u64, 2), Some(vec![]));
        assert_eq!(ids(u64::MAX, 2), Some(vec![]));
    }
}
