//! What one step can see: plays it with a healthy v2 and with worse and worse ones.

use std::collections::BTreeMap;

use crossfade_sim::{End, RehearsalError, Story, TICK_MS};
use serde::Serialize;

use super::numbers::{Quantile, Ratio};
use super::player::Player;
use super::stage::Stage;
use crate::plugin::PluginError;

/// Regressions that are tried: how many times as often v2 fails as v1.
pub(super) const GRID: [f64; 17] =
    [1.1, 1.2, 1.3, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0];

/// Regressions whose cost is told.
pub(super) const COSTS: [f64; 2] = [2.0, 10.0];

/// What counts as caught: this part of the rollouts.
const CAUGHT: f64 = 0.9;

/// Beyond this a step has no end that anyone would wait for.
pub(super) const NEVER_MS: u64 = 30 * 24 * 3_600_000;

/// Runs that find out how long a tick may be.
const PILOTS: usize = 8;

/// Ticks of one play at most. Only steps with much traffic come so far, and those are
/// long decided.
const TICKS_MAX: u64 = 1_500;

/// Runs that are enough for most regressions: 40 of 40 are at least 90 % with certainty.
const FEW: usize = 40;

/// Plays of a step, about, for each run: for the progress bar.
pub(super) const PLAYS_PER_RUN: usize = 7;

/// What was found out about a step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Found {
    pub(super) step: usize,
    pub(super) percentage: f64,
    /// Its planned time, its longest time, and the time in which it was watched.
    pub(super) duration_minutes: f64,
    pub(super) max_minutes: Option<f64>,
    pub(super) watched_minutes: f64,
    /// Minutes until a healthy v2 is proven healthy.
    pub(super) healthy_minutes: Healthy,
    /// Healthy versions that were taken back within the step's time.
    pub(super) false_rollback: Ratio,
    /// Healthy versions for which the step's longest time came first; `None` without one.
    pub(super) timed_out: Option<Ratio>,
    /// The smallest regression that is caught in nine rollouts of ten, and the interval
    /// that it lies in; `None` when none of those tried is.
    pub(super) smallest_caught: Smallest,
    /// Every regression that was tried.
    pub(super) regressions: Vec<Regression>,
}

/// Times until health is proven.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Healthy {
    pub(super) median: Quantile,
    pub(super) p90: Quantile,
    /// Share of runs in which it was proven at all.
    pub(super) proven: Ratio,
    /// How long each run was given: several times what most need, or thirty days.
    pub(super) looked_minutes: f64,
}

/// The smallest regression that is caught.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Smallest {
    pub(super) ratio: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

/// A regression and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Regression {
    pub(super) ratio: f64,
    /// Rollouts that were simulated.
    pub(super) runs: usize,
    /// For how long: the step's time, or the first part of it where traffic is heavy.
    pub(super) watched_minutes: f64,
    /// Taken back within the step's time.
    pub(super) caught: Ratio,
    /// Passed the step within its time.
    pub(super) passed: Ratio,
    /// Until it was taken back, in those rollouts in which it was.
    pub(super) minutes: Spread,
    /// Requests that failed and would not have on v1, until v2 was taken back or the
    /// step's time was over.
    pub(super) failed_requests: Spread,
    /// Clients who met such a failure.
    pub(super) clients: Spread,
}

/// Median and 90 % of rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: Option<f64>,
    pub(super) p90: Option<f64>,
}

/// A search for one step.
pub(super) struct Search<'a> {
    pub(super) player: &'a Player,
    pub(super) stage: &'a Stage,
    /// One seed for each run; the same for every regression, so that they are compared in
    /// the same worlds.
    pub(super) seeds: &'a [u64],
    /// Called after each play.
    pub(super) played: &'a (dyn Fn() + Sync),
    /// Ticks of 5 s whatever they cost.
    pub(super) is_fine: bool,
}

type PlayError = RehearsalError<PluginError>;

