//! `cargo xtask static`: one program for any Linux, linked with musl.
//!
//! Rust brings musl, and links with it by itself. The libraries in C (SQLite, ring, the
//! helpers of wasmtime) have to be compiled against the same library, so a compiler for it
//! is looked for, and otherwise fetched: zig has one, with all headers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Run, TaskError, root, say};
use crate::{artefact, edge_tools, wasm_target};

/// Build one static program, for any Linux of this processor
///
/// Takes `musl-gcc` where there is one, and otherwise a pinned zig from PyPI, into .tools.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A build for looking at, unoptimised: minutes less
    #[arg(long)]
    debug: bool,
}

const TARGET: &str = match cfg!(target_arch = "aarch64") {
    true => "aarch64-unknown-linux-musl",
    false => "x86_64-unknown-linux-musl",
};

const ZIG: &str = "zig-0.17.1";

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    wasm_target::require(TARGET)?;
    let mut variables = Vec::new();
    if on_the_path("musl-gcc") {
        say("The C in it is compiled by musl-gcc.");
        variables.push(("CC", "musl-gcc".to_owned()));
    } else {
        edge_tools::install(ZIG, "cc", zig)?;
        let tool = |name: &str| edge_tools::tools().join(ZIG).join(name).display().to_string();
        variables.extend([("CC", tool("cc")), ("AR", tool("ar"))]);
    }
    // With the target in their names, since build scripts are compiled for this machine.
    let suffix = TARGET.replace('-', "_");
    let variables: Vec<_> =
        variables.into_iter().map(|(name, value)| (format!("{name}_{suffix}"), value)).collect();
    let mut what = vec!["--package=crossfade", "--bin=crossfade", "--target", TARGET];
    if !args.debug {
        what.push("--release");
    }
    let program = artefact::program_with("crossfade", &what, &variables)?;
    let said = Run::built(program.clone()).args(&["--version"]).output()?;
    let bytes = fs::metadata(&program).map_or(0, |file| file.len());
    let shown = program.strip_prefix(root()).unwrap_or(&program).display();
    say(&format!("{shown}: {}, {} MB, static", said.trim(), bytes.div_ceil(1_000_000)));
    Ok(())
}

fn on_the_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// zig, and two scripts that call it as `cc` and `ar`. Gives the first.
fn zig(folder: &str) -> Result<PathBuf, TaskError> {
    edge_tools::pip("xtask/tools/zig.txt", folder)?;
    script(&root().join(folder).join("ar"), "ar \"$@\"")?;
    // The `cc` crate names the target as Rust does, which zig does not understand.
    let without_target =
        "for a do shift; case $a in --target=*) ;; *) set -- \"$@\" \"$a\" ;; esac; done";
    let target = TARGET.replace("-unknown-", "-");
    let call = format!("cc -target {target} \"$@\"");
    script_after(&root().join(folder).join("zig-cc"), without_target, &call)?;
    Ok(PathBuf::from("zig-cc"))
}

fn script(path: &Path, call: &str) -> Result<(), TaskError> {
    script_after(path, ":", call)
}

fn script_after(path: &Path, first: &str, call: &str) -> Result<(), TaskError> {
    let here = "$(dirname \"$(readlink -f \"$0\")\")";
    let text = format!("#!/bin/sh\n{first}\nexec \"{here}/ziglang/zig\" {call}\n");
    let shown = || path.display().to_string();
    fs::write(path, text).map_err(|source| TaskError::Write { path: shown(), source })?;
    edge_tools::executable(path)
}
