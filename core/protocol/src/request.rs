//! Requests: what may be asked, read from JSON once into types that cannot be wrong.

mod changes;
mod clients;
mod life;
mod read;

use serde_json::Value;

use crate::error::{ErrorCode, Fault, Problems};
use crate::plan::{Gate, Plan, Split, Step, Versions};
use crate::share::Share;
use crate::totals::ShadowTotals;

pub use changes::Changes;
pub use clients::{ClientOrder, ClientState, Ledger, Selection, Who};
pub use life::{Brownouts, Lives};

/// Who sent a message to whom, where the message came in an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Address {
    /// The sender.
    pub src: String,
    /// The node it was sent to.
    pub dest: String,
}

/// One line, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The envelope, when there was one with both names.
    pub address: Option<Address>,
    /// The sender alone: a client without a user id is counted under it.
    pub src: Option<String>,
    /// What the reply's `in_reply_to` will be.
    pub msg_id: Option<u64>,
    /// What is asked.
    pub request: Request,
}

/// A line that could not be read, with as much of its head as could.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// As in [`Message`].
    pub address: Option<Address>,
    /// As in [`Message`].
    pub msg_id: Option<u64>,
    /// Why.
    pub fault: Fault,
}

/// What is asked. `docs/protocol.md` shows each with an exchange.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `init` of Maelstrom: replies are enveloped from here on.
    Init {
        /// The node's name on that network.
        node_id: String,
    },
    /// `get_users`: which version serves this user?
    GetUsers {
        /// The routing key; absent and empty are the same.
        user_id: Option<String>,
        /// Traffic for this message only.
        traffic: Option<Override>,
    },
    /// `route`: the general form.
    Route {
        /// The routing key; absent and empty are the same.
        key: Option<String>,
        /// Attributes as text, in the order given.
        attributes: Vec<(String, String)>,
        /// Traffic for this message only.
        traffic: Option<Override>,
        /// Whether the request and its client count; they do unless the message says no.
        count: bool,
    },
    /// `get_migration_stats`
    GetMigrationStats {
        /// For how long the old version must have served nobody.
        window_ms: u64,
    },
    /// `gradual_rollout`
    GradualRollout {
        /// At least one; percentages never fall. The plan's own when absent.
        steps: Option<Vec<Step>>,
        /// The gate, when the message carries one; the plan's own when it does not.
        gate: Option<Gate>,
    },
    /// `report_outcomes`
    ReportOutcomes {
        /// What happened to requests that were served.
        outcomes: Vec<Outcome>,
    },
    /// `report_shadow`: what was compared, and what came of it, since the last time.
    ReportShadow(ShadowTotals),
    /// `configure`
    Configure {
        /// The new plan, valid.
        plan: Box<Plan>,
    },
    /// `get_config`
    GetConfig,
    /// `explain`: the decision and every step that led to it.
    Explain {
        /// The plan to decide by; the node's own when absent.
        plan: Option<Box<Plan>>,
        /// The routing key.
        key: Option<String>,
        /// Attributes as text.
        attributes: Vec<(String, String)>,
        /// Traffic for this message only.
        traffic: Option<Override>,
    },
    /// `check_policy`: every problem of a document.
    CheckPolicy {
        /// The document, unread.
        document: Value,
    },
    /// `evaluate_gate`: the gate as a calculator.
    EvaluateGate(GateQuestion),
    /// `explain_rollout`: what happened and why, in sentences.
    ExplainRollout,
    /// `get_rollout`
    GetRollout,
    /// `pause_rollout`, `resume_rollout`, …
    Command(Command),
    /// Something that is asked of the ledger of clients.
    Ledger(Ledger),
    /// Something about the clients that this node has seen and not reported yet.
    Changes(Changes),
    /// Something that is asked about brownouts.
    Brownouts(Brownouts),
    /// Something that is asked about the life of the migration.
    Life(Lives),
    /// `get_sunset`: can the old version go, and what stands in the way?
    GetSunset {
        /// As in [`Request::GetMigrationStats`]; absent is the plan's.
        window_ms: Option<u64>,
    },
    /// `refuse`: the host's word for a line that it could not hand over. The reply is
    /// an error with this code and text.
    Refuse(Fault),
}

/// Traffic for one message, instead of the policy's split or canary.
#[derive(Debug, Clone, PartialEq)]
pub enum Override {
    /// `canary_percentage`
    Canary(Share),
    /// `traffic_split`
    Split {
        /// The weights.
        split: Split,
        /// By key when the message says `sticky: true`, else by draw.
        sticky: bool,
    },
}

