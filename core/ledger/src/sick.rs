//! A new version can be healthy on average and broken for one client: finding that client.
//!
//! For each client that has failed on the new version a score is kept, an e-process, of which
//! the null hypothesis is that the client is no worse off than it was on the old version, or
//! than all others are on the new one at the same time. Among all clients, those are sick
//! that the e-BH procedure rejects (Wang & Ramdas, *False discovery rate control with
//! e-values*, JRSS-B 2022): of them, in the mean, at most a share of `fdr` is accused wrongly,
//! however clients depend on each other.

use borsh::{BorshDeserialize, BorshSerialize};

mod finding;
mod score;

pub use finding::Finding;
use score::{Allowed, Score};

/// Clients that are looked at closely at the same time. More: they wait until a tick has
/// made room, and are counted as missed.
pub const SUSPECTS_MAX: usize = 4_096;

/// A score as low as this is closed: what comes later begins afresh, as a hypothesis of its
/// own. Otherwise good history would hide that a client has broken.
const CLOSED: f64 = -2.0;

/// Fewer failures accuse nobody.
const FAILURES_MIN: u64 = 3;

/// A client's requests are judged by the minute.
const MINUTE_S: u32 = 60;

/// What counts as sick.
#[derive(Debug, Clone, Copy, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Config {
    /// Share of those called sick that may be called so wrongly, in the mean.
    pub fdr: f64,
    /// A client may fail so many times as often as it did, or as others do.
    pub margin: f64,
    /// Or this much more often than it did: a share of its requests.
    pub slack: f64,
    /// Requests that a client is judged by, at least.
    pub min_requests: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { fdr: 0.05, margin: 2.0, slack: 0.01, min_requests: 20 }
    }
}

/// Requests, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Served {
    /// All of them.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
}

impl Served {
    fn add(&mut self, more: Served) {
        self.requests = self.requests.saturating_add(more.requests);
        self.failures = self.failures.saturating_add(more.failures.min(more.requests));
    }

    fn since(self, before: Served) -> Served {
        Served {
            requests: self.requests.saturating_sub(before.requests),
            failures: self.failures.saturating_sub(before.failures),
        }
    }

    /// The failure ratio, 0 of nothing.
    pub fn ratio(self) -> f64 {
        self.failures as f64 / self.requests.max(1) as f64
    }
}

/// A client that is looked at closely.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
struct Suspect {
    client: u64,
    since_s: u32,
    /// What failed when it came under suspicion: not held against it.
    first: u64,
    /// Until when its requests are in the score.
    judged_s: u32,
    /// On the old versions, until it came under suspicion.
    old: Served,
    /// It may fail this often, by its own history.
    allowed: Allowed,
    /// On the new version, since then.
    new: Served,
    /// Of these, what is in the score.
    judged: Served,
    /// All clients on the new version, when it came under suspicion and when it was judged.
    fleet_since: Served,
    fleet_judged: Served,
    score: Score,
    /// The score that was asked for when it was called sick.
    sick: Option<f64>,
}

/// Every client on the new version, watched for what others do not suffer.
#[derive(Debug, Clone, PartialEq, Default, BorshSerialize, BorshDeserialize)]
pub struct Watch {
    config: Config,
    /// In the order of their ids.
    suspects: Vec<Suspect>,
    /// All clients on the new version, and on the old ones.
    new: Served,
    old: Served,
    /// Scores that were closed. Each was a hypothesis.
    closed: u64,
    missed: u64,
}

impl Watch {
    /// Nobody is under suspicion.
    pub fn new(config: Config) -> Watch {
        Watch { config, ..Watch::default() }
    }

    /// Goes on under another configuration. Bounds stay as they were when a watch began.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// Anybody's requests on the old versions.
    pub fn count_old(&mut self, served: Served) {
        self.old.add(served);
    }

    /// Requests on the new version of somebody who has not failed, while nobody is suspected.
    pub fn count_new(&mut self, served: Served) {
        self.new.add(served);
    }

    /// A client's requests on the new version; `old` is all that it has done on the others.
    ///
    /// Its first failure puts it under suspicion, and is not held against it: the score
    /// begins at a moment that the data chose, so only what comes after may be in it.
    pub fn count(&mut self, client: u64, served: Served, old: Served, at_s: u32) {
        self.new.add(served);
        match self.suspects.binary_search_by_key(&client, |suspect| suspect.client) {
            Ok(at) => self.suspects[at].new.add(served),
            Err(_) if served.failures == 0 => {}
            Err(_) if self.suspects.len() >= SUSPECTS_MAX => {
                self.missed = self.missed.saturating_add(1);
            }
            Err(at) => {
                let suspect = Suspect {
                    client,
                    since_s: at_s,
                    first: served.failures,
                    judged_s: at_s,
                    old,
                    allowed: Allowed::new(old, self.old, self.config.margin, self.config.slack),
                    new: Served::default(),
                    judged: Served::default(),
                    fleet_since: self.new,
                    fleet_judged: self.new,
                    score: Score::default(),
                    sick: None,
                };
                self.suspects.insert(at, suspect);
            }
        }
    }

