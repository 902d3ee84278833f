//! The files in `tests/vectors`; its `README.md` explains them to people.

pub mod written;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use written::FileText;

/// Why the vectors cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what `tests/vectors/README.md` describes.
    #[error("{path}: not a vector file; see tests/vectors/README.md")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A case cannot be played as it is written.
    #[error("{place}: {why}")]
    Case {
        /// File, case and step.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One exchange with one engine.
#[derive(Debug)]
pub struct Case {
    /// File name and case name.
    pub place: String,
    /// The engine's seed.
    pub seed: u64,
    /// The configuration document, or nothing.
    pub init: Vec<u8>,
    /// What the engine says at its start.
    pub says: Vec<u8>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One call and what must come of it.
#[derive(Debug)]
pub struct Step {
    /// The engine's time during the call.
    pub now_ms: u64,
    /// The call.
    pub action: Action,
}

/// A call with its expected outcome.
#[derive(Debug)]
pub enum Action {
    /// Lines, and every byte that must come back.
    Send {
        /// The lines.
        lines: Vec<u8>,
        /// The answer.
        expect: Vec<u8>,
    },
    /// Time acts, and every byte that must come of it.
    Tick {
        /// The answer.
        expect: Vec<u8>,
    },
    /// A fast decision.
    Route {
        /// The routing key.
        key: String,
        /// The caller's chance.
        draw: u32,
        /// The decision; `None` when the fast path must decline.
        expect: Option<Routed>,
    },
    /// A fresh engine takes over by snapshot; nothing may be heard of it.
    Reload,
}

/// A fast decision as a vector writes it.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Routed {
    /// Place of the version in the policy's list.
    pub index: u16,
    /// Its name, which only builds that return names can compare.
    pub version: String,
    /// Whether a canary percentage chose the new version.
    pub canary: bool,
    /// The reason's name.
    pub reason: String,
}

/// A key and the bucket it falls in, computed elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The routing key.
    pub key: String,
    /// The policy's salt.
    pub salt: String,
    /// `xxh64(key, seed) % 10_000`.
    pub bucket: u16,
}

/// What all the files hold.
#[derive(Debug, Default)]
pub struct Vectors {
    /// Every case of every file, files in order of their names.
    pub cases: Vec<Case>,
    /// The golden buckets.
    pub buckets: Vec<Golden>,
}

/// Where this repository keeps its vectors.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Reads every `.json` file of a folder.
///
/// # Errors
/// The first file that cannot be read or played.
pub fn read(folder: &Path) -> Result<Vectors, VectorError> {
    let read_error = |source| VectorError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        // Numbers of the gate's functions, read by its own test.
        let is_gate = path.file_name().is_some_and(|name| name == "gate.json");
        if !is_gate && path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut vectors = Vectors::default();
    for path in paths {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| VectorError::Read { path: path.clone(), source })?;
        let file: FileText = serde_json::from_str(&text)
            .map_err(|source| VectorError::Shape { path: path.clone(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for case in file.cases {
            vectors.cases.push(case.checked(&name)?);
        }
        vectors.buckets.extend(file.buckets);
    }
    Ok(vectors)
}
