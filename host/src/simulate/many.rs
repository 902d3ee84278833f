//! Many runs: how the plan behaves.

use std::fmt::Write as _;

use crossfade_sim::{Asking, Kind, Outcome, PlayEnd, Script, Wrong};
use serde::Serialize;

use super::{SimulateError, begin, most_ms};
use crate::module::Module;
use crate::output::counted;
use crate::rehearse::{bar, on_all_processors};
use crate::tables::{self, table};
use crate::units::span;

/// How a plan behaves: with a healthy v2, and with one that is worse.
#[derive(Debug, Serialize)]
pub(crate) struct Expected {
    /// Runs of each kind.
    pub(super) runs: u32,
    /// The seed of the first; each other is one more.
    seed: u32,
    healthy: Group,
    worse: Group,
    /// Whether the regression is the scenario's own, or a doubled error rate.
    pub(super) regression: &'static str,
}

/// What came of runs of one kind. Shares are of all runs.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    completed: f64,
    rolled_back: f64,
    /// Where `rolled_back` may lie in truth (Wilson, 95 %).
    rolled_back_interval: [f64; 2],
    /// Of those that waited for a person or for proof to the end.
    waiting: f64,
    /// Of runs that completed: how long they took.
    completed_after_ms: Quantiles,
    /// Of runs in which a regression was found.
    found_after_ms: Quantiles,
    harmed_clients: Quantiles,
    harmed_requests: Quantiles,
    /// Seeds of the runs that went otherwise than they should, up to ten.
    unexpected_seeds: Vec<u32>,
    #[serde(skip)]
    pub(super) found: Vec<u64>,
}

/// `null` where there is nothing to take them of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Quantiles {
    median: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
}

/// Unexpected runs that are named.
const SEEDS_MAX: usize = 10;

fn is_own(kind: Kind) -> bool {
    matches!(kind, Kind::V2Errors | Kind::V2Slow | Kind::SegmentBroken)
}

/// Plays a script so many times without the faults that are v2's own, and so many times
/// with them; where it has none, with a doubled error rate from the beginning.
///
/// # Errors
/// The engine failed, or refused something.
pub(crate) fn many(script: &Script, runs: u32, module: &Module) -> Result<Expected, SimulateError> {
    let mut healthy = script.clone();
    healthy.faults.retain(|wrong| !is_own(wrong.kind));
    let has_own = script.faults.iter().any(|wrong| is_own(wrong.kind));
    let mut worse = script.clone();
    if !has_own {
        worse.faults.push(Wrong {
            kind: Kind::V2Errors,
            size: 2.0,
            segment: None,
            from_step: Some(1),
            from_ms: 0,
            lasts_ms: None,
        });
    }
    let bar = bar(2 * runs as usize);
    let group = |script: &Script, message: &'static str, expected: PlayEnd| {
        bar.set_message(message);
        let play = |place: usize| {
            let seed = script.seed.wrapping_add(place as u32);
            let script = Script { seed, ..script.clone() };
            let (mut engine, mut play) = begin(&script, Asking::Once, module)?;
            play.finish(&script, &mut engine, most_ms(&script)).map(|outcome| (seed, outcome))
        };
        on_all_processors(runs as usize, play, &|| bar.inc(1))
            .map(|outcomes| Group::of(&outcomes, expected))
            .map_err(SimulateError::from)
    };
    let healthy = group(&healthy, "healthy v2", PlayEnd::Completed)?;
    let worse = group(&worse, "worse v2", PlayEnd::RolledBack)?;
    bar.finish_and_clear();
    let regression = if has_own { "the scenario's fault" } else { "a doubled error rate" };
    Ok(Expected { runs, seed: script.seed, healthy, worse, regression })
}

impl Group {
    fn of(outcomes: &[(u32, Outcome)], expected: PlayEnd) -> Group {
        let all = outcomes.len().max(1) as f64;
        let of = |end: PlayEnd| outcomes.iter().filter(move |(_, outcome)| outcome.end == end);
        let part = |end: PlayEnd| of(end).count() as f64 / all;
        let [completed, rolled_back] = [PlayEnd::Completed, PlayEnd::RolledBack].map(part);
        let found: Vec<_> =
            outcomes.iter().filter(|(_, o)| o.detected_after_ms().is_some()).collect();
        let after = found.iter().filter_map(|(_, outcome)| outcome.detected_after_ms()).collect();
        Group {
            completed,
            rolled_back,
            rolled_back_interval: wilson(of(PlayEnd::RolledBack).count() as f64, all),
            waiting: 1.0 - completed - rolled_back,
            completed_after_ms: Quantiles::of(of(PlayEnd::Completed).map(|(_, o)| o.ended_ms)),
            harmed_clients: Quantiles::of(found.iter().map(|(_, o)| o.harmed_clients)),
            harmed_requests: Quantiles::of(found.iter().map(|(_, o)| o.harmed_requests)),
            unexpected_seeds: outcomes
                .iter()
                .filter(|(_, outcome)| outcome.end != expected)
                .map(|(seed, _)| *seed)
                .take(SEEDS_MAX)
                .collect(),
            found_after_ms: Quantiles::of(found.iter().filter_map(|(_, o)| o.detected_after_ms())),
            found: after,
        }
    }
}

