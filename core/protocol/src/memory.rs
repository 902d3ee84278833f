//! Writing to and reading from memory by code that libraries generate.
//!
//! `serde_json` and Borsh are generic over where bytes go, and each of their hundreds of
//! calls would have a vector's growth written into it. Here it is written once, which is
//! a tenth of `crossfade.wasm`.

use std::io::{Read, Result, Write};

/// Appends to a vector.
#[derive(Debug)]
pub struct Appender<'v>(pub &'v mut Vec<u8>);

impl Write for Appender<'_> {
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline(never)]
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads a slice from its beginning; what is left stands in it.
#[derive(Debug)]
pub struct Taker<'s>(pub &'s [u8]);

impl Read for Taker<'_> {
    #[inline(never)]
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }

    #[inline(never)]
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.0.read_exact(buffer)
    }
}
