//! The world, tick by tick: who asks, who is served by what, and what fails.

mod clients;
mod drawn;
mod weather;

use crossfade_protocol::{BUCKETS, Share};

use crate::chance::Chance;
use crate::scenario::Scenario;
use clients::Clients;
use drawn::{Drawn, One};
use weather::Weather;

/// Traffic as it happens.
///
/// Requests, failures and latencies of a tick are Poisson numbers, so the two versions,
/// and what fails for different reasons, are independent unless a fault ties them.
#[derive(Debug, Clone)]
pub struct World {
    scenario: Scenario,
    chance: Chance,
    weather: Weather,
    clients: Clients,
    waiting: Vec<Waiting>,
    tick: Tick,
}

/// What one version served in a tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many of those would have gone well on a healthy version.
    pub harmed: u64,
}

impl Served {
    /// Adds what was served at another time.
    pub fn add(&mut self, other: &Served) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.harmed += other.harmed;
    }
}

/// What happened in one tick. [`Reporter`](crate::Reporter) writes it down.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tick {
    /// When it began, in milliseconds of the world's clock.
    pub from_ms: u64,
    /// When it ended: everything is reported then.
    pub to_ms: u64,
    /// What v1 served.
    pub old: Served,
    /// What v2 served.
    pub new: Served,
    /// Clients who met a failure that a healthy version would not have had, and had met
    /// none before.
    pub harmed_clients: u64,
    /// False while the metrics are lost.
    pub reported: bool,
    /// Requests that are reported one by one.
    pub(crate) singles: Vec<Single>,
    /// Requests of v1 and v2 that went well: latency, if it is told, and how many.
    pub(crate) successes: [Vec<(Option<f64>, u64)>; 2],
}

/// A request that is reported with its client: each failure, since the engine counts
/// failing clients; and the first request of each client in a step, since it counts
/// clients to check the share. All other requests are reported as counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Single {
    pub(crate) on: Version,
    pub(crate) client: u32,
    pub(crate) failed: bool,
    pub(crate) latency_ms: Option<f64>,
}

/// One of the two versions; also its place in a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Old = 0,
    New = 1,
}

/// A client who will try again.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    on: Version,
    client: u32,
    harmed: bool,
}

impl World {
    /// The world of a scenario at time 0. Equal seeds give equal worlds.
    pub fn new(scenario: &Scenario, seed: u64) -> World {
        let mut chance = Chance::new(seed);
        World {
            weather: Weather::new(scenario, &mut chance),
            clients: Clients::new(scenario.traffic.clients, scenario.traffic.sticky),
            scenario: scenario.clone(),
            chance,
            waiting: Vec::new(),
            tick: Tick::default(),
        }
    }

