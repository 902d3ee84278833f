//! What is said when something cannot be done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::PROBLEMS_MAX;

/// Error codes of the protocol: those of Maelstrom, as far as they are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum ErrorCode {
    /// The message type is unknown, or the build lacks it.
    NotSupported = 10,
    /// Cannot be done now, may succeed later: a limit is reached.
    TemporarilyUnavailable = 11,
    /// The line is not JSON, or a field is missing or has a value it cannot have.
    MalformedRequest = 12,
    /// The engine trapped while serving this line.
    Crash = 13,
    /// Something named in the message does not exist.
    KeyDoesNotExist = 20,
    /// The message is well formed but does not fit the present state.
    PreconditionFailed = 22,
}

impl From<ErrorCode> for u16 {
    fn from(code: ErrorCode) -> u16 {
        code as u16
    }
}

impl TryFrom<u16> for ErrorCode {
    type Error = String;

    fn try_from(code: u16) -> Result<ErrorCode, String> {
        match code {
            10 => Ok(ErrorCode::NotSupported),
            11 => Ok(ErrorCode::TemporarilyUnavailable),
            12 => Ok(ErrorCode::MalformedRequest),
            13 => Ok(ErrorCode::Crash),
            20 => Ok(ErrorCode::KeyDoesNotExist),
            22 => Ok(ErrorCode::PreconditionFailed),
            other => Err(format!("{other} is not an error code of this protocol")),
        }
    }
}

/// Why a message was not carried out; becomes an `error` reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// The class, for programs.
    pub code: ErrorCode,
    /// The cause and what would be right, for people.
    pub text: String,
}

impl Fault {
    /// Error 12: a field is missing or wrong.
    pub fn malformed(text: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::MalformedRequest, text: text.into() }
    }

    /// Error 22: well formed, but not now.
    pub fn precondition(text: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::PreconditionFailed, text: text.into() }
    }

    /// Error 20: no such thing.
    pub fn unknown(text: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::KeyDoesNotExist, text: text.into() }
    }

    /// Error 11: a limit is reached.
    pub fn unavailable(text: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::TemporarilyUnavailable, text: text.into() }
    }
}

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: `rollout.steps[1].percentage`; empty for the document itself.
    pub path: String,
    /// The value found, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything wrong with a document, in the order found; never empty.
///
/// At most [`PROBLEMS_MAX`] are kept, the rest counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Problems {
    /// The first [`PROBLEMS_MAX`].
    pub list: Vec<Problem>,
    /// How many more there were.
    pub more: usize,
}

impl Problems {
    /// Notes a problem.
    pub fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem { path: path.into(), message: message.into() });
        } else {
            self.more += 1;
        }
    }

    /// `value` if nothing was noted, else all that was.
    ///
    /// # Errors
    /// The problems themselves, when there is at least one.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}
