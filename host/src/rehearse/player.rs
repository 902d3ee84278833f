//! The real engine in the simulated world: one play, and many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossfade_sim::{Engine, Rehearsal, RehearsalError, Story};

use crate::module::Module;
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};

/// Threads at most: a machine with more has other work too.
const THREADS_MAX: usize = 16;

/// Starts engines for plays, all with the same module and document.
#[derive(Debug, Clone)]
pub(super) struct Player {
    module: Module,
    /// The init document: the plan, and the wall clock.
    document: Vec<u8>,
}

/// A plugin as the simulated world speaks to it.
struct Guest(Plugin);

impl Engine for Guest {
    type Error = PluginError;

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Result<(), PluginError> {
        out.extend_from_slice(self.0.handle(lines, now_ms)?);
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), PluginError> {
        out.extend_from_slice(self.0.tick(now_ms)?);
        Ok(())
    }
}

impl Player {
    pub(super) fn new(module: Module, document: Vec<u8>) -> Player {
        Player { module, document }
    }

    fn play(&self, rehearsal: &Rehearsal, seed: u64) -> Result<Story, RehearsalError<PluginError>> {
        let start = Start { document: self.document.clone(), seed, now_ms: rehearsal.start_ms };
        let (plugin, said) = Plugin::start(self.module.clone(), PluginOptions::default(), start)
            .map_err(RehearsalError::Engine)?;
        if !said.is_empty() {
            let said = String::from_utf8_lossy(&said).trim_end().to_owned();
            return Err(RehearsalError::Refused(said));
        }
        rehearsal.play(&mut Guest(plugin), seed)
    }

    /// Plays with each of the seeds, on all processors; the stories come in their order,
    /// whichever ends first. `played` is called after each play.
    ///
    /// # Errors
    /// The first failure by order of the seeds.
    pub(super) fn play_all(
        &self,
        rehearsal: &Rehearsal,
        seeds: &[u64],
        played: &(dyn Fn() + Sync),
    ) -> Result<Vec<Story>, RehearsalError<PluginError>> {
        let next = AtomicUsize::new(0);
        let stories = Mutex::new(Vec::with_capacity(seeds.len()));
        let work = || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(seed) = seeds.get(place) else { break };
                let story = self.play(rehearsal, *seed);
                let has_failed = story.is_err();
                stories.lock().unwrap_or_else(PoisonError::into_inner).push((place, story));
                if has_failed {
                    // Nobody takes up another; plays of lower places are under way or done.
                    next.store(seeds.len(), Ordering::Relaxed);
                }
                played();
            }
        };
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
        thread::scope(|scope| {
            for _ in 1..threads.min(THREADS_MAX).min(seeds.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut stories = stories.into_inner().unwrap_or_else(PoisonError::into_inner);
        stories.sort_by_key(|(place, _)| *place);
        stories.into_iter().map(|(_, story)| story).collect()
    }
}
