//! What the control plane asks of the machine that it runs on: clocks and chance.
//!
//! Nothing else in [`controller`](super::controller) and what it calls is told by the
//! machine. The worlds in `tests/worlds` put a file of their own in this one's place, and
//! run everything else as it stands.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::clock::Reading;

pub(crate) use std::time::Instant;

/// Calls of less than this are replayed in a fraction of a second.
pub(crate) const REPLAYED_BYTES_MIN: usize = 8 << 20;

impl Reading {
    /// What the machine's clocks say.
    pub(crate) fn now() -> Reading {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let boot = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) = (boot.tv_sec.unsigned_abs(), boot.tv_nsec.unsigned_abs());
        Reading {
            wall_ms: wall.map_or(0, |wall| wall.as_millis() as u64),
            boot: Duration::from_secs(seconds) + Duration::from_nanos(nanos),
        }
    }
}

/// A random number.
///
/// # Errors
/// The machine gives none.
pub(crate) fn chance() -> Result<u64, String> {
    getrandom::u64().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_of_this_machine_go_forward() {
        let first = Reading::now();
        let second = Reading::now();
        assert!(second.boot >= first.boot);
        assert!(first.wall_ms > 1_700_000_000_000, "{first:?}");
    }
}
