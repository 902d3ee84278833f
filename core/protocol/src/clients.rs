//! What one node has seen of its clients since its report before.
//!
//! Unlike [`Totals`](crate::totals::Totals) these are not cumulative: no edge could keep
//! every client for ever. A report is taken in once: whoever collects keeps the highest
//! sequence of each node and epoch and ignores what is not higher. So a report may come as
//! often as the network likes, and between nodes in any order.

mod read;

use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX, VERSIONS_MAX};

/// Clients of one node, and what they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsReport {
    /// The node's name.
    pub node: String,
    /// The id of this run of the node.
    #[serde(with = "crate::totals::hex")]
    pub epoch: u64,
    /// Grows with every report of this epoch that has other clients in it.
    pub sequence: u64,
    /// Revision of the policy that was in force when this was written.
    pub revision: u64,
    /// Whether there is more to come at once: a report has at most
    /// [`CLIENTS_REPORT_BYTES_MAX`](crate::limits::CLIENTS_REPORT_BYTES_MAX) bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Clients are here whose [`client_hash`] is at most this; absent is all of them.
    #[serde(
        with = "crate::totals::hex",
        default = "everybody",
        skip_serializing_if = "is_everybody"
    )]
    pub theta: u64,
    /// Requests of clients that were left out since the report before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// The versions that rows speak of by their places.
    pub versions: Vec<String>,
    /// Each client once.
    pub clients: Vec<ClientRow>,
}

/// What one client did at one node since that node's report before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// Who: the routing key, or what stands in its place.
    pub key: String,
    /// Where that came from.
    #[serde(default, skip_serializing_if = "Identity::is_key")]
    pub identity: Identity,
    /// The client's software as it calls itself: `name/version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Place of the version that served it last.
    pub on: u8,
    /// For each version it was served by.
    pub counts: Vec<ClientCount>,
    /// Calls that a brownout, or the sunset, refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// What it says of itself, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<Declared>,
}

/// Calls of one client to one version, as `[place, requests, failures, first_s, last_s]`;
/// times in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u8, u64, u64, u32, u32)", into = "(u8, u64, u64, u32, u32)")]
pub struct ClientCount {
    /// Place of the version.
    pub version: u8,
    /// Requests that were decided to go to it.
    pub requests: u64,
    /// How many of them are known to have failed.
    pub failures: u64,
    /// The first of them.
    pub first_s: u32,
    /// The last of them.
    pub last_s: u32,
}

impl From<(u8, u64, u64, u32, u32)> for ClientCount {
    fn from((version, requests, failures, first_s, last_s): (u8, u64, u64, u32, u32)) -> Self {
        ClientCount { version, requests, failures, first_s, last_s }
    }
}

impl From<ClientCount> for (u8, u64, u64, u32, u32) {
    fn from(count: ClientCount) -> Self {
        (count.version, count.requests, count.failures, count.first_s, count.last_s)
    }
}

/// Where a client's identity came from, the best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Identity {
    /// The routing key of the policy.
    #[default]
    Key = 0,
    /// The sender of a message that had no key.
    Sender = 1,
    /// The id of an API key.
    ApiKey = 2,
    /// The subject of a client certificate.
    Mtls = 3,
    /// The subject of a token.
    Jwt = 4,
    /// Address and user agent, since there was nothing better.
    Address = 5,
}

impl Identity {
    /// Every kind, by its number.
    pub const ALL: [Identity; 6] = [
        Identity::Key,
        Identity::Sender,
        Identity::ApiKey,
        Identity::Mtls,
        Identity::Jwt,
        Identity::Address,
    ];

    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Identity::Key => "key",
            Identity::Sender => "sender",
            Identity::ApiKey => "api_key",
            Identity::Mtls => "mtls",
            Identity::Jwt => "jwt",
            Identity::Address => "address",
        }
    }

    /// The kind with this number; the routing key for one that is unknown.
    pub fn from_byte(byte: u8) -> Identity {
        Identity::ALL.get(usize::from(byte)).copied().unwrap_or_default()
    }

    fn is_key(&self) -> bool {
        *self == Identity::Key
    }
}

/// What a client says of its own readiness for the new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declared {
    /// It may be moved at any time.
    Ready,
    /// It must not be moved, because.
    Blocked(String),
}

