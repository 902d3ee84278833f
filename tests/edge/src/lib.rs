//! Real proxies, and what stands around them in a test.
//!
//! *Does:* start an Envoy on free ports with a configuration written here, serve it with
//! upstreams that say what they received and with a control server that can misbehave,
//! and send it what no HTTP library would send.
//!
//! *Does not:* stand in for any part of the edge: what is tested is the proxy, the
//! module and the configuration that people run.

#![expect(clippy::panic, reason = "a test falls over")]

pub mod client;
pub mod config;
pub mod control;
pub mod envoy;
pub mod http2;
mod server;
pub mod upstream;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// How long anything may take that should happen soon, on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(30);

/// Asks until the answer is there.
///
/// # Panics
/// When it is not there within [`SOON`]; `what` says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < SOON, "waited {SOON:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
