//! The command line: what all commands have in common. Each command is one file in
//! `commands/` and one variant of [`Command`].

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::Styles;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::commands::Command;
use crate::exit::{self, Exit};
use crate::replay::text::shown_lines;

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

/// The commands by what one wants of them, in the order in which one does.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Before it runs",
        &["check", "explain", "simulate", "ui", "replay", "gate", "import", "export"],
    ),
    ("Running", &["demo", "serve", "node", "data"]),
    ("A rollout", &["status", "start", "pause", "resume", "promote", "abort", "retry", "undo"]),
    ("The old version", &["clients", "brownout", "sunset", "life"]),
    ("Its surroundings", &["policy", "events", "audit", "nodes"]),
    ("Also", &["completions", "man", "help"]),
];

/// The command line, with the list of commands in groups.
fn command() -> clap::Command {
    // Built, so that `help` is among the commands.
    let mut command = Cli::command();
    command.build();
    let width = command.get_subcommands().map(|found| found.get_name().len()).max().unwrap_or(0);
    let styles = Styles::styled();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut list = String::new();
    for (title, names) in GROUPS {
        list += &format!("{header}{title}:{header:#}\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map_or(String::new(), ToString::to_string);
            let gap = " ".repeat(width - name.len().min(width));
            list += &format!("  {literal}{name}{literal:#}{gap}  {about}\n");
        }
        list.push('\n');
    }
    Cli::command().help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n\
         {list}{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Does what the process's arguments ask for.
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

/// Does what these arguments ask for; the first is the program's name.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut command = command();
    let parsed = command.try_get_matches_from_mut(arguments);
    let parsed = parsed.and_then(|found| {
        Cli::from_arg_matches(&found).map_err(|error| error.format(&mut command))
    });
    let cli = match parsed {
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
            // What is in a file may be in the message, and moves no cursor.
            let message = shown_lines(&failure.to_string());
            let _ = writeln!(io::stderr(), "crossfade: {message}");
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
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let mut known: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        known.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn the_list_of_commands_fits_a_terminal() {
        let help = command().render_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert_eq!(long, [""; 0]);
        for (_, names) in GROUPS {
            for name in names {
                let found = help.lines().any(|line| line.starts_with(&format!("  {name} ")));
                assert!(found, "{name}");
            }
        }
    }
}
