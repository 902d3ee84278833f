//! The rules that other tools' users run, written from their documented behaviour, on the
//! same ticks. Each sees counts of both versions and says when it rolls back.

use crossfade_sim::{Served, Tick};

/// The thresholds' idea of bad: more than 1 % of the canary's requests failed.
const BAD: f64 = 0.01;

/// Ticks of 5 s in a minute, and in the 10 s between two tries of a failed query.
const MINUTE: u64 = 12;
const RETRY: u64 = 2;

/// A rule that looks at every tick; true when it rolls back now.
pub(crate) trait Rule {
    /// Takes in a tick.
    fn rolls_back(&mut self, tick: &Tick) -> bool;
}

/// Counts of the last minute, as far as they were reported.
#[derive(Debug, Default)]
struct Minute {
    ticks: u64,
    old: Served,
    new: Served,
}

impl Minute {
    /// The counts when a minute is over.
    fn add(&mut self, tick: &Tick) -> Option<(Served, Served)> {
        self.ticks += 1;
        if tick.reported {
            self.old.add(&tick.old);
            self.new.add(&tick.new);
        }
        if !self.ticks.is_multiple_of(MINUTE) {
            return None;
        }
        Some((std::mem::take(&mut self.old), std::mem::take(&mut self.new)))
    }
}

/// `None` without requests: 0 / 0.
fn ratio(served: &Served) -> Option<f64> {
    (served.requests > 0).then(|| served.failures as f64 / served.requests as f64)
}

/// Argo Rollouts: `successCondition: result[0] >= 0.99` each minute. More failed
/// measurements than `failureLimit` abort; 0 / 0 is not >= 0.99, so it is a failed one. A
/// query that finds no metrics is an error, tried again every 10 s; the fifth in a row
/// aborts.
#[derive(Debug, Default)]
pub(crate) struct Argo {
    limit: u32,
    failed: u32,
    errors: u32,
    minute: Minute,
}

impl Argo {
    /// With this `failureLimit`; the default is 0.
    pub(crate) fn new(limit: u32) -> Argo {
        Argo { limit, ..Argo::default() }
    }
}

impl Rule for Argo {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let measured = self.minute.add(tick);
        let retries = self.errors > 0 && self.minute.ticks.is_multiple_of(RETRY);
        if !tick.reported {
            self.errors += u32::from(measured.is_some() || retries);
            return self.errors > 4;
        }
        if measured.is_some() || retries {
            self.errors = 0;
        }
        if let Some((_, new)) = measured {
            self.failed += u32::from(ratio(&new).is_none_or(|failures| failures > BAD));
        }
        self.failed > self.limit
    }
}

/// Flagger: `request-success-rate` at least 99 over the last minute, each minute. Failed
/// checks add up over the whole analysis; a minute without data is one. The check that
/// reaches the threshold is acted on at the next.
#[derive(Debug, Default)]
pub(crate) struct Flagger {
    threshold: u32,
    failed: u32,
    minute: Minute,
}

impl Flagger {
    /// With this `threshold` of failed checks.
    pub(crate) fn new(threshold: u32) -> Flagger {
        Flagger { threshold, ..Flagger::default() }
    }
}

impl Rule for Flagger {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let Some((_, new)) = self.minute.add(tick) else { return false };
        if self.failed >= self.threshold {
            return true;
        }
        self.failed += u32::from(ratio(&new).is_none_or(|failures| failures > BAD));
        false
    }
}

/// GrowthBook's guardrail: a one-sided sequential interval for the difference at 0.05,
/// tuned to 5,000 units, each minute (arXiv 2103.06476v7, eq. 134).
#[derive(Debug, Default)]
pub(crate) struct GrowthBook {
    minute: Minute,
    old: Served,
    new: Served,
}

const GROWTHBOOK_ALPHA: f64 = 0.05;
const GROWTHBOOK_TUNED_TO: f64 = 5_000.0;

impl Rule for GrowthBook {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let Some((old, new)) = self.minute.add(tick) else { return false };
        self.old.add(&old);
        self.new.add(&new);
        let (Some(canary), Some(control)) = (ratio(&self.new), ratio(&self.old)) else {
            return false;
        };
        if self.new.failures == 0 {
            return false;
        }
        // Half a failure more, so that no variance is zero.
        let variance = |served: &Served| {
            let p = (served.failures as f64 + 0.5) / (served.requests as f64 + 1.0);
            p * (1.0 - p) / served.requests as f64
        };
        let squared_error = variance(&self.old) + variance(&self.new);
        let n = (self.old.requests + self.new.requests) as f64;
        let level = -2.0 * libm::log(2.0 * GROWTHBOOK_ALPHA);
        let rho_squared = (level + libm::log(level + 1.0)) / GROWTHBOOK_TUNED_TO;
        let m = n * rho_squared + 1.0;
        let grown = 2.0 * m / (n * n * rho_squared);
        let boundary = libm::log(1.0 + m.sqrt() / (2.0 * GROWTHBOOK_ALPHA));
        canary - control > (squared_error * n * grown * boundary).sqrt()
    }
}
