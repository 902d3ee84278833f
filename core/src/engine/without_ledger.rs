//! What an engine says that is built without a ledger of clients: that of the page, where
//! every byte is waited for.

use crossfade_protocol::plan::Plan;
use crossfade_protocol::request::{Brownouts, Ledger as Asked, Lives};
use crossfade_protocol::{ErrorCode, Fault};

use super::{Engine, write};

/// There is nothing about clients in such an engine.
#[derive(Debug, Clone, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub(crate) struct Clients;

impl Engine {
    pub(super) fn ledger(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Asked::List(selection) = asked else { return Err(no_ledger()) };
        write::reply(out, to, &self.counted_clients(&selection)?);
        Ok(())
    }

    pub(super) fn brownouts(
        &mut self,
        _: Brownouts,
        _: write::ReplyTo<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        Err(no_ledger())
    }

    pub(super) fn life(
        &mut self,
        _: Lives,
        _: write::ReplyTo<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        Err(no_ledger())
    }

    pub(super) fn begin_life(&mut self) {}

    pub(super) fn leave_shadow(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    pub(super) fn merge_clients(&mut self, _: &[u8], fault: &Fault, out: &mut Vec<u8>) {
        write::error(out, write::ReplyTo::default(), fault);
    }

    pub(super) fn tend_clients(&mut self) {}

    pub(super) fn collect(&mut self) {}

    pub(super) fn reported_clients(&self) -> Option<&Clients> {
        self.clients.as_deref()
    }

    pub(super) fn clients_reported(&self) -> Option<(Vec<u64>, bool)> {
        None
    }

    pub(super) fn list_clients(&mut self) {}

    pub(super) fn mark_listed(&mut self) {}

    pub(super) fn wait_for_listed(&mut self) {}

    pub(super) fn renumber_clients(&mut self, _: &[u16], _: &mut Plan) {}
}

pub(super) fn no_ledger() -> Fault {
    let text = "this engine is built without a ledger of clients".to_owned();
    Fault { code: ErrorCode::NotSupported, text }
}
