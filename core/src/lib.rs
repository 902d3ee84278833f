//! The engine of Crossfade: a function from messages, time and chance to messages.
//!
//! *Does:* decide which version serves a request, count what happened, move a
//! rollout, and answer the protocol.
//!
//! *Does not:* read a clock, draw randomness it was not given, do I/O, spawn
//! threads, or know which host it runs in.

#[cfg(feature = "ledger")]
mod brownouts;
pub mod bucket;
pub mod census;
pub mod changes;
#[cfg(feature = "ledger")]
mod clients;
mod controller;
pub mod decision;
pub mod draws;
pub mod engine;
pub mod event;
pub mod gate;
pub mod guard;
pub mod guest;
mod health;
pub mod latency;
pub mod life;
pub mod policy;
pub mod request;
pub mod rollout;
mod rule;
pub mod split;
#[cfg(feature = "ledger")]
mod survey;
pub mod tally;

pub use crossfade_protocol as protocol;
pub use decision::Decision;
pub use engine::Engine;
pub use policy::Policy;
pub use request::Request;
