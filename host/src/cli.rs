//! The command line: what all commands have in common. Each command is one file in
//! `commands/` and one variant of [`Command`].

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::commands::Command;
use crate::exit::{self, Exit};

/// Moves an API's clients from one version to the next.
///
/// A small share first, more when the new version is proven healthy, back at once when
/// it is proven worse. Every decision is made by an engine compiled to WebAssembly; this
/// program runs it.
#[derive(Debug, Parser)]
#[command(
    name = "crossfade",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "`crossfade help COMMAND` shows examples.",
    after_long_help = exit::HELP
)]
pub struct Cli {
    /// How much to say on stderr [default: info for node, else warn].
    #[arg(long, global = true, value_name = "LEVEL", hide_possible_values = true)]
    log_level: Option<LogLevel>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> LevelFilter {
        match level {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// Does what the process's arguments ask for.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Also `--help` and `--version` come as errors, those for stdout.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let level = cli.log_level.map_or(cli.command.log_level(), LevelFilter::from);
    log_to_stderr(level);
    match cli.command.run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Not `eprintln!`: that panics when stderr is closed.
            let _ = writeln!(io::stderr(), "crossfade: {failure}");
            failure.exit.into()
        }
    }
}

fn log_to_stderr(level: LevelFilter) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        .with_target(false)
        .with_ansi(colours)
        // A full disk under stderr must not end the program.
        .log_internal_errors(false)
        .finish()
        // What it says of connections the store says itself, in its own words.
        .with(Targets::new().with_default(level).with_target("async_nats", LevelFilter::OFF));
    // Fails only when there is one already, in a test that runs commands by itself.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
