//! `cargo xtask test-fleet`: the fleet's store, on real servers.

use crate::command::{Run, TaskError};
use crate::fleet_tools;

/// Test the store of a fleet on real NATS servers
///
/// Installs nats-server first. One server and three, with kills.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    fleet_tools::run(&fleet_tools::Args {})?;
    let path = fleet_tools::nats_server_path().display().to_string();
    // Compiled where they are asked for alone: a test that needs a server is none that
    // `cargo test` may fail at.
    for which in [["--lib", "--", "serve::store::nats"].as_slice(), &["--test=fleet", "--"]] {
        let test = ["test", "--package=crossfade", "--features=test-nats"];
        let args = [&test, which, &["--test-threads=2"]].concat();
        Run::cargo(&args).env("CROSSFADE_NATS_SERVER", &path).show()?;
    }
    Ok(())
}
