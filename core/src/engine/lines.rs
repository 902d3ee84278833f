//! The lines of a block.

/// Where each line of a block lies, without its newline.
pub(super) struct LineRanges<'b> {
    block: &'b [u8],
    from: usize,
}

impl<'b> LineRanges<'b> {
    pub(super) fn new(block: &'b [u8]) -> LineRanges<'b> {
        LineRanges { block, from: 0 }
    }
}

impl Iterator for LineRanges<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<std::ops::Range<usize>> {
        let rest = self.block.get(self.from..).filter(|rest| !rest.is_empty())?;
        let len = memchr::memchr(b'\n', rest);
        let line = self.from..self.from + len.unwrap_or(rest.len());
        self.from = line.end + 1;
        Some(line)
    }
}
