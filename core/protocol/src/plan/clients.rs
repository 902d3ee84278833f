//! Who the clients are, what they may say, and who of them is treated apart.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::limits::{
    CLIENTS_MAX, CLIENTS_NATIVE_MAX, IDENTITIES_MAX, LISTED_BYTES_MAX, LISTED_CLIENTS_MAX,
    OUTCOME_COUNT_MAX,
};
use crate::read::{Fields, Node};

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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls; it depends on the target")]
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
    let fields = node.object()?;
    let limit = fields.whole_or("limit", (1, CLIENTS_NATIVE_MAX), CLIENTS_MAX as u64);
    let identity = match fields.get("identity") {
        None => Some(Vec::new()),
        Some(node) => read_identities(&node),
    };
    let declare = match fields.get("declare") {
        None => Some(None),
        Some(node) => read_declare(&node),
    };
    let pin_back = match fields.get("pin_back") {
        None => Some(PinBack::default()),
        Some(node) => read_pin_back(&node),
    };
    let ready = read_listed(&fields, "ready");
    let blocked = read_listed(&fields, "blocked");
    let pinned_back = read_listed(&fields, "pinned_back");
    fields.refuse_unknown();
    let (ready, blocked) = (ready?, blocked?);
    let mut sorted: Vec<&String> = ready.iter().collect();
    crate::order::sort(&mut sorted);
    if let Some(both) = blocked.iter().find(|key| sorted.binary_search(key).is_ok()) {
        return node.note(format!(
            "`{}` is among `ready` and among `blocked`: it can be one of them",
            crate::json::shown(both)
        ));
    }
    Some(ClientPlan {
        limit: limit?,
        identity: identity?,
        declare: declare?,
        pin_back: pin_back?,
        ready,
        blocked,
        pinned_back: pinned_back?,
    })
}

fn read_listed(fields: &Fields<'_, '_>, name: &'static str) -> Option<Vec<String>> {
    let keys = fields.keys_or_none(name, LISTED_CLIENTS_MAX)?;
    match keys.iter().map(|key| listed_bytes(key)).sum::<usize>() {
        0..=LISTED_BYTES_MAX => Some(keys),
        bytes => fields.get(name)?.note(format!(
            "{bytes} bytes of names, at most {LISTED_BYTES_MAX} are right: edges read no longer policy"
        )),
    }
}

/// What a key takes in a list, as JSON: at most.
pub fn listed_bytes(key: &str) -> usize {
    let byte = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    key.bytes().map(byte).sum::<usize>() + 3
}

fn read_declare(node: &Node<'_, '_>) -> Option<Option<String>> {
    let fields = node.object()?;
    let header = fields.require("header", "the request header that says it");
    fields.refuse_unknown();
    Some(Some(header?.name()?.to_ascii_lowercase()))
}

fn read_identities(node: &Node<'_, '_>) -> Option<Vec<IdentitySource>> {
    let items = node.list(IDENTITIES_MAX)?;
    let mut sources: Vec<IdentitySource> = Vec::new();
    for node in &items {
        match read_identity(node) {
            Some(source) if sources.contains(&source) => drop(node.wrong::<()>("named twice")),
            Some(source) => sources.push(source),
            None => {}
        }
    }
    (sources.len() == items.len()).then_some(sources)
}

fn read_identity(node: &Node<'_, '_>) -> Option<IdentitySource> {
    match node.value.as_str() {
        Some("mtls") => return Some(IdentitySource::Mtls),
        Some("address") => return Some(IdentitySource::Address),
        _ if node.value.is_object() => {}
        _ => return node.wrong("not {header: NAME}, {jwt: CLAIM}, mtls or address"),
    }
    let fields = node.object()?;
    let (header, jwt) = (fields.name_or_none("header"), fields.name_or_none("jwt"));
    fields.refuse_unknown();
    match (header?, jwt?) {
        (Some(name), None) => Some(IdentitySource::Header(name.to_ascii_lowercase())),
        (None, Some(claim)) => Some(IdentitySource::Jwt(claim)),
        _ => node.note("exactly one of `header` or `jwt` (a name) is needed"),
    }
}

fn read_pin_back(node: &Node<'_, '_>) -> Option<PinBack> {
    let usual = PinBack::default();
    let fields = node.object()?;
    let fdr = fields.ratio_or("fdr", (0.0, false), usual.fdr);
    let min = fields.whole_or("min_requests", (0, OUTCOME_COUNT_MAX), usual.min_requests);
    let modes =
        [("off", PinBackMode::Off), ("suggest", PinBackMode::Suggest), ("auto", PinBackMode::Auto)];
    let mode = match fields.get("mode") {
        None => Some(usual.mode),
        Some(node) => node.word(&modes),
    };
    fields.refuse_unknown();
    Some(PinBack { fdr: fdr?, min_requests: min?.max(1), mode: mode? })
}
