//! What a plan can see, before it runs: the real engine plays each step in a simulated
//! world.
//!
//! *Does:* play every step by itself, with a v2 as good as v1 and with worse ones, and
//! tell which it catches, how long proof of health takes, and what a regression costs.
//!
//! *Does not:* judge anything itself, or know your traffic beyond its rate, its failures
//! and its clients: real traffic is less even.

mod numbers;
mod player;
mod search;
mod stage;
mod table;
mod warnings;

use std::io::{IsTerminal, stderr};

use crossfade_protocol::Plan;
use crossfade_sim::{Chance, Latency, RehearsalError, Traffic, TrafficError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::module::Module;
use crate::plugin::PluginError;

use player::Player;
pub(crate) use player::{Guest, on_all_processors};
use search::{Found, PLAYS_PER_RUN, Search};
use stage::Stage;

/// How the logarithm of latencies spreads: the slowest 1 % take 3.2 times the median.
const LATENCY_SIGMA: f64 = 0.5;

/// What the traffic will be like, and how carefully it is tried.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "What the plan can see")]
pub(crate) struct Assumptions {
    /// Requests a second that the API serves: tell what each step of the plan will see.
    #[arg(long, value_name = "NUMBER", value_parser = read_rps, requires = "failure_ratio")]
    rps: Option<f64>,

    /// Share of them that fails today, such as 0.2%.
    #[arg(long = "error-rate", id = "failure_ratio", value_name = "PERCENT%",
          value_parser = read_failure_ratio, requires = "rps")]
    failure_ratio: Option<f64>,

    /// Clients that send them [default: one for each request in five minutes].
    #[arg(long, value_name = "NUMBER", requires = "rps",
          value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,

    /// Median latency today in milliseconds; for plans whose gate looks at latency.
    #[arg(long, value_name = "MS", value_parser = read_latency, requires = "rps")]
    latency_ms: Option<f64>,

    /// Rollouts that are simulated for each number: more are surer, and take longer.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, requires = "rps",
          value_parser = clap::value_parser!(u32).range(50..=10_000))]
    runs: u32,

    /// Chance: the same seed gives the same answer.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "rps")]
    seed: u64,

    /// Simulate every 5 s of long steps too: slower by far, and much the same answer.
    #[arg(long, requires = "rps")]
    every_tick: bool,
}

/// Why a plan could not be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RehearseError {
    /// There is nothing to try.
    #[error("the plan has no `rollout`: there are no steps to try")]
    NoSteps,
    /// The gate asks for what was not told.
    #[error(
        "the plan's gate looks at latency: say what it is today with --latency-ms MEDIAN, such \
         as --latency-ms 80"
    )]
    NoLatency,
    /// The document is not the plan that was checked.
    #[error("the plan cannot be read")]
    Plan,
    /// Numbers that are no traffic.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// The engine failed.
    #[error("the plan could not be tried: {0}")]
    Engine(#[source] PluginError),
    /// It refused a message.
    #[error("the plan could not be tried, the engine said: {0}")]
    Refused(String),
}

impl From<RehearsalError<PluginError>> for RehearseError {
    fn from(error: RehearsalError<PluginError>) -> RehearseError {
        match error {
            RehearsalError::Engine(error) => RehearseError::Engine(error),
            RehearsalError::Refused(text) => RehearseError::Refused(text),
        }
    }
}

/// What a plan can see.
#[derive(Debug, Serialize)]
pub(crate) struct Foresight {
    requests_per_s: f64,
    failure_ratio: f64,
    clients: u32,
    latency_ms: Option<f64>,
    runs: u32,
    seed: u64,
    versions: [String; 2],
    /// Up to which regression a step passes by design: the gate's `not_worse`.
    passes_up_to: f64,
    steps: Vec<Found>,
    pub(crate) warnings: Vec<warnings::Warning>,
}

impl Assumptions {
    /// Whether the question was asked.
    pub(crate) fn are_given(&self) -> bool {
        self.rps.is_some()
    }

    /// Tries every step of a plan that the engine has found sound.
    ///
    /// # Errors
    /// There are no steps, an option is missing, or the engine failed.
    pub(crate) fn try_plan(
        &self,
        document: &Value,
        module: &Module,
    ) -> Result<Foresight, RehearseError> {
        let plan = Plan::read(document).map_err(|_| RehearseError::Plan)?;
        let requests_per_s = self.rps.unwrap_or_default();
        let failure_ratio = self.failure_ratio.unwrap_or_default();
        if plan.rollout.is_none() {
            return Err(RehearseError::NoSteps);
        }
        let traffic = self.traffic(&plan, requests_per_s, failure_ratio)?;
        let mut stages = Stage::all(&plan, &traffic, requests_per_s, failure_ratio);
        let player = Player::new(module.clone(), init_document(document));
        let seeds = seeds(self.seed, self.runs);
        let bar = bar(stages.len() * PLAYS_PER_RUN * seeds.len());
        let played = || bar.inc(1);
        let mut steps: Vec<Found> = Vec::new();
        let count = stages.len();
        for stage in stages.iter_mut().filter(|stage| !stage.is_without_control()) {
            bar.set_message(format!("step {} of {count}", stage.number));
            let before = stage.lead_place().and_then(|place| steps.get(place));
            if let Some(minutes) = before.and_then(|before| before.healthy_minutes.median.value) {
                stage.prolong_lead((minutes * 60_000.0) as u64);
            }
            let is_fine = self.every_tick;
            let search = Search { player: &player, stage, seeds: &seeds, played: &played, is_fine };
            steps.push(search.run()?);
            bar.set_position((steps.len() * PLAYS_PER_RUN * seeds.len()) as u64);
        }
        bar.finish_and_clear();
        let warnings = warnings::of(&plan, &stages, &steps);
        Ok(Foresight {
            requests_per_s,
            failure_ratio,
            clients: self.clients.unwrap_or((requests_per_s * 300.0).clamp(100.0, 1e5) as u32),
            latency_ms: self.latency_ms,
            runs: self.runs,
            seed: self.seed,
            versions: [plan.versions.stable().to_owned(), plan.versions.new_version().to_owned()],
            passes_up_to: passes_up_to(&plan, failure_ratio),
            steps,
            warnings,
        })
    }