/// Places a client in every sample alike, at every node: xxh64 of the key, keyed by where it
/// came from.
pub fn client_hash(key: &[u8], identity: Identity) -> u64 {
    // Another number than any salt of a policy, so that a sample has nothing to do with
    // buckets.
    const SAMPLE: u64 = 0x6c65_6467_6572_2f31;
    xxhash_rust::xxh64::xxh64(key, SAMPLE ^ identity as u64)
}

impl ClientRow {
    /// Reads a list of clients.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_all(json: &str) -> Result<Vec<ClientRow>, Fault> {
        read::rows(json)
            .map_err(|e| Fault::malformed(format!("`clients` is no list of clients: {e}")))
    }
}

impl ClientsReport {
    /// Reads a report.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &[u8]) -> Result<ClientsReport, Fault> {
        let wrong = |text| Fault::malformed(format!("not a report of clients: {text}"));
        let text = std::str::from_utf8(json)
            .map_err(|e| wrong(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        let report = read::report(text).map_err(|e| wrong(e.to_string()))?;
        report.check()?;
        Ok(report)
    }

    /// Checks what serde does not: bounds, and that places exist.
    ///
    /// # Errors
    /// What is wrong, with its row.
    pub fn check(&self) -> Result<(), Fault> {
        let wrong =
            |text: String| Err(Fault::malformed(format!("not a report of clients: {text}")));
        if self.node.is_empty() || self.node.len() > NAME_BYTES_MAX {
            return wrong(format!(
                "`node` has {} bytes, 1 to {NAME_BYTES_MAX} are right",
                self.node.len()
            ));
        }
        if self.versions.is_empty() || self.versions.len() > VERSIONS_MAX {
            return wrong(format!(
                "`versions` has {} names, 1 to {VERSIONS_MAX} are right",
                self.versions.len()
            ));
        }
        for (place, row) in self.clients.iter().enumerate() {
            let known = |version: u8| usize::from(version) < self.versions.len();
            if row.key.is_empty() || row.key.len() > KEY_BYTES_MAX {
                return wrong(format!(
                    "clients[{place}].key has {} bytes, 1 to {KEY_BYTES_MAX} are right",
                    row.key.len()
                ));
            }
            if !known(row.on) || row.counts.iter().any(|count| !known(count.version)) {
                return wrong(format!(
                    "clients[{place}] names a version by a place that `versions` does not have"
                ));
            }
            if row.counts.len() > self.versions.len() {
                return wrong(format!(
                    "clients[{place}].counts has {} entries, of {} versions",
                    row.counts.len(),
                    self.versions.len()
                ));
            }
        }
        Ok(())
    }
}

fn everybody() -> u64 {
    u64::MAX
}

fn is_everybody(theta: &u64) -> bool {
    *theta == u64::MAX
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_short_and_read_back() {
        let row = ClientRow {
            key: "ann".to_owned(),
            identity: Identity::Key,
            agent: None,
            on: 1,
            counts: vec![ClientCount {
                version: 1,
                requests: 3,
                failures: 1,
                first_s: 5,
                last_s: 9,
            }],
            refused: 0,
            says: None,
        };
        let report = ClientsReport {
            node: "edge-1".to_owned(),
            epoch: 7,
            sequence: 1,
            revision: 4,
            more: false,
            theta: u64::MAX,
            dropped: 0,
            versions: vec!["v1".to_owned(), "v2".to_owned()],
            clients: vec![row],
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(
            text,
            r#"{"node":"edge-1","epoch":"0000000000000007","sequence":1,"revision":4,"versions":["v1","v2"],"clients":[{"key":"ann","on":1,"counts":[[1,3,1,5,9]]}]}"#
        );
        assert_eq!(serde_json::from_str::<ClientsReport>(&text).unwrap(), report);
        assert!(report.check().is_ok());
        let mut twice = report.clone();
        twice.clients[0].counts = vec![report.clients[0].counts[0]; 3];
        assert_eq!(
            twice.check().unwrap_err().text,
            "not a report of clients: clients[0].counts has 3 entries, of 2 versions"
        );
        let lost = ClientsReport { versions: vec!["v1".to_owned()], ..report };
        assert_eq!(
            lost.check().unwrap_err().text,
            "not a report of clients: clients[0] names a version by a place that `versions` does not have"
        );
    }

    #[test]
    fn the_same_name_from_elsewhere_is_somebody_else() {
        assert_ne!(client_hash(b"a", Identity::Key), client_hash(b"a", Identity::ApiKey));
    }
}
