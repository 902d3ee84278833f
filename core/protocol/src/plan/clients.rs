//! Who the clients are, what they may say, and who of them is treated apart.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::brownout::read_keys;
use crate::limits::{
    CLIENTS_MAX, CLIENTS_NATIVE_MAX, IDENTITIES_MAX, LISTED_CLIENTS_MAX, OUTCOME_COUNT_MAX,
};
use crate::read::Node;

/// How clients are told apart, counted, and treated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientPlan {
    /// Clients of whom the controller keeps everything; of more it keeps a sample.
    #[serde(skip_serializing_if = "is_usual_limit")]
    pub limit: u64,
    /// What stands for a client without a routing key: the first that a request has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<IdentitySource>,
    /// Where a client says that it is ready, or blocked: this request header.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_header")]
    pub declare: Option<String>,
    /// When a client for whom the new version fails is taken back.
    #[serde(skip_serializing_if = "PinBack::is_default")]
    pub pin_back: PinBack,
    /// Keys that get the newest version as soon as anybody does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<String>,
    /// Keys that get the newest version when everybody does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
    /// Keys that were taken back to the stable version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned_back: Vec<String>,
}

impl Default for ClientPlan {
    fn default() -> Self {
        ClientPlan {
            limit: CLIENTS_MAX as u64,
            identity: Vec::new(),
            declare: None,
            pin_back: PinBack::default(),
            ready: Vec::new(),
            blocked: Vec::new(),
            pinned_back: Vec::new(),
        }
    }
}

impl ClientPlan {
    /// Whether the plan says nothing of clients.
    pub fn is_default(&self) -> bool {
        *self == ClientPlan::default()
    }

    /// Whether it lists anybody who is treated apart.
    pub fn names_somebody(&self) -> bool {
        [&self.ready, &self.blocked, &self.pinned_back].iter().any(|keys| !keys.is_empty())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_usual_limit(limit: &u64) -> bool {
    *limit == CLIENTS_MAX as u64
}

fn as_header<S: Serializer>(name: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(name.iter().map(|name| ("header", name)))
}

/// What stands for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// An API key: the value of this request header, by its lower-case name.
    Header(String),
    /// The subject of the certificate that the client showed.
    Mtls,
    /// A claim of the token that was verified.
    Jwt(String),
    /// Address and user agent.
    Address,
}

impl Serialize for IdentitySource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = match self {
            IdentitySource::Header(name) => ("header", name),
            IdentitySource::Jwt(claim) => ("jwt", claim),
            IdentitySource::Mtls => return serializer.serialize_str("mtls"),
            IdentitySource::Address => return serializer.serialize_str("address"),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(kind, name)?;
        map.end()
    }
}

/// When a client for whom the new version fails is taken back to the stable one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PinBack {
    /// Of the clients that are taken back, the share that may be without cause.
    pub fdr: f64,
    /// Requests of a client before it is judged.
    pub min_requests: u64,
    /// What is done.
    pub mode: PinBackMode,
}

impl Default for PinBack {
    fn default() -> Self {
        PinBack { fdr: 0.05, min_requests: 20, mode: PinBackMode::Suggest }
    }
}

impl PinBack {
    fn is_default(&self) -> bool {
        *self == PinBack::default()
    }
}

/// What is done for a client for whom the new version fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PinBackMode {
    /// Nothing: nobody looks.
    Off,
    /// It is told.
    Suggest,
    /// The client is taken back, and it is told.
    Auto,
}

