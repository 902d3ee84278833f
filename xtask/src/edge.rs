//! `cargo xtask edge`: the modules that run at the edge, to where their configurations
//! look for them.

use std::path::PathBuf;

use crate::command::TaskError;
use crate::{artefact, wasm_target};

/// Build what runs at the edge: the Envoy filter, and crossfade.wasm for Workers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    artefact::place(&filter("crossfade-envoy", &[])?, "edge/envoy/crossfade_envoy.wasm")?;
    wasm_target::require(wasm_target::TARGET)?;
    let package = ["--package=crossfade-module", "--profile=wasm", "--target", wasm_target::TARGET];
    // The portable module, unchanged.
    artefact::place(&artefact::wasm("crossfade", &package)?, "edge/worker/crossfade.wasm")
}

/// The filter that a test-only key traps, beside the one that is shipped.
pub(crate) fn trapping_filter() -> Result<(), TaskError> {
    let module = filter("crossfade-envoy", &["--features=test-trap"])?;
    artefact::place(&module, "edge/envoy/crossfade_envoy_trap.wasm")
}

/// Builds a package that is a proxy-wasm filter.
pub(crate) fn filter(package: &str, more: &[&str]) -> Result<PathBuf, TaskError> {
    wasm_target::require(wasm_target::FILTER_TARGET)?;
    let target = ["--profile=edge", "--target", wasm_target::FILTER_TARGET, "--package", package];
    artefact::wasm(&package.replace('-', "_"), &[target.as_slice(), more].concat())
}
