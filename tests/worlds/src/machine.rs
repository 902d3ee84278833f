//! The machine that the control plane runs on: clocks and chance that a world sets.

use std::cell::Cell;
use std::ops::Add;
use std::time::Duration;

use super::clock::Reading;

/// So little that a world sees many checkpoints.
pub(crate) const REPLAYED_BYTES_MIN: usize = 24 << 10;

/// One machine's clocks, and what its chance is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    /// Unix milliseconds, as somebody has set them.
    pub(crate) wall_ms: u64,
    /// Since it was booted.
    pub(crate) boot_ms: u64,
    /// The next random number.
    pub(crate) chance: u64,
}

thread_local! {
    static MACHINE: Cell<Machine> = const { Cell::new(Machine { wall_ms: 0, boot_ms: 0, chance: 0 }) };
}

/// Whatever runs now runs on this machine.
pub(crate) fn enter(machine: Machine) {
    MACHINE.set(machine);
}

/// A moment on a machine's boot clock, as [`std::time::Instant`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Instant {
        Instant(Duration::from_millis(MACHINE.get().boot_ms))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, before: Instant) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(time))
    }
}

impl Reading {
    /// What the machine's clocks say.
    pub(crate) fn now() -> Reading {
        let Machine { wall_ms, boot_ms, .. } = MACHINE.get();
        Reading { wall_ms, boot: Duration::from_millis(boot_ms) }
    }
}

/// A random number.
///
/// # Errors
/// Never; the host's may.
pub(crate) fn chance() -> Result<u64, String> {
    let mut machine = MACHINE.get();
    machine.chance = machine.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
    MACHINE.set(machine);
    Ok(machine.chance)
}
