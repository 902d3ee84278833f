//! Blocks of whole lines from a stream of bytes.

use std::io::{self, ErrorKind, Read};

use crossfade_protocol::limits::LINE_BYTES_MAX;

use crate::plugin::{Addressee, CODE_MALFORMED};

/// Asked of the input at once. Some thousand lines: a call into the engine is then a
/// small part of serving them, and they stay in the processor's cache.
const READ_BYTES: usize = 256 << 10;

/// Cuts a stream into blocks of whole lines, whatever comes first: a block is given as
/// soon as one line is complete, with all others that have arrived.
///
/// A line over [`LINE_BYTES_MAX`] is never held in memory. A line that asks for a
/// refusal stands in its place.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    input: R,
    /// What one read gives.
    chunk: Box<[u8]>,
    /// The beginning of a line whose end has not arrived.
    tail: Vec<u8>,
    /// Length so far of a line that is too long.
    skipping: Option<u64>,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(input: R) -> LineReader<R> {
        let chunk = vec![0; READ_BYTES].into_boxed_slice();
        LineReader { input, chunk, tail: Vec::new(), skipping: None, ended: false }
    }

    /// Replaces `block` by the next lines, each ended by a newline; a last line without
    /// one gets it. `false`, and an empty block, at the end of the input.
    ///
    /// # Errors
    /// What the input said. Lines that were complete have been given before.
    pub(super) fn read_block(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        block.clear();
        block.append(&mut self.tail);
        while !self.ended {
            let read = match self.input.read(&mut self.chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                self.ended = true;
                self.end_last_line(block);
                return Ok(!block.is_empty());
            }
            // So far the block holds the beginning of one line. Only that line can be too
            // long: the others are shorter than one read.
            let mut rest = &self.chunk[..read];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let before = self.skipping.unwrap_or(block.len() as u64);
            match end {
                Some(end) if before + end as u64 > LINE_BYTES_MAX as u64 => {
                    self.skipping = None;
                    block.clear();
                    block.extend_from_slice(&refusal(before + end as u64));
                    rest = &rest[end + 1..];
                }
                None if before + read as u64 > LINE_BYTES_MAX as u64 => {
                    self.skipping = Some(before + read as u64);
                    block.clear();
                    continue;
                }
                _ => {}
            }
            if let Some(last) = rest.iter().rposition(|byte| *byte == b'\n') {
                block.extend_from_slice(&rest[..=last]);
                rest = &rest[last + 1..];
            }
            if block.ends_with(b"\n") {
                self.tail.extend_from_slice(rest);
                return Ok(true);
            }
            block.extend_from_slice(rest);
        }
        Ok(false)
    }

    fn end_last_line(&mut self, block: &mut Vec<u8>) {
        if let Some(skipped) = self.skipping.take() {
            block.extend_from_slice(&refusal(skipped));
        } else if !block.is_empty() {
            block.push(b'\n');
        }
    }
}

fn refusal(len: u64) -> Vec<u8> {
    let text =
        format!("the line has {len} bytes; the limit is {LINE_BYTES_MAX}: send less at once");
    Addressee::default().refuse_line(CODE_MALFORMED, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the bytes in pieces of these lengths, over and over.
    struct Pieces<'a> {
        bytes: &'a [u8],
        lengths: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = *self.lengths.next().unwrap();
            let len = len.min(self.bytes.len()).min(buffer.len());
            let (piece, rest) = self.bytes.split_at(len);
            buffer[..len].copy_from_slice(piece);
            self.bytes = rest;
            Ok(len)
        }
    }

    fn blocks<'a>(bytes: &'a [u8], lengths: &'a [usize]) -> Vec<Vec<u8>> {
        let mut reader = LineReader::new(Pieces { bytes, lengths: lengths.iter().cycle() });
        let mut blocks = Vec::new();
        let mut block = Vec::new();
        while reader.read_block(&mut block).unwrap() {
            assert!(block.ends_with(b"\n"), "{block:?}");
            assert!(block.len() <= LINE_BYTES_MAX + 2 * READ_BYTES);
            blocks.push(block.clone());
        }
        assert!(block.is_empty());
        assert!(!reader.read_block(&mut block).unwrap(), "the end stays the end");
        blocks
    }

    fn check(bytes: &[u8], expected: &[u8]) {
        for lengths in [&[usize::MAX] as &[usize], &[1 << 16], &[1000, 7], &[1 << 18, 1, 2]] {
            let found = blocks(bytes, lengths).concat();
            assert!(found == expected, "in pieces of {lengths:?}: {} bytes", found.len());
        }
    }

    #[test]
    fn lines_come_through_whole_however_they_arrive() {
        check(b"", b"");
        check(b"\n", b"\n");
        check(b"a\nb\r\n\nc", b"a\nb\r\n\nc\n");
        let many: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        check(many.as_bytes(), many.as_bytes());
        assert_eq!(blocks(b"a\nb\nc", &[1]), [b"a\n", b"b\n", b"c\n"]);
        assert_eq!(blocks(b"a\nb\nc", &[4]), [b"a\nb\n" as &[u8], b"c\n"]);
    }

    #[test]
    fn a_line_over_the_limit_is_refused_in_its_place() {
        for (len, over) in [
            (LINE_BYTES_MAX - 1, false),
            (LINE_BYTES_MAX, false),
            (LINE_BYTES_MAX + 1, true),
            (5 << 20, true),
        ] {
            let long = vec![b'x'; len];
            let stand_in =
                if over { refusal(len as u64) } else { [&long, b"\n" as &[u8]].concat() };
            for (before, after) in [("", ""), ("a\n", "\nb\n"), ("", "\nb"), ("a\nb\n", "\n")] {
                let bytes = [before.as_bytes(), &long, after.as_bytes()].concat();
                let mut expected = [before.as_bytes(), &stand_in].concat();
                let after = after.strip_prefix('\n').unwrap_or(after);
                expected.extend_from_slice(after.as_bytes());
                if !expected.ends_with(b"\n") {
                    expected.push(b'\n');
                }
                check(&bytes, &expected);
            }
        }
    }

    #[test]
    fn two_lines_over_the_limit_are_two_refusals() {
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        let bytes = format!("{long}\n{long}\nend");
        let refusal = refusal(long.len() as u64);
        check(bytes.as_bytes(), &[&refusal, &refusal, b"end\n" as &[u8]].concat());
    }
}
