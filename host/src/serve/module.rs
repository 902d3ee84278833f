//! Other engines: what is asked of one before it takes over.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::job::Candidate;
use crate::cache::Cache;
use crate::module::{BUILTIN_WASM, Module, ModuleError};

/// The engine of this build.
///
/// # Errors
/// See [`Module::builtin`].
pub(crate) fn builtin() -> Result<Candidate, ModuleError> {
    Ok(Candidate { module: Module::builtin()?, bytes: None, digest: digest(BUILTIN_WASM) })
}

/// An engine from a file.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn from_file(path: &Path) -> Result<Candidate, ModuleError> {
    let bytes = Module::read_file(path)?;
    from_bytes(&path.display().to_string(), bytes)
}

/// The engine that a store holds.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn stored(bytes: Vec<u8>) -> Result<Candidate, ModuleError> {
    from_bytes("from the store", bytes)
}

/// An engine from bytes. `name` stands for it in messages.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Candidate, ModuleError> {
    let module = Module::load(name, &bytes, &Cache::from_env())?;
    let digest = digest(&bytes);
    Ok(Candidate { module, bytes: Some(bytes), digest })
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
