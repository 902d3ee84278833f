//! A script, played with an engine: what the page shows, and `crossfade simulate` tells.

mod outcome;
mod rows;

use crossfade_protocol::Plan;
use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::json::read;
use serde_json::{Value, json};
use xxhash_rust::xxh64::Xxh64;

use crate::engine::{Engine, Happened, happened};
use crate::rehearsal::{RehearsalError, WALL_CLOCK};
use crate::report::Reporter;
use crate::script::{SEGMENTS, START_MS, Script};
use crate::town::{Asking, Route, Town};

pub use outcome::{End as PlayEnd, Outcome};
pub use rows::{COLUMNS, ROW_MS, Row};

use rows::Rows;

/// How long a tick of a play lasts, in milliseconds.
pub const PLAY_TICK_MS: u64 = 5_000;

/// How long v1 was reported on before a play begins, in milliseconds.
const HISTORY_MS: u64 = 3_600_000;

/// An engine that also decides for a bare key.
pub trait Router: Engine {
    /// As `crossfade_route` does.
    ///
    /// # Errors
    /// When the engine fails.
    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, Self::Error>;
}

/// A hash that is under way.
#[derive(Clone)]
struct Digest(Xxh64);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({:016x})", self.0.digest())
    }
}

/// Where a play is: everything but the engine. A copy of it, and a snapshot of the engine,
/// is a moment to come back to.
#[derive(Debug, Clone)]
pub struct Play {
    town: Town,
    versions: [String; 2],
    asking: Asking,
    /// Whether the policy decides by attributes, so that `route` cannot.
    by_attributes: bool,
    /// How the answer to a `route` message begins that leads to v2.
    is_new: String,
    share_percent: f64,
    /// When steps began, the first one first.
    begun: Vec<u64>,
    /// Commands that were given.
    given: usize,
    started: bool,
    phase: Phase,
    rows: Rows,
    outcome: Outcome,
    events: Vec<Told>,
    digest: Digest,
}

/// An event as it came, with its place in the run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Told {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// The event, as of `docs/protocol.md`; without its evidence, but where v2 is taken
    /// back.
    pub event: Value,
}

/// Whether anything will still happen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The rollout runs.
    Running,
    /// It waits for a person.
    Waiting,
    /// It is over.
    Over,
}

/// The init document of the engine for a script.
pub fn init_document(script: &Script) -> String {
    let mut document: Value = serde_json::from_str(WALL_CLOCK).unwrap_or_default();
    document["policy"] = script.plan.clone();
    // What is played is the rollout; a shadow comes before it.
    if let Some(plan) = document["policy"].as_object_mut() {
        plan.remove("shadow");
    }
    document.to_string()
}

impl Play {
    /// At the beginning of a script. The engine has just been started at `START_MS` with
    /// [`init_document`] and the script's seed.
    pub fn new(script: &Script, asking: Asking) -> Play {
        let plan = Plan::read(&script.plan).unwrap_or_else(|_| Plan::bare());
        let new = json!(plan.versions.new_version());
        Play {
            is_new: format!("{{\"type\":\"route_ok\",\"version\":{new},"),
            town: Town::new(script, &plan.salt, plan.sticky),
            versions: [plan.versions.stable().to_owned(), plan.versions.new_version().to_owned()],
            asking,
            by_attributes: false,
            share_percent: 0.0,
            begun: Vec::new(),
            given: 0,
            started: false,
            phase: Phase::Running,
            rows: Rows::default(),
            outcome: Outcome::default(),
            events: Vec::new(),
            digest: Digest(Xxh64::new(0)),
        }
    }

