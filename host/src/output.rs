//! How the commands that answer a question print.

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use crossfade_protocol::words::plural;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::replay::text::{json_escaped, shown};

/// For whom the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// Text for people
    #[default]
    Human,
    /// One JSON document for programs; its fields are stable
    Json,
}

/// For whom a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Listing {
    /// A table for people
    #[default]
    #[value(alias = "table")]
    Human,
    /// Comma-separated values for spreadsheets; its columns are stable
    Csv,
    /// One JSON document for programs; its fields are stable
    Json,
}

/// Prints to stdout. A reader who has gone does not mind.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a JSON document.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
    print(&(text + "\n"))
}

/// Prints a JSON document of which others have written parts: what a terminal would obey
/// is escaped, which changes nothing of its meaning.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json_safely(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
    print(&(json_escaped(&text) + "\n"))
}

/// Says on stderr what the answer on stdout does not.
pub(crate) fn warn(text: &str) {
    // Not `eprintln!`: that panics when stderr is closed.
    let _ = writeln!(io::stderr(), "warning: {text}");
}

/// Rows as CSV (RFC 4180, but with line feeds). What a terminal would obey is escaped, and
/// what a spreadsheet would take for a formula begins with an apostrophe: strangers have
/// written parts of it.
///
/// # Errors
/// None is known: it writes to memory.
pub(crate) fn csv_text<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<String, Failure> {
    let wrong = |error: String| Failure::new(Exit::Internal, format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|error| wrong(error.to_string()))?;
    for row in rows {
        writer
            .write_record(row.map(|value| cell(&value)))
            .map_err(|error| wrong(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
}

/// A value that is a value everywhere. <https://owasp.org/www-community/attacks/CSV_Injection>
/// lists the beginnings of formulas.
fn cell(value: &str) -> String {
    let mut text = shown(value.as_bytes(), usize::MAX);
    if text.starts_with(['=', '+', '-', '@']) {
        text.insert(0, '\'');
    }
    text
}

/// `1 problem`, `1,753 problems`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), plural(count == 1))
}
/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
