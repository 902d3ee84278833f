//! Many worlds, on all cores; and how to see one of them again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutant::Mutant;
use crate::world::{Played, play};

/// Lines of a trace that are shown.
const SHOWN: usize = 60;

/// What came of many worlds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many there were.
    pub worlds: u64,
    /// Calls of clients.
    pub calls: u64,
    /// Faults.
    pub faults: u64,
    /// Acts that the stores' audit logs have at the end.
    pub acts: u64,
    /// How many ended in which phase.
    pub phases: std::collections::BTreeMap<String, u64>,
    /// Worlds in which a new version that was no worse was taken back.
    pub false_alarms: u64,
    /// The lowest seed whose world went wrong, and what was wrong in it.
    pub failed: Option<(u64, String)>,
}

/// Plays the worlds `from` to `from + seeds - 1`; the lowest that goes wrong is the one that
/// is told.
pub fn many(from: u64, seeds: u64, mutant: Option<Mutant>) -> Tally {
    let next = AtomicU64::new(from);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let played = one(seed, mutant, false);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(seed, played);
                    if tally.failed.is_some() {
                        next.store(from + seeds, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one; a panic in it is something wrong, too.
pub fn one(seed: u64, mutant: Option<Mutant>, tracing: bool) -> Played {
    match catch_unwind(AssertUnwindSafe(|| play(seed, mutant, tracing))) {
        Ok(played) => played,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Played { failure: Some(format!("panic: {text}")), ..Played::default() }
        }
    }
}

impl Tally {
    fn add(&mut self, seed: u64, played: Played) {
        self.worlds += 1;
        self.calls += played.calls;
        self.faults += played.faults;
        self.acts += played.commits;
        self.false_alarms += u64::from(played.false_alarm);
        *self.phases.entry(played.phase).or_default() += 1;
        if let Some(failure) = played.failure
            && self.failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest)
        {
            self.failed = Some((seed, failure));
        }
    }
}

/// What went wrong in a world, the end of its trace, and the command that plays it again.
pub fn told(seed: u64, failure: &str, mutant: Option<Mutant>) -> String {
    let trace = one(seed, mutant, true).trace;
    let shown = trace[trace.len().saturating_sub(SHOWN)..].join("\n");
    let with = mutant.map_or(String::new(), |mutant| format!(" --mutant {}", mutant.name()));
    format!(
        "{shown}\nseed {seed}: {failure}\nagain: cargo run --release -p crossfade-worlds -- --from \
         {seed} --seeds 1 --trace{with}"
    )
}