impl Quantiles {
    fn of(numbers: impl Iterator<Item = u64>) -> Quantiles {
        let mut sorted: Vec<u64> = numbers.collect();
        sorted.sort_unstable();
        let at = |quantile: f64| {
            let place = (quantile * sorted.len() as f64).ceil() as usize;
            sorted.get(place.saturating_sub(1)).copied()
        };
        Quantiles { median: at(0.5), p90: at(0.9), p99: at(0.99) }
    }
}

/// Wilson's interval at 95 % for so many of so many.
fn wilson(some: f64, all: f64) -> [f64; 2] {
    const Z: f64 = 1.96;
    let share = some / all;
    let scale = 1.0 + Z * Z / all;
    let middle = (share + Z * Z / (2.0 * all)) / scale;
    let half = Z / scale * (share * (1.0 - share) / all + Z * Z / (4.0 * all * all)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

impl Expected {
    /// How soon regressions were found, in milliseconds, by run.
    pub(crate) fn found_after_ms(&self) -> &[u64] {
        &self.worse.found
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let time = |ms: Option<u64>| ms.map_or("–".to_owned(), span);
        let count = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
        let clients = |n: Option<u64>| n.map_or("no clients".to_owned(), |n| counted(n, "client"));
        let [low, high] = self.healthy.rolled_back_interval.map(percent);
        let mut text = format!(
            "Rolls back a healthy v2 in {} of runs ({low} to {high}); finds {} in {}, after {} \
             (median), with {} affected.\n\n",
            percent(self.healthy.rolled_back),
            self.regression,
            percent(self.worse.rolled_back),
            time(self.worse.found_after_ms.median),
            clients(self.worse.harmed_clients.median),
        );
        let ends = |name: &str, group: &Group| {
            let shares = [group.completed, group.rolled_back, group.waiting].map(percent);
            let [completed, back, waiting] = shares;
            [name.to_owned(), completed, back, waiting]
        };
        let rows = [ends("healthy", &self.healthy), ends("worse", &self.worse)];
        let header = ["v2", "Completed", "Rolled back", "Waits"];
        tables::write(&mut text, &table(header, rows.into_iter()));
        text.push('\n');
        let row = |name: &str, q: Quantiles, say: &dyn Fn(Option<u64>) -> String| {
            [name.to_owned(), say(q.median), say(q.p90), say(q.p99)]
        };
        let rows = [
            row("healthy: completed after", self.healthy.completed_after_ms, &time),
            row("worse: found after", self.worse.found_after_ms, &time),
            row("worse: clients harmed", self.worse.harmed_clients, &count),
            row("worse: requests failed", self.worse.harmed_requests, &count),
        ];
        tables::write(&mut text, &table(["", "Half", "9 of 10", "99 of 100"], rows.into_iter()));
        for (name, group) in [("healthy", &self.healthy), ("worse", &self.worse)] {
            if !group.unexpected_seeds.is_empty() {
                let seeds: Vec<String> =
                    group.unexpected_seeds.iter().map(u32::to_string).collect();
                let _ = write!(text, "\nUnexpected with a {name} v2: --seed {}", seeds.join(", "));
            }
        }
        let _ = writeln!(text, "\n{} runs of each, from seed {}", self.runs, self.seed);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_that_came() {
        let all = Quantiles::of((1..=200).rev());
        assert_eq!(all, Quantiles { median: Some(100), p90: Some(180), p99: Some(198) });
        assert_eq!(Quantiles::of(std::iter::empty()), Quantiles::default());
        assert_eq!(Quantiles::of([7].into_iter()).p99, Some(7));
    }

    #[test]
    fn no_alarm_in_many_runs_is_no_proof_of_none() {
        let [low, high] = wilson(0.0, 500.0);
        assert!(low == 0.0 && (0.005..0.01).contains(&high), "{high}");
        let [low, high] = wilson(250.0, 500.0);
        assert!(low < 0.5 && high > 0.5 && high - low < 0.1);
    }
}
