//! The study: the same traffic for every rule, many times over.

pub(crate) mod kayenta;
pub(crate) mod ours;
pub(crate) mod rules;
pub(crate) mod scenarios;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crossfade_protocol::Share;
use crossfade_sim::{Chance, Scenario, World};
use serde::Serialize;

use kayenta::Kayenta;
use ours::Ours;
use rules::{Argo, Flagger, GrowthBook, Rule};

/// Ticks of 5 s in the four hours that a step lasts.
const TICKS: u64 = 2_880;

/// Names of the rules, ours first.
pub(crate) const RULES: [&str; 7] = [
    "Crossfade",
    "GrowthBook",
    "Kayenta",
    "Argo Rollouts, limit 0",
    "Argo Rollouts, limit 3",
    "Flagger, threshold 5",
    "Flagger, threshold 10",
];

/// A scenario, and what is asked of us in it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Short, for the command line.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) says: &'static str,
    /// The share of v2, in percent.
    pub(crate) share: f64,
    /// The world.
    pub(crate) scenario: Scenario,
    /// When v2 begins to be worse.
    pub(crate) from_ms: u64,
    /// The scenario with the same traffic and a healthy v2.
    pub(crate) matching: &'static str,
    /// What is asked.
    pub(crate) bar: Bar,
}

/// What is asked of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// v2 is healthy: at most 1 % rolled back.
    Healthy,
    /// First of all honest rules.
    First,
    /// At most 1.5 times as long as the fastest honest rule.
    Near,
    /// Nothing; it is good to know.
    None,
}

/// What came of one scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    /// Its name.
    pub(crate) scenario: &'static str,
    /// The same for people.
    pub(crate) says: &'static str,
    /// The scenario with a healthy v2.
    pub(crate) matching: &'static str,
    /// What is asked of us.
    pub(crate) bar: Bar,
    /// Times it was played.
    pub(crate) runs: u32,
    /// What each rule did.
    pub(crate) rules: Vec<Did>,
}

/// What one rule did in one scenario.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Did {
    /// Its name.
    pub(crate) rule: &'static str,
    /// Runs in which it rolled back, at any time.
    pub(crate) rolled_back: u32,
    /// Those in which it did before v2 was worse.
    pub(crate) too_early: u32,
    /// Seconds from the fault to the rollback, of the runs not rolled back too early.
    pub(crate) seconds: Quantiles,
    /// Requests on v2, up to the rollback, that would have gone well on v1.
    pub(crate) harmed_requests: Quantiles,
    /// Clients who met one.
    pub(crate) harmed_clients: Quantiles,
    /// Runs at whose end neither "healthy" nor "unhealthy" was proven; rules other than
    /// ours do not know the difference.
    pub(crate) inconclusive: Option<u32>,
}

/// The middle and the upper end; none where it did not come to that in four hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// Half of the runs were better.
    pub(crate) median: Option<u64>,
    /// 95 % were.
    pub p95: Option<u64>,
}

/// How one rule fared in one run.
#[derive(Debug, Clone, Copy)]
struct Fared {
    rolled_back_ms: Option<u64>,
    harmed_requests: u64,
    harmed_clients: u64,
    inconclusive: bool,
}

/// Plays all plans; `runs` times where v2 is healthy, a third as often where it is not,
/// for there medians are asked and not rare events.
pub(crate) fn run(
    plans: &[Plan],
    runs: u32,
    seed: u64,
    done: &(impl Fn(usize, &Cell) + Sync),
) -> Vec<Cell> {
    let next = AtomicUsize::new(0);
    let cells = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(plans.len()) {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cell = play(plan, runs, seed);
                    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
                    cells.push(cell);
                    done(cells.len(), &cells[cells.len() - 1]);
                }
            });
        }
    });
    let mut cells = cells.into_inner().unwrap_or_else(PoisonError::into_inner);
    cells.sort_by_key(|cell| plans.iter().position(|plan| plan.name == cell.scenario));
    cells
}

