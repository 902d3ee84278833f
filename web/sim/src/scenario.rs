//! Traffic, and the faults laid over it.

use crate::fault::{Fault, Laid};
use crate::traffic::Traffic;

/// How long a tick lasts unless told otherwise, in milliseconds. The engine's bins last
/// as long.
pub const TICK_MS: u64 = 5_000;

/// A world as it is described, before chance plays.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub(crate) traffic: Traffic,
    pub(crate) faults: Vec<Laid>,
    pub(crate) tick_ms: u64,
    /// Until when ticks last otherwise, and how long.
    first: (u64, u64),
}

impl Scenario {
    /// Traffic in which nothing goes wrong.
    pub fn new(traffic: Traffic) -> Scenario {
        Scenario { traffic, faults: Vec::new(), tick_ms: TICK_MS, first: (0, TICK_MS) }
    }

    /// With a fault from the beginning to the end.
    #[must_use]
    pub fn with(self, fault: Fault) -> Scenario {
        self.with_from(0, fault)
    }

    /// With a fault from then on, in milliseconds since the beginning.
    #[must_use]
    pub fn with_from(self, from_ms: u64, fault: Fault) -> Scenario {
        self.with_between(from_ms, u64::MAX, fault)
    }

    /// With a fault from one moment to another. Faults add up.
    #[must_use]
    pub fn with_between(mut self, from_ms: u64, until_ms: u64, fault: Fault) -> Scenario {
        self.faults.push(Laid { fault, from_ms, until_ms });
        self
    }

    /// With ticks of so many milliseconds, at least one.
    #[must_use]
    pub fn every_ms(mut self, tick_ms: u64) -> Scenario {
        self.tick_ms = tick_ms.max(1);
        self
    }

    /// With ticks of so many milliseconds, at least one, in the time before a moment: for
    /// what has to have happened before the part that is looked at closely.
    #[must_use]
    pub fn first_every_ms(mut self, until_ms: u64, tick_ms: u64) -> Scenario {
        self.first = (until_ms, tick_ms.max(1));
        self
    }

    /// How long the tick lasts that begins then.
    pub(crate) fn tick_ms_at(&self, from_ms: u64) -> u64 {
        let (until_ms, tick_ms) = self.first;
        if from_ms < until_ms { tick_ms.min(until_ms - from_ms) } else { self.tick_ms }
    }

    /// How long a tick lasts, in milliseconds.
    pub fn tick_ms(&self) -> u64 {
        self.tick_ms
    }

    /// The traffic without its faults.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ticks_may_be_longer_and_end_on_time() {
        let scenario =
            Scenario::new(Traffic::new(1.0, 0.1).unwrap()).first_every_ms(70_000, 60_000);
        let ticks = [0, 60_000, 70_000, 75_000].map(|from| scenario.tick_ms_at(from));
        assert_eq!(ticks, [60_000, 10_000, TICK_MS, TICK_MS]);
    }
}
