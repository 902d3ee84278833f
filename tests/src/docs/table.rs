//! The table "Bad input": what is sent, and the exact answer.

use super::{DocError, bytes};
use crate::driver::{Driver, DriverError};

const HEADING: &str = "## Bad input";
const COLUMNS: &str = "| what | lines | answers |";

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Line of the page, from 1.
    pub line: usize,
    /// What is bad about it.
    pub what: String,
    /// What is sent, as written; empty for a row about a process rather than a line.
    pub lines: Vec<String>,
    /// Every line that comes back.
    pub answers: Vec<String>,
    /// The test that shows it, where no lines do: its file, from the page, and its name.
    pub test: Option<(String, String)>,
}

impl Row {
    /// The output of an engine in wall time that is sent these lines in one block, or
    /// `None` for a row that a test shows.
    pub(super) fn play(&self, driver: &mut dyn Driver) -> Result<Option<Vec<u8>>, DriverError> {
        if self.test.is_some() {
            return Ok(None);
        }
        driver.start(br#"{"clock":"wall"}"#, 0, 0)?;
        let sent: Vec<u8> =
            self.lines.iter().flat_map(|line| bytes::line(line).unwrap_or_default()).collect();
        driver.handle(&sent, 0).map(Some)
    }
}

pub(super) fn read(text: &str) -> Result<Vec<Row>, DocError> {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| *line != HEADING);
    let Some((heading, _)) = lines.next() else { return Ok(Vec::new()) };
    let mut table = lines
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter(|(_, line)| line.starts_with('|'));
    if table.next().is_none_or(|(_, header)| header != COLUMNS) {
        return DocError::at(heading + 1, format!("no table `{COLUMNS}` under this heading"));
    }
    if table.next().is_none_or(|(_, rule)| rule != "|---|---|---|") {
        return DocError::at(heading + 1, "the table's second line is `|---|---|---|`");
    }
    table.map(|(index, row)| read_row(index + 1, row)).collect()
}

fn read_row(line: usize, row: &str) -> Result<Row, DocError> {
    let inner = row.strip_prefix("| ").and_then(|row| row.strip_suffix(" |"));
    let cells: Vec<&str> = inner.unwrap_or_default().split(" | ").collect();
    let [what, sent, answered] = cells.as_slice() else {
        return DocError::at(line, "a row has three cells between `| `, ` | ` and ` |`");
    };
    let (Some(lines), Some(answers)) = (spans(sent), spans(answered)) else {
        return DocError::at(line, "a code span is never closed");
    };
    let what = (*what).to_owned();
    let mut row = Row { line, what, lines, answers, test: None };
    if row.lines.is_empty() {
        row.test = linked_test(answered);
        row.answers.clear();
        if row.test.is_none() {
            let why = "neither lines to send, nor a link [`name_of_the_test`](../its/file.rs)";
            return DocError::at(line, why);
        }
    } else if let Some(bad) = row.lines.iter().find(|line| bytes::line(line).is_none()) {
        return DocError::at(line, format!("`{bad}` has a mark in ⟨⟩ that means nothing"));
    } else if row.answers.is_empty() && *answered != "nothing" {
        return DocError::at(line, "no answer; write `nothing` in plain letters for none");
    }
    Ok(row)
}

/// The code spans of a cell, without their backticks, or `None` when one is open.
fn spans(cell: &str) -> Option<Vec<String>> {
    let mut spans = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let opened = &rest[start..];
        let ticks = &opened[..opened.len() - opened.trim_start_matches('`').len()];
        let (inner, tail) = opened[ticks.len()..].split_once(ticks)?;
        // One space beside the backticks is no part of it, when there is one on both sides.
        let padded = inner.strip_prefix(' ').and_then(|inner| inner.strip_suffix(' '));
        spans.push(padded.unwrap_or(inner).to_owned());
        rest = tail;
    }
    Some(spans)
}

fn linked_test(cell: &str) -> Option<(String, String)> {
    let (_, link) = cell.split_once("[`")?;
    let (name, link) = link.split_once("`](")?;
    let (file, _) = link.split_once(')')?;
    Some((file.to_owned(), name.to_owned()))
}
