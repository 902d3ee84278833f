//! One run: what happened when.

use std::fmt::Write as _;

use crossfade_sim::{Asking, Outcome, Phase, PlayEnd, Script, Told};
use serde::Serialize;

use super::{SimulateError, begin, most_ms};
use crate::module::Module;
use crate::output::counted;
use crate::units::span;

/// A run, as it is told.
#[derive(Debug, Serialize)]
pub(crate) struct Timeline {
    seed: u32,
    /// Of every report and every event: the same in the page.
    digest: String,
    events: Vec<Told>,
    outcome: Outcome,
    /// How long a fault of v2's own went on until v2 was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_after_ms: Option<u64>,
}

/// Plays one run to its end.
///
/// # Errors
/// The engine failed, or refused something.
pub(crate) fn one(script: &Script, module: &Module) -> Result<Timeline, SimulateError> {
    let (mut engine, mut play) = begin(script, Asking::Always, module)?;
    let most_ms = most_ms(script);
    while play.phase() == Phase::Running && play.now_ms() < most_ms {
        play.step(script, &mut engine, false)?;
    }
    let outcome = Outcome { regression_ms: play.regression_ms(script), ..play.outcome().clone() };
    Ok(Timeline {
        seed: script.seed,
        digest: play.digest(),
        events: play.take_events(),
        found_after_ms: outcome.detected_after_ms(),
        outcome,
    })
}

impl Timeline {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for told in &self.events {
            let sentence = told.event["sentence"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{:>12}  {sentence}", clock(told.at_ms));
        }
        let outcome = &self.outcome;
        let end = match outcome.end {
            PlayEnd::Completed => "Completed",
            PlayEnd::RolledBack => "Rolled back",
            PlayEnd::TimedOut => "Timed out, and waits for a person",
            PlayEnd::AwaitingApproval => "Awaits approval",
            PlayEnd::Aborted => "Aborted",
            PlayEnd::Undone => "Undone",
            PlayEnd::Paused => "Paused",
            PlayEnd::Running => "Not over",
        };
        let _ = writeln!(
            text,
            "\n{end} after {}: {}; {} failed that would have gone well on v1, of {}.",
            span(outcome.ended_ms),
            counted(outcome.requests, "request"),
            outcome.harmed_requests,
            counted(outcome.harmed_clients, "client"),
        );
        if let Some(ms) = self.found_after_ms {
            let _ = writeln!(text, "The fault went on for {} until v2 was taken back.", span(ms));
        }
        let _ = writeln!(text, "seed {}, digest {}", self.seed, self.digest);
        text
    }
}

/// `1:02:03` since the beginning, with days where there are any.
fn clock(ms: u64) -> String {
    let seconds = ms / 1_000;
    let time = format!("{}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => time,
        days => format!("{days} d {time}"),
    }
}