/// What an operator may tell a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Stop the clock of the step.
    Pause,
    /// Let it run again.
    Resume,
    /// Go to the next step now, or with `full` to the last.
    Promote {
        /// Skip all remaining steps.
        full: bool,
    },
    /// Everything back to the old version.
    Abort,
    /// Begin again at the first step, with the same clients.
    Retry,
    /// Back to the share from before the rollout.
    Undo,
}

/// What happened to one request, or to several alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The version that served it: its place in the policy's list.
    pub version: usize,
    /// Who called, when known.
    pub user_id: Option<String>,
    /// Whether it failed.
    pub failed: bool,
    /// How long it took.
    pub latency_ms: Option<f64>,
    /// How many requests this stands for; absent is one.
    pub count: Option<u64>,
}

impl Outcome {
    /// How many requests this stands for.
    pub fn requests(&self) -> u64 {
        self.count.unwrap_or(1)
    }
}

/// Counts to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct GateQuestion {
    /// Stretches of constant share.
    pub segments: Vec<Counts>,
    /// The failure gate's settings, with the question's own margin, alpha and so on.
    pub gate: crate::plan::FailureGate,
}

/// Requests and failures of both versions, in one stretch of constant share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Requests of the new version.
    pub canary_requests: u64,
    /// How many of them failed.
    pub canary_failures: u64,
    /// Requests of the old version.
    pub control_requests: u64,
    /// How many of them failed.
    pub control_failures: u64,
}

impl Counts {
    /// Reads one segment of `evaluate_gate`: the four counts, none of them absent.
    ///
    /// # Errors
    /// Every problem in it, paths beginning at the segment.
    pub fn read(segment: &Value) -> Result<Counts, Problems> {
        read::counts(segment)
    }
}

impl Message {
    /// Reads one line. `versions` are those of the policy in force: outcomes and splits
    /// may name no others.
    ///
    /// # Errors
    /// What is wrong, with the reply address as far as it could be read.
    pub fn read(line: &str, versions: &Versions) -> Result<Message, Box<Unreadable>> {
        read::message(line, versions)
    }
}

/// How an engine starts: the input of `crossfade_init`. Everything has a default.
#[derive(Debug, Clone, PartialEq)]
pub struct InitDocument {
    /// Whether rollouts play at once on simulated time or take real minutes.
    pub clock: Clock,
    /// The node's name in its totals.
    pub node: String,
    /// The id of this run of the node; drawn from the seed when absent.
    pub epoch: Option<u64>,
    /// Whether it remembers what clients do until a report of them is taken.
    pub report_clients: bool,
    /// Whether it takes those reports in itself, and so keeps a ledger of its own clients.
    pub keep_clients: bool,
    /// The first policy.
    pub plan: Option<Box<Plan>>,
}

impl Default for InitDocument {
    fn default() -> InitDocument {
        InitDocument {
            clock: Clock::Virtual,
            node: "node".to_owned(),
            epoch: None,
            report_clients: false,
            keep_clients: false,
            plan: None,
        }
    }
}

impl InitDocument {
    /// Reads an init document: `{"clock"?, "node"?, "epoch"?, "clients"?, "policy"?}`.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn read(document: &[u8]) -> Result<InitDocument, Fault> {
        read::init_document(document)
    }
}

/// Which time a rollout takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// A rollout is played at once; its minutes pass in the engine alone.
    Virtual,
    /// A rollout takes the time its host's clock says.
    Wall,
}

/// The types a `type` field may name, for the answer to one that is unknown.
pub const TYPES: [&str; 35] = [
    "init",
    "get_users",
    "route",
    "get_migration_stats",
    "gradual_rollout",
    "report_outcomes",
    "report_shadow",
    "configure",
    "get_config",
    "explain",
    "check_policy",
    "evaluate_gate",
    "explain_rollout",
    "get_rollout",
    "pause_rollout",
    "resume_rollout",
    "promote_rollout",
    "abort_rollout",
    "retry_rollout",
    "undo_rollout",
    "get_clients",
    "get_client",
    "report_clients",
    "declare_client",
    "repin_client",
    "forget_client",
    "take_clients",
    "note_clients",
    "get_sunset",
    "get_brownouts",
    "start_brownout",
    "stop_brownout",
    "get_life",
    "advance_life",
    "refuse",
];

fn unsupported(name: &str) -> Fault {
    Fault {
        code: ErrorCode::NotSupported,
        text: format!(
            "unknown type `{}`; known are {}",
            crate::json::shown(name),
            TYPES.join(", ")
        ),
    }
}