pub(super) fn read_clients(node: &Node<'_, '_>) -> Option<ClientPlan> {
    let usual = ClientPlan::default();
    let fields = node.object()?;
    let limit = fields.get("limit").map(|node| match node.value.as_u64() {
        Some(limit) if (1..=CLIENTS_NATIVE_MAX).contains(&limit) => Some(limit),
        _ => node.wrong(&format!("not a number of clients from 1 to {CLIENTS_NATIVE_MAX}")),
    });
    let identity = fields.get("identity").map(|node| read_identities(&node));
    let declare = fields.get("declare").map(|node| {
        let fields = node.object()?;
        let header = fields.require("header", "the request header that says it");
        fields.refuse_unknown();
        header?.name().map(str::to_ascii_lowercase)
    });
    let pin_back = fields.get("pin_back").map(|node| read_pin_back(&node));
    let keys =
        |name| fields.get(name).map(|node: Node<'_, '_>| read_keys(&node, LISTED_CLIENTS_MAX));
    let (ready, blocked, pinned_back) = (keys("ready"), keys("blocked"), keys("pinned_back"));
    fields.refuse_unknown();
    let ready = ready.unwrap_or(Some(Vec::new()))?;
    let blocked = blocked.unwrap_or(Some(Vec::new()))?;
    let mut sorted: Vec<&String> = ready.iter().collect();
    crate::order::sort(&mut sorted);
    if let Some(both) = blocked.iter().find(|key| sorted.binary_search(key).is_ok()) {
        return node.note(format!(
            "`{}` is among `ready` and among `blocked`: it can be one of them",
            crate::json::shown(both)
        ));
    }
    Some(ClientPlan {
        limit: limit.unwrap_or(Some(usual.limit))?,
        identity: identity.unwrap_or(Some(usual.identity))?,
        declare: super::brownout::flip(declare)?,
        pin_back: pin_back.unwrap_or(Some(usual.pin_back))?,
        ready,
        blocked,
        pinned_back: pinned_back.unwrap_or(Some(Vec::new()))?,
    })
}

fn read_identities(node: &Node<'_, '_>) -> Option<Vec<IdentitySource>> {
    let mut sources: Vec<IdentitySource> = Vec::new();
    let mut complete = true;
    for node in node.list(IDENTITIES_MAX)? {
        match read_identity(&node) {
            Some(source) if sources.contains(&source) => {
                node.wrong::<()>("named twice");
                complete = false;
            }
            Some(source) => sources.push(source),
            None => complete = false,
        }
    }
    complete.then_some(sources)
}

fn read_identity(node: &Node<'_, '_>) -> Option<IdentitySource> {
    match node.value.as_str() {
        Some("mtls") => return Some(IdentitySource::Mtls),
        Some("address") => return Some(IdentitySource::Address),
        _ if node.value.is_object() => {}
        _ => return node.wrong("not {header: NAME}, {jwt: CLAIM}, mtls or address"),
    }
    let fields = node.object()?;
    let (header, jwt) = (fields.get("header"), fields.get("jwt"));
    fields.refuse_unknown();
    match (header, jwt) {
        (Some(node), None) => Some(IdentitySource::Header(node.name()?.to_ascii_lowercase())),
        (None, Some(node)) => Some(IdentitySource::Jwt(node.name()?.to_owned())),
        _ => node.note("exactly one of `header` or `jwt` (a name) is needed"),
    }
}

fn read_pin_back(node: &Node<'_, '_>) -> Option<PinBack> {
    let usual = PinBack::default();
    let fields = node.object()?;
    let fdr = fields
        .get("fdr")
        .map(|node| node.number(|r| r > 0.0 && r < 1.0, "not a ratio above 0 and below 1"));
    let min = fields.get("min_requests").map(|node| node.whole(OUTCOME_COUNT_MAX));
    let modes =
        [("off", PinBackMode::Off), ("suggest", PinBackMode::Suggest), ("auto", PinBackMode::Auto)];
    let mode = fields.get("mode").map(|node| node.word(&modes));
    fields.refuse_unknown();
    Some(PinBack {
        fdr: fdr.unwrap_or(Some(usual.fdr))?,
        min_requests: min.unwrap_or(Some(usual.min_requests))?.max(1),
        mode: mode.unwrap_or(Some(usual.mode))?,
    })
}
