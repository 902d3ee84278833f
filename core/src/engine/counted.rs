//! Clients as this node's own census has them.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::limits::CLIENTS_LISTED_MAX;
use crossfade_protocol::reply::{ClientSeen, Clients as ClientsReply};
use crossfade_protocol::request::{ClientState, Selection};
use crossfade_protocol::{Fault, json};

use super::{Engine, no_ledger};

impl Engine {
    pub(super) fn place(&self, selection: &Selection) -> Result<Option<u16>, Fault> {
        let Some(name) = &selection.version else { return Ok(None) };
        let place = self.versions().index(name).ok_or_else(|| {
            let listed = self.versions().listed();
            Fault::unknown(format!("no version `{}`: known are {listed}", json::shown(name)))
        })?;
        Ok(Some(place as u16))
    }

    /// The same of a node that keeps no ledger, from its own census.
    pub(super) fn counted_clients(&self, selection: &Selection) -> Result<ClientsReply, Fault> {
        let place = self.place(selection)?;
        if selection.state.is_some_and(|state| state != ClientState::Active)
            || selection.software.is_some()
        {
            return Err(no_ledger());
        }
        let total = place.map_or(self.census.len() as u64, |place| self.census.on_version(place));
        let end = selection.offset.saturating_add(selection.limit);
        let listed = self.census.busiest(place, end);
        let clients = listed.into_iter().skip(selection.offset).take(CLIENTS_LISTED_MAX);
        let clients = clients.map(|client| ClientSeen {
            client: String::from_utf8_lossy(client.key).into_owned(),
            identity: Identity::from_byte(client.identity as u8).as_str(),
            version: self.policy.version_name(client.version).to_owned(),
            last_seen_ms: u64::from(client.last_seen_s) * 1000,
            requests: client.requests.into(),
            known: None,
        });
        let exact = self.census.uncounted() == 0;
        Ok(ClientsReply { total, exact, low: None, high: None, clients: clients.collect() })
    }
}
