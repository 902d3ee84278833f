//! `crossfade demo`.

use std::path::PathBuf;

use crate::demo::{self, DemoOptions, Fault, Through, Until};
use crate::exit::{self, Exit, Failure};
use crate::output::Output;

/// See a whole migration on this machine: services, clients, traffic, the live page.
///
/// Starts two small services, a control plane with a plan of a few minutes, and thousands of
/// simulated clients who call over real HTTP; through a real Envoy where one is installed
/// with the filter. The rollout rises to 100 %, then come the long tail, a brownout and the
/// sunset. Nothing has to be configured, and Ctrl-C ends all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Break v2 as the rollout goes on.
    #[arg(long, value_enum, value_name = "FAULT")]
    fault: Option<Fault>,

    /// End there, with 0; with 1 when v2 was taken back. Otherwise it goes on until Ctrl-C.
    #[arg(long, value_enum, value_name = "STAGE")]
    until: Option<Until>,

    /// What carries the traffic.
    #[arg(long, value_enum, default_value_t)]
    through: Through,

    /// Write every call of the deciding engine to this file, with its time; `crossfade
    /// replay` plays it again. The demo's own endpoint carries the traffic then.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Keep the control plane's data here, and go on with what is there [default: a folder
    /// that is removed at the end].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Where the control plane and its page listen; 0 takes a free port.
    #[arg(long, value_name = "PORT", default_value_t = 7400)]
    port: u16,

    /// Requests a second. Fewer make the steps longer.
    #[arg(long, value_name = "NUMBER", default_value_t = demo::RPS, value_parser = rps)]
    rps: f64,

    /// Chance: the same seed draws the same clients and calls [default: another each time].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// The Envoy to start [default: the one on the path, or in .tools of a checkout].
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    envoy: Option<PathBuf>,

    /// The filter, crossfade_envoy.wasm [default: the one of a checkout].
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    filter: Option<PathBuf>,

    /// For whom it is told: text, or an event a line.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    /// No colours, as with NO_COLOR.
    #[arg(long)]
    no_color: bool,
}

const EXAMPLES: &str = "\
Examples:
  A migration in four minutes; look at http://127.0.0.1:7400/ meanwhile:
    crossfade demo

  v2 breaks at 25 %, and is taken back within seconds:
    crossfade demo --fault errors

  In a script: to the end, as events, with a record of every decision:
    crossfade demo --until sunset --output json --record run.jsonl && crossfade replay run.jsonl";

fn rps(text: &str) -> Result<f64, String> {
    let rps: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (20.0..=2_000.0).contains(&rps) { Ok(rps) } else { Err("not from 20 to 2000".to_owned()) }
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        demo::run(DemoOptions {
            fault: self.fault,
            until: self.until,
            through: self.through,
            record: self.record,
            data: self.data,
            port: self.port,
            rps: self.rps,
            seed: self.seed,
            envoy: self.envoy,
            filter: self.filter,
            output: self.output,
            no_color: self.no_color,
        })
    }
}
