//! What a script's faults amount to in a tick.

use crate::chance::Chance;
use crate::script::{Kind, SEGMENTS, Script, Wrong};
use crate::spells::Spells;
use crate::traffic::Latency;

use super::alias::Alias;

/// How the logarithm of latencies spreads: the slowest 1 % take 3.2 times the median.
const SIGMA: f64 = 0.5;
/// Bursts come once in ten minutes and last half a minute, in the mean.
const BURSTS_EVERY_S: f64 = 600.0;
const BURST_LASTS_S: f64 = 30.0;

/// Below which of 2^32 a request of one version and segment fails.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Failing {
    /// For reasons that are not v2's.
    pub(super) anyway: u32,
    /// For any reason.
    pub(super) at_all: u32,
}

/// Latencies, and how to draw one.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    pub(super) ms: Vec<f64>,
    alias: Alias,
}

/// Latencies with this median and their probabilities; none without a median.
pub(super) fn usual(median_ms: f64) -> Vec<(f64, f64)> {
    Latency::new(median_ms, SIGMA).map(Latency::cells).unwrap_or_default()
}

impl Latencies {
    fn new(median_ms: f64) -> Latencies {
        let (ms, parts): (Vec<f64>, Vec<f64>) = usual(median_ms).into_iter().unzip();
        Latencies { ms, alias: Alias::new(&parts) }
    }

    pub(super) fn draw(&self, bits: u32) -> usize {
        self.alias.draw(bits) as usize
    }
}

/// The state of all faults. Pairs are v1, v2.
#[derive(Debug, Clone)]
pub(super) struct Sky {
    pub(super) failing: [[Failing; SEGMENTS.len()]; 2],
    pub(super) latency: [Latencies; 2],
    pub(super) reported: bool,
    /// Whether any fault that is v2's own is there.
    pub(super) is_new_worse: bool,
    slower: f64,
    seed: u64,
    /// Of the faults that come in bursts, each with chance of its own: a fault that is
    /// laid on later must not change what happens before.
    spells: Vec<(usize, Spells, Chance)>,
}

impl Sky {
    pub(super) fn new(script: &Script) -> Sky {
        let usual = Latencies::new(script.traffic.median_ms);
        Sky {
            failing: Default::default(),
            latency: [usual.clone(), usual],
            reported: true,
            is_new_worse: false,
            slower: 1.0,
            seed: u64::from(script.seed),
            spells: Vec::new(),
        }
    }

    /// `begun` gives the moments at which steps began, the first one first.
    pub(super) fn move_to(&mut self, script: &Script, begun: &[u64], from_ms: u64, to_ms: u64) {
        let usual = script.traffic.failure_percent / 100.0;
        let (mut both, mut old, mut new) = (usual, 0.0, 0.0);
        let mut broken = [0.0; SEGMENTS.len()];
        let mut slower = 1.0;
        self.reported = true;
        for (at, wrong) in script.faults.iter().enumerate() {
            let Some(begins_ms) = begins_ms(wrong, begun) else { continue };
            let part = part(wrong, begins_ms, from_ms, to_ms);
            if part <= 0.0 {
                continue;
            }
            let share = part * wrong.size / 100.0;
            match wrong.kind {
                Kind::V2Errors => new += part * usual * (wrong.size - 1.0),
                Kind::V2Slow if part >= 0.5 => slower *= wrong.size,
                Kind::V2Slow => {}
                Kind::V1Outage => old += share,
                Kind::BothFail => both += share,
                Kind::SegmentBroken => {
                    if let Some(segment) = wrong.segment_index() {
                        broken[segment] += share;
                    }
                }
                Kind::Bursts => both += share * self.burst(at, begins_ms, from_ms, to_ms),
                Kind::MetricsLost => self.reported &= part < 0.5,
            }
        }
        self.is_new_worse = new > 0.0 || slower > 1.0 || broken.iter().any(|more| *more > 0.0);
        for (segment, broken) in broken.into_iter().enumerate() {
            let healthy = failing(both, 0.0);
            self.failing[0][segment] = failing(both + old, 0.0);
            // A version that fails less often is no fault; there is no negative harm.
            self.failing[1][segment] = match new + broken {
                more if more > 0.0 => failing(both, more),
                less if less < 0.0 => failing((both + less).max(0.0), 0.0),
                _ => healthy,
            };
        }
        if slower != self.slower {
            self.slower = slower;
            self.latency[1] = Latencies::new(script.traffic.median_ms * slower);
        }
    }

    fn burst(&mut self, fault: usize, begins_ms: u64, from_ms: u64, to_ms: u64) -> f64 {
        if !self.spells.iter().any(|(of, ..)| *of == fault) {
            let mut chance = Chance::new(self.seed ^ (fault as u64 + 1).rotate_right(8));
            let spells = Spells::new(BURSTS_EVERY_S, BURST_LASTS_S, begins_ms, &mut chance);
            self.spells.push((fault, spells, chance));
        }
        let found = self.spells.iter_mut().find(|(of, ..)| *of == fault);
        found.map_or(0.0, |(_, spells, chance)| spells.part(from_ms, to_ms, chance))
    }
}

/// When a fault begins; `None` while its step has not.
pub(super) fn begins_ms(wrong: &Wrong, begun: &[u64]) -> Option<u64> {
    match wrong.from_step {
        Some(step) => {
            let began = begun.get((step as usize).saturating_sub(1))?;
            Some(began.saturating_add(wrong.from_ms))
        }
        None => Some(wrong.from_ms),
    }
}

/// Share of the time from `from_ms` to `to_ms` in which the fault is there.
fn part(wrong: &Wrong, begins_ms: u64, from_ms: u64, to_ms: u64) -> f64 {
    let ends_ms = wrong.lasts_ms.map_or(u64::MAX, |lasts| begins_ms.saturating_add(lasts));
    let both = ends_ms.min(to_ms).saturating_sub(begins_ms.max(from_ms));
    both as f64 / to_ms.saturating_sub(from_ms).max(1) as f64
}

fn failing(anyway: f64, harmed: f64) -> Failing {
    let of = |share: f64| (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
    Failing { anyway: of(anyway), at_all: of(anyway + harmed) }
}
