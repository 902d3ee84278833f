//! The commands. A new one is a file here, a variant, and a line in each `match`.

mod check;
mod completions;
mod data;
mod explain;
mod export;
mod gate;
mod import;
mod node;
mod replay;
mod serve;

use clap::Subcommand;
use tracing::level_filters::LevelFilter;

use crate::exit::{Exit, Failure};

/// What can be asked of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Node(node::Args),
    Serve(Box<serve::Args>),
    Data(data::Args),
    Replay(Box<replay::Args>),
    Check(check::Args),
    Explain(explain::Args),
    Gate(gate::Args),
    Export(Box<export::Args>),
    Import(import::Args),
    Completions(completions::Args),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Command::Node(args) => args.run(),
            Command::Serve(args) => args.run(),
            Command::Data(args) => args.run(),
            Command::Replay(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Gate(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Import(args) => args.run(),
            Command::Completions(args) => args.run(),
        }
    }

    /// What is logged unless `--log-level` says otherwise. A service tells of its start,
    /// its reloads and its events; a command that answers a question, of trouble only.
    pub(crate) fn log_level(&self) -> LevelFilter {
        match self {
            Command::Node(_) | Command::Serve(_) => LevelFilter::INFO,
            Command::Replay(_)
            | Command::Check(_)
            | Command::Explain(_)
            | Command::Gate(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Data(_)
            | Command::Completions(_) => LevelFilter::WARN,
        }
    }
}
