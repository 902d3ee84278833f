//! The engine itself, for whoever brings traffic of their own.

use crossfade_core::Engine as Core;
use crossfade_core::guest::{Guest, time_ms};
use crossfade_core::protocol::abi::RouteWord;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::border;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Where one request goes, and why. */
export interface Routed {
    /** Name of the version, as the policy spells it. */
    version: string;
    /** Whether a canary percentage chose the new version. */
    canary: boolean;
    /** What decided, for example "canary", "pin" or "no_key"; see docs/protocol.md. */
    reason: string;
}

/** What the engine says about itself: the answers to the messages named. */
export interface State {
    /** `get_config`: the plan document in force and its revision. */
    policy: { revision: number; document: Record<string, unknown> };
    /** `get_rollout`: phase, step, percentage, verdict, evidence. */
    rollout: Record<string, unknown>;
    /** `get_migration_stats`: who is on which version. */
    stats: MigrationStats;
}

/** How far the clients have moved. */
export interface MigrationStats {
    /** Clients seen within the window. */
    total_clients: number;
    /** Whole percents by version; they add up to 100 when there is a client. */
    version_percentages: Record<string, number>;
    /** The new version served someone, and the old one nobody for the whole window. */
    migration_complete: boolean;
    [field: string]: unknown;
}
"#;

/// One engine: a policy, its counts, its clients and its rollout.
///
/// Times are milliseconds, of the unix epoch or of a virtual clock; only their order
/// and distance matter. The same calls with the same arguments give the same answers
/// in every browser, and the same as the native engine.
///
/// A `WebAssembly.RuntimeError` out of any method means that the engine broke and
/// must not be used again: `lastPanic()` says where, and a new module instance
/// goes on from the last `snapshot()`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    core: Core,
    /// Names of the versions by index, as of the last `get_config`; `None` when a
    /// message may have changed them since.
    versions: Option<Vec<String>>,
}

#[wasm_bindgen]
impl Engine {
    /// Starts an engine.
    ///
    /// `seed` is an integer from 0 to `Number.MAX_SAFE_INTEGER`; it is all the chance
    /// there is. `init` is the configuration document as JSON text; without one the
    /// defaults apply.
    ///
    /// Throws when `seed` is out of range, and when the document is refused: then the
    /// error's `line` is the engine's answer, with every problem found.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: f64, now_ms: f64, init: Option<String>) -> Result<Engine, JsValue> {
        border::keep_panic_messages();
        let seed = border::seed(seed)?;
        let init = init.unwrap_or_default();
        let mut out = Vec::new();
        let core = Core::init(init.as_bytes(), time_ms(now_ms), seed, &mut out);
        if !out.is_empty() {
            return Err(border::refusal(out));
        }
        Ok(Engine { core, versions: None })
    }

    /// Serves JSON lines and returns the answers as JSON lines, each ended by a newline.
    ///
    /// A bad line is answered by an `error` message; nothing is thrown.
    pub fn handle(&mut self, lines: &str, now_ms: f64) -> String {
        border::text(self.serve(lines.as_bytes(), now_ms))
    }

    /// The same as `handle` for bytes as they came, for example a request body, which
    /// need not be valid UTF-8.
    #[wasm_bindgen(js_name = handleBytes)]
    pub fn handle_bytes(&mut self, lines: &[u8], now_ms: f64) -> Vec<u8> {
        self.serve(lines, now_ms)
    }

    /// Decides for one routing key without JSON.
    ///
    /// `draw` is a random integer of 32 bits, used where the policy splits by request.
    /// Gives `undefined` when the policy needs attributes or the key is over its limit:
    /// send a `route` message instead.
    #[wasm_bindgen(unchecked_return_type = "Routed | undefined")]
    pub fn route(&mut self, key: &str, draw: u32) -> Result<JsValue, JsValue> {
        let word: RouteWord = self.core.route(key.as_bytes(), draw);
        let (Some(index), Some(reason)) = (word.version(), word.reason()) else {
            return Ok(JsValue::UNDEFINED);
        };
        let canary = word.canary();
        let version = self.version_name(index)?;
        border::to_js(&Routed { version, canary, reason: reason.as_str() })
    }

    /// Lets time act: rollout steps, late answers, events. Returns JSON lines, or the
    /// empty string.
    pub fn tick(&mut self, now_ms: f64) -> String {
        let mut out = Vec::new();
        self.core.tick(time_ms(now_ms), &mut out);
        border::text(out)
    }

    /// The policy, the rollout and the migration so far, as one object.
    ///
    /// As of the last time given to `handle` or `tick`. Asking changes nothing.
    #[wasm_bindgen(unchecked_return_type = "State")]
    pub fn state(&mut self) -> Result<JsValue, JsValue> {
        border::to_js(&State {
            policy: self.ask("get_config")?,
            rollout: self.ask("get_rollout")?,
            stats: self.ask("get_migration_stats")?,
        })
    }

    /// This engine's cumulative counts, as one JSON line; see docs/protocol.md, "Totals".
    pub fn totals(&mut self) -> String {
        let mut out = Vec::new();
        self.core.totals(&mut out);
        border::text(out)
    }

    /// Takes in another engine's totals and returns the answer, a JSON line.
    pub fn merge(&mut self, totals: &str) -> String {
        let mut out = Vec::new();
        self.core.merge(totals.as_bytes(), &mut out);
        border::text(out)
    }

    /// The whole state as bytes that only `restore` of the same build reads.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.core.snapshot(&mut out);
        out
    }

    /// Puts a snapshot's state in the place of this engine's.
    ///
    /// Throws, and changes nothing, when the bytes are no snapshot of this build; the
    /// error's `line` is the engine's answer.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), JsValue> {
        let mut out = Vec::new();
        self.core.restore(snapshot, &mut out);
        self.versions = None;
        if out.is_empty() { Ok(()) } else { Err(border::refusal(out)) }
    }
}

impl Engine {
    fn serve(&mut self, lines: &[u8], now_ms: f64) -> Vec<u8> {
        self.versions = None;
        let mut out = Vec::new();
        self.core.handle(lines, time_ms(now_ms), &mut out);
        out
    }

    /// The engine's answer to a message without arguments.
    fn ask(&mut self, message: &'static str) -> Result<border::Body, JsValue> {
        let line = format!(r#"{{"type":"{message}","msg_id":0}}"#);
        let mut out = Vec::new();
        self.core.ask(&line, &mut out);
        border::body(out)
    }

    fn version_name(&mut self, index: u16) -> Result<String, JsValue> {
        let versions = match self.versions.take() {
            Some(versions) => versions,
            None => border::version_names(&self.ask("get_config")?),
        };
        let name = versions.get(usize::from(index)).cloned();
        self.versions = Some(versions);
        name.ok_or_else(|| border::error(&format!("the policy has no version number {index}")))
    }
}

#[derive(Serialize)]
struct Routed {
    version: String,
    canary: bool,
    reason: &'static str,
}

#[derive(Serialize)]
struct State {
    policy: border::Body,
    rollout: border::Body,
    stats: border::Body,
}
