//! `crossfade sunset`.

use crate::client::{ServerArgs, page};
use crate::clients::Sunset;
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};

/// Tell whether the old version can be switched off, and who still depends on it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXITS, after_long_help = format!("{EXITS}\n{}", exit::HELP))]
pub(crate) struct Args {
    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

const EXITS: &str = "\
The answer is the exit code:
    0  the old version can be switched off
    1  not yet
";

/// Candidates that are shown, and where the others are.
const CANDIDATES: (usize, &str) = (10, "`crossfade clients --sort again` lists everybody");

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let answer = client.get("/v1/sunset")?;
        let sunset: Sunset = client.read(answer.clone())?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond());
                let now_ms = now_ms.unwrap_or_default();
                print(&sunset.text(page::columns(), page::color(), now_ms, CANDIDATES))?;
            }
        }
        Ok(if sunset.ready { Exit::Ok } else { Exit::Unhealthy })
    }
}
