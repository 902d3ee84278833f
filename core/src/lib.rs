//! The engine of Crossfade: a function from messages, time and chance to messages.
//!
//! *Does:* decide which version serves a request, count what happened, move a
//! rollout, and answer the protocol.
//!
//! *Does not:* read a clock, draw randomness it was not given, do I/O, spawn
//! threads, or know which host it runs in.

mod blob;
pub mod bucket;
pub mod census;
pub mod decision;
pub mod engine;
pub mod guest;
pub mod latency;
pub mod policy;
pub mod request;
mod rule;
pub mod split;
pub mod tally;

pub use crossfade_protocol as protocol;
pub use decision::Decision;
pub use engine::Engine;
pub use policy::Policy;
pub use request::Request;
