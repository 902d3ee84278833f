//! Reads a plan or policy document, YAML or JSON, and remembers where everything stood.
//!
//! The value goes to the engine as JSON; the positions stay here, so that a problem
//! the engine names by path (`rollout.steps[1].percentage`) can be shown to its
//! author by file, line and column. JSON is read by the same parser, being YAML's
//! flow style.
//!
//! The types are those of YAML 1.2's core schema and no others: `yes`, `on` and
//! `2027-01-31` are text. What JSON cannot hold (`.nan`), what can make a small
//! document large (aliases) and what hides a mistake (a key given twice, a second
//! document) is refused.

mod build;
mod path;
mod scalar;
pub(crate) mod write;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use saphyr_parser::{Parser, ScanError};
use serde_json::Value;

use build::{Builder, Node};

/// A document's size. A policy of 10,000 pins is about 0.5 MB, and the engine takes
/// no longer line than this.
pub const DOCUMENT_BYTES_MAX: usize = crossfade_protocol::limits::LINE_BYTES_MAX;

/// Values, lists and mappings in one document: ten times 10,000 pins with their keys.
pub const DOCUMENT_NODES_MAX: usize = 200_000;

/// Documents in one file that may have several: what `kubectl get -o yaml` and `cat` put
/// together for one service is a few dozen.
pub const DOCUMENTS_MAX: usize = 1_000;

/// Lists and mappings within one another.
pub const DOCUMENT_DEPTH_MAX: usize = crossfade_protocol::limits::JSON_DEPTH_MAX;

/// A document and where its parts stood.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says. Mappings keep the order in which they were written.
    pub value: Value,
    root: Node,
}

/// Why a document could not be read. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file could not be opened or read.
    #[error("{name}: {source}")]
    Io {
        /// The file's name as given.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// More than [`DOCUMENT_BYTES_MAX`].
    #[error("{name}: longer than {DOCUMENT_BYTES_MAX} bytes: is this a plan?")]
    TooLong {
        /// The file's name as given.
        name: String,
    },
    /// Nothing but white space and comments.
    #[error("{name}: empty: a plan needs at least `api`, `versions` and `key`")]
    Empty {
        /// The file's name as given.
        name: String,
    },
    /// Not YAML, or YAML of a kind that is refused.
    #[error("{name}:{line}:{column}: {problem}")]
    Syntax {
        /// The file's name as given.
        name: String,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
        /// What is wrong and what to write instead.
        problem: String,
    },
}

/// A place in the text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: u32,
    column: u32,
}

/// A problem in the text, before it is known which file it is in.
#[derive(Debug)]
struct Problem {
    place: Place,
    text: String,
}

/// Reads the document in a file, or on standard input when the path is `-`.
///
/// # Errors
/// When the file cannot be read, is over a limit, or is not one YAML or JSON document.
pub fn read_document(path: &Path) -> Result<Document, DocumentError> {
    let (name, bytes) = read_bytes(path)?;
    parse_document(&name, &bytes)
}

/// Reads a file, or standard input when the path is `-`, up to one byte over the limit;
/// gives its name as well.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_bytes(path: &Path) -> Result<(String, Vec<u8>), DocumentError> {
    let from_stdin = path.as_os_str() == "-";
    let name = if from_stdin { "standard input".into() } else { path.display().to_string() };
    let read = |mut source: &mut dyn Read| {
        let mut bytes = Vec::new();
        // One byte more than allowed tells "at the limit" from "over it".
        Read::take(&mut source, DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = if from_stdin {
        read(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| read(&mut file))
    };
    match bytes {
        Ok(bytes) => Ok((name, bytes)),
        Err(source) => Err(DocumentError::Io { name, source }),
    }
}

/// Reads a document from bytes; `name` stands for the file in errors.
///
/// # Errors
/// As [`read_document`].
///
/// # Example
/// ```
/// let document = crossfade::yaml::parse_document("plan.yaml", b"api: users\nsalt: 1.10\n")?;
/// assert_eq!(document.value["api"], "users");
/// assert_eq!(document.position("salt"), Some((2, 7)));
/// # Ok::<(), crossfade::yaml::DocumentError>(())
/// ```
pub fn parse_document(name: &str, bytes: &[u8]) -> Result<Document, DocumentError> {
    let mut documents = parse_up_to(1, name, bytes)?;
    documents.pop().ok_or_else(|| DocumentError::Empty { name: name.to_owned() })
}

/// Reads all documents of a text, at most [`DOCUMENTS_MAX`]; those with nothing in them
/// are passed over.
///
/// # Errors
/// As [`read_document`], but that nothing at all is no error.
pub fn parse_documents(name: &str, bytes: &[u8]) -> Result<Vec<Document>, DocumentError> {
    parse_up_to(DOCUMENTS_MAX, name, bytes)
}

fn parse_up_to(max: usize, name: &str, bytes: &[u8]) -> Result<Vec<Document>, DocumentError> {
    let name = || name.to_owned();
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::TooLong { name: name() });
    }
    let parsed = decode(bytes).and_then(|text| {
        let joined = scalar::join_surrogates(text);
        parse(max, joined.as_deref().unwrap_or(text))
    });
    parsed.map_err(|Problem { place: Place { line, column }, text: problem }| {
        DocumentError::Syntax { name: name(), line, column, problem }
    })
}