impl Search<'_> {
    pub(super) fn run(&self) -> Result<Found, PlayError> {
        let stage = self.stage;
        let (healthy, looked_ms) = self.healthy()?;
        let watched_ms = self.watched_ms(&healthy);
        let calm = self.regression(1.0, watched_ms, self.seeds)?;
        let mut tried = BTreeMap::new();
        let smallest = self.smallest(watched_ms, &mut tried)?;
        for ratio in COSTS {
            self.look(place_of(ratio), watched_ms, &mut tried)?;
        }
        let minutes = |ms: u64| ms as f64 / 60_000.0;
        let timed_out = stage.max_ms().map(|max_ms| {
            let max = minutes(max_ms);
            let late = healthy.iter().filter(|at| at.is_none_or(|at| at > max)).count();
            Ratio::of(late, healthy.len())
        });
        let proven = healthy.iter().flatten().count();
        Ok(Found {
            step: stage.number,
            percentage: stage.step.percentage.percent(),
            duration_minutes: minutes(stage.planned_ms()),
            max_minutes: stage.max_ms().map(minutes),
            watched_minutes: minutes(watched_ms),
            healthy_minutes: Healthy {
                median: Quantile::of(0.5, &healthy),
                p90: Quantile::of(0.9, &healthy),
                proven: Ratio::of(proven, healthy.len()),
                looked_minutes: minutes(looked_ms),
            },
            false_rollback: calm.caught,
            timed_out,
            smallest_caught: smallest,
            regressions: tried.into_values().collect(),
        })
    }

    /// Minutes until a healthy v2 is proven healthy, run by run; `None` when that takes
    /// longer than anyone waits.
    fn healthy(&self) -> Result<(Vec<Option<f64>>, u64), PlayError> {
        const TICKS: u64 = 400;
        let pilots = self.seeds.get(..PILOTS).unwrap_or(self.seeds);
        let mut tick_ms = TICK_MS;
        loop {
            let lasts_ms = tick_ms * TICKS;
            let is_last = lasts_ms >= NEVER_MS || self.is_fine;
            let lasts_ms = if is_last { NEVER_MS } else { lasts_ms };
            let proven = self.times_until_healthy(pilots, lasts_ms, tick_ms)?;
            let enough = proven.iter().flatten().count() * 4 >= pilots.len() * 3;
            if !enough && is_last {
                return Ok((proven, lasts_ms));
            }
            let next_ms = self.stage.cap(tick_ms * 4);
            if enough || next_ms == tick_ms {
                // A few take much longer than the rest.
                let lasts_ms = (lasts_ms * 4).min(NEVER_MS);
                return Ok((self.times_until_healthy(self.seeds, lasts_ms, tick_ms)?, lasts_ms));
            }
            tick_ms = next_ms;
        }
    }

    fn times_until_healthy(
        &self,
        seeds: &[u64],
        lasts_ms: u64,
        tick_ms: u64,
    ) -> Result<Vec<Option<f64>>, PlayError> {
        let rehearsal = self.stage.until_healthy(lasts_ms, tick_ms);
        let stories = self.player.play_all(&rehearsal, seeds, self.played)?;
        let time = |story: &Story| {
            let step = story.steps.get(self.stage.place())?;
            let is_proven = step.passed.as_deref() == Some("healthy");
            is_proven.then(|| (step.to_ms - step.from_ms) as f64 / 60_000.0)
        };
        Ok(stories.iter().map(time).collect())
    }

    /// The time that the step is watched for regressions: its longest, or as planned, or
    /// as long as evidence takes in most rollouts.
    fn watched_ms(&self, healthy: &[Option<f64>]) -> u64 {
        let stage = self.stage;
        match (stage.max_ms(), stage.planned_ms()) {
            (Some(max), _) => max,
            (None, planned) if planned > 0 => planned,
            _ => {
                let p90 = Quantile::of(0.9, healthy).value;
                p90.map_or(NEVER_MS, |minutes| (minutes * 60_000.0) as u64)
            }
        }
        .clamp(TICK_MS, NEVER_MS)
    }

    /// Halves the grid until the smallest regression is found that is caught, then looks
    /// at its neighbours until it is known how sure that is.
    fn smallest(
        &self,
        watched_ms: u64,
        tried: &mut BTreeMap<usize, Regression>,
    ) -> Result<Smallest, PlayError> {
        let (mut low, mut high) = (0, GRID.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.look(middle, watched_ms, tried)?.ratio >= CAUGHT {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // Downwards while it cannot be excluded that a smaller one is caught as well.
        let mut lowest = high;
        while lowest > 0 && self.look(lowest - 1, watched_ms, tried)?.high >= CAUGHT {
            lowest -= 1;
        }
        // Upwards until it is certain.
        let mut highest = high;
        while highest < GRID.len() && self.look(highest, watched_ms, tried)?.low < CAUGHT {
            highest += 1;
        }
        let at = |place: usize| GRID.get(place).copied();
        Ok(Smallest { ratio: at(high), low: at(lowest), high: at(highest) })
    }

    /// How often a regression of the grid is caught; plays it if it was not yet.
    fn look(
        &self,
        place: usize,
        watched_ms: u64,
        tried: &mut BTreeMap<usize, Regression>,
    ) -> Result<Ratio, PlayError> {
        if let Some(known) = tried.get(&place) {
            return Ok(known.caught);
        }
        let ratio = GRID.get(place).copied().unwrap_or(1.0);
        let is_told = COSTS.contains(&ratio);
        let regression = match is_told {
            true => self.regression(ratio, watched_ms, self.seeds)?,
            false => self.quick_look(ratio, watched_ms)?,
        };
        let caught = regression.caught;
        tried.insert(place, regression);
        Ok(caught)
    }

    /// Plays a regression with some of the worlds, or with all of them when those leave
    /// open whether it is caught often enough.
    fn quick_look(&self, ratio: f64, watched_ms: u64) -> Result<Regression, PlayError> {
        let few = self.seeds.get(..FEW).unwrap_or(self.seeds);
        let regression = self.regression(ratio, watched_ms, few)?;
        let Ratio { low, high, .. } = regression.caught;
        if low >= CAUGHT || high < CAUGHT || few.len() == self.seeds.len() {
            return Ok(regression);
        }
        self.regression(ratio, watched_ms, self.seeds)
    }

    fn regression(
        &self,
        ratio: f64,
        watched_ms: u64,
        seeds: &[u64],
    ) -> Result<Regression, PlayError> {
        let stage = self.stage;
        let tick_ms = if self.is_fine { TICK_MS } else { stage.tick_ms(ratio, watched_ms) };
        let lasts_ms = match self.is_fine {
            true => watched_ms,
            false => watched_ms.min(tick_ms * TICKS_MAX),
        };
        let rehearsal = stage.as_planned(ratio, lasts_ms, tick_ms);
        let stories = self.player.play_all(&rehearsal, seeds, self.played)?;
        // What ended before the step began says nothing about the step.
        let stories: Vec<&Story> =
            stories.iter().filter(|story| story.steps.len() > stage.place()).collect();
        let runs = stories.len();
        let caught: Vec<&&Story> = stories
            .iter()
            .filter(
                |story| matches!(&story.end, End::RolledBack { because } if because == "unhealthy"),
            )
            .collect();
        let passed = stories.iter().filter(|story| story.end == End::Completed).count();
        let step = |story: &Story| story.steps.get(stage.place()).cloned();
        let spread = |values: Vec<f64>| {
            let values: Vec<Option<f64>> = values.into_iter().map(Some).collect();
            Spread {
                median: Quantile::of(0.5, &values).value,
                p90: Quantile::of(0.9, &values).value,
            }
        };
        let minutes = caught.iter().filter_map(|story| {
            Some(story.ended_ms.saturating_sub(step(story)?.from_ms) as f64 / 60_000.0)
        });
        let steps: Vec<_> = stories.iter().filter_map(|story| step(story)).collect();
        Ok(Regression {
            ratio,
            runs,
            watched_minutes: lasts_ms as f64 / 60_000.0,
            caught: Ratio::of(caught.len(), runs),
            passed: Ratio::of(passed, runs),
            minutes: spread(minutes.collect()),
            failed_requests: spread(steps.iter().map(|s| s.served[1].harmed as f64).collect()),
            clients: spread(steps.iter().map(|s| s.harmed_clients as f64).collect()),
        })
    }
}

fn place_of(ratio: f64) -> usize {
    GRID.iter().position(|known| *known == ratio).unwrap_or(0)
}
