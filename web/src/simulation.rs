//! A script played with the linked engine, for the page's worker.

use std::convert::Infallible;

use crossfade_core::Engine as Core;
use crossfade_core::guest::Guest;
use crossfade_sim::{
    Asking, COLUMNS, Play, ROW_MS, RehearsalError, START_MS, Script, ScriptError, init_document,
    scenarios,
};
use wasm_bindgen::prelude::*;

use crate::border;
use crate::linked::Linked;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Something that happened, as of docs/protocol.md, "Ticks and events". */
export interface Told {
    at_ms: number;
    event: { event: string; sentence: string; step?: number; percentage?: number; [field: string]: unknown };
}

/** What became of a run. Times are milliseconds since its beginning. */
export interface Outcome {
    end: "running" | "completed" | "rolled_back" | "timed_out" | "awaiting_approval" | "aborted" | "undone" | "paused";
    because?: string;
    ended_ms: number;
    steps_passed: number;
    requests: number;
    harmed_requests: number;
    harmed_clients: number;
    regression_ms?: number;
}

/** One client. */
export interface ClientCard {
    key: string;
    bucket: number;
    app: string;
    habit: string;
    version: number | null;
    last_seen_ms: number | null;
    last_old_ms: number | null;
    requests: number;
    was_harmed: boolean;
}

/** A scenario with a name. */
export interface NamedScenario {
    name: string;
    title: string;
    about: string;
    faults: Array<Record<string, unknown>>;
}

/** Something wrong with a script. */
export interface Problem { path: string; message: string }
"#;

/// A moment to come back to.
#[derive(Debug)]
struct Moment {
    play: Play,
    engine: Core,
}

/// Moments that are kept; when there are more, every other one goes.
const MOMENTS_MAX: usize = 40;
/// How often the evidence is looked at on the way to another moment.
const LOOKS: f64 = 400.0;
/// Between the first moments.
const MOMENT_EVERY_MS: u64 = 60_000;

/// A run of the simulated world with the engine, on a virtual clock that begins at 0.
///
/// The same script and the same calls give the same digest in every browser, in Node,
/// and in `crossfade simulate`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Simulation {
    script: Script,
    engine: Linked,
    play: Play,
    moments: Vec<Moment>,
    every_ms: u64,
    ticks: u32,
}

#[wasm_bindgen]
impl Simulation {
    /// Begins a run of a script, given as JSON text.
    ///
    /// Throws an error whose `problems` lists everything that is wrong with it.
    #[wasm_bindgen(constructor)]
    pub fn new(script: &str) -> Result<Simulation, JsValue> {
        border::keep_panic_messages();
        let script = Script::read(script).map_err(refused)?;
        let engine = start(&script)?;
        let play = Play::new(&script, Asking::Always);
        let mut simulation = Simulation {
            script,
            engine,
            play,
            moments: Vec::new(),
            every_ms: MOMENT_EVERY_MS,
            ticks: 0,
        };
        simulation.keep();
        Ok(simulation)
    }

    /// Goes on to a moment, or until about so many requests were served, and returns the
    /// time reached. The evidence is looked at in every `look_every`th row.
    #[wasm_bindgen(js_name = runTo)]
    pub fn run_to(&mut self, ms: f64, requests_max: f64, look_every: u32) -> Result<f64, JsValue> {
        let stop_at = self.play.outcome().requests.saturating_add(requests_max as u64);
        while (self.play.now_ms() as f64) < ms && self.play.outcome().requests < stop_at {
            self.ticks = self.ticks.wrapping_add(1);
            let shown = self.ticks.is_multiple_of(look_every.max(1));
            self.play.step(&self.script, &mut self.engine, shown).map_err(failed)?;
            if self.play.now_ms()
                >= self.moments.last().map_or(0, |m| m.play.now_ms()) + self.every_ms
            {
                self.keep();
            }
        }
        Ok(self.now_ms())
    }

    /// Goes to any moment, back or forward, and returns the time reached.
    pub fn seek(&mut self, ms: f64) -> Result<f64, JsValue> {
        let later = |moment: &Moment| moment.play.now_ms() as f64 > ms;
        let place = self.moments.iter().position(later).unwrap_or(self.moments.len());
        let is_back = (self.play.now_ms() as f64) > ms;
        if let Some(moment) = self.moments.get(place.saturating_sub(1))
            && (is_back || moment.play.now_ms() > self.play.now_ms())
        {
            self.engine.0 = moment.engine.clone();
            self.play = moment.play.clone();
        }
        // As many looks at the evidence as a chart shows: looking costs more than playing.
        let rows = ((ms - self.now_ms()) / ROW_MS as f64).max(0.0);
        self.run_to(ms, f64::MAX, ((rows / LOOKS) as u32).max(1))
    }

    /// Puts another script in the place of this one, which may differ only in what is
    /// still to come: faults and commands from now on.
    pub fn amend(&mut self, script: &str) -> Result<(), JsValue> {
        let script = Script::read(script).map_err(refused)?;
        self.script = script;
        let now_ms = self.play.now_ms();
        self.moments.retain(|moment| moment.play.now_ms() <= now_ms);
        Ok(())
    }

