//! Blocks of whole lines from a stream of bytes.

use std::io::{self, ErrorKind, Read};

use crossfade_protocol::limits::LINE_BYTES_MAX;

use crate::plugin::{Addressee, CODE_MALFORMED};

/// Asked of the input at once. Some hundred lines: a call into the engine is then a small
/// part of serving them, and they, their copy in the engine's memory and the replies stay
/// in the processor's nearest caches.
const READ_BYTES: usize = 64 << 10;

/// Cuts a stream into blocks of whole lines, whatever comes first: a block is given as
/// soon as one line is complete, with all others that have arrived.
///
/// A line over [`LINE_BYTES_MAX`] is never held in memory. A line that asks for a
/// refusal stands in its place.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    input: R,
    /// The beginning of a line whose end has not arrived.
    tail: Vec<u8>,
    /// Length so far of a line that is too long.
    skipping: Option<u64>,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(input: R) -> LineReader<R> {
        LineReader { input, tail: Vec::new(), skipping: None, ended: false }
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
            let from = block.len();
            let read = self.read_into(block)?;
            if read == 0 {
                self.ended = true;
                self.end_last_line(block);
                return Ok(!block.is_empty());
            }
            // So far the block held the beginning of one line. Only that line can be too
            // long: the others are shorter than one read.
            let end = block[from..].iter().position(|byte| *byte == b'\n');
            let before = self.skipping.unwrap_or(from as u64);
            match end {
                Some(end) if before + end as u64 > LINE_BYTES_MAX as u64 => {
                    self.skipping = None;
                    let refusal = refusal(before + end as u64);
                    block.splice(..from + end + 1, refusal);
                }
                None if before + read as u64 > LINE_BYTES_MAX as u64 => {
                    self.skipping = Some(before + read as u64);
                    block.clear();
                    continue;
                }
                None => continue,
                Some(_) => {}
            }
            if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
                self.tail.extend_from_slice(&block[last + 1..]);
                block.truncate(last + 1);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Appends what one read gives, without a copy between.
    fn read_into(&mut self, block: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let from = block.len();
            block.resize(from + READ_BYTES, 0);
            let read = self.input.read(&mut block[from..]);
            block.truncate(from + *read.as_ref().unwrap_or(&0));
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
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
