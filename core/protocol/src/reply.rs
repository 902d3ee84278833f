//! Replies, field by field in the order in which they are written.
//!
//! Every reply begins with `type` and, when the request had a `msg_id`, `in_reply_to`;
//! the structs here are what follows.

mod life;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::memory::Appender;
use crate::plan::Refusal;
use crate::{Reason, Share};

pub use life::{BrownoutSeen, LifeStep, ShadowSeen};

/// A reply's name and its fields.
pub trait Reply {
    /// The `type`.
    const TYPE: &'static str;

    /// Writes the other fields as a JSON object.
    fn write_fields(&self, out: &mut Vec<u8>);
}

/// Writes a value of our own as JSON.
///
/// Serialising into memory cannot fail; were it to, what was written is left as it is.
pub fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let written = serde_json::to_writer(Appender(out), value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// A value of our own as JSON text.
pub fn json_text(value: &(impl Serialize + ?Sized)) -> String {
    let mut out = Vec::new();
    write_json(&mut out, value);
    // serde_json writes UTF-8 only.
    String::from_utf8(out).unwrap_or_default()
}

/// A value of our own as a JSON value, by way of its text: the module has the code for
/// that in any case.
pub fn json_value(value: &(impl Serialize + ?Sized)) -> Value {
    serde_json::from_str(&json_text(value)).unwrap_or_default()
}

macro_rules! replies {
    ($($(#[$meta:meta])* $name:ident = $kind:literal { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq, Serialize)]
            pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

            impl Reply for $name {
                const TYPE: &'static str = $kind;

                fn write_fields(&self, out: &mut Vec<u8>) {
                    write_json(out, self);
                }
            }
        )*
    };
}

replies! {
    /// To `init`.
    InitOk = "init_ok" {}

    /// To `report_outcomes`.
    ReportOutcomesOk = "report_outcomes_ok" {}

    /// To `report_shadow`.
    ReportShadowOk = "report_shadow_ok" {}

    /// To `configure`.
    ConfigureOk = "configure_ok" {
        /// The revision of the policy now in force.
        revision: u64,
    }

    /// To `get_config`.
    Config = "config" {
        /// The revision of the policy in force.
        revision: u64,
        /// The plan as it would be written now.
        document: Value,
    }

    /// To `get_users`.
    UsersResponse = "users_response" {
        /// The version that serves.
        version: String,
        /// Whether the canary percentage chose the new version; absent when none was in force.
        #[serde(skip_serializing_if = "Option::is_none")]
        canary: Option<bool>,
        /// Why the call is to be refused, where it is: `brownout` or `gone`.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<Reason>,
    }

    /// To `route`.
    RouteOk = "route_ok" {
        /// The version that serves.
        version: String,
        /// Whether a canary percentage chose the new version.
        canary: bool,
        /// What decided.
        reason: Reason,
        /// The rule that decided.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// The bucket that decided, else the key's bucket under the policy's salt.
        #[serde(skip_serializing_if = "Option::is_none")]
        bucket: Option<u16>,
        /// Headers by name: the routing header, and what the old version's clients are told.
        headers: Value,
        /// What the client gets where its call is to be refused; `headers` go with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<Refusal>,
    }

    /// To `explain`.
    Explanation = "explanation" {
        /// The version that would serve.
        version: String,
        /// Whether a canary percentage chose the new version.
        canary: bool,
        /// What decided.
        reason: Reason,
        /// The rule that decided.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// As in [`RouteOk`].
        #[serde(skip_serializing_if = "Option::is_none")]
        bucket: Option<u16>,
        /// Every stage that was tried, in order.
        stages: Vec<Stage>,
    }

    /// To `check_policy`.
    PolicyChecked = "policy_checked" {
        /// Whether the document can be used.
        valid: bool,
        /// Everything wrong with it.
        problems: Vec<Problem>,
        /// How many problems more there were.
        more: usize,
        /// What is allowed but probably not meant.
        warnings: Vec<Problem>,
    }

    /// To `get_migration_stats`.
    MigrationStats = "migration_stats" {
        /// Clients seen.
        total_clients: u64,
        /// Whole percents by version that sum to 100, or all 0 when there is no client.
        version_percentages: Map<String, Value>,
        /// Whether the new version served someone, and the old one nobody for the window.
        migration_complete: bool,
        /// Clients last served by each version.
        clients: Map<String, Value>,
        /// Requests decided for each version, all nodes together.
        routed: Map<String, Value>,
        /// Reported requests and failures of each version, all nodes together.
        outcomes: Map<String, Value>,
        /// The window that was looked at, in milliseconds.
        window_ms: u64,
        /// Requests whose client did not fit into the table; 0 means that the counts of
        /// clients are exact, unless they are sampled.
        uncounted_requests: u64,
        /// Whether clients were too many to keep, so that their numbers are estimates.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        clients_sampled: bool,
    }

    /// To `gradual_rollout`, when it has ended.
    RolloutComplete = "rollout_complete" {
        /// The share of the new version now.
        final_percentage: Share,
        /// False when v2 was found worse, or evidence that was asked for did not come.
        health_checks_passed: bool,
        /// `completed`, `rolled_back`, `aborted`, `undone` or `held`.
        outcome: &'static str,
        /// Steps that were passed.
        steps_passed: usize,
        /// How long it took, on the engine's clock.
        duration_minutes: crate::share::Minutes,
        /// Why it ended so, as a sentence.
        reason: String,
        /// The numbers behind the last verdict.
        #[serde(skip_serializing_if = "Value::is_null")]
        evidence: Value,
    }

    /// To `get_rollout` and every command.
    RolloutState = "rollout" {
        /// `idle`, `progressing`, `paused`, `held`, `completed`, `rolled_back`, `aborted` or
        /// `undone`.
        phase: &'static str,
        /// The step, from 1; 0 when there is no rollout.
        step: usize,
        /// How many there are.
        steps: usize,
        /// The share of the new version now.
        percentage: Share,
        /// The last verdict; absent before the first.
        #[serde(skip_serializing_if = "Value::is_null")]
        verdict: Value,
        /// The numbers behind it.
        #[serde(skip_serializing_if = "Value::is_null")]
        evidence: Value,
        /// Where things stand, as a sentence.
        reason: String,
        /// How long the step has lasted.
        step_minutes: crate::share::Minutes,
    }

    /// To `explain_rollout`.
    RolloutExplanation = "rollout_explanation" {
        /// What happened, oldest first, one sentence each.
        sentences: Vec<String>,
    }

    /// To `evaluate_gate`.
    GateVerdict = "gate_verdict" {
        /// `healthy`, `unhealthy` or `inconclusive`.
        verdict: Value,
        /// The numbers behind it.
        evidence: Value,
        /// The same in words.
        reason: String,
    }

    /// To `get_clients`.
    Clients = "clients" {
        /// How many there are, listed or not.
        total: u64,
        /// Whether `total` is exact.
        exact: bool,
        /// Where it is not: it is at least this, with 95 % confidence.
        #[serde(skip_serializing_if = "Option::is_none")]
        low: Option<u64>,
        /// Where it is not: it is at most this, with 95 % confidence.
        #[serde(skip_serializing_if = "Option::is_none")]
        high: Option<u64>,
        /// In the order that was asked for.
        clients: Vec<ClientSeen>,
    }

    /// To `get_client`.
    OneClient = "client" {
        /// The client.
        client: ClientSeen,
    }

    /// To `report_clients`.
    ReportClientsOk = "report_clients_ok" {
        /// Whose report.
        node: String,
        /// Whether there was anything new in it.
        new: bool,
        /// The highest sequence that was taken in.
        sequence: u64,
    }

    /// To `note_clients`.
    NoteClientsOk = "note_clients_ok" {}

    /// To `declare_client`, `repin_client` and `forget_client`.
    ClientOk = "client_ok" {
        /// Whom it was about.
        client: String,
        /// Whether something changed.
        changed: bool,
        /// The revision of the policy in force now.
        revision: u64,
    }

    /// To `get_brownouts`, `start_brownout` and `stop_brownout`.
    Brownouts = "brownouts" {
        /// All of the plan's, in its order.
        brownouts: Vec<BrownoutSeen>,
    }

    /// To `get_life` and `advance_life`.
    LifeNow = "life" {
        /// Where the migration stands.
        phase: &'static str,
        /// Since when.
        since_ms: u64,
        /// What was compared since it entered the shadow, where the plan has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        shadow: Option<ShadowSeen>,
        /// Where it may go, and what stands in the way.
        next: Vec<LifeStep>,
    }

    /// To `get_sunset`.
    Sunset = "sunset" {
        /// Whether the old version can go.
        ready: bool,
        /// In a sentence or two, with the numbers.
        statement: String,
        /// How sure that is, 0 to 1.
        confidence: f64,
        /// For how long ahead.
        horizon_ms: u64,
        /// When clients were looked at, where that was a while ago.
        #[serde(skip_serializing_if = "Option::is_none")]
        as_of_ms: Option<u64>,
        /// Clients that still depend on the old version, where nodes report clients.
        #[serde(skip_serializing_if = "Option::is_none")]
        depend: Option<Depend>,
        /// When the last of them is expected.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_expected_ms: Option<u64>,
        /// When it will be ready, where there is a trend.
        #[serde(skip_serializing_if = "Option::is_none")]
        forecast: Option<Forecast>,
        /// What was checked.
        checks: Vec<Check>,
        /// Who may call the old version again, the likeliest first.
        candidates: Vec<ClientSeen>,
    }
}

/// How many clients still depend on the old version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Depend {
    /// At most so many, with the confidence asked for.
    pub at_most: u64,
    /// So many are expected.
    pub expected: f64,
    /// Whether every client was counted.
    pub exact: bool,
}

/// When the old version will be ready to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Hardly before.
    pub low_ms: u64,
    /// The best guess.
    pub ready_ms: u64,
    /// Hardly after, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_ms: Option<u64>,
}