    /// Milliseconds since the beginning.
    #[wasm_bindgen(getter, js_name = nowMs)]
    pub fn now_ms(&self) -> f64 {
        self.play.now_ms() as f64
    }

    /// Requests served since the beginning.
    #[wasm_bindgen(getter)]
    pub fn requests(&self) -> f64 {
        self.play.outcome().requests as f64
    }

    /// Rows since the last call, one after the other; `columns()` says what they hold.
    #[wasm_bindgen(js_name = takeRows)]
    pub fn take_rows(&mut self) -> Vec<f64> {
        self.play.take_rows()
    }

    /// Events since the last call.
    #[wasm_bindgen(js_name = takeEvents, unchecked_return_type = "Told[]")]
    pub fn take_events(&mut self) -> Result<JsValue, JsValue> {
        border::to_js(&self.play.take_events())
    }

    /// Requests of the last tick to draw as dots, `most` at most: bit 0 says that v2
    /// served it, bit 1 that it failed.
    pub fn dots(&self, most: u32) -> Vec<u32> {
        self.play.town().dots(most as usize)
    }

    /// A byte for each client, by bucket: 0 not seen, 1 on v1, 2 on v2; plus 4 when it met
    /// a failure of v2's own.
    pub fn squares(&self) -> Vec<u8> {
        self.play.town().squares()
    }

    /// The client at this place by bucket, or `undefined`.
    #[wasm_bindgen(unchecked_return_type = "ClientCard | undefined")]
    pub fn client(&self, place: u32) -> Result<JsValue, JsValue> {
        match self.play.town().client(place as usize) {
            Some(card) => border::to_js(&card),
            None => Ok(JsValue::UNDEFINED),
        }
    }

    /// The engine's answer to a message without arguments, such as `get_rollout` or
    /// `get_sunset`. Asking changes nothing.
    #[wasm_bindgen(unchecked_return_type = "Record<string, any>")]
    pub fn ask(&mut self, message: &str) -> Result<JsValue, JsValue> {
        let question = format!("{}\n", serde_json::json!({ "type": message }));
        let answer = self.play.ask(&question, &mut self.engine).map_err(failed)?;
        border::to_js(&answer)
    }

    /// What became of it so far.
    #[wasm_bindgen(unchecked_return_type = "Outcome")]
    pub fn outcome(&self) -> Result<JsValue, JsValue> {
        let mut outcome = self.play.outcome().clone();
        outcome.regression_ms = self.play.regression_ms(&self.script);
        border::to_js(&outcome)
    }

    /// A hash of every report and every event so far.
    pub fn digest(&self) -> String {
        self.play.digest()
    }
}

impl Simulation {
    fn keep(&mut self) {
        if self.moments.len() >= MOMENTS_MAX {
            let mut place = 0;
            self.moments.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every_ms *= 2;
        }
        let engine = self.engine.0.clone();
        let mut play = self.play.clone();
        // What was not taken yet is told by the run itself.
        drop((play.take_rows(), play.take_events()));
        self.moments.push(Moment { play, engine });
    }
}

/// What the numbers of a row are, in order.
#[wasm_bindgen]
pub fn columns() -> Vec<String> {
    COLUMNS.iter().map(|name| (*name).to_owned()).collect()
}

/// The scenarios that have names.
#[wasm_bindgen(js_name = scenarios, unchecked_return_type = "NamedScenario[]")]
pub fn named_scenarios() -> Result<JsValue, JsValue> {
    border::to_js(&scenarios())
}

/// Everything that is wrong with a script.
#[wasm_bindgen(js_name = checkScript, unchecked_return_type = "Problem[]")]
pub fn check_script(script: &str) -> Result<JsValue, JsValue> {
    border::to_js(&match Script::read(script) {
        Ok(_) => Vec::new(),
        Err(ScriptError(problems)) => problems.list,
    })
}

/// Plays a script until nothing will happen by itself any more, or for `most_ms`, as fast
/// as can be: each client is asked for once after each change of the policy.
#[wasm_bindgen(js_name = playOut, unchecked_return_type = "Outcome")]
pub fn play_out(script: &str, most_ms: f64) -> Result<JsValue, JsValue> {
    border::keep_panic_messages();
    let script = Script::read(script).map_err(refused)?;
    let mut engine = start(&script)?;
    let outcome = Play::new(&script, Asking::Once)
        .finish(&script, &mut engine, most_ms as u64)
        .map_err(failed)?;
    border::to_js(&outcome)
}

fn start(script: &Script) -> Result<Linked, JsValue> {
    let mut out = Vec::new();
    let document = init_document(script);
    let core = Core::init(document.as_bytes(), START_MS, u64::from(script.seed), &mut out);
    if out.is_empty() { Ok(Linked(core)) } else { Err(border::refusal(out)) }
}

fn refused(error: ScriptError) -> JsValue {
    let thrown = border::error(&error.to_string());
    if let Ok(problems) = border::to_js(&error.0.list) {
        // Fails only on frozen objects and proxies, and this one is new and plain.
        let _ = js_sys::Reflect::set(&thrown, &"problems".into(), &problems);
    }
    thrown
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
fn failed(error: RehearsalError<Infallible>) -> JsValue {
    border::error(&error.to_string())
}
