//! The one wasmtime engine of the process, and the clock that interrupts guests.
//!
//! Deadlines are counted in ticks of a thread, not read from a clock: a process that
//! was stopped for an hour (SIGSTOP, a suspended laptop) has missed none.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, ResourceLimiter};

/// Native stack that one call into a guest may use. It belongs to the engine, so it
/// is the same for every plugin. Half a MiB is a quarter of what a Rust thread has,
/// and takes JSON nested far deeper than the protocol allows.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;

/// How often the epoch advances, and so how exact a deadline is.
const TICK: Duration = Duration::from_millis(10);

/// Entries of a guest's function tables. The engine's own module has about 200.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();

/// The shared engine; starts it and its ticker at the first call.
///
/// # Errors
/// What wasmtime or the thread's start said: the machine cannot run plugins at all.
pub(crate) fn engine() -> Result<&'static Engine, String> {
    ENGINE.get_or_init(start).as_ref().map_err(String::clone)
}

fn start() -> Result<Engine, String> {
    let mut config = Config::new();
    config.epoch_interruption(true).max_wasm_stack(STACK_BYTES_MAX);
    let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    let ticking = engine.clone();
    thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            loop {
                thread::sleep(TICK);
                ticking.increment_epoch();
            }
        })
        .map_err(|error| format!("cannot start the thread that interrupts guests: {error}"))?;
    Ok(engine)
}

/// Ticks after which at least `deadline` has passed; the one under way is not counted.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis()) + 1;
    // Wasmtime adds this to the present epoch: half the range cannot overflow.
    u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 2)
}

/// What a guest may take from the machine, asked by wasmtime before each growth.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    /// The size that was refused, for the error that follows.
    pub(crate) refused_bytes: Option<usize>,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: usize) -> Limiter {
        Limiter { memory_bytes_max, refused_bytes: None }
    }

    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired <= self.memory_bytes_max {
            return Ok(true);
        }
        // An error traps at once. `Ok(false)` would let the guest see a failed
        // allocation and abort without a word, the cause lost.
        self.refused_bytes = Some(desired);
        Err(wasmtime::Error::msg("over the memory limit"))
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_shorter_than_asked() {
        for (deadline_ms, expected) in [(0, 1), (1, 2), (10, 2), (11, 3), (1000, 101)] {
            assert_eq!(ticks(Duration::from_millis(deadline_ms)), expected, "{deadline_ms} ms");
        }
        assert_eq!(ticks(Duration::MAX), u64::MAX / 2);
    }
}
