//! Plan documents in files, and what an engine finds wrong with them.
//!
//! The engine names a problem by its path in the document; here the path becomes a
//! line and a column.

use std::fmt;
use std::path::Path;

use crossfade_protocol::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output::counted;
use crate::plugin::Plugin;
use crate::question::{AskError, ask_for};
use crate::replay::text::shown_lines;
use crate::yaml::{Document, DocumentError, parse_document, read_document};

/// A plan document, not yet judged.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    document: Document,
    /// What is wrong with its times of day, which no engine can know.
    times: Vec<Problem>,
}

/// What is wrong with a file, all at once.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The file's name, as given.
    pub file: String,
    /// Whether it can be used.
    pub valid: bool,
    /// What prevents that, in the order of the file.
    pub problems: Vec<Finding>,
    /// Problems more than are listed.
    pub more: u64,
    /// What is allowed but probably not meant; only of a valid document.
    pub warnings: Vec<Finding>,
}

/// A problem and where it is. Lines and columns count from 1; no line is no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line.
    pub line: Option<u32>,
    /// Column, in characters.
    pub column: Option<u32>,
    /// Where in the document: `rollout.steps[1].percentage`; empty for the whole.
    pub path: String,
    /// The value found, and what would be right.
    pub message: String,
}

impl Policy {
    /// Reads a YAML or JSON document from a file; `-` is standard input.
    ///
    /// # Errors
    /// The file cannot be read, or is no document. What the document means is for the
    /// engine to judge: see [`check`](Self::check).
    pub fn read(path: &Path) -> Result<Policy, DocumentError> {
        Ok(Policy::of(name(path), read_document(path)?))
    }

    /// Reads a document from bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Policy, DocumentError> {
        Ok(Policy::of(name.to_owned(), parse_document(name, bytes)?))
    }

    fn of(name: String, mut document: Document) -> Policy {
        let times = crate::zones::resolve(&mut document.value);
        Policy { name, document, times }
    }

    /// The file's name; for standard input, those words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says.
    pub fn value(&self) -> &Value {
        &self.document.value
    }

    /// Asks the engine for every problem in it.
    ///
    /// # Errors
    /// The engine gives no answer.
    pub fn check(&self, plugin: &mut Plugin) -> Result<Checked, AskError> {
        #[derive(Deserialize)]
        struct Answer {
            valid: bool,
            problems: Vec<Problem>,
            more: u64,
            warnings: Vec<Problem>,
        }
        let message = json!({ "type": "check_policy", "document": self.document.value });
        let mut answer: Answer = ask_for(plugin, message, "policy_checked")?;
        // The engine asks for an offset where there could be none.
        let about = |times: &Problem, path: &str| {
            let parent = |path: &str| path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
            path.ends_with(".start") && parent(&times.path) == parent(path)
        };
        answer.problems.retain(|found| !self.times.iter().any(|times| about(times, &found.path)));
        answer.problems.extend(self.times.iter().cloned());
        let valid = answer.valid && self.times.is_empty();
        Ok(Checked {
            file: self.name.clone(),
            valid,
            problems: self.locate(answer.problems),
            more: answer.more,
            warnings: self.locate(answer.warnings),
        })
    }

    /// What something else than the engine cannot do with it, by line.
    pub(crate) fn refused(&self, problems: Vec<Problem>) -> Checked {
        let problems = self.locate(problems);
        let file = self.name.clone();
        Checked { file, valid: false, problems, more: 0, warnings: Vec::new() }
    }

    /// What its author should know of it, by line.
    pub(crate) fn noted(&self, notes: Vec<Problem>) -> Checked {
        let warnings = self.locate(notes);
        let file = self.name.clone();
        Checked { file, valid: true, problems: Vec::new(), more: 0, warnings }
    }

    /// The line of the field at this path, or of the nearest that is written.
    pub(crate) fn line(&self, path: &str) -> Option<u32> {
        self.document.position(path).map(|(line, _)| line)
    }

    fn locate(&self, problems: Vec<Problem>) -> Vec<Finding> {
        let locate = |Problem { path, message }| {
            let (line, column) = self.document.position(&path).unzip();
            Finding { line, column, path, message }
        };
        let mut findings: Vec<Finding> = problems.into_iter().map(locate).collect();
        // Stable: what stands in one place keeps the order of reading.
        findings.sort_by_key(|finding| (finding.line, finding.column));
        findings
    }
}

impl Checked {
    /// A file that is no document at all; `None` when it could not even be read.
    pub fn of_error(path: &Path, error: &DocumentError) -> Option<Checked> {
        let file = name(path);
        let (place, message) = match error {
            DocumentError::Io { .. } => return None,
            DocumentError::Syntax { line, column, problem, .. } => {
                (Some((*line, *column)), problem.clone())
            }
            DocumentError::TooLong { .. } | DocumentError::Empty { .. } => {
                let text = error.to_string();
                let prefix = format!("{file}: ");
                (None, text.strip_prefix(&prefix).unwrap_or(&text).to_owned())
            }
        };
        let (line, column) = place.unzip();
        let problems = vec![Finding { line, column, path: String::new(), message }];
        Some(Checked { file, valid: false, problems, more: 0, warnings: Vec::new() })
    }

    /// How many problems there are, listed or not.
    pub fn problem_count(&self) -> u64 {
        self.problems.len() as u64 + self.more
    }

    /// The verdict in words: `plan.yaml has 2 problems`.
    pub fn summary(&self) -> String {
        let file = &self.file;
        match (self.valid, self.warnings.len() as u64) {
            (false, _) => format!("{file} has {}", counted(self.problem_count(), "problem")),
            (true, 0) => format!("{file} is valid"),
            (true, warnings) => format!("{file} is valid, with {}", counted(warnings, "warning")),
        }
    }

    /// Why a command that needs this document ends.
    pub fn failure(&self) -> Failure {
        let listing = self.to_string();
        Failure::new(Exit::Data, format!("{}:\n{}", self.summary(), listing.trim_end()))
    }
}

impl fmt::Display for Checked {
    /// One line for each problem and warning, each ended by a newline: nothing for a
    /// document without any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |kind: &str, finding: &Finding| {
            f.write_str(&self.file)?;
            if let (Some(line), Some(column)) = (finding.line, finding.column) {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {kind}")?;
            if !finding.path.is_empty() {
                write!(f, "{}: ", shown_lines(&finding.path))?;
            }
            writeln!(f, "{}", shown_lines(&finding.message))
        };
        self.problems.iter().try_for_each(|problem| line("", problem))?;
        self.warnings.iter().try_for_each(|warning| line("warning: ", warning))?;
        if self.more > 0 {
            writeln!(f, "{}: and {} more", self.file, counted(self.more, "problem"))?;
        }
        Ok(())
    }
}

/// A document that is to be used: every way in which it cannot be ends the command.
///
/// # Errors
/// [`Exit::Io`]: the file cannot be read. [`Exit::Data`]: it is no document.
pub fn read(path: &Path) -> Result<Policy, Failure> {
    Policy::read(path).map_err(|error| match error {
        DocumentError::Io { .. } => Failure::new(Exit::Io, format!("cannot read policy {error}")),
        _ => Failure::new(Exit::Data, error),
    })
}

/// What a file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}
