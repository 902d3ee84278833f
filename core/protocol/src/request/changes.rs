//! Messages about what a node's own clients did, for a host that reports them.

use serde_json::{Map, Value};

use crate::clients::ClientRow;
use crate::error::Fault;

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
    /// `note_clients`: what the host knows of calls beyond what the engine decided. The
    /// versions are by their places in the policy's list.
    Note {
        /// What is known of each client.
        clients: Vec<ClientRow>,
        /// Requests of clients that the host itself has left out.
        dropped: u64,
    },
}

/// Reads `take_clients`, or `note_clients`. Its clients are those of a report, and read by
/// the same code, from text.
pub(super) fn read(name: &str, body: &Map<String, Value>) -> Result<Changes, Fault> {
    let number = |name| body.get(name).and_then(Value::as_u64);
    if name == "take_clients" {
        return Ok(Changes::Take {
            acknowledged: number("acknowledged"),
            refused: number("refused"),
        });
    }
    let text = body.get("clients").map(crate::reply::json_text).unwrap_or_default();
    let dropped = number("dropped").unwrap_or_default();
    ClientRow::read_all(&text).map(|clients| Changes::Note { clients, dropped })
}
