//! `crossfade node` without the module: the same engine, linked in, between stdin and
//! stdout. What the border of WebAssembly costs is the difference to this.
//!
//! It reads, serves and writes in blocks as the host does, and is nothing to use: an
//! engine that fails takes it down.
//!
//! ```text
//! cargo run --release -p crossfade-core --example native_node < lines.jsonl
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use crossfade_core::Engine;
use crossfade_core::guest::Guest;

/// As much as the host reads at once.
const READ_BYTES: usize = 256 << 10;

fn main() -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut engine = Engine::init(b"", 0, 0, &mut Vec::new());
    let mut block = Vec::new();
    let mut replies = Vec::new();
    loop {
        let kept = block.len();
        block.resize(kept + READ_BYTES, 0);
        let read = input.read(&mut block[kept..])?;
        block.truncate(kept + read);
        let whole = match block.iter().rposition(|byte| *byte == b'\n') {
            // A last line may lack its newline.
            _ if read == 0 => block.len(),
            Some(last) => last + 1,
            None => 0,
        };
        replies.clear();
        engine.handle(&block[..whole], 0, &mut replies);
        output.write_all(&replies)?;
        block.drain(..whole);
        if read == 0 {
            return Ok(());
        }
    }
}