/// To `take_clients`: a [`ClientsReport`](crate::clients::ClientsReport) as its text, so
/// that one that is taken again is the same to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportText<'r>(pub &'r str);

impl Reply for ReportText<'_> {
    const TYPE: &'static str = "clients_report";

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

/// One stage of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Its name, that of the reason it would give.
    pub stage: &'static str,
    /// What it looked at, and what came of it.
    pub outcome: String,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientSeen {
    /// Its id.
    pub client: String,
    /// Where that comes from: `key`, `sender`, `api_key`, `mtls`, `jwt` or `address`.
    pub identity: &'static str,
    /// The version that served it last.
    pub version: String,
    /// When, in milliseconds of the engine's clock, rounded down to the second.
    pub last_seen_ms: u64,
    /// Requests decided for it.
    pub requests: u64,
    /// More, where the ledger knows it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub known: Option<Box<ClientKnown>>,
}

/// What the ledger knows of a client beyond a node's census.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientKnown {
    /// Its software, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Of all older versions together.
    pub old: ClientOn,
    /// Of the newest version.
    pub new: ClientOn,
    /// Its usual interval between visits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// How regular that is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularity: Option<f64>,
    /// When its next call is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// How likely it calls the old version within the horizon, 0 to 1.
    pub again: f64,
    /// How it stands to the old version.
    pub state: &'static str,
    /// What it says of itself: `ready` or `blocked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<&'static str>,
    /// Why it is blocked or pinned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Calls that a brownout or the sunset refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A client's calls to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClientOn {
    /// Requests.
    pub requests: u64,
    /// How many are known to have failed.
    pub failures: u64,
    /// The first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_ms: Option<u64>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
}

/// One item of the sunset checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub check: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// With its numbers.
    pub detail: String,
}
