//! Prints `docs/protocol.md` with every reply as the native engine of this working copy
//! gives it:
//!
//! ```text
//! cargo run --example fill_protocol > filled.md
//! ```
//!
//! Read every change before it is checked in: from then on it is what the page promises.

use std::process::ExitCode;

use crossfade_tests::docs::{fill, protocol_page};
use crossfade_tests::driver::{DriverError, Native};

fn main() -> ExitCode {
    match filled() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("docs/protocol.md: {error}");
            ExitCode::from(65)
        }
    }
}

fn filled() -> Result<String, DriverError> {
    fill(&std::fs::read_to_string(protocol_page())?, &mut Native::new())
}
