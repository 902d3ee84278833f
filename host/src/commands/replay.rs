//! `crossfade replay`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command};

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
/// at its time. It ends with 1 at the first that does not say the same, to the byte. It
/// takes --module and --output, and no option that is for logs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// First: reading the others takes them out of what was given.
    #[command(flatten)]
    given: Given,

    #[command(flatten)]
    replay: ReplayArgs,

    /// Run this module in place of the built-in engine.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// The options for logs that were given on the command line.
#[derive(Debug)]
struct Given(Vec<String>);

impl clap::FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Given, clap::Error> {
        let options = ReplayArgs::augment_args(Command::new("replay"));
        let given = options.get_arguments().filter_map(|option| {
            let long = option.get_long().filter(|long| *long != "output")?;
            let source = matches.value_source(option.get_id().as_str());
            (source == Some(ValueSource::CommandLine)).then(|| format!("--{long}"))
        });
        Ok(Given(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Given::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
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
            replay::Output::Human => Some(Output::Human),
            replay::Output::Json => Some(Output::Json),
            replay::Output::Csv => None,
        };
        if let Some(exit) = demo::again(&self.replay.logs, &self.given.0, output, module)? {
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
