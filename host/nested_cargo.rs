//! A cargo inside a cargo: how the build script builds the module, and the tests their
//! guests, for wasm, whatever the outer build is about.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// What every module is compiled to.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Runs `cargo build` with this profile in the workspace at `root`, in a target
/// directory of its own (the outer cargo holds the lock of the usual one).
///
/// Gives the directory where the built modules lie.
///
/// # Errors
/// Cargo cannot be run, or what it said.
pub(crate) fn build(
    root: &Path,
    target_dir: &Path,
    profile: &str,
    what: &[&str],
) -> io::Result<PathBuf> {
    // Set by cargo for build scripts and tests; a test that is run by hand has none.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--profile", profile, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .args(what);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_the_outer_build) {
            cargo.env_remove(name);
        }
    }
    // The same bytes wherever the sources lie: panic messages carry file names.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remap(root));
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(target_dir.join(TARGET).join(profile))
}

/// Whether a variable describes the outer build (its profile, features, compiler
/// wrappers, flags) and would bend the inner one. How cargo reaches its registry,
/// and its job server, are the same for both.
fn belongs_to_the_outer_build(name: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "CARGO_FEATURE_",
        "CARGO_CFG_",
        "CARGO_PROFILE_",
        "CARGO_PKG_",
        "CARGO_BUILD_",
        "CARGO_TARGET_",
        "CARGO_LLVM_COV",
    ];
    const NAMES: [&str; 17] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "DEBUG",
        "HOST",
        "LLVM_PROFILE_FILE",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
        "TARGET",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

fn remap(root: &Path) -> String {
    let mut flags = vec![format!("--remap-path-prefix={}=.", root.display())];
    if let Some(home) = env::var_os("CARGO_HOME").or_else(default_cargo_home) {
        flags.push(format!("--remap-path-prefix={}=cargo", Path::new(&home).display()));
    }
    flags.join("\x1f")
}

fn default_cargo_home() -> Option<OsString> {
    env::var_os("HOME").map(|home| Path::new(&home).join(".cargo").into_os_string())
}
