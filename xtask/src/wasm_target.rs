//! Whether this toolchain can compile to wasm, and one try to make it so.

use std::path::Path;

use crate::command::{Run, TaskError, say};

/// The target of every module in this repository.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Returns when the target is installed, after one try of `rustup target add`.
///
/// `targets` in `rust-toolchain.toml` is not enough: with `RUSTUP_AUTO_INSTALL=0` it
/// is silently ignored.
///
/// # Errors
/// [`TaskError::NoWasmTarget`] with the command to run.
pub(crate) fn require() -> Result<(), TaskError> {
    if installed()? {
        return Ok(());
    }
    say(&format!("The target {TARGET} is not installed."));
    let added = Run::program("rustup", "see https://rustup.rs", &["target", "add", TARGET]).show();
    match added {
        Ok(()) if installed()? => Ok(()),
        Ok(()) | Err(_) => Err(TaskError::NoWasmTarget),
    }
}

fn installed() -> Result<bool, TaskError> {
    let folder = Run::rustc(&["--print", "target-libdir", "--target", TARGET]).output()?;
    Ok(Path::new(folder.trim()).is_dir())
}
