//! The thread that owns the engine and the store.
//!
//! It takes what is waiting, has the engine do it, lets time act, keeps everything in one
//! commit, and only then answers. So a hundred requests share one flush of the disk, and
//! no answer speaks of what could be lost. When a commit fails the state is loaded again,
//! as after a crash: there is one way back, and it is tried at every start.

mod batch;
mod forget;
pub(crate) mod nodes;
mod standby;
mod told;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::clock::{Clock, Reading};
use super::engine::{Engine, EngineError};
use super::job::{Answer, Candidate, Job, Refusal, Work};
use super::machine::Instant;
use super::receipts::Receipts;
use super::shared::{Shared, State};
use super::store::{Lead, PolicyRow, Saved, Store, StoreError};
use crate::plugin::PluginOptions;
use crate::units::span;

use batch::Batch;
use nodes::Nodes;
pub(crate) use told::standing;

/// How often time acts.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// Ticks in which nothing happened are kept after so long at the latest: a start after a
/// crash then knows since when.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// How long a store that has failed is left alone.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a module is on trial.
const TRIAL: Duration = Duration::from_secs(30);

/// A clock that is further off is worth a warning.
const CLOCK_OFFSET_MS_MAX: u64 = 5_000;

/// Who does what nobody asked for.
pub(crate) const BY_ITSELF: &str = "crossfade";

/// What the thread is started with.
pub(crate) struct Setup {
    /// Where things are kept.
    pub(crate) store: Box<dyn Store>,
    /// The engine to begin or go on with, unless the store holds another.
    pub(crate) candidate: Candidate,
    /// Whether it takes the place of one that the store holds.
    pub(crate) candidate_is_given: bool,
    /// The engine's limits.
    pub(crate) plugin: PluginOptions,
    /// The plan to begin with, when nothing is stored.
    pub(crate) plan: Option<Value>,
    /// Whether a new migration's rollout begins at once.
    pub(crate) start_rollout: bool,
}

/// See the module.
pub(crate) struct Controller {
    pub(super) setup: Setup,
    pub(super) shared: Arc<Shared>,
    running: Option<Running>,
    /// When the store is tried again.
    pub(super) try_again: Option<Instant>,
    /// Whether the clock is known to be off.
    clock_is_off: bool,
}

/// What there is while this process leads.
struct Running {
    engine: Engine,
    clock: Clock,
    /// The newest policy that was kept.
    policy: Option<PolicyRow>,
    last_event: u64,
    last_audit: u64,
    nodes: Nodes,
    /// What commands with keys were answered.
    receipts: Receipts,
    started_ms: u64,
    kept_at: Instant,
    kept_ms: u64,
    trial_until: Option<Instant>,
    /// The answer to `get_sunset` that was given last, and until when it is given again.
    sunset: Option<(Box<RawValue>, Instant)>,
    /// The same of what the shadow has compared.
    shadow: Option<(Value, Instant)>,
}

impl Running {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms(Reading::now())
    }

    /// Of the policy that was kept last.
    fn revision(&self) -> u64 {
        self.policy.as_ref().map_or(0, |row| row.revision)
    }
}

/// Why a migration does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's answer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is nothing to begin with.
    #[error("nothing is stored yet: name the plan to begin with")]
    NoPlan,
    /// What is stored cannot be run.
    #[error("the stored engine cannot be run: {0}")]
    Module(#[from] crate::module::ModuleError),
}

impl Controller {
    /// Before anything was loaded.
    pub(crate) fn new(setup: Setup, shared: Arc<Shared>) -> Controller {
        Controller { setup, shared, running: None, try_again: None, clock_is_off: false }
    }

    /// Takes the lead if nobody has it, and goes on with what is stored.
    ///
    /// # Errors
    /// What is wrong with the store, or with what is in it.
    pub(crate) fn take_over(&mut self) -> Result<Lead, Trouble> {
        let lead = self.setup.store.try_lead()?;
        if lead == Lead::Ours && self.running.is_none() {
            let running = self.bring_up()?;
            self.running = Some(running);
        } else if lead != Lead::Ours {
            self.running = None;
        }
        self.shared.set_state(State::of(lead.clone()));
        Ok(lead)
    }

