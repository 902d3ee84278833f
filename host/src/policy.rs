//! Plan documents on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why a file gives no document.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read policy {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not JSON.
    #[error("policy {} is not JSON: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What, and where.
        source: serde_json::Error,
    },
}

/// Reads a plan document, as JSON. What it means is for the engine to judge.
///
/// # Errors
/// The file cannot be read, or holds no JSON.
pub fn read(path: &Path) -> Result<Value, PolicyError> {
    let text =
        fs::read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| PolicyError::Syntax { path: path.to_owned(), source })
}