    /// Time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.tick.to_ms
    }

    /// Serves one tick with this share on v2.
    ///
    /// A share that differs from the last tick's begins a step: with sticky routing a
    /// larger share keeps whom a smaller one had.
    pub fn tick(&mut self, share: Share) -> &Tick {
        self.clients.route(share, &mut self.chance);
        let from_ms = self.tick.to_ms;
        let tick_ms = self.scenario.tick_ms_at(from_ms);
        let to_ms = from_ms + tick_ms;
        self.weather.move_to(&self.scenario, share, from_ms, to_ms, &mut self.chance);
        self.tick.from_ms = from_ms;
        self.tick.to_ms = to_ms;
        self.tick.reported = self.weather.reported;
        self.tick.harmed_clients = 0;
        self.tick.singles.clear();
        let new = self.clients.part_on_new(f64::from(share.buckets()) / f64::from(BUCKETS));
        let requests = self.scenario.traffic.requests_per_s * tick_ms as f64 / 1_000.0;
        let waiting = std::mem::take(&mut self.waiting);
        let mean = [requests * (1.0 - new), requests * new];
        let mut drawn = [Version::Old, Version::New].map(|on| self.draw(on, mean[on as usize]));
        if self.tick.reported {
            self.serve_by_name(&mut drawn);
        }
        for (on, drawn) in [Version::Old, Version::New].into_iter().zip(drawn) {
            self.serve(on, drawn);
        }
        self.serve_again(waiting);
        &self.tick
    }

    fn served(&mut self, on: Version) -> &mut Served {
        match on {
            Version::Old => &mut self.tick.old,
            Version::New => &mut self.tick.new,
        }
    }

    /// First tries on one version, `mean` of them in the mean.
    fn draw(&mut self, on: Version, mean: f64) -> Drawn {
        *self.served(on) = Served::default();
        let failing = self.weather.failing[on as usize];
        let failed = [failing.anyway, failing.harmed].map(|part| self.chance.poisson(mean * part));
        let well_mean = mean * (1.0 - failing.anyway - failing.harmed);
        let mut well = std::mem::take(&mut self.tick.successes[on as usize]);
        well.clear();
        for (latency_ms, part) in &self.weather.latency[on as usize] {
            well.push((*latency_ms, self.chance.poisson(well_mean * part)));
        }
        Drawn::new(failed, well)
    }

    /// Serves requests one by one, in random order, as long as there are clients to be
    /// named: who is named first must not depend on the version or on how it went.
    fn serve_by_name(&mut self, drawn: &mut [Drawn; 2]) {
        while self.clients.are_unnamed() {
            let all = drawn[0].all + drawn[1].all;
            if all == 0 {
                return;
            }
            let pick = self.chance.below(u32::try_from(all).unwrap_or(u32::MAX));
            let on = if u64::from(pick) < drawn[0].all { Version::Old } else { Version::New };
            let drawn = &mut drawn[on as usize];
            let pick = self.chance.below(u32::try_from(drawn.all).unwrap_or(u32::MAX));
            let Some(one) = drawn.take(u64::from(pick)) else { return };
            let client = self.clients.draw(on, &mut self.chance);
            match one {
                One::Failed { harmed } => self.fail(Waiting { on, client, harmed }),
                One::Well { place, latency_ms } => {
                    if self.clients.name(client) {
                        self.served(on).requests += 1;
                        let single = Single { on, client, failed: false, latency_ms };
                        self.tick.singles.push(single);
                    } else {
                        drawn.count(place);
                    }
                }
            }
        }
    }

    /// Serves what is left: failures one by one, the rest as counts.
    fn serve(&mut self, on: Version, drawn: Drawn) {
        for (count, harmed) in drawn.failed.into_iter().zip([false, true]) {
            for _ in 0..count {
                let client = self.clients.draw(on, &mut self.chance);
                self.fail(Waiting { on, client, harmed });
            }
        }
        let well = drawn.into_counts();
        self.served(on).requests += well.iter().map(|(_, count)| count).sum::<u64>();
        self.tick.successes[on as usize] = well;
    }

    fn fail(&mut self, failure: Waiting) {
        let Waiting { on, client, harmed } = failure;
        let served = self.served(on);
        served.requests += 1;
        served.failures += 1;
        served.harmed += u64::from(harmed);
        if harmed && self.clients.harm(client) {
            self.tick.harmed_clients += 1;
        }
        if self.tick.reported {
            self.clients.name(client);
            self.tick.singles.push(Single { on, client, failed: true, latency_ms: None });
        }
        if let Some(retries) = self.weather.retries
            && self.chance.happens(retries.again)
        {
            self.waiting.push(failure);
        }
    }

    /// Tries of those who failed before. Each failure may ask for one more: what is still
    /// to be tried when the tick is over waits for the next.
    fn serve_again(&mut self, before: Vec<Waiting>) {
        let Some(retries) = self.weather.retries else { return };
        for failure in before {
            for left in (0..retries.per_tick).rev() {
                let waiting = self.waiting.len();
                self.fail(failure);
                if self.waiting.len() == waiting {
                    break;
                }
                if left > 0 {
                    self.waiting.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
