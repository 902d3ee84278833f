//! `cargo xtask edge`: the modules that run at the edge, to where their configurations
//! look for them.

use std::fs;

use crate::command::{TaskError, root};
use crate::{artefact, wasm_target};

/// Build what runs at the edge: crossfade.wasm for Workers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    worker()
}

/// The portable module, unchanged, beside the Worker.
fn worker() -> Result<(), TaskError> {
    wasm_target::require(wasm_target::TARGET)?;
    let package = ["--package=crossfade-module", "--profile=wasm", "--target", wasm_target::TARGET];
    let module = artefact::wasm("crossfade", &package)?;
    let folder = "edge/worker";
    fs::create_dir_all(root().join(folder))
        .map_err(|source| TaskError::Write { path: folder.to_owned(), source })?;
    artefact::place(&module, "edge/worker/crossfade.wasm")
}
