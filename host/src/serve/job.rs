//! What the HTTP side asks of the controller's thread, and what it gets.

use std::sync::mpsc::{SyncSender, TrySendError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::store::{AuditRow, EventRow, PolicyRow, Store, StoreError};
use crate::module::Module;

/// Jobs that may wait. Beyond it a request is told to come again.
pub(crate) const JOBS_MAX: usize = 16_384;

/// Who acts, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// The name of a token.
    pub(crate) who: String,
    /// What is done: `pause`, `policy`.
    pub(crate) what: &'static str,
    /// The reason given; may be empty.
    pub(crate) why: String,
    /// By which it is known again when it comes twice.
    pub(crate) once: Option<Once>,
}

/// A key that whoever acts has given to one act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Once {
    /// The key.
    pub(crate) key: String,
    /// A digest of the act: another one does not get its answer.
    pub(crate) request: String,
}

/// A module to go on with, already compiled and tested.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The compiled module.
    pub(crate) module: Module,
    /// Its bytes; `None` for the built-in one.
    pub(crate) bytes: Option<Vec<u8>>,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub(crate) digest: String,
}

/// Something to do.
pub(crate) enum Work {
    /// A message that changes something; its reply.
    Act {
        /// An object with a `type`.
        message: Value,
        /// The type of its reply, or `None` when it has none at once.
        answer: Option<&'static str>,
        /// For the audit log; outcomes have none.
        note: Option<Note>,
        /// The revision that has to be in force.
        expected: Option<u64>,
    },
    /// A message that changes nothing; its reply.
    Ask {
        /// An object with a `type`.
        message: Value,
        /// The type of its reply.
        answer: &'static str,
    },
    /// Totals of other nodes, or what they have seen of clients, a line each.
    Totals {
        /// Lines that could be read, or what is to be answered for those that could not.
        reports: Vec<Result<Report, String>>,
    },
    /// Everything that a person wants to see at once.
    Status,
    /// Who has reported.
    Nodes,
    /// Events, audit rows, or policies from the store.
    Read(Query),
    /// Every trace of a client is to go: from the engine, then from the store.
    Forget {
        /// Under which names it may be known.
        names: Vec<String>,
        /// Where its name comes from, if that is said.
        identity: Option<String>,
        /// For the audit log.
        note: Note,
    },
    /// Another engine.
    Swap(Candidate, Note),
    /// The end: what is owed is kept, and the thread ends.
    Stop,
}

/// What a report is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A node's counts since it started.
    Totals,
    /// Clients, since its report of them before.
    Clients,
}

/// One node's report, looked at but not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// What it is of.
    pub(crate) of: Of,
    /// The line.
    pub(crate) line: Vec<u8>,
    /// Who reports.
    pub(crate) node: String,
    /// Which run of it.
    pub(crate) epoch: u64,
    /// Which report of that.
    pub(crate) sequence: u64,
    /// The policy that it decided by.
    pub(crate) revision: u64,
    /// Whether it tells of clients by anything but a hash.
    pub(crate) has_names: bool,
}

/// Of the 32 bytes of a hash, enough that no two clients of a billion share one.
pub(crate) const HASH_BYTES: usize = 16;

/// Whether a client is called as hashes are written: `h:` and 32 hexadecimal digits.
pub(crate) fn is_hash(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("h:")
        .is_some_and(|digits| digits.len() == 2 * HASH_BYTES && digits.bytes().all(digit))
}

/// What is read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    /// Events after an id.
    Events {
        /// The id.
        after: u64,
        /// At most so many.
        limit: usize,
    },
    /// Audit rows after an id.
    Audit {
        /// The id.
        after: u64,
        /// At most so many.
        limit: usize,
    },
    /// The newest audit rows before an id.
    AuditBefore {
        /// The id.
        before: u64,
        /// At most so many.
        limit: usize,
    },
    /// Policies up to a revision, the newest first.
    Policies {
        /// The revision.
        up_to: u64,
        /// At most so many.
        limit: usize,
    },
}

impl Query {
    /// Asks the store.
    pub(crate) fn of(self, store: &mut dyn Store) -> Result<Rows, StoreError> {
        Ok(match self {
            Query::Events { after, limit } => Rows::Events(store.events(after, limit)?),
            Query::Audit { after, limit } => Rows::Audit(store.audit(after, limit)?),
            Query::AuditBefore { before, limit } => Rows::Audit(store.audit_before(before, limit)?),
            Query::Policies { up_to, limit } => Rows::Policies(store.policies(up_to, limit)?),
        })
    }
}

/// What a [`Query`] gives.
#[derive(Debug)]
pub(crate) enum Rows {
    /// Events, oldest first.
    Events(Vec<EventRow>),
    /// Audit rows, oldest first.
    Audit(Vec<AuditRow>),
    /// Policies, the newest first.
    Policies(Vec<PolicyRow>),
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A reply, as the engine wrote it. For an act without one: the rollout.
    Reply(String),
    /// What was answered when the same act came first; it was not done again.
    Again {
        /// The reply.
        reply: String,
        /// The revision of the policy then.
        revision: u64,
    },
    /// A line for each report.
    Lines(Vec<String>),
    /// From the store.
    Rows(Rows),
    /// A document of ours.
    Document(Value),
    /// It is done.
    Done,
}

/// Why nothing came of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The engine refuses it, with its code.
    #[error("{text}")]
    Engine {
        /// The protocol's code.
        code: u32,
        /// The engine's words.
        text: String,
    },
    /// Another revision is in force.
    #[error("revision {expected} was to be replaced, and {found} is in force: read it again")]
    Revision {
        /// What the caller saw.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Somebody else leads.
    #[error("another `crossfade serve` leads")]
    Elsewhere {
        /// The address of its API, if known.
        address: Option<String>,
    },
    /// It was not done: it could not be kept, or there is no state to do it on.
    #[error("{0}")]
    Unavailable(String),
    /// Nobody knows yet whether it was done.
    #[error(
        "whether it was done is not known: {0}. Look before you repeat it; repeated with the \
         same idempotency-key it is not done twice"
    )]
    Unclear(String),
    /// The key is that of another act.
    #[error(
        "the idempotency-key `{key}` was used for something else: nothing was done; give each \
         command a key of its own"
    )]
    KeyUsed {
        /// The key.
        key: String,
    },
    /// Too much waits already.
    #[error("too many requests are waiting: come again in a second")]
    Busy,
}

/// A job, and where its answer goes.
pub(crate) struct Job {
    /// What to do.
    pub(crate) work: Work,
    /// Where to. Nobody may be listening any more.
    pub(crate) reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Hands jobs to the controller's thread.
#[derive(Clone)]
pub(crate) struct Desk(SyncSender<Job>);

impl Desk {
    /// For the thread that reads the other end.
    pub(crate) fn new(jobs: SyncSender<Job>) -> Desk {
        Desk(jobs)
    }

    /// Has it done.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn ask(&self, work: Work) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let changes = matches!(work, Work::Act { .. } | Work::Forget { .. } | Work::Swap(..));
        let ending = || "the server is ending".to_owned();
        self.0.try_send(Job { work, reply }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Unavailable(ending()),
        })?;
        // It was dropped unread, or the thread has died over it.
        answer.await.unwrap_or_else(|_| match changes {
            true => Err(Refusal::Unclear(ending())),
            false => Err(Refusal::Unavailable(ending())),
        })
    }
}
