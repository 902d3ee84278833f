//! `crossfade replay LOG…`: what a policy would have done to the requests of a log.
//!
//! *Does:* read access logs, send each request through an engine at the time the log
//! gives it, and report who would have been served by which version.
//!
//! *Does not:* decide or count what the engine can: the numbers are the engine's
//! decisions and its statistics, but for the counts of each client. It never stops at
//! a line it cannot read.

mod census;
mod clf;
mod clients;
mod driver;
mod entry;
#[cfg(test)]
#[path = "../../fuzz/src/logs.rs"]
pub(crate) mod hostile;
mod json;
mod key;
mod lines;
mod names;
mod policy;
mod progress;
mod reading;
mod report;
mod session;
mod source;
mod table;
pub(crate) mod text;
pub(crate) mod time;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use crossfade_protocol::abi::RouteWord;

use crate::exit::Exit;
use crate::plugin::{Plugin, PluginError};
use crate::yaml::DocumentError;

pub use census::Rules;
pub use driver::Engine;
pub use entry::LogFormat;
pub use key::{Attribute, Source};
pub use lines::LINE_BYTES_MAX;
pub use names::Names;
pub(crate) use policy::read_share;
pub use policy::{FailureStatus, Ramp, Weights};
pub use source::SourceError;
pub(crate) use table::grouped;

use session::Session;
use table::Page;

/// The options of `crossfade replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Access logs, oldest first, plain or gzip; `-` is standard input.
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,

    /// Send this share of the clients to v2.
    #[arg(long, value_name = "PERCENT", value_parser = policy::read_share, default_value = "10",
          conflicts_with_all = ["split", "policy"])]
    pub canary: crossfade_protocol::Share,

    /// Split requests by weight, oldest version first: v1=50,v2=50.
    #[arg(long, value_name = "VERSION=WEIGHT,...", value_parser = Weights::read,
          conflicts_with = "policy")]
    pub split: Option<Weights>,

    /// With --split: each client keeps its version.
    #[arg(long, requires = "split")]
    pub sticky: bool,

    /// With --canary or --split: mixed into the hash, as the policy's `salt` is.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "policy"
    )]
    pub salt: String,

    /// Decide by this plan document, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Steps of a ramp to the new version, in percent: who would move at each?
    #[arg(long, value_name = "PERCENT,...", value_parser = Ramp::read, default_value = "1,5,25,100")]
    pub ramp: Ramp,

    /// What tells clients apart: address, address+agent (so with --census), agent, field:NAME,
    /// header:NAME, or path:REGEX (its first group)
    #[arg(long, value_name = "SOURCE", value_parser = Source::read, default_value = "address",
          default_value_if("census", "true", "address+agent"))]
    pub key: Source,

    /// Tell who is still on which version, by the requests as they were: no policy decides.
    #[arg(long, conflicts_with_all = ["canary", "split", "ramp", "attributes", "seed"])]
    pub census: bool,

    /// With --census: which requests went to which version, the oldest version first. A
    /// pattern is how the path begins, or ~REGEX; more than one option counts on. Without
    /// any it is /v1/=v1,/v2/=v2, and where no path names a version, all are v1's.
    #[arg(long, value_name = "PATTERN=VERSION,...", value_parser = Rules::read,
          requires = "census")]
    pub version_of: Vec<Rules>,

    /// With --census: where patterns look, from the same sources as --key.
    #[arg(long, value_name = "SOURCE", value_parser = Source::read, requires = "census",
          default_value = "path", hide_default_value = true)]
    pub version_from: Source,

    /// An attribute for the policy's rules, from the same sources: plan=field:user.plan
    #[arg(long = "attribute", value_name = "NAME=SOURCE", value_parser = Attribute::read)]
    pub attributes: Vec<Attribute>,

    /// How the logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub format: LogFormat,

    /// Names of fields in JSON logs that are not found by themselves:
    /// time=ts,status=code,client=user,path=uri,agent=ua,method=verb,headers=h
    #[arg(long, value_name = "PART=FIELD,...", value_parser = Names::read, default_value = "",
          hide_default_value = true)]
    pub json_fields: Names,

    /// Statuses that count as failures.
    #[arg(long, value_name = "STATUS,...", value_parser = FailureStatus::read, default_value = "500-599")]
    pub failure_status: FailureStatus,

    /// How many of the busiest clients to list.
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub top: u32,

    /// How many bad lines to print.
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub bad_lines: u32,

    /// Chance for splits by request; the same seed gives the same report.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// How to print the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables
    Human,
    /// One JSON document; its fields are stable
    Json,
    /// With --census, a line for each client
    Csv,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The policy's file is no document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The engine does not take the policy.
    #[error("{problems}")]
    Policy {
        /// Whether it came from a file; if not, from options.
        from_file: bool,
        /// Every problem, one a line.
        problems: String,
    },
    /// Not one request was found.
    #[error("nothing to replay: no line of {logs} is a request")]
    Nothing {
        /// The logs, as named.
        logs: String,
    },
    /// The engine failed for good.
    #[error(transparent)]
    Engine(#[from] PluginError),
    /// The engine said something that is not the answer to what it was asked.
    #[error("the engine answered `{request}` with {reply}")]
    Unexpected {
        /// The message type.
        request: &'static str,
        /// What it said.
        reply: String,
    },
    /// Only a list of clients has lines for a spreadsheet.
    #[error("--output csv: only --census has it")]
    NoCsv,
    /// The census cannot be put together.
    #[error("{0}")]
    Census(String),
    /// The report could not be written.
    #[error("cannot write the report: {0}")]
    Write(#[source] io::Error),
}

impl ReplayError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            ReplayError::Policy { from_file: false, .. }
            | ReplayError::NoCsv
            | ReplayError::Census(_) => Exit::Usage,
            ReplayError::Document(DocumentError::Io { .. }) | ReplayError::Write(_) => Exit::Io,
            ReplayError::Document(_)
            | ReplayError::Policy { from_file: true, .. }
            | ReplayError::Nothing { .. } => Exit::Data,
            ReplayError::Engine(_) | ReplayError::Unexpected { .. } => Exit::Internal,
        }
    }
}

