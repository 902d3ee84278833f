//! `cargo xtask test-e2e`: whole migrations, with every part as it runs.

use crate::command::{Run, TaskError};
use crate::{edge, edge_tools, fleet_tools};

/// Test whole migrations: services, Envoy, control plane, stores, 5,000 users
///
/// Installs Envoy and nats-server first. Parts are killed on the way.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also what takes minutes
    #[arg(long)]
    pub(crate) long: bool,
}

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    edge_tools::run(&edge_tools::Args {})?;
    fleet_tools::run(&fleet_tools::Args {})?;
    edge::run(&edge::Args {})?;
    // As in `test-edge`: without `--package`.
    Run::cargo(&["build", "--bin=crossfade"]).show()?;
    let path = fleet_tools::nats_server_path().display().to_string();
    // Each of them waits for others most of the time.
    let which = if args.long { "--include-ignored" } else { "--show-output" };
    let test = ["test", "--package=crossfade-e2e", "--", "--test-threads=4", which];
    Run::cargo(&test).env("CROSSFADE_NATS_SERVER", &path).show()
}
