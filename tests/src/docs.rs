//! The exchanges in `docs/protocol.md`, taken from the page and played.
//!
//! A page is read strictly: a block or a row that cannot be played is an error, never
//! passed over, so that an exchange in the docs is one that has been run.

mod bytes;
mod exchange;
mod fill;
mod table;

use std::path::{Path, PathBuf};

pub use exchange::{Call, Exchange, Step};
pub use fill::fill;
pub use table::Row;

use crate::driver::{Driver, DriverError};
use crate::runner::Difference;

/// Why a page cannot be played.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {why}")]
pub struct DocError {
    /// Line of the page, from 1.
    pub line: usize,
    /// What is wrong there, and what would be right.
    pub why: String,
}

impl DocError {
    fn at<T>(line: usize, why: impl Into<String>) -> Result<T, DocError> {
        Err(DocError { line, why: why.into() })
    }
}

/// What a page says that can be played.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The blocks marked `exchange`, in order.
    pub exchanges: Vec<Exchange>,
    /// The rows under the heading "Bad input", in order.
    pub rows: Vec<Row>,
}

/// The page about the protocol.
pub fn protocol_page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")
}

impl Page {
    /// Reads a page of Markdown.
    ///
    /// # Errors
    /// The first block or row that is not in the form the page itself describes.
    pub fn read(text: &str) -> Result<Page, DocError> {
        Ok(Page { exchanges: exchange::read(text)?, rows: table::read(text)? })
    }

    /// Plays every exchange and every row.
    ///
    /// # Errors
    /// When the build broke. That it answered otherwise is a [`Difference`].
    pub fn play(&self, driver: &mut dyn Driver) -> Result<Vec<Difference>, DriverError> {
        let mut differences = Vec::new();
        let name = driver.name();
        let mut compare = |line: usize, expected: &[String], got: Vec<u8>| {
            let got = String::from_utf8_lossy(&got).into_owned();
            let expected: String = expected.iter().map(|reply| format!("{reply}\n")).collect();
            if got != expected {
                let place = format!("line {line}");
                differences.push(Difference { driver: name, place, expected, got });
            }
        };
        for exchange in &self.exchanges {
            exchange.play(driver, |step, got| compare(step.line, &step.replies, got))?;
        }
        for row in &self.rows {
            if let Some(got) = row.play(driver)? {
                compare(row.line, &row.answers, got);
            }
        }
        Ok(differences)
    }
}