    fn traffic(
        &self,
        plan: &Plan,
        requests_per_s: f64,
        failure_ratio: f64,
    ) -> Result<Traffic, RehearseError> {
        let mut traffic = Traffic::new(requests_per_s, failure_ratio)?;
        if let Some(clients) = self.clients {
            traffic = traffic.clients(clients)?;
        }
        if !plan.sticky {
            traffic = traffic.not_sticky();
        }
        match (plan.gate.latency, self.latency_ms) {
            (Some(_), None) => Err(RehearseError::NoLatency),
            (Some(_), Some(median_ms)) => {
                Ok(traffic.latency(Latency::new(median_ms, LATENCY_SIGMA)?))
            }
            (None, _) => Ok(traffic),
        }
    }
}

/// The gate calls healthy what is proven to lie below either bound of `not_worse`.
fn passes_up_to(plan: &Plan, failure_ratio: f64) -> f64 {
    let not_worse = plan.gate.failures.not_worse;
    let by_points = 1.0 + not_worse.points / 100.0 / failure_ratio;
    (not_worse.ratio.max(by_points) * 1e3).round() / 1e3
}

/// The plan for the engine: without what would get in the way of playing a step now.
fn init_document(document: &Value) -> Vec<u8> {
    let mut policy = document.clone();
    if let Some(fields) = policy.as_object_mut() {
        for field in ["rollout", "guard", "kill_switch", "brownouts", "deprecation", "shadow"] {
            fields.shift_remove(field);
        }
    }
    json!({ "clock": "wall", "policy": policy }).to_string().into_bytes()
}

/// A seed for each run.
fn seeds(seed: u64, runs: u32) -> Vec<u64> {
    let mut chance = Chance::new(seed);
    (0..runs).map(|_| chance.bits()).collect()
}

/// A bar on standard error, or nothing when that is no terminal.
pub(crate) fn bar(plays: usize) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {percent} %  {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━ ");
    let bar = ProgressBar::with_draw_target(Some(plays as u64), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar
}

pub(crate) fn read_rps(text: &str) -> Result<f64, String> {
    let rps = text.parse::<f64>().ok().filter(|rps| rps.is_finite());
    match rps {
        Some(rps) if rps > 0.0 && rps <= 1e6 => Ok(rps),
        Some(0.0) => Err("without requests nothing can be seen: give a number above 0".into()),
        _ => Err("not a number of requests a second above 0, up to 1000000".into()),
    }
}

pub(crate) fn read_failure_ratio(text: &str) -> Result<f64, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return Err(match text.parse::<f64>() {
            Ok(0.0) | Err(_) => "a percentage ends in %: 0.2%".into(),
            Ok(number) => {
                let share = number * 100.0;
                format!("percent, or a share of 1? Write {number}%, or {share}%")
            }
        });
    };
    let percent = percent.trim_end().parse::<f64>().map_err(|_| "a percentage is like 0.2%")?;
    if percent == 0.0 {
        return Err("a regression is told as a multiple of today's failures: if there were none, \
                    give what could have gone unseen, such as 0.01%"
            .into());
    }
    if percent > 0.0 && percent < 100.0 {
        Ok(percent / 100.0)
    } else {
        Err("not a share of requests above 0% and below 100%".into())
    }
}

pub(crate) fn read_latency(text: &str) -> Result<f64, String> {
    let ms = text.parse::<f64>().ok().filter(|ms| *ms > 0.0 && *ms <= 180_000.0);
    ms.ok_or_else(|| "not milliseconds above 0, up to 180000".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_failures_says_that_it_is_a_percentage() {
        assert_eq!(read_failure_ratio("0.2%"), Ok(0.002));
        assert_eq!(read_failure_ratio("5 %"), Ok(0.05));
        let said = |text: &str| read_failure_ratio(text).unwrap_err();
        assert_eq!(said("0.2"), "percent, or a share of 1? Write 0.2%, or 20%");
        assert_eq!(said("x"), "a percentage ends in %: 0.2%");
        for text in ["150%", "100%", "-1%", "nan%", "inf%"] {
            assert!(said(text).starts_with("not a share"), "{text}");
        }
        assert!(said("0%").contains("0.01%"));
    }

    #[test]
    fn a_rate_is_above_nothing() {
        assert_eq!(read_rps("0.5"), Ok(0.5));
        assert!(read_rps("0").unwrap_err().starts_with("without requests"));
        for text in ["-1", "nan", "inf", "1e7", "x", ""] {
            assert!(read_rps(text).unwrap_err().starts_with("not a number"), "{text}");
        }
    }
}
