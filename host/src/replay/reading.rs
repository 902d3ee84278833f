//! Reads logs line by line, whatever is done with the lines. What is wrong with a log or a
//! line is said and noted, and reading goes on.

use std::borrow::Cow;
use std::path::Path;

use crossfade_protocol::limits::KEY_BYTES_MAX;

use super::entry::{BadLine, Entry};
use super::lines::Line;
use super::progress::Progress;
use super::report::{BadLineRow, FileRow, Input};
use super::text::{SHOWN_CHARS_MAX, shown};
use super::{ReplayArgs, ReplayError, SourceError, source};
use crate::output::counted;

/// What is done with a line that is not blank and not too long.
pub(super) trait Take {
    /// Takes it in, or says why it is no request.
    ///
    /// # Errors
    /// Nothing more can be taken in.
    fn take(
        &mut self,
        line: &[u8],
        file: &mut FileRow,
        input: &mut Input,
    ) -> Result<Result<(), BadLine>, ReplayError>;
}

/// The time of a log, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The earliest and the latest, in Unix milliseconds.
    pub(super) span: Option<(u64, u64)>,
    last_ms: u64,
}

impl Clock {
    /// Counts a request. Whether it is earlier than the one before it.
    pub(super) fn request(
        &mut self,
        entry: &Entry<'_>,
        has_key: bool,
        file: &mut FileRow,
        input: &mut Input,
    ) -> bool {
        let now_ms = entry.time_ms;
        let went_back = now_ms < self.last_ms;
        self.last_ms = now_ms;
        self.span = Some(match self.span {
            None => (now_ms, now_ms),
            Some((first, last)) => (first.min(now_ms), last.max(now_ms)),
        });
        input.out_of_order += u64::from(went_back);
        input.without_key += u64::from(!has_key);
        input.without_status += u64::from(entry.status.is_none());
        file.requests += 1;
        went_back
    }
}

/// Whose request it is; `None` when the log does not say.
///
/// # Errors
/// The key is too long.
pub(super) fn key<'e>(
    args: &ReplayArgs,
    entry: &'e Entry<'_>,
) -> Result<Option<Cow<'e, str>>, BadLine> {
    let key = args.key.find(entry, &args.json_fields);
    match key.as_ref().map(|key| key.len()).filter(|len| *len > KEY_BYTES_MAX) {
        Some(bytes) => Err(BadLine::Key { bytes }),
        None => Ok(key),
    }
}

/// What has been read so far.
pub(super) struct Reading {
    pub(super) input: Input,
    /// The first of them.
    pub(super) bad_lines: Vec<BadLineRow>,
    bad_lines_max: usize,
    progress: Progress,
}

impl Reading {
    pub(super) fn new(args: &ReplayArgs) -> Reading {
        Reading {
            input: Input::default(),
            bad_lines: Vec::new(),
            bad_lines_max: args.bad_lines as usize,
            progress: Progress::start(&args.logs),
        }
    }

    /// Takes the bar off the screen, and says how many bad lines were not shown.
    pub(super) fn finish(&self) {
        self.progress.finish();
        if self.input.bad > self.bad_lines.len() as u64 && !self.bad_lines.is_empty() {
            let more = self.input.bad - self.bad_lines.len() as u64;
            self.progress.say(&counted(more, "more bad line"));
        }
    }

    /// Reads one log.
    ///
    /// # Errors
    /// Those of `taker`.
    pub(super) fn log(&mut self, path: &Path, taker: &mut impl Take) -> Result<(), ReplayError> {
        let mut file = FileRow { name: source::name(path), ..FileRow::default() };
        let read = self.lines(path, &mut file, taker);
        self.input.files.push(file);
        read
    }

    fn lines(
        &mut self,
        path: &Path,
        file: &mut FileRow,
        taker: &mut impl Take,
    ) -> Result<(), ReplayError> {
        let mut lines = match source::open(path, &self.progress.bytes_read) {
            Ok(lines) => lines,
            Err(error) => {
                self.progress.say(&error.to_string());
                file.error = Some(error.to_string());
                return Ok(());
            }
        };
        loop {
            let number = lines.number();
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(source) => {
                    let error = SourceError::cut(&file.name, number, source);
                    self.progress.say(&error.to_string());
                    file.error = Some(error.to_string());
                    return Ok(());
                }
            };
            self.progress.line();
            self.input.lines += 1;
            file.lines += 1;
            self.line(line, number + 1, file, taker)?;
        }
    }

    fn line(
        &mut self,
        line: Line<'_>,
        number: u64,
        file: &mut FileRow,
        taker: &mut impl Take,
    ) -> Result<(), ReplayError> {
        let (text, bad) = match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => {
                self.input.blank += 1;
                return Ok(());
            }
            Line::Whole(line) => (line, taker.take(line, file, &mut self.input)?.err()),
            Line::TooLong { head, bytes } => (head, Some(BadLine::TooLong { bytes })),
        };
        if let Some(why) = bad {
            self.input.bad += 1;
            file.bad += 1;
            if self.bad_lines.len() < self.bad_lines_max {
                let row = BadLineRow {
                    file: file.name.clone(),
                    line: number,
                    why: why.to_string(),
                    text: shown(text, SHOWN_CHARS_MAX),
                };
                self.progress.say(&row.message());
                self.bad_lines.push(row);
            }
        }
        Ok(())
    }
}
