//! Messages about clients, brownouts and the life of a migration.

use serde_json::{Map, Value};

use super::read::{flip, read_key};
use crate::clients::{ClientsReport, Declared, Identity};
use crate::error::Fault;
use crate::limits::{CLIENTS_LISTED_MAX, KEY_BYTES_MAX};
use crate::read::{Fields, Node};

/// Something that is asked of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Ledger {
    /// `report_clients`: what a node has seen.
    Report(Box<ClientsReport>),
    /// `get_clients`: who is there.
    List(Box<Selection>),
    /// `get_client`: one of them.
    Show(Who),
    /// `declare_client`: what it says of itself; nothing takes back what it said before.
    Declare(Who, Option<Declared>),
    /// `repin_client`: to a version whatever the policy says, or no longer.
    Repin {
        /// Whom.
        who: Who,
        /// Back to the old version (true), or wherever the policy leads.
        back: bool,
        /// Why, for the record.
        reason: String,
    },
    /// `forget_client`: every trace of it.
    Forget(Who),
}

/// One client. The same name from elsewhere is another client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Its key.
    pub client: String,
    /// Where that comes from; whichever has it, the best first, when it is not said.
    pub identity: Option<Identity>,
}

/// Which clients are listed, and in what order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Last served by this version.
    pub version: Option<String>,
    /// In this state.
    pub state: Option<ClientState>,
    /// Whose software has this name, whatever its version; or this name and version.
    pub software: Option<String>,
    /// Whose key has this in it.
    pub contains: Option<String>,
    /// In what order.
    pub sort: ClientOrder,
    /// The other way round.
    pub reverse: bool,
    /// So many of the first are left out.
    pub offset: usize,
    /// At most so many are given.
    pub limit: usize,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one, with its name in messages.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($text, $name::$variant)),*];

            /// The name in messages.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

words! {
    /// How a client stands to the old version.
    ClientState {
        /// It calls as often as it always did.
        #[default]
        Active = "active",
        /// Its next call is overdue, but may come.
        Silent = "silent",
        /// It will hardly come again.
        Gone = "gone",
        /// It calls the new version, and will hardly go back.
        Moved = "moved",
        /// It said that it must not be moved.
        Blocked = "blocked",
        /// It was sent back, since the new version fails it.
        PinnedBack = "pinned_back",
    }
}

words! {
    /// What clients are listed by; the first has most of it.
    ClientOrder {
        /// Requests, most first.
        #[default]
        Requests = "requests",
        /// Requests to versions other than the newest, most first.
        OldRequests = "old_requests",
        /// The last call, latest first.
        LastSeen = "last_seen",
        /// The first call, latest first.
        FirstSeen = "first_seen",
        /// The usual interval, longest first.
        Interval = "interval",
        /// The next call, soonest first.
        Expected = "expected",
        /// How likely it calls the old version again, most likely first.
        Again = "again",
        /// The key, in order of its bytes.
        Client = "client",
    }
}

/// Reads a message of this kind, if `name` is one.
pub(super) fn read(name: &str, fields: &Fields<'_, '_>) -> Option<Ledger> {
    match name {
        "get_clients" => read_selection(fields).map(Box::new).map(Ledger::List),
        "get_client" => read_who(fields).map(Ledger::Show),
        "declare_client" => {
            let who = read_who(fields);
            let reason = read_text(fields, "reason");
            let says = fields.require("says", "`ready`, `blocked` or `nothing`").and_then(|node| {
                node.word(&[("ready", Some(true)), ("blocked", Some(false)), ("nothing", None)])
            });
            let says = match says? {
                Some(true) => Some(Declared::Ready),
                Some(false) => Some(Declared::Blocked(reason?.unwrap_or_default())),
                None => None,
            };
            Some(Ledger::Declare(who?, says))
        }
        "repin_client" => {
            let who = read_who(fields);
            let back = fields
                .require("to", "`old` or `policy`")
                .and_then(|node| node.word(&[("old", true), ("policy", false)]));
            let reason = read_text(fields, "reason")?.unwrap_or_default();
            Some(Ledger::Repin { who: who?, back: back?, reason })
        }
        _ => read_who(fields).map(Ledger::Forget),
    }
}

/// The names of messages that [`read`] takes.
pub(super) const TYPES: [&str; 5] =
    ["get_clients", "get_client", "declare_client", "repin_client", "forget_client"];

fn read_who(fields: &Fields<'_, '_>) -> Option<Who> {
    let client = fields
        .require("client", "whom it is about")
        .and_then(|node| node.text(KEY_BYTES_MAX).map(str::to_owned));
    let identities = Identity::ALL.map(|identity| (identity.as_str(), identity));
    let identity = flip(fields.get("identity").map(|node| node.word(&identities)));
    Some(Who { client: client?, identity: identity? })
}

fn read_text(fields: &Fields<'_, '_>, name: &'static str) -> Option<Option<String>> {
    flip(fields.get(name).map(|node| node.text(KEY_BYTES_MAX).map(str::to_owned)))
}

fn read_selection(fields: &Fields<'_, '_>) -> Option<Selection> {
    let version = fields.name_or_none("version");
    let software = fields.name_or_none("software");
    let contains = read_key(fields, "match");
    let state = flip(fields.get("state").map(|node| node.word(ClientState::ALL)));
    let sort = flip(fields.get("sort").map(|node| node.word(ClientOrder::ALL)));
    let reverse = flip(fields.get("reverse").map(|node| node.flag()));
    let number = |field| {
        let number = flip(fields.get(field).map(|node: Node<'_, '_>| node.whole(u64::MAX)))?;
        Some(number.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    };
    let (offset, limit) = (number("offset"), number("limit"));
    Some(Selection {
        version: version?,
        state: state?,
        software: software?,
        contains: contains?,
        sort: sort?.unwrap_or_default(),
        reverse: reverse?.unwrap_or_default(),
        offset: offset?.unwrap_or_default(),
        limit: limit?.unwrap_or(100).min(CLIENTS_LISTED_MAX),
    })
}

/// A report in a message. It is read from text again: a report that comes by itself, the
/// usual way, is read from text, and code for both would be twice as much.
pub(super) fn read_report(body: &Map<String, Value>) -> Result<Ledger, Fault> {
    ClientsReport::read(crate::reply::json_text(body).as_bytes()).map(Box::new).map(Ledger::Report)
}
