//! What can go wrong.

/// A fault, to be laid over the traffic for a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// v2 fails so many times as often as v1.
    Times(f64),
    /// v2 fails more often by this share of its requests; 0.01 is one percentage point.
    More(f64),
    /// v2 fails altogether.
    Outage,
    /// v2 takes so many times as long. Shows only where the traffic has latencies.
    Slower(f64),
    /// Both versions fail more often together: from the usual share of failures, in a
    /// straight line, to so many times as much at the end of the fault's time.
    Drift(f64),
    /// Spells in which a share of all requests fails.
    Burst(Burst),
    /// Pods that fail for a moment now and then, on both versions alike.
    PodBlips(PodBlips),
    /// Clients try again when a request failed, and fail again.
    Retries(Retries),
    /// Nothing is reported, though requests are served.
    MetricsLost,
}

/// Which versions a burst hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// v1 only.
    Old,
    /// v2 only.
    New,
    /// Both at once, as when something they share fails.
    Both,
}

/// See [`Fault::Burst`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Whom it hits.
    pub side: Side,
    /// Share of requests that fail in a spell, besides those that fail anyway.
    pub ratio: f64,
    /// Seconds from the end of one spell to the next, in the mean.
    pub every_s: f64,
    /// Seconds that a spell lasts, in the mean.
    pub lasts_s: f64,
}

/// See [`Fault::PodBlips`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodBlips {
    /// Pods of both versions together. They serve equal parts; v2 has its share of them,
    /// and each version at least one.
    pub pods: u32,
    /// Share of a pod's requests that fail while it blips.
    pub ratio: f64,
    /// Seconds from the end of a pod's blip to its next, in the mean.
    pub every_s: f64,
    /// Seconds that a blip lasts, in the mean.
    pub lasts_s: f64,
}

/// See [`Fault::Retries`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retries {
    /// Probability that a client whose request failed tries again and fails again; 0.8
    /// makes five failures of one in the mean.
    pub again: f64,
    /// Tries a tick, beginning with the tick after the first failure.
    pub per_tick: u32,
}

/// A fault and its time, in milliseconds of the world's clock, which starts at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Laid {
    /// What goes wrong.
    pub fault: Fault,
    /// From when on.
    pub from_ms: u64,
    /// Until when, not included.
    pub until_ms: u64,
}

impl Laid {
    /// Share of the time from `from_ms` to `to_ms` in which the fault is there.
    pub(crate) fn part(&self, from_ms: u64, to_ms: u64) -> f64 {
        let both = self.until_ms.min(to_ms).saturating_sub(self.from_ms.max(from_ms));
        both as f64 / to_ms.saturating_sub(from_ms).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_may_fill_a_part_of_a_tick() {
        let laid = Laid { fault: Fault::Outage, from_ms: 6_000, until_ms: 12_000 };
        let parts = [0, 5_000, 10_000, 15_000].map(|from| laid.part(from, from + 5_000));
        assert_eq!(parts, [0.0, 0.8, 0.4, 0.0]);
    }
}
