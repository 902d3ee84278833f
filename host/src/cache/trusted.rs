//! The one place where machine code is taken from a file. Wasmtime's compiled form
//! carries no checksum (one flipped byte is accepted, and run), so a file counts only
//! when nobody else could have written it *and* its digest fits.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

/// Head of a sealed file: this, the key, the digest of key and code; then the code.
const MAGIC: &[u8; 16] = b"crossfade-code-1";
const HEAD_BYTES: usize = 16 + 32 + 32;

/// Why a file is not loaded. Displays as the rest of "cached module X …".
#[derive(Debug)]
pub(super) enum Distrust {
    /// There is none.
    Absent,
    /// It cannot be read.
    Unreadable(io::Error),
    /// Somebody else could have written it.
    NotOurs(String),
    /// It is cut short, or its digest does not fit.
    Damaged,
    /// It was compiled from another module, or by another engine.
    OtherModule,
    /// Wasmtime refused it.
    Refused(wasmtime::Error),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::Absent => f.write_str("is not there"),
            Distrust::Unreadable(error) => write!(f, "cannot be read ({error})"),
            Distrust::NotOurs(why) => write!(f, "is not trusted ({why})"),
            Distrust::Damaged => f.write_str("is truncated or damaged"),
            Distrust::OtherModule => f.write_str("belongs to another module or version"),
            Distrust::Refused(error) => write!(f, "does not fit this build ({error:#})"),
        }
    }
}

/// Refuses what belongs to somebody else, or what others may write to.
pub(super) fn only_ours(found: &Metadata) -> Result<(), String> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        return Err(format!("it belongs to user {}, not {us}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!("others can write to it, mode {:o}", found.mode() & 0o7777));
    }
    Ok(())
}

/// What [`load`] takes: `code` with its key and a digest over both.
pub(super) fn seal(key: &[u8; 32], code: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), key, &digest(key, code), code].concat()
}

fn digest(key: &[u8], code: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(code).finalize().into()
}

/// Loads what [`seal`] wrote under this key, and marks the file as used.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code; we check where it comes from")]
pub(super) fn load(engine: &Engine, path: &Path, key: &[u8; 32]) -> Result<Module, Distrust> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Distrust::Absent,
        _ => Distrust::Unreadable(error),
    })?;
    // Asked of the open file, not of the path, which could meanwhile name another.
    let found = file.metadata().map_err(Distrust::Unreadable)?;
    only_ours(&found).map_err(Distrust::NotOurs)?;
    if !found.is_file() || found.size() > super::BYTES_MAX {
        return Err(Distrust::Damaged);
    }
    let mut sealed = Vec::with_capacity(found.size() as usize);
    file.read_to_end(&mut sealed).map_err(Distrust::Unreadable)?;
    let Some((head, code)) = sealed.split_at_checked(HEAD_BYTES) else {
        return Err(Distrust::Damaged);
    };
    if head[..16] != *MAGIC || head[48..] != digest(&head[16..48], code) {
        return Err(Distrust::Damaged);
    }
    if head[16..48] != *key {
        return Err(Distrust::OtherModule);
    }
    // Pruning goes by this time; a file system without it prunes less wisely.
    let _ = file.set_modified(SystemTime::now());
    // SAFETY: `code` must be what `Module::serialize` of this wasmtime wrote. Above:
    // the file is ours and nobody else may write to it, so only this program wrote it,
    // with `seal`; the digest shows that it is whole; the key, that an engine of the
    // same version and settings made it. Wasmtime checks its own version again.
    unsafe { Module::deserialize(engine, code) }.map_err(Distrust::Refused)
}
