//! The `crossfade` program: see [`crossfade::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    crossfade::cli::run()
}
