//! Reporting clients: what this node's own did since the report before.

use crossfade_protocol::Fault;
use crossfade_protocol::clients::Identity;
use crossfade_protocol::reply::{NoteClientsOk, ReportText};
use crossfade_protocol::request::Changes as Asked;

use super::{Engine, write};
use crate::changes::{Call, Changes};

impl Engine {
    /// Remembers what clients do from now on.
    pub(super) fn report_clients(&mut self) {
        let seed = self.draws.next_u64();
        self.changes = Some(Box::new(Changes::new(seed)));
        self.reported_versions();
    }

    /// The policy has changed.
    pub(super) fn reported_versions(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.set_versions(self.policy.versions());
        }
    }

    /// A client's requests were decided, have failed, or were refused: so many of each.
    pub(super) fn reported(
        &mut self,
        key: &[u8],
        identity: Identity,
        version: u16,
        (requests, failures, refused): (u64, u64, u64),
    ) {
        let now_s = u32::try_from(self.now_ms / 1000).unwrap_or(u32::MAX);
        let Some(changes) = &mut self.changes else { return };
        let version = changes.place_of(version);
        let call = Call { key, identity, version, requests, failures, refused, ..Call::default() };
        changes.record(&call, now_s);
    }

    pub(super) fn changes(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (node, epoch, revision) = (self.node.clone(), self.epoch, self.policy.revision());
        let Some(changes) = &mut self.changes else {
            let text = "this node does not report clients: it does when its init document says `\"clients\": \"report\"`";
            return Err(Fault::precondition(text));
        };
        match asked {
            Asked::Take { acknowledged, refused } => {
                changes.acknowledge(acknowledged.unwrap_or_default());
                changes.refused(refused.unwrap_or_default());
                let nothing;
                let text = match changes.next(&node, epoch, revision) {
                    Some(report) => &report.text,
                    None => {
                        nothing = changes.nothing(&node, epoch, revision);
                        &nothing
                    }
                };
                write::reply(out, to, &ReportText(text));
            }
            Asked::Note { clients, dropped } => {
                clients.iter().for_each(|row| changes.add(row));
                changes.leave_out(dropped);
                write::reply(out, to, &NoteClientsOk {});
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
