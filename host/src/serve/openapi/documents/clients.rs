//! Clients, and whether the old version can go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a client stands to the old version.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientState {
    Active,
    Silent,
    Gone,
    Blocked,
    PinnedBack,
    Moved,
}

/// What clients are listed by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientOrder {
    Requests,
    OldRequests,
    LastSeen,
    FirstSeen,
    Interval,
    Expected,
    Again,
    Client,
}

/// Where a client's name comes from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdentityKind {
    Key,
    Sender,
    ApiKey,
    Mtls,
    Jwt,
    Address,
}

impl IdentityKind {
    /// The name in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            IdentityKind::Key => "key",
            IdentityKind::Sender => "sender",
            IdentityKind::ApiKey => "api_key",
            IdentityKind::Mtls => "mtls",
            IdentityKind::Jwt => "jwt",
            IdentityKind::Address => "address",
        }
    }
}

/// What is said of a client's readiness.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Says {
    Ready,
    Blocked,
    Nothing,
}

/// Where a client is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RepinTo {
    Old,
    Policy,
}

/// Who is on which version.
#[derive(ToSchema)]
pub(crate) struct Clients {
    /// How many there are, of which some are listed.
    total: u64,
    /// Whether that was counted; else it is estimated from a sample.
    exact: bool,
    /// At least so many, with 95 % confidence.
    low: Option<u64>,
    /// At most so many, with 95 % confidence.
    high: Option<u64>,
    clients: Vec<Client>,
}

/// One of them.
#[derive(ToSchema)]
pub(crate) struct Client {
    client: String,
    #[schema(inline)]
    identity: IdentityKind,
    /// The version that served it last.
    version: String,
    last_seen_ms: u64,
    requests: u64,
    /// As it calls itself.
    software: Option<String>,
    /// On all versions but the newest.
    old: Option<ClientOn>,
    /// On the newest version.
    new: Option<ClientOn>,
    /// Its usual interval between visits.
    interval_ms: Option<u64>,
    /// How regular that is, 0 to 1.
    regularity: Option<f64>,
    /// When its next call is expected.
    expected_ms: Option<u64>,
    /// How likely it calls the old version within the horizon, 0 to 1.
    again: Option<f64>,
    #[schema(inline)]
    state: Option<ClientState>,
    /// `ready` or `blocked`.
    says: Option<String>,
    /// Why it is blocked or pinned back.
    because: Option<String>,
    /// Calls that a brownout or the sunset refused.
    refused: Option<u64>,
}

/// A client's calls to one side.
#[derive(ToSchema)]
pub(crate) struct ClientOn {
    requests: u64,
    failures: u64,
    first_seen_ms: Option<u64>,
    last_seen_ms: Option<u64>,
}

/// What is known of one client.
#[derive(ToSchema)]
pub(crate) struct OneClient {
    client: Client,
    /// How the audit log names it.
    audit_name: String,
}

/// What was done to a client.
#[derive(ToSchema)]
pub(crate) struct ClientOk {
    client: String,
    /// Whether it was not so before.
    changed: bool,
    /// The revision of the policy in force now.
    revision: u64,
}

/// What came of forgetting a client.
#[derive(ToSchema)]
pub(crate) struct Forgotten {
    client: String,
    /// Whether anything was known of it.
    changed: bool,
    revision: u64,
    /// Rows of the store that named it and do not any more.
    rows: u64,
    /// Where there may be traces that this server cannot reach.
    not_reached: Vec<String>,
}

/// Whether the old version can go.
#[derive(ToSchema)]
pub(crate) struct Sunset {
    ready: bool,
    /// In a sentence or two, with the numbers.
    statement: Option<String>,
    /// How sure that is, 0 to 1.
    confidence: Option<f64>,
    /// For how long ahead.
    horizon_ms: Option<u64>,
    /// When clients were looked at, where that was a while ago.
    as_of_ms: Option<u64>,
    depend: Option<Depend>,
    /// When the last of them is expected.
    last_expected_ms: Option<u64>,
    forecast: Option<Forecast>,
    checks: Vec<SunsetCheck>,
    /// Who may call the old version again, the likeliest first.
    candidates: Option<Vec<Client>>,
}

/// How many clients still depend on the old version.
#[derive(ToSchema)]
pub(crate) struct Depend {
    at_most: u64,
    expected: f64,
    /// Whether every client was counted.
    exact: bool,
}

/// When the old version will be ready to go.
#[derive(ToSchema)]
pub(crate) struct Forecast {
    low_ms: u64,
    ready_ms: u64,
    high_ms: Option<u64>,
}

/// What was looked at for it.
#[derive(ToSchema)]
pub(crate) struct SunsetCheck {
    check: String,
    ok: bool,
    detail: String,
}
