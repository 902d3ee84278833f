//! The engine in an Envoy, as a proxy-wasm filter.
//!
//! *Does:* find the key of a request, decide with the engine, write the version to a header
//! that ordinary routes choose by, refuse what a brownout or the sunset refuses, mark
//! responses of an old version, mirror requests to a new one before anybody gets its
//! answers, count, take newer policies from a control server and report totals and clients
//! to it, and show all this in Envoy's statistics. Everything but `envoy.rs` runs natively
//! too, over a [`host::Host`].
//!
//! *Does not:* forward what clients wait for, look at bodies, keep a client beyond its report, or move a
//! rollout: that is the controller's.

// A trap costs every request in flight on that worker, so nothing here may.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod clients;
pub mod config;
pub mod control;
mod cookie;
#[cfg(target_arch = "wasm32")]
mod envoy;
pub mod filter;
pub mod host;
pub mod live;
#[cfg(not(target_arch = "wasm32"))]
pub mod memory;
pub mod metrics;
pub mod node;
mod report;
mod request;
pub mod root;
pub mod shadow;
mod shared;
