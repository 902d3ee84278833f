//! What the control plane remembers, and where.
//!
//! The engine is a function of its calls, so what is kept is a [`Checkpoint`] of its state
//! and every call accepted since. Nothing is acknowledged before the commit that holds it
//! is durable; a commit that fails is as if the process had died before it: the state is
//! loaded again. Beside the calls stand the same facts in a form that people can read:
//! policies, events, and who did what and why.
//!
//! [`Store`] has two implementations: [`sqlite`] on one machine, [`nats`]
//! for a fleet.

mod contract;
pub(crate) mod nats;
pub(crate) mod scrub;
pub(crate) mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

pub(crate) use contract::{
    AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Receipt, Saved, Scrubbed, Store,
    StoreError, View,
};