impl Document {
    /// Line and column (both from 1) of what a path such as
    /// `rollout.steps[1].percentage` names: a value, or the key of a list or mapping.
    ///
    /// A path that leads nowhere gives the nearest parent that exists, so a field that
    /// is missing points at the mapping it is missing from. A key that itself holds
    /// dots is found as it stands (`pins.partner.7`) or quoted (`pins["partner.7"]`).
    /// `None` when the text is no path (`a[`).
    pub fn position(&self, path: &str) -> Option<(u32, u32)> {
        path::find(&self.root, path).map(|node| (node.place.line, node.place.column))
    }

    /// How the number at a path was written: `1.10`, where the value has become `1.1`.
    /// `None` for anything but a number, and for a path that does not exist.
    pub fn written(&self, path: &str) -> Option<&str> {
        path::find_exactly(&self.root, path)?.written.as_deref()
    }
}

fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Problem {
            place: Place { line: 1, column: 1 },
            text: "this is UTF-16: save the file as UTF-8".into(),
        });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
        let byte = bytes.get(good.len()).copied().unwrap_or_default();
        Problem {
            place: Place { line: line as u32, column: column as u32 },
            text: format!("byte 0x{byte:02x} is not UTF-8: save the file as UTF-8"),
        }
    })
}

/// All documents that have something in them.
fn parse(max: usize, text: &str) -> Result<Vec<Document>, Problem> {
    let mut builder = Builder::new(max);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_problem(&error))?;
        builder.take(event, Place::from(span.start))?;
    }
    let documents = builder.finish().into_iter().filter(|(value, _)| !value.is_null());
    Ok(documents.map(|(value, root)| Document { value, root }).collect())
}

impl From<saphyr_parser::Marker> for Place {
    fn from(marker: saphyr_parser::Marker) -> Place {
        Place { line: marker.line() as u32, column: marker.col() as u32 + 1 }
    }
}

/// The parser's words, with what to do for the mistakes that are made every day.
fn scan_problem(error: &ScanError) -> Problem {
    let info = error.info();
    let text = if info.contains("tab") {
        "a tab stands where YAML wants spaces: indent with spaces".to_owned()
    } else if info.contains("mapping values are not allowed")
        || info.contains("illegal placement of ':'")
    {
        "a second `:` here: put a value that contains `: ` in quotes, or indent this line like \
         its neighbours"
            .to_owned()
    } else if let Some(character) = info.strip_prefix("unexpected character: `") {
        let character = character.trim_end_matches('\'');
        format!("a value cannot start with `{character}`: put it in quotes")
    } else if info.contains("did not find expected comment or line break") {
        "a value cannot start with `>` or `|`: put it in quotes".to_owned()
    } else if info.contains("unknown anchor") {
        build::ALIAS.to_owned()
    } else if info.contains("recursion limit") {
        build::too_deep()
    } else {
        format!("not YAML: {info}")
    };
    Problem { place: Place::from(*error.marker()), text }
}

#[cfg(test)]
mod tests;
