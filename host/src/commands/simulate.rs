//! `crossfade simulate`.

use std::path::PathBuf;

use crossfade_sim::Demand;

use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json};
use crate::policy;
use crate::question::EngineArgs;
use crate::rehearse::{read_failure_ratio, read_latency, read_rps};
use crate::signals;
use crate::simulate::{SimulateError, draw, many, one, script};

/// Play a plan in a simulated world: once, or many times.
///
/// Clients with names and habits call an API, the engine routes every request and decides
/// on what it is told, and something goes wrong, as the scenario says. One run prints what
/// happened when. With --runs it is played so many times with a healthy v2 and so many
/// times with a worse one, and what is to be expected is told. The same seed gives the
/// same run, here and in the page (`crossfade ui`).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// The plan, YAML or JSON; `-` is standard input.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// What happens: healthy, bad-canary, slow-regression, slow-v2, old-outage, both-fail,
    /// bursts, no-metrics, broken-segment.
    #[arg(long, value_name = "NAME", default_value = "healthy")]
    scenario: String,

    /// Chance: the same seed gives the same run.
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    seed: u32,

    /// How many times as fast as real time one run is told, or `max`: as fast as the machine.
    #[arg(long, value_name = "FACTOR", value_parser = read_speed, default_value = "max",
          conflicts_with = "runs")]
    speed: Speed,

    /// Play it so many times, and tell how the plan behaves.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: Option<u32>,

    /// Draw how soon a worse v2 was taken back, as SVG.
    #[arg(long, value_name = "FILE", requires = "runs")]
    plot: Option<PathBuf>,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    /// Requests a second that the API serves, up to 5,000.
    #[arg(long, value_name = "NUMBER", value_parser = read_rps, default_value = "200")]
    rps: f64,

    /// Share of them that fails today.
    #[arg(long = "error-rate", value_name = "PERCENT%", value_parser = read_failure_ratio,
          default_value = "0.4%")]
    failure_ratio: f64,

    /// Clients that send them, up to 20,000.
    #[arg(long, value_name = "NUMBER", default_value_t = 3_000)]
    clients: u32,

    /// Median latency today in milliseconds.
    #[arg(long, value_name = "MS", value_parser = read_latency, default_value = "40")]
    latency_ms: f64,

    #[command(flatten)]
    engine: EngineArgs,
}

const EXAMPLES: &str = "\
Examples:
  What would happen if v2 failed three times as often?
    crossfade simulate migration.yaml --scenario bad-canary

  How often would this plan take a healthy v2 back, and how soon a bad one?
    crossfade simulate migration.yaml --runs 500

  The same as a picture:
    crossfade simulate migration.yaml --runs 500 --plot found.svg";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let plan = policy::read(&self.plan)?;
        signals::watch(|| std::process::exit(Exit::Terminated as i32))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        let module = self.engine.module()?;
        let traffic = Demand {
            rps: self.rps,
            clients: self.clients,
            failure_percent: self.failure_ratio * 100.0,
            median_ms: self.latency_ms,
            ..Demand::default()
        };
        let failed = |error: SimulateError| {
            let exit = match &error {
                SimulateError::Scenario { .. } => Exit::Usage,
                SimulateError::Script(_) => Exit::Data,
                SimulateError::Engine(_) | SimulateError::Refused(_) => Exit::Internal,
            };
            Failure::new(exit, format!("{}: {error}", plan.name()))
        };
        let script = script(plan.value(), &self.scenario, traffic, self.seed).map_err(failed)?;
        match self.runs {
            None => {
                let human = self.output == Output::Human;
                let tell = |line: &str| {
                    if human {
                        // What cannot be written now cannot be at the end either.
                        let _ = print(line);
                    }
                };
                let timeline = one(&script, &module, self.speed.0, tell).map_err(failed)?;
                match self.output {
                    Output::Human => print(&timeline.text())?,
                    Output::Json => print_json(&timeline)?,
                }
            }
            Some(runs) => {
                let expected = many(&script, runs, &module).map_err(failed)?;
                match self.output {
                    Output::Human => print(&expected.text())?,
                    Output::Json => print_json(&expected)?,
                }
                if let Some(path) = &self.plot {
                    draw(&expected, path).map_err(|error| Failure::new(Exit::Io, error))?;
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// `None` is as fast as it goes.
#[derive(Debug, Clone, Copy)]
struct Speed(Option<f64>);

fn read_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed(None));
    }
    let number = text.strip_suffix(['x', '×']).unwrap_or(text);
    match number.parse::<f64>() {
        Ok(speed) if (1.0..=1e6).contains(&speed) => Ok(Speed(Some(speed))),
        _ => Err("a speed is `max`, or a number from 1 to 1000000, as 600x".to_owned()),
    }
}
