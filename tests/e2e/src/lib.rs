//! Whole migrations, with every part as it runs: two services, a real Envoy with the
//! filter, `crossfade serve` on its own store or on three NATS servers, and 5,000 users who
//! call over loopback HTTP.
//!
//! *Does:* start the parts, kill and restart them, have users call all the while, and hold
//! what each user sees against what may be seen.
//!
//! *Does not:* stand in for any part, or know what the right decision is: users only
//! compare what they get with what they got before.

#![expect(clippy::panic, reason = "a test falls over")]

pub mod crowd;
pub mod world;

use std::time::Duration;

/// Longer than anything takes on a busy machine; reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// Asks until the answer is there.
///
/// # Panics
/// When it is not there within [`PATIENCE`]; `what` says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    crossfade_edge_tests::wait_at_most(PATIENCE, what, ask)
}
