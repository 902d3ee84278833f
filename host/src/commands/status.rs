//! `crossfade status`.

use std::time::Duration;

use crate::client::status::Status;
use crate::client::watch::{STATUS, Watch};
use crate::client::{ServerArgs, page};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};
use crate::units::parse_duration;

/// Show a migration: steps, share, evidence, verdict, and who is left.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXITS}\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Keep looking. On a terminal the page is always new, and q ends it; elsewhere a block
    /// is printed whenever something else than numbers has changed.
    #[arg(short, long)]
    watch: bool,

    /// Wait until the rollout is over or cannot go on without a person; the exit code says
    /// which.
    #[arg(long)]
    wait: bool,

    /// With --wait: not longer than this, such as 90s or 4h.
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// For whom the answer is printed; with --watch one document a line.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  Where does the rollout stand, and what is to be done?
    crossfade status

  Watch it:
    crossfade status -w

  A pipeline that goes on when the new version has arrived:
    crossfade start && crossfade status --wait --timeout 6h && ./announce.sh

  The verdict, for a program:
    crossfade status --output json | jq -r .rollout.verdict";

const EXITS: &str = "\
With --wait the rollout is the exit code:
    0  completed
    1  rolled back, aborted or undone
    2  not over: the time of --timeout has passed, or a person is needed (there is no
       rollout, or it is awaiting approval, timed out or paused)
";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let document = client.get(STATUS)?;
        if self.watch || self.wait {
            let Args { watch: live, wait, timeout, output, .. } = self;
            return Watch { live, wait, timeout, output }.run(&client, document);
        }
        match self.output {
            Output::Json => print_json_safely(&document)?,
            Output::Human => {
                let status: Status = client.read(document)?;
                print(&status.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}
