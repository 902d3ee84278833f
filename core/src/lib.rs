//! The engine of Crossfade: a function from messages, time and chance to messages.
//!
//! *Does:* decide which version serves a request, count what happened, move a
//! rollout, and answer the protocol.
//!
//! *Does not:* read a clock, draw randomness it was not given, do I/O, spawn
//! threads, or know which host it runs in.

pub mod guest;

pub use crossfade_protocol as protocol;

pub mod engine;
pub use engine::Engine;