    /// Serves jobs until it is told to stop.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut next_tick = Instant::now();
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            let first = match jobs.recv_timeout(wait) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let due = Instant::now() >= next_tick;
            if due {
                next_tick = Instant::now() + TICK_EVERY;
            }
            if let Some(Job { work: Work::Stop, reply }) = first {
                self.stop();
                // Whoever told us to stop waits for this, or has gone.
                let _ = reply.send(Ok(Answer::Done));
                return;
            }
            self.turn(first, jobs, due);
        }
        self.stop();
    }

    /// One turn of [`run`](Self::run): looks around and lets time act if that is `due`, and
    /// serves what waits.
    pub(crate) fn turn(&mut self, first: Option<Job>, jobs: &Receiver<Job>, due: bool) {
        if due {
            self.look_around();
        }
        self.serve(first, jobs, due);
    }

    /// Who leads now, and whether what failed works again.
    fn look_around(&mut self) {
        if self.try_again.is_some_and(|then| Instant::now() < then) {
            return;
        }
        let failed = self.try_again.take().is_some();
        match self.take_over() {
            Ok(_) if failed => info!("{} works again", self.setup.store.name()),
            Ok(_) => {}
            Err(trouble) => self.fail(&trouble),
        }
        if self.running.is_none() {
            match self.setup.store.policy() {
                Ok(Some(policy)) => self.shared.publish(&policy),
                Ok(None) => {}
                Err(trouble) => self.fail(&trouble.into()),
            }
        }
    }

    /// Lets go of a state that is not the stored one any more.
    fn fail(&mut self, trouble: &Trouble) {
        self.running = None;
        if let Trouble::Store(StoreError::Superseded) = trouble {
            warn!("{trouble}: standing by");
            self.shared.set_state(State::Standby { address: None });
            return;
        }
        if self.shared.state() != (State::Failing { why: trouble.to_string() }) {
            error!("{trouble}; trying again every second");
        }
        self.shared.set_state(State::Failing { why: trouble.to_string() });
        self.try_again = Some(Instant::now() + TRY_AGAIN_AFTER);
    }

    fn bring_up(&mut self) -> Result<Running, Trouble> {
        let saved = self.setup.store.load()?;
        let now = Reading::now();
        let clock = Clock::start(saved.at_ms, now);
        let now_ms = clock.now_ms(now);
        let fresh = saved.checkpoint.is_none();
        let engine = match &saved.checkpoint {
            Some(checkpoint) => {
                let candidate = self.stored_engine(checkpoint.module.as_deref())?;
                Engine::resume(candidate, self.setup.plugin.clone(), checkpoint, &saved)?
            }
            None => {
                let plan = self.setup.plan.as_ref().ok_or(Trouble::NoPlan)?;
                let candidate = self.setup.candidate.clone();
                Engine::begin(candidate, self.setup.plugin.clone(), plan, now_ms)?
            }
        };
        let mut running = Running {
            engine,
            clock,
            policy: saved.policy.clone(),
            last_event: saved.last_event,
            last_audit: saved.last_audit,
            nodes: Nodes::default(),
            receipts: saved.receipts.iter().cloned().collect(),
            started_ms: now_ms,
            kept_at: Instant::now(),
            kept_ms: saved.at_ms,
            trial_until: None,
            sunset: None,
            shadow: None,
        };
        self.shared.begin_events(saved.last_event);
        self.shared.use_engine(running.engine.module());
        if fresh {
            let checkpoint = running.engine.checkpoint(now_ms)?;
            self.setup.store.checkpoint(&checkpoint)?;
        }
        match &saved.policy {
            Some(policy) => self.shared.publish(policy),
            None => self.begin(&mut running, now_ms)?,
        }
        if !fresh {
            self.tell_of_the_pause(&mut running, &saved, now_ms)?;
        }
        Ok(running)
    }

    /// The engine to go on with: the one given on the command line, else the stored one,
    /// else the built-in.
    fn stored_engine(&self, module: Option<&[u8]>) -> Result<Candidate, Trouble> {
        match module {
            Some(bytes) if !self.setup.candidate_is_given => {
                Ok(super::module::stored(bytes.to_vec())?)
            }
            _ => Ok(self.setup.candidate.clone()),
        }
    }

    /// The first policy of a new migration, and its rollout.
    fn begin(&mut self, running: &mut Running, now_ms: u64) -> Result<(), Trouble> {
        let mut batch = Batch::new(now_ms);
        batch.note(BY_ITSELF, "created", "A new migration begins.");
        let (_, document) = running.engine.policy(now_ms)?;
        if told::mirrors(&document) {
            batch.note(BY_ITSELF, "shadow", "Its shadow comes first, and then its rollout.");
        } else if self.setup.start_rollout && document.get("rollout").is_some() {
            let message = json!({ "type": "gradual_rollout" });
            running.engine.act(&message, None, now_ms)?;
            batch.note(BY_ITSELF, "start", "The plan has a rollout.");
        }
        batch.keep(running, &mut *self.setup.store, &self.shared, Vec::new())
    }

    /// After a stop or a crash: says where it goes on, and lets the time that passed act.
    fn tell_of_the_pause(
        &mut self,
        running: &mut Running,
        saved: &Saved,
        now_ms: u64,
    ) -> Result<(), Trouble> {
        let mut batch = Batch::new(now_ms);
        let down = span(now_ms.saturating_sub(saved.at_ms));
        let sentence = format!("Resumed after {down}: {}", standing(&mut running.engine, now_ms)?);
        info!("{sentence}");
        batch.note(BY_ITSELF, "resumed", &sentence);
        let calls = saved.calls.len();
        info!("{}: one checkpoint and {calls} commits replayed", self.setup.store.name());
        batch.keep(running, &mut *self.setup.store, &self.shared, Vec::new())
    }

    /// Serves what is waiting, in one commit.
    fn serve(&mut self, first: Option<Job>, jobs: &Receiver<Job>, due: bool) {
        self.step_down_if_late();
        let Some(running) = &mut self.running else {
            let waiting = first.into_iter().chain(std::iter::from_fn(|| jobs.try_recv().ok()));
            let waiting: Vec<Job> = waiting.take(batch::JOBS_MAX).collect();
            return self.serve_without_lead(waiting);
        };
        let now_ms = running.now_ms();
        let mut batch = Batch::new(now_ms);
        for totals in self.setup.store.incoming(batch::CALLS_BYTES_MAX).unwrap_or_default() {
            batch.incoming(running, &totals, &self.shared);
        }
        let mut next = first;
        while let Some(job) = next {
            if matches!(job.work, Work::Stop) {
                // Served by `run`: it comes alone, or after what is in hand.
                let _ = job.reply.send(Ok(Answer::Done));
                break;
            }
            batch.serve(job, running, &mut *self.setup.store, &self.shared);
            next = if batch.is_full(running) { None } else { jobs.try_recv().ok() };
        }
        if let Err(trouble) = self.finish(batch, due) {
            self.fail(&trouble);
        }
    }

    /// Lets time act, keeps everything, and answers.
    fn finish(&mut self, mut batch: Batch, due: bool) -> Result<(), Trouble> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if due {
            let offset = running.clock.offset_ms(Reading::now());
            self.shared.counters.clock_offset_ms.store(offset, Relaxed);
            self.clock_is_off = told_of_the_clock(self.clock_is_off, offset);
            // Charts can do without what an engine does not say.
            if self.shared.history_is_due(batch.now_ms)
                && let Ok(sample) = running.sample(batch.now_ms)
            {
                self.shared.remember(sample);
            }
        }
        if due || batch.changed {
            let told = match running.engine.tick(batch.now_ms) {
                Ok(told) => told,
                Err(trouble) => return batch.fail(trouble.into()),
            };
            batch.happened(told, running);
        }
        if let Some(why) = running.engine.fell_back() {
            running.trial_until = None;
            self.shared.use_engine(running.engine.module());
            batch.note(BY_ITSELF, "module_failed", &format!("{why}; the engine before runs again"));
        }
        let idle = running.kept_at.elapsed() < KEEP_EVERY;
        if !batch.is_worth_keeping() && idle {
            // The batch may have taken a while, and no commit tells whether it still counts.
            if !self.setup.store.leads() {
                return batch.fail(StoreError::Superseded.into());
            }
            batch.answer();
            return Ok(());
        }
        let views = if idle { Vec::new() } else { running.views(batch.now_ms) };
        let forgotten = batch.take_forgotten();
        let kept = batch.keep(running, &mut *self.setup.store, &self.shared, views);
        if !forgotten.is_empty() {
            return self.scrub(kept, forgotten);
        }
        kept?;
        self.checkpoint_if_due()
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Trouble> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let passed = running.trial_until.is_some_and(|until| Instant::now() >= until);
        if passed {
            running.trial_until = None;
            running.engine.end_trial();
            info!("the engine has passed its trial");
        }
        if passed || (running.trial_until.is_none() && running.engine.checkpoint_is_due()) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Keeps the state in the place of the calls that led to it; whether it could. One that
    /// no engine would start with is not kept: the one before and the calls since are.
    fn checkpoint(&mut self) -> Result<bool, Trouble> {
        let Some(running) = &mut self.running else { return Ok(false) };
        let now_ms = running.now_ms();
        let mut checkpoint = match running.engine.checkpoint(now_ms) {
            Err(trouble @ EngineError::Unreadable(_)) => {
                self.shared.counters.checkpoints_unreadable.fetch_add(1, Relaxed);
                error!("{trouble}: the checkpoint before is kept, and every call since");
                return Ok(false);
            }
            checkpoint => checkpoint?,
        };
        checkpoint.receipts = running.receipts.all(now_ms);
        self.setup.store.checkpoint(&checkpoint)?;
        self.shared.counters.checkpoints.fetch_add(1, Relaxed);
        Ok(true)
    }

    /// Keeps the state, so that the next start has nothing to replay.
    pub(crate) fn stop(&mut self) {
        let keep_rest = |controller: &mut Controller| -> Result<(), Trouble> {
            if let Some(running) = &mut controller.running {
                let batch = Batch::new(running.now_ms());
                let store = &mut *controller.setup.store;
                batch.keep(running, store, &controller.shared, Vec::new())?;
                if running.trial_until.is_none() {
                    controller.checkpoint()?;
                }
            }
            Ok(())
        };
        if let Err(trouble) = keep_rest(self) {
            warn!("no checkpoint at the end: {trouble}; the next start replays the calls");
        }
        self.running = None;
    }
}

/// Says once that the clock jumped, and once that it is right again.
fn told_of_the_clock(was_off: bool, offset_ms: i64) -> bool {
    let off = offset_ms.unsigned_abs() > CLOCK_OFFSET_MS_MAX;
    match (was_off, off) {
        (false, true) => warn!(
            "this machine's clock was set: it is {offset_ms} ms ahead of the rollout's, which \
             goes on as before; a restart takes the machine's time"
        ),
        (true, false) => info!("this machine's clock and the rollout's agree again"),
        _ => {}
    }
    off
}
