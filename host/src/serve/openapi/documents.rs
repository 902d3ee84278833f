//! What answers look like, for the OpenAPI description alone: the engine writes them.

#![expect(dead_code, reason = "the description is made from their fields")]

mod clients;
mod life;

use utoipa::ToSchema;

pub(crate) use clients::{
    ClientOk, ClientOrder, ClientState, Clients, Forgotten, IdentityKind, OneClient, RepinTo, Says,
    Sunset,
};
pub(crate) use life::{Brownouts, Life, LifePhase, Shadow};

/// What is wrong (RFC 9457).
#[derive(ToSchema)]
pub(crate) struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// A sentence that says what to do.
    detail: String,
    /// Everything that is wrong with a document.
    problems: Option<Vec<Wrong>>,
}

/// One thing that is wrong with a document.
#[derive(ToSchema)]
pub(crate) struct Wrong {
    path: String,
    message: String,
}

/// `{}`
#[derive(ToSchema)]
pub(crate) struct Nothing {}

/// What a rollout can be told.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RolloutCommand {
    Start,
    Pause,
    Resume,
    Promote,
    Abort,
    Retry,
    Undo,
}

/// How the rollout stands: `rollout` of docs/protocol.md.
#[derive(ToSchema)]
pub(crate) struct Rollout {
    phase: String,
    /// From 1; 0 without a rollout.
    step: u64,
    steps: u64,
    /// The share of the newest version.
    percentage: f64,
    verdict: Option<String>,
    /// The numbers behind the verdict.
    #[schema(value_type = Option<Object>)]
    evidence: Option<()>,
    reason: String,
    step_minutes: f64,
}

/// The rollout in sentences.
#[derive(ToSchema)]
pub(crate) struct Explanation {
    sentences: Vec<String>,
}

/// Everything that a person wants to see at once.
#[derive(ToSchema)]
pub(crate) struct Status {
    api: String,
    revision: u64,
    #[schema(value_type = Object)]
    versions: (),
    now_ms: u64,
    started_ms: u64,
    rollout: Rollout,
    /// The steps of the plan's rollout, as they are written.
    #[schema(value_type = Vec<Object>)]
    plan: (),
    /// `migration_stats` of docs/protocol.md.
    #[schema(value_type = Object)]
    migration: (),
    sunset: Sunset,
    /// While the migration is in the shadow.
    shadow: Option<Shadow>,
    nodes: NodesSummary,
    engine: Engine,
    store: StoreState,
    clock_offset_ms: i64,
}

/// How many nodes there are.
#[derive(ToSchema)]
pub(crate) struct NodesSummary {
    known: u64,
    reporting: u64,
    /// Those that decide by an older policy.
    behind: u64,
    oldest_ms: Option<u64>,
}

/// The engine that runs.
#[derive(ToSchema)]
pub(crate) struct Engine {
    module: String,
    sha256: String,
    on_trial: bool,
    restarts: u64,
    calls_lost: u64,
}

/// Where things are kept.
#[derive(ToSchema)]
pub(crate) struct StoreState {
    name: String,
    lead: String,
    committed_ms: u64,
}

/// Who has reported.
#[derive(ToSchema)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
}

/// One run of a node.
#[derive(ToSchema)]
pub(crate) struct Node {
    node: String,
    epoch: String,
    sequence: u64,
    revision: u64,
    age_ms: Option<u64>,
}

/// Who did what.
#[derive(ToSchema)]
pub(crate) struct AuditLog {
    audit: Vec<AuditEntry>,
}

/// One thing that was done.
#[derive(ToSchema)]
pub(crate) struct AuditEntry {
    id: u64,
    at_ms: u64,
    who: String,
    what: String,
    why: String,
    revision: Option<u64>,
}

/// A policy.
#[derive(ToSchema)]
pub(crate) struct Policy {
    revision: u64,
    /// As in docs/protocol.md, and in docs/plan.schema.json.
    #[schema(value_type = Object)]
    document: (),
}

/// Policies, the newest first.
#[derive(ToSchema)]
pub(crate) struct Policies {
    policies: Vec<PastPolicy>,
}

/// A policy and where it came from.
#[derive(ToSchema)]
pub(crate) struct PastPolicy {
    revision: u64,
    at_ms: u64,
    who: String,
    why: String,
    #[schema(value_type = Object)]
    document: (),
}

/// How one request went, or several alike.
#[derive(ToSchema)]
pub(crate) struct Outcome {
    #[schema(min_length = 1, max_length = 128)]
    version: String,
    /// Whether it went well; `status` may say so instead.
    ok: Option<bool>,
    #[schema(minimum = 100, maximum = 599)]
    status: Option<u16>,
    #[schema(max_length = 1024)]
    user_id: Option<String>,
    #[schema(minimum = 0, maximum = 1_000_000_000_000_u64)]
    latency_ms: Option<f64>,
    /// How many requests this stands for.
    #[schema(minimum = 1, maximum = 1_099_511_627_776_u64)]
    count: Option<u64>,
}
