//! What is kept, and what whoever keeps it has to hold to.

use serde::{Deserialize, Serialize};

use crate::serve::calls::Calls;

/// Why something was not kept or cannot be read. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another process has it.
    #[error("{store} is in use by another process: one `crossfade serve` at a time")]
    InUse {
        /// What is in use.
        store: String,
    },
    /// It is not ours, or is damaged. Nothing was changed in it.
    #[error("{store} {why}; nothing was changed in it")]
    Foreign {
        /// What was looked at.
        store: String,
        /// What it is instead.
        why: String,
    },
    /// Somebody else leads: this process may write no more.
    #[error("another `crossfade serve` has taken over")]
    Superseded,
    /// It cannot be reached, is full, or failed: what was asked did not happen.
    #[error("{store} failed: {why}")]
    Failed {
        /// What failed.
        store: String,
        /// What it said.
        why: String,
    },
    /// It was asked and did not say what came of it: what was asked may have happened, and
    /// the next [`Store::load`] tells.
    #[error("{store} did not answer: {why}")]
    Unclear {
        /// What was asked.
        store: String,
        /// What came in the place of an answer.
        why: String,
    },
}

/// Who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lead {
    /// This process.
    Ours,
    /// Another one, or nobody yet.
    Others {
        /// The address of its API, if known.
        address: Option<String>,
    },
}

/// A state of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// What `crossfade_snapshot` gave.
    pub(crate) snapshot: Vec<u8>,
    /// The module that gave it: its SHA-256 in hexadecimal digits.
    pub(crate) engine: String,
    /// The module itself, unless it is the built-in one.
    pub(crate) module: Option<Vec<u8>>,
    /// The engine's time.
    pub(crate) at_ms: u64,
    /// Every receipt that is still of use; the store needs no other.
    pub(crate) receipts: Vec<Receipt>,
}

/// Everything that happened together, kept whole or not at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    /// The engine's time.
    pub(crate) at_ms: u64,
    /// The calls, in their order.
    pub(crate) calls: Calls,
    /// The policy, if it is another one now.
    pub(crate) policy: Option<PolicyRow>,
    /// What happened.
    pub(crate) events: Vec<EventRow>,
    /// Who did what.
    pub(crate) audit: Vec<AuditRow>,
    /// What commands with a key of their own were answered.
    pub(crate) receipts: Vec<Receipt>,
    /// Parts of the state in a form for people, in the place of those before. A store may
    /// leave them out: nothing is read back from them.
    pub(crate) views: Vec<View>,
}

/// A part of the state, for whoever opens the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// `rollout`, `migration_stats`, `clients`, `nodes`.
    pub(crate) name: &'static str,
    /// One JSON document.
    pub(crate) body: String,
}

/// A policy that was in force from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    /// Its revision.
    pub(crate) revision: u64,
    /// Since when, in Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Who put it in force: the name of a token, or `crossfade` for the rollout itself.
    pub(crate) who: String,
    /// Why.
    pub(crate) why: String,
    /// The plan document, as `get_config` gives it.
    pub(crate) document: serde_json::Value,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventRow {
    /// Counts from 1 without gaps.
    pub(crate) id: u64,
    /// When, in Unix milliseconds.
    pub(crate) at_ms: u64,
    /// The event as the engine wrote it: one JSON object.
    pub(crate) body: Box<serde_json::value::RawValue>,
}

/// Something that somebody did, or that Crossfade did by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AuditRow {
    /// Counts from 1 without gaps.
    pub(crate) id: u64,
    /// When, in Unix milliseconds.
    pub(crate) at_ms: u64,
    /// The name of a token, or `crossfade`.
    pub(crate) who: String,
    /// What was done: `pause`, `policy`, `rollback_started`.
    pub(crate) what: String,
    /// The reason given, or the sentence that says what happened.
    pub(crate) why: String,
    /// The revision of the policy afterwards.
    pub(crate) revision: u64,
}

/// What was answered to a command that came with a key of its own. It gets the same answer
/// when it comes again, and is not done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// When, in Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Whose key it is: the name of a token.
    pub(crate) who: String,
    /// The key.
    pub(crate) key: String,
    /// A digest of what was asked for.
    pub(crate) request: String,
    /// The answer: one JSON object.
    pub(crate) reply: String,
    /// The revision of the policy afterwards.
    pub(crate) revision: u64,
}

/// What came of forgetting somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    /// Rows that named them and do not any more.
    pub(crate) rows: u64,
    /// What the store has that could not be reached.
    pub(crate) left: Vec<String>,
}

/// What a store holds.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// The last checkpoint; `None` in a new store.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The calls of every commit since, in their order.
    pub(crate) calls: Vec<Calls>,
    /// The engine's time at the last commit.
    pub(crate) at_ms: u64,
    /// The newest policy.
    pub(crate) policy: Option<PolicyRow>,
    /// Id of the newest event; 0 when there is none.
    pub(crate) last_event: u64,
    /// Id of the newest audit row; 0 when there is none.
    pub(crate) last_audit: u64,
    /// Those of the checkpoint and of every commit since, in their order.
    pub(crate) receipts: Vec<Receipt>,
}

/// Keeps what the control plane must not forget.
///
/// One thread owns it. What returns `Ok` is durable: it survives `kill -9`, and with the
/// settings in `docs/operations.md` the loss of power.
pub(crate) trait Store: Send {
    /// What it is, for messages: a file, an address.
    fn name(&self) -> String;

    /// Who may write now. Asked again and again; takes the lead when nobody has it.
    fn try_lead(&mut self) -> Result<Lead, StoreError>;

    /// Whether this process, which had the lead when it last asked, may still speak for the
    /// whole. A look at a clock: it is asked before every answer.
    fn leads(&self) -> bool {
        true
    }

    /// Everything that was committed. Only for who leads.
    fn load(&mut self) -> Result<Saved, StoreError>;

    /// Keeps this, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Superseded`]: somebody else wrote since. [`StoreError::Unclear`]: it may
    /// have been kept; after any other error it was not. After each the caller has to
    /// [`load`](Self::load) before it commits again.
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError>;

    /// Keeps a state. The calls before it are no longer needed.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// The newest policy that was committed, also by another process.
    fn policy(&mut self) -> Result<Option<PolicyRow>, StoreError>;

    /// Totals that came by the store itself since the last call, each as one line; at most
    /// so many bytes. Whoever takes over gets again what no commit of the taker held.
    fn incoming(&mut self, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let _ = bytes_max;
        Ok(Vec::new())
    }

    /// Hands totals, one a line, to whoever leads. Durable on return.
    fn forward(&mut self, totals: &[u8]) -> Result<(), StoreError> {
        let _ = totals;
        Err(StoreError::Superseded)
    }

    /// Takes every trace of these names out of what is kept, down to the bytes. To be asked
    /// after a checkpoint of an engine that has forgotten them.
    ///
    /// # Errors
    /// It failed; some traces may be gone and others not.
    fn scrub(&mut self, names: &[String]) -> Result<Scrubbed, StoreError> {
        let _ = names;
        let left = "policies and events on the fleet's servers, until they age out there";
        Ok(Scrubbed { rows: 0, left: vec![left.to_owned()] })
    }

    /// Events after this id, oldest first.
    fn events(&mut self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError>;

    /// Audit rows after this id, oldest first.
    fn audit(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError>;

    /// The newest audit rows before this id, oldest first.
    fn audit_before(&mut self, before: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError>;

    /// Policies up to this revision, the newest first.
    fn policies(&mut self, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, StoreError>;
}