    /// Time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.town.now_ms()
    }

    /// The town.
    pub fn town(&self) -> &Town {
        &self.town
    }

    /// Whether anything will still happen by itself.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What became of it so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// A hash of every report and every event so far.
    pub fn digest(&self) -> String {
        format!("{:016x}", self.digest.0.digest())
    }

    /// Rows since the last call, [`COLUMNS`] numbers each.
    pub fn take_rows(&mut self) -> Vec<f64> {
        self.rows.take()
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.events)
    }

    /// Goes on by one tick. With `shown`, the evidence is asked for at the end of each row;
    /// that changes nothing.
    ///
    /// # Errors
    /// When the engine fails, or refuses the rollout or a report.
    pub fn step<G: Router>(
        &mut self,
        script: &Script,
        engine: &mut G,
        shown: bool,
    ) -> Result<(), RehearsalError<G::Error>> {
        if !self.started {
            self.started = true;
            let mut lines = self.history(script);
            lines.push_str("{\"type\":\"gradual_rollout\"}\n");
            self.digest.0.update(lines.as_bytes());
            self.tell(lines.as_bytes(), engine)?;
        }
        self.command(script, engine)?;
        let mut asked = Asked {
            engine,
            by_attributes: &mut self.by_attributes,
            is_new: self.is_new.as_bytes(),
            now_ms: now(&self.town),
        };
        self.town
            .live(script, &self.begun, PLAY_TICK_MS, self.asking, &mut asked)
            .map_err(RehearsalError::Engine)?;
        let mut lines = Vec::new();
        Reporter::new(&self.versions[0], &self.versions[1]).write(&self.town.tick, &mut lines);
        let tick = &self.town.tick;
        for served in [&tick.old, &tick.new] {
            self.digest.0.update(&served.requests.to_le_bytes());
        }
        self.outcome.add(tick);
        self.rows.add(&self.town, self.share_percent);
        self.digest.0.update(&lines);
        self.tell(&lines, engine)?;
        if self.now_ms().is_multiple_of(ROW_MS) {
            let reply = if shown { Some(self.status(engine)?) } else { None };
            self.rows.end(reply.as_ref(), self.town.on, self.now_ms(), shown);
        }
        Ok(())
    }

    /// A report of what v1 did before: a migration begins with an API that is in use, and
    /// v2's latency is compared with what is known of it.
    fn history(&self, script: &Script) -> String {
        let outcome = |(latency_ms, count): (f64, u64)| json!({ "version": self.versions[0], "ok": true, "count": count, "latency_ms": latency_ms });
        let cells = crate::town::before(script, HISTORY_MS).into_iter();
        let outcomes: Vec<Value> = cells.filter(|(_, count)| *count > 0).map(outcome).collect();
        match outcomes.is_empty() {
            true => String::new(),
            false => format!("{}\n", json!({ "type": "report_outcomes", "outcomes": outcomes })),
        }
    }

    /// The engine's `rollout` reply: where things stand, and the numbers behind it.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn status<G: Router>(&self, engine: &mut G) -> Result<Value, RehearsalError<G::Error>> {
        self.ask("{\"type\":\"get_rollout\"}\n", engine)
    }

    /// An answer of the engine that changes nothing.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn ask<G: Router>(
        &self,
        question: &str,
        engine: &mut G,
    ) -> Result<Value, RehearsalError<G::Error>> {
        let mut out = Vec::new();
        engine
            .handle(question.as_bytes(), now(&self.town), &mut out)
            .map_err(RehearsalError::Engine)?;
        let line = out.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(read(line).unwrap_or_default())
    }

    /// Gives the commands that are due. One that does not fit is passed over, and told.
    fn command<G: Router>(
        &mut self,
        script: &Script,
        engine: &mut G,
    ) -> Result<(), RehearsalError<G::Error>> {
        while let Some(order) =
            script.commands.get(self.given).filter(|order| order.at_ms <= self.now_ms())
        {
            self.given += 1;
            let mut message = json!({ "type": order.command });
            if order.full {
                message["full"] = true.into();
            }
            let line = format!("{message}\n");
            self.digest.0.update(line.as_bytes());
            let mut out = Vec::new();
            let now_ms = now(&self.town);
            engine.handle(line.as_bytes(), now_ms, &mut out).map_err(RehearsalError::Engine)?;
            if out.starts_with(b"{\"type\":\"error\"") {
                let said: Value = read(&out).unwrap_or_default();
                let sentence = said["text"].as_str().unwrap_or("refused").to_owned();
                let event =
                    json!({ "event": "refused", "command": order.command, "sentence": sentence });
                self.events.push(Told { at_ms: self.now_ms(), event });
            }
            out.clear();
            engine.tick(now_ms, &mut out).map_err(RehearsalError::Engine)?;
            self.hear(&out);
        }
        Ok(())
    }

    /// Tells the engine lines, lets time act, and hears what happened.
    fn tell<G: Router>(
        &mut self,
        lines: &[u8],
        engine: &mut G,
    ) -> Result<(), RehearsalError<G::Error>> {
        let now_ms = now(&self.town);
        let mut out = Vec::new();
        if !lines.is_empty() {
            engine.handle(lines, now_ms, &mut out).map_err(RehearsalError::Engine)?;
            if let Some(text) = refusal(&out) {
                return Err(RehearsalError::Refused(text));
            }
            out.clear();
        }
        engine.tick(now_ms, &mut out).map_err(RehearsalError::Engine)?;
        self.hear(&out);
        Ok(())
    }

    fn hear(&mut self, out: &[u8]) {
        if out.is_empty() {
            return;
        }
        self.digest.0.update(out);
        self.town.policy_changed();
        for event in happened(out) {
            self.follow(&event);
        }
        let lines = out.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| line.starts_with(br#"{"type":"event""#)) {
            let Ok(mut event) = read::<Value>(line) else { continue };
            if event["event"] != "rollback_started"
                && let Some(fields) = event.as_object_mut()
            {
                fields.remove("evidence");
            }
            self.events.push(Told { at_ms: self.now_ms(), event });
        }
    }

    fn follow(&mut self, event: &Happened) {
        let now_ms = self.now_ms();
        if let Some(percentage) = event.percentage {
            self.share_percent = percentage;
        }
        match event.event.as_str() {
            "step_started" => {
                self.town.step_began();
                let place = (event.step as usize).saturating_sub(1);
                self.begun.truncate(place);
                self.begun.resize(place, now_ms);
                self.begun.push(now_ms);
                self.phase = Phase::Running;
            }
            "rollback_started" => {
                self.outcome.taken_back(event.because.as_deref().unwrap_or_default(), now_ms);
            }
            "rolled_back" | "aborted" => {
                self.share_percent = 0.0;
                self.phase = Phase::Over;
            }
            "timed_out" | "approval_needed" | "paused" => self.phase = Phase::Waiting,
            "completed" | "undone" => self.phase = Phase::Over,
            "resumed" | "retried" | "promoted" => self.phase = Phase::Running,
            _ => {}
        }
        if event.event == "step_passed" {
            self.outcome.steps_passed += 1;
        }
        self.outcome.heard(&event.event, now_ms);
    }

    /// Plays until nothing will happen by itself any more, or for `most_ms`, and tells the
    /// engine no more than its gate looks at: the outcome is that of any other way to play
    /// the script, the digest is not.
    ///
    /// # Errors
    /// As [`step`](Play::step).
    pub fn finish<G: Router>(
        &mut self,
        script: &Script,
        engine: &mut G,
        most_ms: u64,
    ) -> Result<Outcome, RehearsalError<G::Error>> {
        // Nobody looks at latencies: telling them is most of the work, and changes nothing.
        let latency_is_gated = script.plan["gate"]["latency"].is_object();
        self.town.tell_latencies(latency_is_gated);
        while self.phase == Phase::Running && self.now_ms() < most_ms {
            self.step(script, engine, false)?;
        }
        self.outcome.regression_ms = crate::town::regression_ms(script, &self.begun);
        Ok(self.outcome.clone())
    }

    /// When the regression of the script began, if it has.
    pub fn regression_ms(&self, script: &Script) -> Option<u64> {
        crate::town::regression_ms(script, &self.begun).filter(|ms| *ms <= self.now_ms())
    }

    /// Whether a fault of v2's own is there now.
    pub fn is_new_worse(&self) -> bool {
        self.town.is_new_worse()
    }
}

