//! How many clients still depend on an old version, at a stated confidence.
//!
//! Each client calls again with a probability of its own, so their number is a sum of
//! unlike coins (Poisson-binomial). It is computed exactly as far as [`COUNTED`]; beyond
//! that, and for clients that were only sampled, by bounds that err upwards.

use crate::again::{GROUPS, Hazards, Past};
use crate::rhythm::CLASSES;

/// Numbers of clients up to here are computed exactly.
pub const COUNTED: usize = 128;

/// Coins that seldom fall are one Poisson variable, larger than their sum in distribution
/// (Le Cam 1960; with the rate `−ln(1−p)` for `p` it is larger for each coin by itself).
const SELDOM: f64 = 0.01;

/// A client with at least this probability has a say in when the last call is due.
const LIKELY: f64 = 0.5;

/// Clients that may call again, taken in one by one: all by the same hazards.
#[derive(Debug, Clone, PartialEq)]
pub struct Readiness {
    horizon_s: u32,
    /// Probability that just `i` of those that are no seldom coins call.
    exactly: Vec<f64>,
    seldom: f64,
    mean: f64,
    variance: f64,
    /// How much hangs on each of the population's hazards.
    weights: [[f64; CLASSES]; GROUPS],
    clients: u64,
    last_in_s: Option<u32>,
    candidates: Vec<Candidate>,
    candidates_max: u32,
}

/// A client that may call again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// What the caller calls it.
    pub id: u64,
    /// The probability that it calls again.
    pub probability: f64,
    /// In how many seconds, by its own intervals; 0 is any moment.
    pub due_in_s: Option<u32>,
}

/// How many clients still depend on an old version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depend {
    /// At the confidence asked for, no more than this many.
    pub at_most: u64,
    /// This many are expected.
    pub expected: f64,
    /// Whether all clients were looked at, rather than a sample.
    pub exact: bool,
    /// How many were looked at.
    pub clients: u64,
    /// In how many seconds the last call is due, of clients that are likely to call.
    pub last_in_s: Option<u32>,
}

impl Readiness {
    /// Nobody yet. `candidates_max` of the likeliest are kept.
    pub fn new(horizon_s: u32, candidates_max: u32) -> Readiness {
        let mut exactly = vec![0.0; COUNTED + 1];
        exactly[0] = 1.0;
        Readiness {
            horizon_s,
            exactly,
            seldom: 0.0,
            mean: 0.0,
            variance: 0.0,
            weights: [[0.0; CLASSES]; GROUPS],
            clients: 0,
            last_in_s: None,
            candidates: Vec::new(),
            candidates_max,
        }
    }

    /// Writes everything as numbers.
    pub fn save(&self, out: &mut Vec<u64>) {
        out.extend([self.horizon_s, self.candidates_max].map(u64::from));
        let sums = [self.seldom, self.mean, self.variance];
        let sums = sums.iter().chain(&self.exactly).chain(self.weights.as_flattened());
        out.extend(sums.map(|number| number.to_bits()));
        out.extend([self.clients, option(self.last_in_s), self.candidates.len() as u64]);
        for it in &self.candidates {
            out.extend([it.id, it.probability.to_bits(), option(it.due_in_s)]);
        }
    }

    /// What was saved; `None` when the numbers do not fit together.
    pub fn load(from: &mut dyn Iterator<Item = u64>) -> Option<Readiness> {
        let (horizon_s, max) = (from.next()?, from.next()?);
        let (horizon_s, max) = (u32::try_from(horizon_s).ok()?, u32::try_from(max).ok()?);
        let mut readiness = Readiness::new(horizon_s, max);
        let Readiness { seldom, mean, variance, exactly, weights, .. } = &mut readiness;
        let sums = [seldom, mean, variance].into_iter();
        for number in sums.chain(exactly).chain(weights.as_flattened_mut()) {
            *number = f64::from_bits(from.next()?);
        }
        readiness.clients = from.next()?;
        readiness.last_in_s = u32::try_from(from.next()?).ok();
        for _ in 0..from.next()?.min(max.into()) {
            let (id, probability) = (from.next()?, f64::from_bits(from.next()?));
            let due_in_s = u32::try_from(from.next()?).ok();
            readiness.candidates.push(Candidate { id, probability, due_in_s });
        }
        Some(readiness)
    }

    /// A client that has not called an old version for `silent_s`; the probability that it
    /// will.
    ///
    /// `id` is asked only of those who are candidates.
    pub fn add(
        &mut self,
        hazards: &Hazards,
        id: &dyn Fn() -> u64,
        past: &Past,
        silent_s: u32,
    ) -> f64 {
        // In each class at most one group speaks.
        let mut parts = [(0, 0.0); CLASSES];
        let rate = hazards.rate(past, silent_s, self.horizon_s, |group, class, part| {
            parts[class] = (group, part);
        });
        let probability = -libm::expm1(-rate);
        for (class, (group, part)) in parts.into_iter().enumerate() {
            self.weights[group][class] += part * (1.0 - probability);
        }
        self.clients += 1;
        self.mean += probability;
        self.variance += probability * (1.0 - probability);
        if probability < SELDOM {
            self.seldom += rate;
        } else if self.mean < 4.0 * COUNTED as f64 {
            toss(&mut self.exactly, probability);
        }
        let due_s = if past.moved { None } else { past.rhythm.expected_next_s(silent_s) };
        let due_in_s = due_s.map(|due_s| due_s - silent_s);
        if probability >= LIKELY {
            self.last_in_s = self.last_in_s.max(due_in_s);
        }
        let full = self.candidates.len() >= self.candidates_max as usize;
        let is_one = |last: &Candidate| last.probability < probability;
        if !full || self.candidates.last().is_some_and(is_one) {
            self.candidate(Candidate { id: id(), probability, due_in_s });
        }
        probability
    }

