//! `crossfade replay`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::demo;
use crate::exit::{self, Exit, Failure};
use crate::module::Module;
use crate::output::Output;
use crate::plugin::{Plugin, PluginOptions};
use crate::replay::{self, ReplayArgs, ReplayError};
use crate::signals;

/// Tell what a policy would have done to the requests of access logs.
///
/// Each request goes through the engine at the time that the log gives it. The report
/// says which version would have served whom, whose failures that would have been, and
/// who would move at each step of a ramp. A line that cannot be read is counted, named
/// and passed over.
///
/// A record of `crossfade demo --record` is played again instead: every call of the engine,
/// at its time. It ends with 1 at the first that does not say the same, to the byte.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    #[command(flatten)]
    replay: ReplayArgs,

    /// Run this module in place of the built-in engine.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  Whom would a canary of 10 % have moved, and whom each step of 1, 5, 25, 100 %?
    crossfade replay access.log

  Behind one address may be many clients; the oldest log comes first:
    crossfade replay --canary 5 --key address+agent access.log.2.gz access.log.1

  A whole plan, on JSON lines that have what its rules ask for:
    crossfade replay --policy plan.yaml --key header:x-user-id \\
        --attribute plan=field:user.plan app.jsonl

  Does the engine still decide as it did, to the byte?
    crossfade demo --until complete --record run.jsonl; crossfade replay run.jsonl

  Numbers for a program, from a log that is compressed another way:
    zstd -dc access.log.zst | crossfade replay --output json - | jq .versions";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        // There is nothing to hang up: a lost terminal ends the program.
        signals::watch(|| std::process::exit(Exit::Terminated as i32))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        let module = || match &self.module {
            Some(path) => Ok(Module::from_file(path)?),
            None => Ok(Module::builtin()?),
        };
        let output = match self.replay.output {
            replay::Output::Json => Output::Json,
            replay::Output::Human | replay::Output::Csv => Output::Human,
        };
        if let [record] = self.replay.logs.as_slice()
            && let Some(exit) = demo::again(record, output, module)?
        {
            return Ok(exit);
        }
        let module = module()?;
        let start = |start| Ok(Plugin::start(module, PluginOptions::default(), start)?.0);
        match replay::run(&self.replay, start, &mut io::stdout()) {
            Ok(()) => Ok(Exit::Ok),
            Err(ReplayError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Err(error) => Err(Failure::new(error.exit(), error)),
        }
    }
}
