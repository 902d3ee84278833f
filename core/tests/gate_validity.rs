//! The gate in simulated traffic: how often it cries wolf, and how soon it sees one.
//!
//! Every request is drawn by itself: a coin for the version, a coin for its failure.
//! The world is the same for the same seed; `CROSSFADE_SEED=… cargo test -p
//! crossfade-core --test gate_validity` plays another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

use crossfade_core::gate::bins::Report;
use crossfade_core::gate::config::{FailureConfig, Level, Margin};
use crossfade_core::gate::failures::FailureGate;
use crossfade_core::gate::segment::{Arm, Segment};
use crossfade_core::gate::sentence::Names;
use crossfade_core::gate::verdict::Verdict;
use crossfade_core::gate::windows::Stratum;
use crossfade_core::gate::worse::log_e_worse;

const TICK_MS: u64 = 5_000;

/// splitmix64 (Steele, Lea & Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

/// A stretch of traffic with two versions.
#[derive(Clone, Copy)]
struct World {
    requests_per_tick: u32,
    share: f64,
    /// Probability that a request fails; a failed one is retried until it is not.
    control: f64,
    canary: f64,
    /// Probability that a client whose request failed tries again, and fails again;
    /// `retries_per_tick` times a tick.
    retry: f64,
    retries_per_tick: u32,
    /// Each report by itself, or the counts of a tick.
    aggregated: bool,
}

/// Clients that will try again in the next tick.
type Waiting = Vec<(Arm, u64)>;

impl World {
    /// Plays one tick into the gate, and returns what happened.
    fn play(
        &self,
        gate: &mut FailureGate,
        now_ms: u64,
        waiting: &mut Waiting,
        chance: &mut Chance,
    ) -> Segment {
        let mut counted = Segment::default();
        let mut serve = |version, client, failed| {
            counted.count(version, 1, u64::from(failed));
            if !self.aggregated {
                let report = Report { at_ms: now_ms, version, failed, client };
                gate.record(&report, now_ms).unwrap();
            }
        };
        let mut trying = std::mem::take(waiting);
        for _ in 0..self.requests_per_tick {
            let (version, failure) = if chance.happens(self.share) {
                (Arm::Canary, self.canary)
            } else {
                (Arm::Control, self.control)
            };
            let client = chance.next();
            let failed = chance.happens(failure);
            serve(version, client, failed);
            if failed && chance.happens(self.retry) {
                trying.push((version, client));
            }
        }
        'clients: for (version, client) in trying {
            for _ in 0..self.retries_per_tick {
                serve(version, client, true);
                if !chance.happens(self.retry) {
                    continue 'clients;
                }
            }
            waiting.push((version, client));
        }
        if self.aggregated {
            gate.record_total(&counted, now_ms).unwrap();
        }
        counted
    }
}

