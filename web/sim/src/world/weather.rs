//! What the faults amount to in a tick.

use crossfade_protocol::{BUCKETS, Share};

use crate::chance::Chance;
use crate::fault::{Fault, Laid, PodBlips, Retries, Side};
use crate::scenario::Scenario;
use crate::spells::Spells;
use crate::traffic::Latency;

/// Shares of first tries that fail.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Failing {
    /// For reasons that are not v2's: they would fail on v1, too.
    pub(super) anyway: f64,
    /// Because of v2.
    pub(super) harmed: f64,
}

/// The state of all faults. Pairs are v1, v2.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    pub(super) failing: [Failing; 2],
    /// Latencies and their probabilities; one unnamed latency where none is told.
    pub(super) latency: [Vec<(Option<f64>, f64)>; 2],
    pub(super) reported: bool,
    pub(super) retries: Option<Retries>,
    /// How many times as long v2 takes.
    slower: f64,
    /// For each fault that comes in spells, its spells: one for a burst, one for each pod.
    spells: Vec<Vec<Spells>>,
}

impl Weather {
    pub(super) fn new(scenario: &Scenario, chance: &mut Chance) -> Weather {
        let mut spells = |laid: &Laid| match &laid.fault {
            Fault::Burst(burst) => {
                vec![Spells::new(burst.every_s, burst.lasts_s, laid.from_ms, chance)]
            }
            Fault::PodBlips(pods) => (0..pods.pods)
                .map(|_| Spells::new(pods.every_s, pods.lasts_s, laid.from_ms, chance))
                .collect(),
            _ => Vec::new(),
        };
        let usual = cells(scenario.traffic.latency);
        Weather {
            failing: [Failing::default(); 2],
            latency: [usual.clone(), usual],
            reported: true,
            retries: None,
            slower: 1.0,
            spells: scenario.faults.iter().map(&mut spells).collect(),
        }
    }

    pub(super) fn move_to(
        &mut self,
        scenario: &Scenario,
        share: Share,
        from_ms: u64,
        to_ms: u64,
        chance: &mut Chance,
    ) {
        let usual = scenario.traffic.failure_ratio;
        let (mut both, mut alone, mut harmed) = (usual, [0.0; 2], 0.0);
        let mut slower = 1.0;
        self.reported = true;
        self.retries = None;
        for (laid, spells) in scenario.faults.iter().zip(&mut self.spells) {
            let part = laid.part(from_ms, to_ms);
            if part <= 0.0 {
                continue;
            }
            match &laid.fault {
                Fault::Times(times) => harmed += part * usual * (times - 1.0),
                Fault::More(more) => harmed += part * more,
                Fault::Outage => harmed += part,
                Fault::Slower(times) if part >= 0.5 => slower *= times,
                Fault::Slower(_) => {}
                Fault::Drift(times) => {
                    let gone = (to_ms - laid.from_ms.min(to_ms)) as f64;
                    let all = (laid.until_ms - laid.from_ms).max(1) as f64;
                    both += part * usual * (times - 1.0) * (gone / all).min(1.0);
                }
                Fault::Burst(burst) => {
                    let failing: f64 =
                        spells.iter_mut().map(|s| s.part(from_ms, to_ms, chance)).sum();
                    match burst.side {
                        Side::Old => alone[0] += burst.ratio * failing,
                        Side::New => alone[1] += burst.ratio * failing,
                        Side::Both => both += burst.ratio * failing,
                    }
                }
                Fault::PodBlips(pods) => {
                    let failing = blips(pods, spells, share, from_ms, to_ms, chance);
                    alone.iter_mut().zip(failing).for_each(|(sum, more)| *sum += more);
                }
                Fault::Retries(retries) => self.retries = Some(*retries),
                Fault::MetricsLost => self.reported &= part < 0.5,
            }
        }
        self.failing =
            alone.map(|alone| Failing { anyway: (both + alone).clamp(0.0, 1.0), harmed: 0.0 });
        let new = &mut self.failing[1];
        new.harmed = harmed.clamp(0.0, 1.0 - new.anyway);
        if slower != self.slower {
            self.slower = slower;
            self.latency[1] = cells(scenario.traffic.latency.map(|usual| usual.slower(slower)));
        }
    }
}

/// Shares of v1's and v2's requests that fail because a pod blips.
fn blips(
    pods: &PodBlips,
    spells: &mut [Spells],
    share: Share,
    from_ms: u64,
    to_ms: u64,
    chance: &mut Chance,
) -> [f64; 2] {
    let all = spells.len();
    let on_new =
        (all * usize::from(share.buckets()) + usize::from(BUCKETS) / 2) / usize::from(BUCKETS);
    let on_new = on_new.clamp(1, all.saturating_sub(1).max(1));
    let mut failing = [0.0; 2];
    for (pod, spells) in spells.iter_mut().enumerate() {
        let part = spells.part(from_ms, to_ms, chance) * pods.ratio;
        let (version, pods) = if pod < on_new { (1, on_new) } else { (0, all - on_new) };
        failing[version] += part / pods.max(1) as f64;
    }
    failing
}

fn cells(latency: Option<Latency>) -> Vec<(Option<f64>, f64)> {
    match latency {
        Some(latency) => latency.cells().into_iter().map(|(ms, part)| (Some(ms), part)).collect(),
        None => vec![(None, 1.0)],
    }
}