    /// Judges what was counted since the tick before; those newly called sick. `clients` is
    /// how many the new version has served.
    ///
    /// Compared with the others is what happened between two ticks, so they come often; a
    /// client is judged at most once a minute.
    pub fn tick(&mut self, now_s: u32, clients: u64) -> Vec<Finding> {
        for suspect in &mut self.suspects {
            suspect.judge(self.new, self.config.margin, now_s);
        }
        self.close(|suspect| suspect.score.log_e() < CLOSED);
        if self.suspects.len() >= SUSPECTS_MAX {
            self.close(|suspect| suspect.score.log_e() <= 0.0);
        }
        let mut scores: Vec<f64> =
            self.suspects.iter().filter_map(|it| it.counted(&self.config)).collect();
        crossfade_protocol::order::sort_by(&mut scores, |a, b| b.total_cmp(a));
        let hypotheses = clients.max(1).saturating_add(self.closed) as f64;
        let threshold =
            |rejected: usize| libm::log(hypotheses / (self.config.fdr * rejected as f64));
        let enough = |&rejected: &usize| scores[rejected - 1] >= threshold(rejected);
        let Some(rejected) = (1..=scores.len()).rev().find(enough) else { return Vec::new() };
        let (needed, all, config) = (threshold(rejected), self.new, self.config);
        let newly = self.suspects.iter_mut().filter(|suspect| {
            suspect.sick.is_none() && suspect.counted(&config).is_some_and(|it| it >= needed)
        });
        newly
            .map(|suspect| {
                suspect.sick = Some(needed);
                suspect.finding(needed, all)
            })
            .collect()
    }

    fn close(&mut self, which: impl Fn(&Suspect) -> bool) {
        let before = self.suspects.len();
        self.suspects.retain(|suspect| suspect.sick.is_some() || !which(suspect));
        self.closed = self.closed.saturating_add((before - self.suspects.len()) as u64);
    }

    /// Since when a client has failed on the new version, and how often.
    pub fn failures(&self, client: u64) -> Option<(u32, u64)> {
        let at = self.suspects.binary_search_by_key(&client, |suspect| suspect.client).ok()?;
        let suspect = &self.suspects[at];
        Some((suspect.since_s, suspect.new.failures.saturating_add(suspect.first)))
    }

    /// Whether a client is called sick.
    pub fn is_sick(&self, client: u64) -> bool {
        self.suspects
            .binary_search_by_key(&client, |suspect| suspect.client)
            .is_ok_and(|at| self.suspects[at].sick.is_some())
    }

    /// Those who are called sick, in the order of their ids.
    pub fn sick(&self) -> impl Iterator<Item = Finding> {
        let sick = |suspect: &Suspect| Some(suspect.finding(suspect.sick?, suspect.fleet_judged));
        self.suspects.iter().filter_map(sick)
    }

    /// A client is suspected no more: it was found well, or is to be forgotten. What it does
    /// from now on is a new matter.
    pub fn lift(&mut self, client: u64) {
        if let Ok(at) = self.suspects.binary_search_by_key(&client, |suspect| suspect.client) {
            self.suspects.remove(at);
            self.closed = self.closed.saturating_add(1);
        }
    }

    /// Clients that are looked at closely, and how often one could not be for want of room.
    pub fn suspects(&self) -> (usize, u64) {
        (self.suspects.len(), self.missed)
    }
}

impl Suspect {
    fn judge(&mut self, fleet: Served, margin: f64, now_s: u32) {
        let own = self.new.since(self.judged);
        let early = now_s < self.judged_s.saturating_add(MINUTE_S);
        if own.requests == 0 || early || self.sick.is_some() {
            return;
        }
        let all = fleet.since(self.fleet_judged);
        let rest = Served {
            requests: all.requests.saturating_sub(own.requests),
            failures: all.failures.saturating_sub(own.failures),
        };
        self.score.add(own, rest, &self.allowed, margin);
        (self.judged, self.fleet_judged, self.judged_s) = (self.new, fleet, now_s);
    }

    /// Its score, if it has done enough to be called sick.
    fn counted(&self, config: &Config) -> Option<f64> {
        let enough = self.judged.requests >= u64::from(config.min_requests)
            && self.judged.failures >= FAILURES_MIN;
        (enough || self.sick.is_some()).then(|| self.score.log_e())
    }

    fn finding(&self, needed: f64, fleet: Served) -> Finding {
        let all = fleet.since(self.fleet_since);
        Finding {
            client: self.client,
            since_s: self.since_s,
            new: self.judged,
            old: self.old,
            others: Served {
                requests: all.requests.saturating_sub(self.judged.requests),
                failures: all.failures.saturating_sub(self.judged.failures),
            },
            allowed: self.allowed.mean(),
            log_e: self.score.log_e(),
            needed,
        }
    }
}

#[cfg(test)]
mod tests;
