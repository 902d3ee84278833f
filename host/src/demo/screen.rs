//! What the demo says: lines for people with a line of progress below them on a terminal,
//! or an event a line for programs.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::client::page::{self, Line, Page, Tone};
use crate::output::Output;
use crate::replay::text::json_escaped;

/// Where it is said.
#[derive(Debug)]
pub(super) struct Screen {
    output: Output,
    color: bool,
    /// There is a line of progress that the next line takes the place of.
    progress: bool,
    shows_progress: bool,
    since: Instant,
    /// The reader has gone.
    pub(super) is_gone: bool,
}

impl Screen {
    pub(super) fn new(output: Output, no_color: bool) -> Screen {
        Screen {
            output,
            color: page::color() && !no_color,
            progress: false,
            shows_progress: output == Output::Human && io::stdout().is_terminal(),
            since: Instant::now(),
            is_gone: false,
        }
    }

    /// Text for people alone. What is indented stays as it is: it is to be copied.
    pub(super) fn text(&mut self, tone: Tone, text: &str) {
        if self.output == Output::Human {
            self.paragraph(Line::default(), tone, text);
        }
    }

    /// What somebody else has said, set in.
    pub(super) fn quote(&mut self, tone: Tone, text: &str) {
        if self.output == Output::Human {
            self.paragraph(Line::default().to(2), tone, text);
        }
    }

    /// Something that happened: a sentence for people, with its fields for programs.
    pub(super) fn event(&mut self, kind: &str, tone: Tone, sentence: &str, fields: Value) {
        let elapsed = self.since.elapsed();
        match self.output {
            Output::Human if sentence.is_empty() => {}
            Output::Human => {
                let clock =
                    format!("{:>2}:{:02}  ", elapsed.as_secs() / 60, elapsed.as_secs() % 60);
                self.paragraph(Line::default().with(Tone::Faint, clock), tone, sentence);
            }
            Output::Json => {
                let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                let mut event = Map::new();
                event.insert("event".to_owned(), kind.into());
                event.insert("elapsed_ms".to_owned(), ms.into());
                if !sentence.is_empty() {
                    event.insert("sentence".to_owned(), sentence.into());
                }
                match fields {
                    Value::Object(fields) => event.extend(fields),
                    Value::Null => {}
                    other => drop(event.insert("value".to_owned(), other)),
                }
                self.write(&json_escaped(&json!(event).to_string()));
            }
        }
    }

    /// The line that is always the last, on a terminal.
    pub(super) fn progress(&mut self, text: &str) {
        if !self.shows_progress {
            return;
        }
        let width = page::columns().map_or(80, usize::from).saturating_sub(1);
        let line = Line::default().with(Tone::Faint, text).text(width, self.color);
        let mut out = io::stdout();
        self.is_gone |= gone(write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush()));
        self.progress = true;
    }

    /// Takes the line of progress away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.progress) {
            let _ = write!(io::stdout(), "\r\x1b[2K").and_then(|()| io::stdout().flush());
        }
    }

    /// Broken to the terminal's width, if it is one.
    fn paragraph(&mut self, head: Line, tone: Tone, text: &str) {
        let columns = page::columns().filter(|_| !text.starts_with(' '));
        let Some(columns) = columns else {
            let line = head.with(tone, text);
            return self.write(&line.text(usize::MAX, self.color));
        };
        let mut page = Page::new(Some(columns));
        page.paragraph(head, tone, text);
        self.write(page.text(self.color).trim_end_matches('\n'));
    }

    fn write(&mut self, line: &str) {
        self.clear();
        let mut out = io::stdout();
        self.is_gone |= gone(writeln!(out, "{line}").and_then(|()| out.flush()));
    }
}

/// A full disk under stdout is no reason to end; a reader who has gone is.
fn gone(written: io::Result<()>) -> bool {
    written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
