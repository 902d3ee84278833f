//! The engine's time: one that never jumps while the process runs.
//!
//! A wall clock may be set back or forward under a running rollout, and a step would then
//! last for ever or no time at all. So the wall clock is read once, at the start, and from
//! there on the time since the machine was booted counts, which nobody sets, and which
//! goes on while the machine sleeps. The time that passed while no process ran is taken
//! from the wall clock, unless that went back.

use std::time::Duration;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Unix milliseconds.
    pub(crate) wall_ms: u64,
    /// Since the machine was booted, sleep included.
    pub(crate) boot: Duration,
}

/// The engine's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The time at `started`.
    anchor_ms: u64,
    started: Duration,
}

impl Clock {
    /// Goes on from `stored_ms`, the last time that is known (0: none), or from the wall
    /// clock when that is ahead of it.
    pub(crate) fn start(stored_ms: u64, now: Reading) -> Clock {
        Clock { anchor_ms: now.wall_ms.max(stored_ms), started: now.boot }
    }

    /// The time now, in milliseconds.
    pub(crate) fn now_ms(&self, now: Reading) -> u64 {
        let since = now.boot.saturating_sub(self.started);
        self.anchor_ms.saturating_add(since.as_millis() as u64)
    }

    /// How far the wall clock is ahead of this one; negative when it is behind.
    pub(crate) fn offset_ms(&self, now: Reading) -> i64 {
        let (wall, ours) = (now.wall_ms as i64, self.now_ms(now) as i64);
        wall.saturating_sub(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn reading(wall_ms: u64, boot_s: u64) -> Reading {
        Reading { wall_ms, boot: Duration::from_secs(boot_s) }
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_nothing_and_is_told() {
        let noon = 1_000 * HOUR_MS;
        let clock = Clock::start(0, reading(noon, 10));
        for jumped in [noon - HOUR_MS, noon + 24 * HOUR_MS] {
            let now = reading(jumped + 2_000, 12);
            assert_eq!(clock.now_ms(now), noon + 2_000);
            assert_eq!(clock.offset_ms(now), jumped as i64 - noon as i64);
        }
    }

    #[test]
    fn the_time_that_passed_between_two_runs_counts() {
        let clock = Clock::start(5_000, reading(5_000 + HOUR_MS, 1));
        assert_eq!(clock.now_ms(reading(0, 1)), 5_000 + HOUR_MS);
    }

    #[test]
    fn a_wall_clock_that_went_back_between_two_runs_does_not_take_time_back() {
        let clock = Clock::start(9 * HOUR_MS, reading(8 * HOUR_MS, 1));
        assert_eq!(clock.now_ms(reading(8 * HOUR_MS, 1)), 9 * HOUR_MS);
        assert_eq!(clock.now_ms(reading(8 * HOUR_MS, 61)), 9 * HOUR_MS + 60_000);
    }
}
