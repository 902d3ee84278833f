//! Whether this toolchain can compile to wasm, and one try to make it so.

use std::path::Path;

use crate::command::{Run, TaskError, say};

/// The target of the portable module and of the façade.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The target of the Envoy filter, which asks its host for randomness.
pub(crate) const FILTER_TARGET: &str = "wasm32-wasip1";

/// Returns when this target is installed, after one try of `rustup target add`.
///
/// `targets` in `rust-toolchain.toml` is not enough: with `RUSTUP_AUTO_INSTALL=0` it
/// is silently ignored.
///
/// # Errors
/// [`TaskError::NoWasmTarget`] with the command to run.
pub(crate) fn require(target: &'static str) -> Result<(), TaskError> {
    if installed(target)? {
        return Ok(());
    }
    say(&format!("The target {target} is not installed."));
    let added = Run::program("rustup", "see https://rustup.rs", &["target", "add", target]).show();
    match added {
        Ok(()) if installed(target)? => Ok(()),
        Ok(()) | Err(_) => Err(TaskError::NoWasmTarget { target }),
    }
}

fn installed(target: &str) -> Result<bool, TaskError> {
    let folder = Run::rustc(&["--print", "target-libdir", "--target", target]).output()?;
    Ok(Path::new(folder.trim()).is_dir())
}
