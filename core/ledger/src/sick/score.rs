//! The evidence that one client is worse off than its history, and than the others.

use borsh::{BorshDeserialize, BorshSerialize};

use super::Served;

/// How many times what is allowed a sick client is betted to fail.
const TIMES: [f64; 4] = [1.5, 3.0, 10.0, 100.0];

/// What one minute of a client says at most, in nats, as in the gate.
const MINUTE_NATS: f64 = 3.5;

/// How unlike clients are: the shape of the distribution of their failure ratios, of which
/// the standard deviation is twice the mean.
const SHAPE: f64 = 0.25;

/// A fleet that hardly ever fails is taken to fail this often.
const FLEET_MIN: f64 = 0.001;

/// Nothing is expected to fail more often than this.
const ALLOWED_MAX: f64 = 0.9;

/// How often a client may fail, as a Beta distribution: its history, which is short, in the
/// light of the fleet's, made worse by what is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, BorshSerialize, BorshDeserialize)]
pub(super) struct Allowed {
    failures: f64,
    successes: f64,
}

impl Allowed {
    pub(super) fn new(own: Served, fleet: Served, margin: f64, slack: f64) -> Allowed {
        let ratio = fleet.ratio().clamp(FLEET_MIN, 0.5);
        let failures = own.failures as f64 + SHAPE;
        let mean = failures / (own.requests.max(own.failures) as f64 + SHAPE / ratio);
        let mean = (mean * margin).max(mean + slack).min(ALLOWED_MAX);
        Allowed { failures, successes: failures / mean - failures }
    }

    pub(super) fn mean(&self) -> f64 {
        self.failures / (self.failures + self.successes)
    }

    /// Log probability of so many more requests, the last of which failed or did not, after
    /// what is known, when failures are `times` as likely; without what does not depend on
    /// `times`.
    fn log_chance(&self, before: &Score, requests: f64, failed: bool, times: f64) -> f64 {
        let failures = self.failures * times;
        let all = failures + self.successes + before.requests;
        let failed = if failed { libm::log(failures + before.failures) } else { 0.0 };
        failed + libm::lgamma(all) - libm::lgamma(all + requests)
    }
}

/// Two e-processes in logs, each an average of four bets; it is worth the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Default, BorshSerialize, BorshDeserialize)]
pub(super) struct Score {
    /// Against H0: it fails no more often than it may by its history.
    history: [f64; TIMES.len()],
    /// Against H0: it fails at most `margin` times as often as the others do.
    others: [f64; TIMES.len()],
    requests: f64,
    failures: f64,
}

impl Score {
    /// Requests of the client, and of all others in the same time, a minute at least.
    ///
    /// Of the client what was served until its first failure counts, and no more: what
    /// fails again and again is one event. Where the failure was among its requests is not
    /// known, and `(n + 1) / (e + 1)` is the mean; the factors are convex in it, so that the
    /// mean gives no more than the mean of what they would have given.
    ///
    /// Both factors have a mean of at most 1 under their null, the first over a population
    /// of clients, of which each has a ratio of its own (Beta-binomial), the second by the
    /// share of all failures that fall on one of two arms (as in the gate; Lindon & Malek,
    /// NeurIPS 2022). A gain that is cut keeps that.
    pub(super) fn add(&mut self, own: Served, rest: Served, allowed: &Allowed, margin: f64) {
        let (mut requests, mut failures) = (own.requests as f64, own.failures as f64);
        if failures > 0.0 {
            requests = (requests + 1.0) / (failures + 1.0);
            failures = 1.0;
        }
        let both = failures + rest.failures as f64;
        let share = requests / (requests + rest.requests as f64);
        let others =
            |times: f64| failures * libm::log(times) - both * libm::log1p(share * (times - 1.0));
        let before = *self;
        let history = |times: f64| allowed.log_chance(&before, requests, failures > 0.0, times);
        let (fair, level) = (history(1.0), others(margin));
        for (at, times) in TIMES.into_iter().enumerate() {
            self.history[at] += (history(times) - fair).min(MINUTE_NATS);
            self.others[at] += (others(margin * times) - level).min(MINUTE_NATS);
        }
        self.requests += requests;
        self.failures += failures;
    }

    /// The e-value's logarithm: of whichever null it speaks against less.
    pub(super) fn log_e(&self) -> f64 {
        average(&self.history).min(average(&self.others))
    }
}

fn average(logs: &[f64; TIMES.len()]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| libm::exp(log - largest)).sum();
    largest + libm::log(sum / TIMES.len() as f64)
}
