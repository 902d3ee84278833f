//! Lines of a log, one at a time, none longer in memory than the limit.

use std::io::{self, BufRead, Read};

/// A line of a log. Web servers take about 8 KB of request line and as much of each
/// header; a line over this is counted as bad and skipped without being held.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

/// A line, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Over [`LINE_BYTES_MAX`]: its beginning, and how long it was.
    TooLong {
        head: &'a [u8],
        bytes: u64,
    },
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Lines<R> {
        Lines { reader, buffer: Vec::new(), number: 0 }
    }

    /// The number of the line that was last given, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or `None` at the end. The last one needs no line feed.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > LINE_BYTES_MAX {
            let rest = self.reader.skip_until(b'\n')? as u64;
            return Ok(Some(Line::TooLong { head: &self.buffer, bytes: limit + rest }));
        }
        if self.number == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
            self.buffer.drain(..3);
        }
        Ok(Some(Line::Whole(self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Vec<u8>> {
        // A buffer of 7 bytes puts line ends at every place in it.
        let mut lines = Lines::new(io::BufReader::with_capacity(7, text));
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            match line {
                Line::Whole(line) => all.push(line.to_vec()),
                Line::TooLong { bytes, .. } => all.push(format!("<{bytes}>").into_bytes()),
            }
        }
        assert_eq!(lines.number(), all.len() as u64);
        all
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_file() {
        assert_eq!(read(b""), Vec::<Vec<u8>>::new());
        assert_eq!(read(b"a\r\n\n\xEF\xBB\xBFb\nc"), [&b"a"[..], b"", b"\xEF\xBB\xBFb", b"c"]);
        assert_eq!(read(b"\xEF\xBB\xBFa\n"), [b"a"]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_is_read() {
        for extra in [0, 1, 5_000_000] {
            let mut text = vec![b'x'; LINE_BYTES_MAX + extra];
            text.extend_from_slice(b"\nnext\n");
            let lines = read(&text);
            if extra == 0 {
                assert_eq!(lines[0].len(), LINE_BYTES_MAX);
            } else {
                // Its line feed counts too.
                assert_eq!(lines[0], format!("<{}>", LINE_BYTES_MAX + extra + 1).as_bytes());
            }
            assert_eq!(lines[1], b"next");
            assert_eq!(lines.len(), 2);
        }
    }
}
