//! Messages about clients.

use crossfade_protocol::limits::CLIENTS_LISTED_MAX;
use crossfade_protocol::reply::{ClientSeen, Clients};
use crossfade_protocol::request::{Ledger as Asked, Selection};
use crossfade_protocol::{ErrorCode, Fault, json};

use super::{Engine, write};
use crate::census::Identity;

impl Engine {
    pub(super) fn ledger(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match asked {
            Asked::List(selection) => write::reply(out, to, &self.clients(&selection)?),
            _ => {
                let text = "this engine keeps no ledger of clients".to_owned();
                return Err(Fault { code: ErrorCode::NotSupported, text });
            }
        }
        Ok(())
    }

    fn clients(&self, selection: &Selection) -> Result<Clients, Fault> {
        let place = match &selection.version {
            None => None,
            Some(name) => Some(self.versions().index(name).ok_or_else(|| {
                Fault::unknown(format!(
                    "no version `{}`: known are {}",
                    json::shown(name),
                    self.versions().listed()
                ))
            })? as u16),
        };
        let total = place.map_or(self.census.len() as u64, |place| self.census.on_version(place));
        let listed = self.census.busiest(place, selection.limit.min(CLIENTS_LISTED_MAX));
        let clients = listed.into_iter().map(|client| ClientSeen {
            client: String::from_utf8_lossy(client.key).into_owned(),
            identity: match client.identity {
                Identity::Key => "key",
                Identity::Sender => "sender",
            },
            version: self.policy.version_name(client.version).to_owned(),
            last_seen_ms: u64::from(client.last_seen_s) * 1000,
            requests: client.requests.into(),
            known: None,
        });
        let exact = self.census.uncounted() == 0;
        Ok(Clients { total, exact, low: None, high: None, clients: clients.collect() })
    }
}
