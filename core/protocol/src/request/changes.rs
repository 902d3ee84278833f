//! Messages about what a node's own clients did, for a host that reports them.

use super::read::{flip, read_version};
use crate::clients::{Declared, Identity};
use crate::limits::{ATTRIBUTE_BYTES_MAX, KEY_BYTES_MAX, OUTCOME_COUNT_MAX, OUTCOMES_MAX};
use crate::plan::Versions;
use crate::read::{Fields, Node};

/// Something about the clients that a node has seen since its last report of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Changes {
    /// `take_clients`: the next report, or once more the one that is not acknowledged.
    Take {
        /// The report of this number, and every one before, was taken in.
        acknowledged: Option<u64>,
        /// The report of this number never will be.
        refused: Option<u64>,
    },
    /// `note_clients`: what the host knows of calls beyond what the engine decided.
    Note(Vec<Noted>),
}

/// What is known of one client's calls to one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Who.
    pub client: String,
    /// Where that comes from.
    pub identity: Identity,
    /// The version: its place in the policy's list.
    pub version: usize,
    /// Requests that the engine has not counted by itself.
    pub requests: u64,
    /// Failures, also of requests that it has.
    pub failures: u64,
    /// How many of the requests were refused.
    pub refused: u64,
    /// The software, of what was in `user-agent`.
    pub agent: Option<String>,
    /// What the client declares of itself.
    pub says: Option<Declared>,
}

/// The names of messages that [`read`] takes.
pub(super) const TYPES: [&str; 2] = ["take_clients", "note_clients"];

/// Reads a message of this kind.
pub(super) fn read(name: &str, fields: &Fields<'_, '_>, versions: &Versions) -> Option<Changes> {
    if name == "take_clients" {
        let number = |name| flip(fields.get(name).map(|node: Node<'_, '_>| node.whole(u64::MAX)));
        let (acknowledged, refused) = (number("acknowledged"), number("refused"));
        return Some(Changes::Take { acknowledged: acknowledged?, refused: refused? });
    }
    let list = fields.require("clients", "a list of {client, version}")?;
    let items = list.list(OUTCOMES_MAX)?;
    let read: Vec<_> = items.iter().map(|node| read_noted(node, versions)).collect();
    read.into_iter().collect::<Option<_>>().map(Changes::Note)
}

fn read_noted(node: &Node<'_, '_>, versions: &Versions) -> Option<Noted> {
    let fields = node.object()?;
    let client = fields
        .require("client", "whom it is about")
        .and_then(|node| node.text(KEY_BYTES_MAX).map(str::to_owned));
    let identities = Identity::ALL.map(|identity| (identity.as_str(), identity));
    let identity = flip(fields.get("identity").map(|node| node.word(&identities)));
    let version = read_version(&fields, versions);
    let count = |name| {
        let count = flip(fields.get(name).map(|node: Node<'_, '_>| node.whole(OUTCOME_COUNT_MAX)));
        Some(count?.unwrap_or_default())
    };
    let (requests, failures, refused) = (count("requests"), count("failures"), count("refused"));
    let text = |name| {
        let node = fields.get(name);
        flip(node.map(|node: Node<'_, '_>| node.text(ATTRIBUTE_BYTES_MAX).map(str::to_owned)))
    };
    let (agent, declares) = (text("agent"), text("declares"));
    let agent = agent?.and_then(|agent| crate::agent::product(agent.as_bytes()).map(str::to_owned));
    Some(Noted {
        client: client?,
        identity: identity?.unwrap_or_default(),
        version: version?,
        requests: requests?,
        failures: failures?,
        refused: refused?,
        agent,
        says: declares?.and_then(|text| crate::agent::declared(text.as_bytes())),
    })
}
