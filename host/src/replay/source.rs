//! Opens a log: a file or standard input, plain or gzip, told apart by its first bytes.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::lines::Lines;

const BUFFER_BYTES: usize = 256 << 10;

/// A log, open.
pub(super) type Source = Lines<BufReader<Box<dyn Read>>>;

/// Why a log could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It could not be opened or read at all.
    #[error("{name}: {source}")]
    Open {
        /// The name as given.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory.
    #[error("{name}: is a directory: name the log files in it")]
    Directory {
        /// The name as given.
        name: String,
    },
    /// It is compressed in a way other than gzip.
    #[error(
        "{name}: is compressed with {with}: unpack it first, `{with} -dc {name} | crossfade replay -`"
    )]
    Compressed {
        /// The name as given.
        name: String,
        /// The program that unpacks it.
        with: &'static str,
    },
    /// Reading ended early; the lines before were used.
    #[error("{name}: cannot be read beyond line {line}: {source}")]
    Cut {
        /// The name as given.
        name: String,
        /// The last line that was read.
        line: u64,
        /// What went wrong.
        source: io::Error,
    },
}

impl SourceError {
    /// Reading failed after `line` lines.
    pub(super) fn cut(name: &str, line: u64, source: io::Error) -> SourceError {
        let source = match source.kind() {
            // Only a decoder finds an end unexpected.
            io::ErrorKind::UnexpectedEof => {
                let text = "its gzip data ends early; what was before was used";
                io::Error::new(io::ErrorKind::UnexpectedEof, text)
            }
            _ => source,
        };
        SourceError::Cut { name: name.to_owned(), line, source }
    }
}

/// How a log is called in messages.
pub(super) fn name(path: &Path) -> String {
    if is_stdin(path) {
        return "standard input".to_owned();
    }
    // A file's name may hold anything, too.
    super::text::shown(path.as_os_str().as_encoded_bytes(), 4096)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The length of a regular file; `None` for what has no known end.
pub(super) fn bytes_expected(path: &Path) -> Option<u64> {
    if is_stdin(path) {
        return None;
    }
    let metadata = path.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Opens a log. The bytes taken from it, compressed as they may be, are added to
/// `bytes_read`.
pub(super) fn open(path: &Path, bytes_read: &Rc<Cell<u64>>) -> Result<Source, SourceError> {
    let failed = |source| SourceError::Open { name: name(path), source };
    let input: Box<dyn Read> = if is_stdin(path) {
        Box::new(io::stdin())
    } else {
        let file = File::open(path).map_err(failed)?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(SourceError::Directory { name: name(path) });
        }
        Box::new(file)
    };
    let mut input = Counted { input, bytes_read: bytes_read.clone() };
    let mut magic = Vec::new();
    // A pipe may give one byte at a time; `read_to_end` asks until it has them all.
    input.by_ref().take(6).read_to_end(&mut magic).map_err(failed)?;
    let with = match magic.as_slice() {
        [0x1F, 0x8B, ..] => None,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some("zstd"),
        [0xFD, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => Some("bzip2"),
        _ => None,
    };
    if let Some(with) = with {
        return Err(SourceError::Compressed { name: name(path), with });
    }
    let is_gzip = magic.starts_with(&[0x1F, 0x8B]);
    let whole = io::Cursor::new(magic).chain(input);
    let text: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
    } else {
        Box::new(whole)
    };
    Ok(Lines::new(BufReader::with_capacity(BUFFER_BYTES, text)))
}

struct Counted {
    input: Box<dyn Read>,
    bytes_read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
        Ok(bytes)
    }
}