impl Engine for Plugin {
    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<&[u8], ReplayError> {
        Ok(Plugin::handle(self, lines, now_ms)?)
    }

    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, ReplayError> {
        Ok(Plugin::route(self, key, draw)?)
    }

    fn merge(&mut self, report: &[u8]) -> Result<&[u8], ReplayError> {
        Ok(Plugin::merge(self, report)?)
    }

    fn tick(&mut self, now_ms: u64) -> Result<&[u8], ReplayError> {
        Ok(Plugin::tick(self, now_ms)?)
    }
}

/// Replays the logs and writes the report to `out`. Problems of logs and lines go to
/// standard error as they are met, and so does a progress bar when that is a terminal.
///
/// `start` gives the engine; it is called once, when the first request is found, so that
/// the engine's time begins with the log's.
///
/// # Errors
/// The policy cannot be used, no log holds a request, the engine fails for good, or the
/// report cannot be written.
pub fn run<E: Engine>(
    args: &ReplayArgs,
    start: impl FnOnce(crate::Start) -> Result<E, ReplayError>,
    out: &mut dyn io::Write,
) -> Result<(), ReplayError> {
    if args.census {
        return census::run(args, start, out);
    }
    let (report, span) = Session::new(args, start)?.run()?;
    let text = match args.output {
        Output::Csv => return Err(ReplayError::NoCsv),
        Output::Human => table::render(&report, span, page()),
        Output::Json => {
            let json = serde_json::to_string_pretty(&report);
            let json = json.map_err(|source| ReplayError::Write(source.into()))?;
            text::json_escaped(&json) + "\n"
        }
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ReplayError::Write)
}

fn page() -> Page {
    let is_terminal = io::stdout().is_terminal();
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Page {
        width: is_terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0),
        color: is_terminal && !is_set("NO_COLOR") && !is_dumb,
    }
}
