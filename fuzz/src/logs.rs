//! Access logs: any bytes as lines. A child of `replay` in the host, where its parts are.

use std::io::Cursor;

use super::entry::{Entry, LogFormat, Part};
use super::lines::{Line, Lines};
use super::names::Names;

const FORMATS: [LogFormat; 4] =
    [LogFormat::Auto, LogFormat::Common, LogFormat::Combined, LogFormat::Json];

const PARTS: [Part; 6] =
    [Part::Time, Part::Status, Part::Client, Part::Agent, Part::Method, Part::Path];

/// Reads them: every line is a request, or is refused in words that a terminal can show.
///
/// # Panics
/// Something does not hold.
pub(crate) fn run(bytes: &[u8]) {
    let names = Names::default();
    let mut lines = Lines::new(Cursor::new(bytes));
    let mut seen = 0;
    while let Some(line) = lines.next().expect("memory can be read") {
        seen += 1;
        assert_eq!(lines_of(&line), 1);
        let Line::Whole(line) = line else { continue };
        assert!(!line.contains(&b'\n'), "more than a line");
        for format in FORMATS {
            match Entry::read(line, format, &names) {
                Ok(entry) => PARTS.iter().for_each(|part| drop(entry.part(*part, &names))),
                Err(bad) => assert!(!bad.to_string().contains(char::is_control), "{bad:?}"),
            }
        }
    }
    let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let open = usize::from(bytes.last().is_some_and(|last| *last != b'\n'));
    assert_eq!(seen, newlines + open, "lines were lost");
}

fn lines_of(line: &Line<'_>) -> usize {
    match line {
        Line::Whole(_) | Line::TooLong { .. } => 1,
    }
}