fn play(plan: &Plan, runs: u32, seed: u64) -> Cell {
    let runs = if plan.bar == Bar::Healthy { runs } else { runs.div_ceil(3) };
    let played: Vec<[Fared; RULES.len()]> =
        (0..runs).map(|run| play_once(plan, seed_of(plan.name, seed, run))).collect();
    let rules = (0..RULES.len()).map(|rule| {
        let fared: Vec<Fared> = played.iter().map(|run| run[rule]).collect();
        summary(RULES[rule], plan.from_ms, &fared, rule == 0)
    });
    Cell {
        scenario: plan.name,
        says: plan.says,
        matching: plan.matching,
        bar: plan.bar,
        runs,
        rules: rules.collect(),
    }
}

/// A seed for each run of each scenario.
fn seed_of(name: &str, seed: u64, run: u32) -> u64 {
    // FNV-1a, to tell names apart.
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    Chance::new(seed ^ name ^ (u64::from(run) << 32)).bits()
}

fn play_once(plan: &Plan, seed: u64) -> [Fared; RULES.len()] {
    let share = Share::from_percent(plan.share).unwrap_or(Share::ZERO);
    let mut world = World::new(&plan.scenario, seed);
    let mut ours = Ours::new(plan.share, seed);
    let (mut growthbook, mut kayenta) = (GrowthBook::default(), Kayenta::new(seed));
    let (mut argo0, mut argo3) = (Argo::new(0), Argo::new(3));
    let (mut flagger5, mut flagger10) = (Flagger::new(5), Flagger::new(10));
    let mut rules: [&mut dyn Rule; RULES.len()] = [
        &mut ours,
        &mut growthbook,
        &mut kayenta,
        &mut argo0,
        &mut argo3,
        &mut flagger5,
        &mut flagger10,
    ];
    let nothing =
        Fared { rolled_back_ms: None, harmed_requests: 0, harmed_clients: 0, inconclusive: false };
    let mut fared = [nothing; RULES.len()];
    for _ in 0..TICKS {
        let tick = world.tick(share);
        for (rule, fared) in rules.iter_mut().zip(&mut fared) {
            if fared.rolled_back_ms.is_some() {
                continue;
            }
            fared.harmed_requests += tick.new.harmed;
            fared.harmed_clients += tick.harmed_clients;
            if rule.rolls_back(tick) {
                fared.rolled_back_ms = Some(tick.to_ms);
            }
        }
        if fared.iter().all(|fared| fared.rolled_back_ms.is_some()) {
            break;
        }
    }
    fared[0].inconclusive = fared[0].rolled_back_ms.is_none() && !ours.is_proven_healthy();
    fared
}

fn summary(rule: &'static str, from_ms: u64, fared: &[Fared], ours: bool) -> Did {
    let in_time: Vec<&Fared> = fared
        .iter()
        .filter(|fared| fared.rolled_back_ms.is_none_or(|at_ms| at_ms > from_ms))
        .collect();
    let seconds = |fared: &&Fared| fared.rolled_back_ms.map(|at_ms| (at_ms - from_ms) / 1_000);
    let rolled_back = fared.iter().filter(|fared| fared.rolled_back_ms.is_some()).count() as u32;
    let inconclusive = fared.iter().filter(|fared| fared.inconclusive).count() as u32;
    Did {
        rule,
        rolled_back,
        too_early: (fared.len() - in_time.len()) as u32,
        seconds: quantiles(in_time.iter().map(seconds).collect()),
        harmed_requests: quantiles(in_time.iter().map(|f| Some(f.harmed_requests)).collect()),
        harmed_clients: quantiles(in_time.iter().map(|f| Some(f.harmed_clients)).collect()),
        inconclusive: ours.then_some(inconclusive),
    }
}

/// `None` counts as larger than every number.
fn quantiles(mut values: Vec<Option<u64>>) -> Quantiles {
    values.sort_unstable_by_key(|value| value.unwrap_or(u64::MAX));
    let at = |part: usize| values.get(values.len() * part / 100).copied().flatten();
    Quantiles { median: at(50), p95: at(95) }
}