fn seed() -> u64 {
    let given = std::env::var("CROSSFADE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(20_270_131);
    println!("CROSSFADE_SEED={seed} cargo test -p crossfade-core --test gate_validity");
    seed
}

fn gate(alpha: f64, planned_ticks: u64) -> FailureGate {
    let alpha = Level::new(alpha).unwrap();
    let config = FailureConfig { alpha, ..FailureConfig::default() };
    FailureGate::new(config, Stratum(0), 0, planned_ticks * TICK_MS)
}

/// Plays until the gate says unhealthy; the tick in which it did.
fn unhealthy_at(
    gate: &mut FailureGate,
    ticks: std::ops::Range<u64>,
    world: &World,
    chance: &mut Chance,
) -> Option<u64> {
    let mut waiting = Waiting::new();
    ticks.into_iter().find(|tick| {
        world.play(gate, tick * TICK_MS, &mut waiting, chance);
        gate.judge().verdict == Verdict::Unhealthy
    })
}

/// The largest rate at which so few alarms would still be seen in 5 % of all tries.
fn upper_bound(alarms: u32, runs: u32) -> f64 {
    let at_most = |rate: f64| -> f64 {
        let (mut term, mut sum) = (libm::pow(1.0 - rate, f64::from(runs)), 0.0);
        for k in 0..=alarms {
            sum += term;
            term *= f64::from(runs - k) / f64::from(k + 1) * rate / (1.0 - rate);
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// A pooled z-test at 5 %, looked at every tick: what the gate must not be like.
fn peeked_z_alarms(all: &Segment) -> bool {
    let (canary, control) = (all.canary(), all.control());
    let (n_t, n_c) = (canary.requests() as f64, control.requests() as f64);
    if n_t < 30.0 || n_c < 30.0 {
        return false;
    }
    let (p_t, p_c) = (canary.failures() as f64 / n_t, control.failures() as f64 / n_c);
    let p = (canary.failures() + control.failures()) as f64 / (n_t + n_c);
    let variance = p * (1.0 - p) * (1.0 / n_t + 1.0 / n_c);
    variance > 0.0 && (p_t - p_c) / variance.sqrt() > 1.645
}

/// Twenty minutes of a healthy v2, looked at every five seconds, at the level named:
/// the upper end of the false alarms must stay below it. The z-test sees the same
/// traffic, which shows that this traffic can fool a test that peeks.
#[test]
fn a_healthy_version_is_rolled_back_no_more_often_than_alpha() {
    let (runs, ticks, alpha) = (300, 240, 0.05);
    let mut chance = Chance(seed());
    let world = World {
        requests_per_tick: 100,
        share: 0.1,
        control: 0.01,
        canary: 0.01,
        retry: 0.0,
        retries_per_tick: 1,
        aggregated: false,
    };
    let (mut alarms, mut fooled) = (0, 0);
    for _ in 0..runs {
        let mut gate = gate(alpha, ticks);
        let (mut alarm, mut z_alarm, mut all) = (false, false, Segment::default());
        for tick in 0..ticks {
            all.merge(&world.play(&mut gate, tick * TICK_MS, &mut Waiting::new(), &mut chance));
            alarm |= gate.judge().verdict == Verdict::Unhealthy;
            z_alarm |= peeked_z_alarms(&all);
        }
        alarms += u32::from(alarm);
        fooled += u32::from(z_alarm);
    }
    println!("{alarms} alarms in {runs} runs; the z-test: {fooled}");
    assert!(upper_bound(alarms, runs) <= alpha, "{alarms} alarms in {runs} runs");
    assert!(fooled > runs / 5, "the z-test was fooled only {fooled} times");
}

/// The same over four steps of growing share with baselines from 0.2 % to 5 %: alpha is
/// spent once over the whole rollout, and steps are never added up into one.
#[test]
fn steps_and_a_drifting_baseline_do_not_add_alarms() {
    let (runs, alpha) = (120, 0.05);
    let mut chance = Chance(seed() ^ 1);
    let mut alarms = 0;
    for _ in 0..runs {
        let mut gate = gate(alpha, 60);
        let mut alarm = false;
        for (step, (share, failures)) in
            [(0.01, 0.002), (0.05, 0.02), (0.25, 0.05), (0.5, 0.01)].into_iter().enumerate()
        {
            let first = 60 * step as u64;
            if step > 0 {
                gate.enter_step(Stratum(step as u32), first * TICK_MS, 60 * TICK_MS).unwrap();
            }
            let world = World {
                requests_per_tick: 100,
                share,
                control: failures,
                canary: failures,
                retry: 0.0,
                retries_per_tick: 1,
                aggregated: false,
            };
            alarm |= unhealthy_at(&mut gate, first..first + 60, &world, &mut chance).is_some();
        }
        alarms += u32::from(alarm);
    }
    println!("{alarms} alarms in {runs} runs");
    assert!(upper_bound(alarms, runs) <= alpha, "{alarms} alarms in {runs} runs");
}

/// Clients that try again and fail again, five failures for one event, at once or over
/// several bins.
#[test]
fn retries_of_sticky_clients_do_not_roll_back_a_healthy_version() {
    let (runs, ticks) = (20, 360);
    let mut chance = Chance(seed() ^ 2);
    let mut alarms = |retries_per_tick, aggregated| {
        let world = World {
            requests_per_tick: 250,
            share: 0.1,
            control: 0.002,
            canary: 0.002,
            retry: 0.8,
            retries_per_tick,
            aggregated,
        };
        let alarm = |_: &u32| {
            unhealthy_at(&mut gate(0.005, ticks), 0..ticks, &world, &mut chance).is_some()
        };
        (0..runs).filter(alarm).count()
    };
    let guarded = [100, 2, 1].map(|retries_per_tick| alarms(retries_per_tick, false));
    let counted = alarms(2, true);
    println!("{guarded:?} alarms with the guards, {counted} without, in {runs} runs");
    assert!(guarded.iter().all(|alarms| *alarms <= 1), "{guarded:?} alarms in {runs} runs");
    // Without this the world would not show what the guards are for.
    assert!(counted > runs as usize / 4, "{counted} alarms without the guards");
}

/// Two hours of good history, then five times as many failures. The restarted windows
/// notice while the whole record still speaks for v2.
#[test]
fn a_late_regression_is_found_within_minutes() {
    let (runs, good) = (7, 1_440);
    let mut chance = Chance(seed() ^ 3);
    let before = World {
        requests_per_tick: 500,
        share: 0.1,
        control: 0.001,
        canary: 0.001,
        retry: 0.0,
        retries_per_tick: 1,
        aggregated: true,
    };
    let after = World { canary: 0.005, ..before };
    let mut unnoticed = 0;
    let mut delays: Vec<u64> = (0..runs)
        .map(|_| {
            let mut gate = gate(0.005, 2 * good);
            for tick in 0..good {
                before.play(&mut gate, tick * TICK_MS, &mut Waiting::new(), &mut chance);
            }
            let found = unhealthy_at(&mut gate, good..2 * good, &after, &mut chance);
            assert!(gate.evidence().window_from_slot > 0);
            let threshold = gate.config().alpha.threshold();
            unnoticed += usize::from(log_e_worse(&[gate.step()], Margin::NONE) < threshold);
            (found.unwrap() + 1 - good) * TICK_MS / 1_000
        })
        .collect();
    delays.sort_unstable();
    println!("seconds: {delays:?}");
    assert!(delays[runs / 2] <= 480, "median {} s", delays[runs / 2]);
    assert!(unnoticed > runs * 3 / 4, "the whole record was as quick: {unnoticed} of {runs}");
}

/// Everything fails, and what bins may say must not stand in the way: it costs two or
/// three bins.
#[test]
fn an_outage_is_found_within_seconds() {
    let mut chance = Chance(seed() ^ 4);
    let world = World {
        requests_per_tick: 500,
        share: 0.1,
        control: 0.001,
        canary: 1.0,
        retry: 0.0,
        retries_per_tick: 1,
        aggregated: false,
    };
    let mut delays: Vec<u64> = (0..21)
        .map(|_| {
            let found = unhealthy_at(&mut gate(0.005, 2_880), 0..100, &world, &mut chance);
            (found.unwrap() + 1) * TICK_MS / 1_000
        })
        .collect();
    delays.sort_unstable();
    println!("seconds: {delays:?}");
    assert!(delays[10] <= 30 && delays[20] <= 45, "{delays:?}");
}

/// Equal versions become healthy, and say so within the budget the plan is told.
#[test]
fn a_healthy_version_is_called_healthy_after_a_few_thousand_requests() {
    let mut chance = Chance(seed() ^ 5);
    let world = World {
        requests_per_tick: 500,
        share: 0.1,
        control: 0.001,
        canary: 0.001,
        retry: 0.0,
        retries_per_tick: 1,
        aggregated: false,
    };
    for _ in 0..10 {
        let mut gate = gate(0.005, 2_880);
        let healthy = (0..400).find(|tick| {
            world.play(&mut gate, tick * TICK_MS, &mut Waiting::new(), &mut chance);
            gate.judge().verdict == Verdict::Healthy
        });
        assert!(healthy.is_some(), "{}", gate.evidence().sentence(Names::default()));
        let requests = gate.step().canary_requests();
        assert!((500..8_000).contains(&requests), "{requests}");
    }
}

/// v2 is exactly as bad as is not tolerated any more: half a point worse. The step may
/// call it healthy at most once in twenty.
#[test]
fn a_version_at_the_limit_is_called_healthy_no_more_often_than_beta() {
    let (runs, ticks) = (300, 240);
    let mut chance = Chance(seed() ^ 7);
    let world = World {
        requests_per_tick: 100,
        share: 0.2,
        control: 0.005,
        canary: 0.01,
        retry: 0.0,
        retries_per_tick: 1,
        aggregated: true,
    };
    let wrong = |_: &u32| {
        let mut gate = gate(1e-9, ticks);
        (0..ticks).any(|tick| {
            world.play(&mut gate, tick * TICK_MS, &mut Waiting::new(), &mut chance);
            gate.judge().verdict == Verdict::Healthy
        })
    };
    let wrong = (0..runs).filter(wrong).count() as u32;
    println!("{wrong} of {runs} called healthy");
    assert!(upper_bound(wrong, runs) <= 0.05, "{wrong} of {runs}");
}

/// Four hours at the default level, as in `docs/statistics.md`: at most one in a
/// hundred healthy versions is rolled back, by the upper end of the 95 % interval.
#[test]
#[ignore = "too slow unoptimised: `cargo xtask test validity` runs it, in release"]
fn four_hours_of_a_healthy_version() {
    let (runs, ticks) = (2_000, 2_880);
    let mut chance = Chance(seed() ^ 6);
    for (share, failures, requests_per_tick) in
        [(0.1, 0.01, 50), (0.5, 0.01, 50), (0.01, 0.05, 100), (0.1, 0.001, 100)]
    {
        let world = World {
            requests_per_tick,
            share,
            control: failures,
            canary: failures,
            retry: 0.0,
            retries_per_tick: 1,
            aggregated: false,
        };
        let alarm = |_: &u32| {
            unhealthy_at(&mut gate(0.005, ticks), 0..ticks, &world, &mut chance).is_some()
        };
        let alarms = (0..runs).filter(alarm).count() as u32;
        let rate = upper_bound(alarms, runs);
        println!("share {share}, failures {failures}: {alarms} of {runs}, at most {rate:.4}");
        assert!(rate <= 0.01, "{alarms} alarms in {runs} runs");
    }
}