    fn candidate(&mut self, new: Candidate) {
        self.candidates.truncate((self.candidates_max as usize).saturating_sub(1));
        let at = self.candidates.partition_point(|it| it.probability >= new.probability);
        self.candidates.insert(at, new);
    }

    /// A client is no candidate any more.
    pub fn forget(&mut self, id: u64) {
        self.candidates.retain(|candidate| candidate.id != id);
    }

    /// Those who are likeliest to call again, the likeliest first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// How many will call again, at this confidence, when the clients taken in are a sample:
    /// each of all clients with probability `theta`, 1 for all.
    pub fn depend(&self, hazards: &Hazards, confidence: f64, theta: f64) -> Depend {
        let exact = theta >= 1.0;
        let at_most = if exact {
            self.quantile(hazards, 1.0 - confidence)
        } else {
            // One half of what may go wrong for who calls, one for who is in the sample.
            let error = (1.0 - confidence) / 2.0;
            libm::ceil(poisson_at_most(self.quantile(hazards, error) as f64, error) / theta) as u64
        };
        Depend {
            at_most,
            expected: self.mean / theta.min(1.0),
            exact,
            clients: self.clients,
            last_in_s: self.last_in_s,
        }
    }

    /// More than this many call with a probability of at most `error`.
    fn quantile(&self, hazards: &Hazards, error: f64) -> u64 {
        self.unbounded(hazards, error).min(self.clients)
    }

    fn unbounded(&self, hazards: &Hazards, error: f64) -> u64 {
        let mut exactly = self.exactly.clone();
        throw(&mut exactly, self.seldom);
        let spread = self.variance + self.shared(hazards);
        let mut chances = Vec::new();
        if spread > self.mean && self.mean > 0.0 {
            chances = more_spread(self.mean, spread);
        }
        match (first(&exactly, error), first(&chances, error)) {
            (Some(exactly), Some(spread)) => exactly.max(spread),
            (Some(exactly), None) if chances.is_empty() => exactly,
            _ => libm::ceil(self.mean + normal(error) * libm::sqrt(spread)) as u64,
        }
    }

    /// What the hazards' own uncertainty adds to the variance: clients that share a hazard
    /// are wrong together.
    fn shared(&self, hazards: &Hazards) -> f64 {
        let mut sum = 0.0;
        for (group, weights) in self.weights.iter().enumerate() {
            let (mut rates, mut known) = (0.0, f64::INFINITY);
            for (class, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                let (rate, calls) = hazards.hazard(group, class);
                rates += weight * rate;
                known = calls.min(known);
            }
            sum += rates * rates / known;
        }
        sum
    }
}

/// A number, or one that is too large for it.
fn option(number: Option<u32>) -> u64 {
    number.map_or(u64::MAX, u64::from)
}

/// One more coin.
fn toss(exactly: &mut [f64], probability: f64) {
    let mut before = 0.0;
    for chance in exactly {
        let now = *chance * (1.0 - probability) + before * probability;
        before = *chance;
        *chance = now;
    }
}

/// Adds a Poisson variable.
fn throw(exactly: &mut [f64], rate: f64) {
    let before = exactly.to_vec();
    for (n, chance) in exactly.iter_mut().enumerate() {
        let mut poisson = libm::exp(-rate);
        *chance = 0.0;
        for k in 0..=n {
            *chance += before[n - k] * poisson;
            poisson *= rate / (k + 1) as f64;
        }
    }
}

/// The smallest number beyond which less than `error` is left, if it is among these.
fn first(chances: &[f64], error: f64) -> Option<u64> {
    let mut left = 1.0;
    let at = chances.iter().position(|chance| {
        left -= chance;
        left <= error
    })?;
    Some(at as u64)
}

/// A Poisson variable whose rate is itself uncertain (a negative binomial) of this mean and
/// variance.
fn more_spread(mean: f64, variance: f64) -> Vec<f64> {
    let shape = mean * mean / (variance - mean);
    let step = mean / (mean + shape);
    let mut chance = libm::exp(shape * libm::log1p(-step));
    let mut chances = Vec::with_capacity(COUNTED + 1);
    for n in 0..=COUNTED {
        chances.push(chance);
        chance *= step * (n as f64 + shape) / (n as f64 + 1.0);
    }
    chances
}

/// The standard normal variable exceeds this with probability `error`.
pub(crate) fn normal(error: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        let beyond = 0.5 * libm::erfc(middle / std::f64::consts::SQRT_2);
        if beyond > error { low = middle } else { high = middle }
    }
    high
}

/// The largest mean of a Poisson variable of which as few as `seen` are seen with probability
/// `error` (Wilson & Hilferty 1931, and exactly for none).
pub(crate) fn poisson_at_most(seen: f64, error: f64) -> f64 {
    let n = seen + 1.0;
    let root = 1.0 - 1.0 / (9.0 * n) + normal(error) / (3.0 * libm::sqrt(n));
    (n * root * root * root).max(-libm::log(error))
}

#[cfg(test)]
#[path = "readiness/tests.rs"]
mod tests;
