//! `crossfade gate`.

mod segments;
mod verdict;

use std::path::PathBuf;

use serde_json::json;

use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json};
use crate::question::{AskError, EngineArgs, ask};

use segments::Pair;
use verdict::Told;

/// Judge counts: is the new version healthy, worse, or is it too early to tell?
///
/// The gate of a rollout as a calculator. Its evidence is valid at every look: ask as
/// often as you like while the counts grow, and it is wrong no more often than `alpha`
/// and `beta` say.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXITS}\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Requests and failures of the old version.
    #[arg(long, value_name = "REQUESTS,FAILURES", value_parser = Pair::read,
          required_unless_present = "file", conflicts_with = "file")]
    control: Option<Pair>,

    /// Requests and failures of the new version, served beside it.
    #[arg(long, value_name = "REQUESTS,FAILURES", value_parser = Pair::read,
          required_unless_present = "file", conflicts_with = "file")]
    canary: Option<Pair>,

    /// A whole sequence: a JSON object a line for each stretch in which the share was
    /// constant, oldest first, with canary_requests, canary_failures, control_requests
    /// and control_failures; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Times the old version's failure rate that is still no reason to act, 1 to 10
    /// [default: 1, no worse at all].
    #[arg(long, value_name = "RATIO", value_parser = number)]
    margin: Option<f64>,

    /// Chance of calling a healthy version worse, over all looks [default: 0.005].
    #[arg(long, value_name = "CHANCE", value_parser = number)]
    alpha: Option<f64>,

    /// Chance of calling a worse version healthy [default: 0.05].
    #[arg(long, value_name = "CHANCE", value_parser = number)]
    beta: Option<f64>,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    engine: EngineArgs,
}

const EXAMPLES: &str = "\
Examples:
  30 of 10,000 requests failed on v2, 100 of 100,000 on v1. Is v2 worse?
    crossfade gate --control 100000,100 --canary 10000,30

  A pipeline that promotes a version only when it is proven healthy:
    crossfade gate --control 100000,100 --canary 100000,95 && ./promote.sh

  A rollout of two steps, where only a tenth more failures would matter:
    printf '%s\\n' \\
      '{\"canary_requests\":1000,\"canary_failures\":2,\"control_requests\":99000,\"control_failures\":95}' \\
      '{\"canary_requests\":50000,\"canary_failures\":60,\"control_requests\":50000,\"control_failures\":51}' |
    crossfade gate --file - --margin 1.1";

const EXITS: &str = "\
The verdict is the exit code:
    0  healthy: proven not worse
    1  unhealthy: proven worse
    2  inconclusive: not enough evidence either way
";

/// A number that JSON can carry: `nan` would otherwise arrive as nothing at all.
fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "not a number such as 1.1 or 0.005".to_owned())
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let segments = match (&self.file, self.control, self.canary) {
            (Some(path), ..) => segments::from_file(path)?,
            (None, control, canary) => {
                let (control, canary) = (control.unwrap_or_default(), canary.unwrap_or_default());
                vec![segments::from_pairs(control, canary)?]
            }
        };
        let message = json!({
            "type": "evaluate_gate",
            "segments": segments,
            "margin": self.margin,
            "alpha": self.alpha,
            "beta": self.beta,
        });
        let mut plugin = self.engine.start(0)?;
        let reply = ask(&mut plugin, message, "gate_verdict").map_err(|error| {
            // The counts have been read already: what is refused is an option, or too
            // many segments.
            let of_file =
                matches!(&error, AskError::Refused { text } if text.starts_with("segments"));
            error.failure(if of_file { Exit::Data } else { Exit::Usage })
        })?;
        let told = Told::read(&reply).map_err(|error| {
            let text = format!("the engine answered `evaluate_gate` in another shape: {error}");
            Failure::new(Exit::Internal, text)
        })?;
        match self.output {
            Output::Human => print(&told.text())?,
            Output::Json => print_json(&told.report())?,
        }
        Ok(told.exit())
    }
}
