//! `cargo xtask web`: the façade's module and its JavaScript, into `web/pkg`.

use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use crate::command::{TaskError, root, say};
use crate::{artefact, wasm_target};

/// Build the engine for JavaScript into web/pkg
///
/// Compiles crossfade-web to wasm and writes the glue that loads it, with TypeScript
/// types. One set of files serves browsers (`await init()`) and Node (`initSync` with
/// the bytes of the .wasm file).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    wasm_target::require(wasm_target::TARGET)?;
    build("web/pkg", "page", &[])
}

/// Compiles the façade by a profile, with more arguments for cargo, and writes what loads it
/// to a folder.
pub(crate) fn build(folder: &str, profile: &str, more: &[&str]) -> Result<(), TaskError> {
    let module = compile(profile, more)?;
    let package = root().join(folder);
    write_glue(&module, &package)?;
    let written = package.join("crossfade_web_bg.wasm");
    let bytes = std::fs::metadata(&written)
        .map_err(|source| TaskError::Read { path: written.display().to_string(), source })?
        .len();
    say(&format!("{folder}: crossfade_web.js and {} KB of wasm", bytes.div_ceil(1000)));
    Ok(())
}

fn compile(profile: &str, more: &[&str]) -> Result<PathBuf, TaskError> {
    let package =
        ["--package=crossfade-web", "--profile", profile, "--target", wasm_target::TARGET];
    artefact::wasm("crossfade_web", &[package.as_slice(), more].concat())
}

fn write_glue(module: &Path, package: &Path) -> Result<(), TaskError> {
    let generate = || {
        Bindgen::new()
            .input_path(module)
            .web(true)?
            // Without it `init()` does not know where its .wasm file is; the library's
            // default differs from the command's.
            .omit_default_module_path(false)
            .typescript(true)
            .remove_name_section(true)
            .remove_producers_section(true)
            .generate(package)
    };
    generate().map_err(|cause| TaskError::Glue {
        module: module.display().to_string(),
        why: format!("{cause:#}"),
    })
}
