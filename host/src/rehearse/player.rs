//! The real engine in the simulated world: one play, and many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossfade_protocol::abi::RouteWord;
use crossfade_sim::{Engine, Rehearsal, RehearsalError, Router, Story};

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
#[derive(Debug)]
pub(crate) struct Guest(pub(crate) Plugin);

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

impl Router for Guest {
    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, PluginError> {
        self.0.route(key, draw)
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
        on_all_processors(seeds.len(), |place| self.play(rehearsal, seeds[place]), played)
    }
}

/// Does so many pieces of work on all processors, and gives what comes of them in their
/// order, whichever is done first. `done` is called after each.
///
/// # Errors
/// The first failure by order.
pub(crate) fn on_all_processors<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(count));
    let go_on = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                break;
            }
            let result = work(place);
            let has_failed = result.is_err();
            results.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
            if has_failed {
                // Nobody takes up another; those of lower places are under way or done.
                next.store(count, Ordering::Relaxed);
            }
            done();
        }
    };
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    thread::scope(|scope| {
        for _ in 1..threads.min(THREADS_MAX).min(count) {
            scope.spawn(go_on);
        }
        go_on();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}