/// The engine's time.
fn now(town: &Town) -> u64 {
    START_MS + town.now_ms()
}

fn refusal(out: &[u8]) -> Option<String> {
    let line = out.split(|b| *b == b'\n').find(|l| l.starts_with(br#"{"type":"error""#))?;
    let said: Value = read(line).ok()?;
    Some(said["text"].as_str().unwrap_or("refused").to_owned())
}

/// How a town asks the engine.
struct Asked<'a, G> {
    engine: &'a mut G,
    by_attributes: &'a mut bool,
    /// How an answer begins that leads to v2.
    is_new: &'a [u8],
    now_ms: u64,
}

impl<G: Router> Route for Asked<'_, G> {
    type Error = G::Error;

    fn route(&mut self, key: &str, segment: u8, draw: u32) -> Result<u16, G::Error> {
        if !*self.by_attributes {
            match self.engine.route(key.as_bytes(), draw)?.version() {
                Some(version) => return Ok(version),
                None => *self.by_attributes = true,
            }
        }
        let app = SEGMENTS[usize::from(segment)].0;
        let line = format!(
            "{{\"type\":\"route\",\"key\":\"{key}\",\"attributes\":{{\"app\":\"{app}\"}}}}\n"
        );
        let mut out = Vec::new();
        self.engine.handle(line.as_bytes(), self.now_ms, &mut out)?;
        Ok(u16::from(out.starts_with(self.is_new)))
    }
}
