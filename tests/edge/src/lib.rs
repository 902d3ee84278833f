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
pub mod collector;
pub mod config;
pub mod control;
pub mod envoy;
pub mod http2;
pub mod serve;
mod server;
pub mod upstream;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// `crossfade` with these arguments, not started yet: the one that was built in the same
/// target folder and profile as the tests.
///
/// # Panics
/// When it is not there; the message says what to run.
pub fn crossfade(arguments: &[&str]) -> Command {
    let program = target().join("crossfade");
    assert!(program.exists(), "no {}: run `cargo build -p crossfade`", program.display());
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// What `crossfade` prints with these arguments, given this document on standard input.
///
/// # Panics
/// When it fails; the message is what it said.
pub fn crossfade_says(arguments: &[&str], document: &Value) -> String {
    let mut command = crossfade(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("crossfade can be started");
    let mut input = running.stdin.take().expect("it has a standard input");
    input.write_all(document.to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = running.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "crossfade {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folder of the profile that the tests were built in.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a test knows its own path");
    program.ancestors().nth(2).expect("tests lie in target/*/deps").to_owned()
}

/// An empty folder for the files of one test, below the folder that the tests were built in.
///
/// # Panics
/// When it cannot be made.
pub fn folder(name: &str) -> PathBuf {
    let folder = target().join("edge-tests").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target can be written to");
    folder
}

/// How long anything may take that should happen soon, on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(30);

/// Asks until the answer is there.
///
/// # Panics
/// When it is not there within [`SOON`]; `what` says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_at_most(SOON, what, ask)
}

/// Asks until the answer is there.
///
/// # Panics
/// When it is not there after so long; `what` says what was waited for.
#[track_caller]
pub fn wait_at_most<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
