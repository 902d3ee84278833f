//! One run: what happened when.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

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

/// Plays one run to its end, and tells of each event, as a line, when it happens. With a
/// `speed` simulated time is so many times as fast as real time, and not as fast as the
/// machine; what happens is the same.
///
/// # Errors
/// The engine failed, or refused something.
pub(crate) fn one(
    script: &Script,
    module: &Module,
    speed: Option<f64>,
    mut tell: impl FnMut(&str),
) -> Result<Timeline, SimulateError> {
    let (mut engine, mut play) = begin(script, Asking::Always, module)?;
    let most_ms = most_ms(script);
    let started = Instant::now();
    let mut events = Vec::new();
    while play.phase() == Phase::Running && play.now_ms() < most_ms {
        play.step(script, &mut engine, false)?;
        if let Some(speed) = speed {
            let due = Duration::from_secs_f64(play.now_ms() as f64 / 1_000.0 / speed);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        for told in play.take_events() {
            tell(&line(&told));
            events.push(told);
        }
    }
    let outcome = Outcome { regression_ms: play.regression_ms(script), ..play.outcome().clone() };
    Ok(Timeline {
        seed: script.seed,
        digest: play.digest(),
        events,
        found_after_ms: outcome.detected_after_ms(),
        outcome,
    })
}

impl Timeline {
    /// How it ended, for people who have read the lines before.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
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

/// When, and what.
fn line(told: &Told) -> String {
    let sentence = told.event["sentence"].as_str().unwrap_or_default();
    format!("{:>12}  {sentence}\n", clock(told.at_ms))
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
