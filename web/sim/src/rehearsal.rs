//! A whole rollout, played in the simulated world.

use crossfade_protocol::{Share, json};
use serde::Deserialize;

use crate::engine::{Engine, Happened, happened};
use crate::report::Reporter;
use crate::scenario::Scenario;
use crate::world::{Served, World};

/// The init document for an engine that is to be rehearsed with: its time is told with
/// each call. A plan goes beside it, as `"policy"`.
pub const WALL_CLOCK: &str = r#"{"clock":"wall"}"#;

/// A rollout and the world it is tried in.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The world.
    pub scenario: Scenario,
    /// The message that begins the rollout: a `gradual_rollout` line.
    pub rollout: String,
    /// Names of v1 and v2.
    pub versions: [String; 2],
    /// Unix time at which the world begins, in milliseconds.
    pub start_ms: u64,
    /// How long it is watched at most, in milliseconds.
    pub lasts_ms: u64,
}

/// How a rollout went.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Its steps, as far as they began.
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: End,
    /// When it ended, in milliseconds of the world's clock.
    pub ended_ms: u64,
    /// The gate's verdict on the present step when a rollout did not end in the time it
    /// was watched: `healthy`, `unhealthy` or `inconclusive`.
    pub verdict: Option<String>,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub number: u32,
    /// The share of v2.
    pub share: Share,
    /// When it began and ended, in milliseconds of the world's clock.
    pub from_ms: u64,
    /// See `from_ms`; the rollout's end for the last step.
    pub to_ms: u64,
    /// What v1 and v2 served.
    pub served: [Served; 2],
    /// Clients who met a failure in it that a healthy version would not have had, and had
    /// met none in an earlier step.
    pub harmed_clients: u64,
    /// The verdict with which it passed; `None` when it did not.
    pub passed: Option<String>,
    /// When its time was over and evidence still missing, if that happened.
    pub held_ms: Option<u64>,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At its last share.
    Completed,
    /// Taken back.
    RolledBack {
        /// `unhealthy` or `missing_data`.
        because: String,
    },
    /// Evidence did not come within a step's longest time.
    TimedOut,
    /// A person would have to approve the next step.
    AwaitingApproval,
    /// Not within the time it was watched.
    Unfinished,
}

/// Why a rollout could not be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RehearsalError<E> {
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] E),
    /// It refused a message.
    #[error("the engine refused a message: {0}")]
    Refused(String),
}

/// What is read of a reply.
#[derive(Deserialize)]
struct Reply {
    text: Option<String>,
    verdict: Option<String>,
}

const ERROR: &[u8] = br#"{"type":"error""#;

impl Rehearsal {
    /// Plays it with an engine that has just been started with [`WALL_CLOCK`]. Equal
    /// seeds, here and in the engine, give equal stories.
    ///
    /// # Errors
    /// When the engine fails, or refuses the rollout or a report.
    pub fn play<G: Engine>(
        &self,
        engine: &mut G,
        seed: u64,
    ) -> Result<Story, RehearsalError<G::Error>> {
        let mut world = World::new(&self.scenario, seed);
        let reporter = Reporter::new(&self.versions[0], &self.versions[1]);
        let mut told = Told { steps: Vec::new(), share: Share::ZERO, end: None };
        let (mut lines, mut out) = (Vec::new(), Vec::new());
        lines.extend_from_slice(self.rollout.as_bytes());
        lines.push(b'\n');
        loop {
            let now_ms = self.start_ms + world.now_ms();
            out.clear();
            if !lines.is_empty() {
                engine.handle(&lines, now_ms, &mut out).map_err(RehearsalError::Engine)?;
            }
            engine.tick(now_ms, &mut out).map_err(RehearsalError::Engine)?;
            refused(&out)?;
            for event in happened(&out) {
                told.hear(event, world.now_ms());
            }
            if told.end.is_some() || world.now_ms() >= self.lasts_ms {
                break;
            }
            let tick = world.tick(told.share);
            lines.clear();
            reporter.write(tick, &mut lines);
            if let Some(step) = told.steps.last_mut() {
                step.to_ms = tick.to_ms;
                step.served[0].add(&tick.old);
                step.served[1].add(&tick.new);
                step.harmed_clients += tick.harmed_clients;
            }
        }
        let verdict = match told.end {
            None => self.verdict(engine, world.now_ms())?,
            Some(_) => None,
        };
        Ok(Story {
            steps: told.steps,
            end: told.end.unwrap_or(End::Unfinished),
            ended_ms: world.now_ms(),
            verdict,
        })
    }

    fn verdict<G: Engine>(
        &self,
        engine: &mut G,
        now_ms: u64,
    ) -> Result<Option<String>, RehearsalError<G::Error>> {
        let mut out = Vec::new();
        engine
            .handle(b"{\"type\":\"get_rollout\"}\n", self.start_ms + now_ms, &mut out)
            .map_err(RehearsalError::Engine)?;
        refused(&out)?;
        Ok(json::read(&out).ok().and_then(|reply: Reply| reply.verdict))
    }
}

fn refused<E>(out: &[u8]) -> Result<(), RehearsalError<E>> {
    let Some(line) = out.split(|byte| *byte == b'\n').find(|line| line.starts_with(ERROR)) else {
        return Ok(());
    };
    let text = json::read(line).ok().and_then(|reply: Reply| reply.text);
    Err(RehearsalError::Refused(text.unwrap_or_else(|| String::from_utf8_lossy(line).into())))
}

/// What has been heard of the rollout.
struct Told {
    steps: Vec<Step>,
    share: Share,
    end: Option<End>,
}

impl Told {
    fn hear(&mut self, event: Happened, now_ms: u64) {
        if let Some(share) = event.percentage.and_then(Share::from_percent) {
            self.share = share;
        }
        match event.event.as_str() {
            "step_started" => self.steps.push(Step {
                number: event.step,
                share: self.share,
                from_ms: now_ms,
                to_ms: now_ms,
                served: [Served::default(); 2],
                harmed_clients: 0,
                passed: None,
                held_ms: None,
            }),
            "step_passed" => {
                if let Some(step) = self.steps.last_mut() {
                    step.passed = event.verdict;
                }
            }
            "held" => {
                if let Some(step) = self.steps.last_mut() {
                    step.held_ms = step.held_ms.or(Some(now_ms));
                }
            }
            "rollback_started" => {
                let because = event.because.unwrap_or_default();
                self.end = Some(End::RolledBack { because });
            }
            "timed_out" => self.end = Some(End::TimedOut),
            "approval_needed" => self.end = Some(End::AwaitingApproval),
            "completed" => self.end = Some(End::Completed),
            _ => {}
        }
    }
}
