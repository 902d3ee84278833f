//! The engine of the control plane: brought up from what was kept, and spoken to.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::calls::{Call, Calls};
use super::job::{Candidate, Refusal};
use super::machine;
use super::store::{Checkpoint, Saved};
use crate::module::Module;
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};

/// What the engine is called among the nodes whose totals it takes in.
const NODE: &str = "crossfade-serve";

/// A running engine and the calls that are not yet kept.
#[derive(Debug)]
pub(crate) struct Engine {
    plugin: Plugin,
    options: PluginOptions,
    candidate: Candidate,
    /// Who serves on if the present one fails in its trial.
    before: Option<Candidate>,
    /// Accepted since the last commit.
    pub(crate) pending: Calls,
    /// The time that a question, which is not among them, told the engine last.
    asked_ms: Option<u64>,
    /// Bytes kept since the last checkpoint.
    pub(crate) kept_bytes: usize,
    /// Length of that checkpoint's snapshot.
    snapshot_bytes: usize,
}

/// What happened, as the engine tells it.
#[derive(Debug)]
pub(crate) struct Told {
    /// The event's name; `events_dropped` has neither a time nor a sentence.
    pub(crate) event: String,
    /// When.
    pub(crate) at_ms: Option<u64>,
    /// In words.
    pub(crate) sentence: String,
    /// The whole line.
    pub(crate) body: Box<RawValue>,
}

/// What came of a node's totals.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The engine's answer.
    pub(crate) reply: String,
    /// Whether they could be taken in at all.
    pub(crate) taken: bool,
    /// Whether they changed anything.
    pub(crate) new: bool,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// It cannot be started or called.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// It cannot read its own state.
    #[error("the engine's state cannot be read back: {0}")]
    Unreadable(PluginError),
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It says something else than it should.
    #[error("the engine answered {request} with {reply}")]
    Unexpected {
        /// What was asked.
        request: String,
        /// What it said.
        reply: String,
    },
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Refusal {
        Refusal::Unavailable(error.to_string())
    }
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
    code: Option<u32>,
    text: Option<String>,
}

impl Engine {
    /// Begins anew with a plan.
    ///
    /// # Errors
    /// The engine does not start, or refuses the plan.
    pub(crate) fn begin(
        candidate: Candidate,
        options: PluginOptions,
        plan: &Value,
        now_ms: u64,
    ) -> Result<Engine, EngineError> {
        let (engine, said) = Engine::start(candidate, options, Some(plan), now_ms)?;
        match heads(&said).find_map(|head| head.text) {
            Some(text) => Err(EngineError::Refused(text)),
            None => Ok(engine),
        }
    }

    /// Goes on from what was kept.
    ///
    /// # Errors
    /// The engine does not start, refuses the checkpoint, or fails on a call that it once
    /// accepted.
    pub(crate) fn resume(
        candidate: Candidate,
        options: PluginOptions,
        checkpoint: &Checkpoint,
        saved: &Saved,
    ) -> Result<Engine, EngineError> {
        let (mut engine, _) = Engine::start(candidate, options, None, checkpoint.at_ms)?;
        engine.plugin.restore(&checkpoint.snapshot)?;
        engine.snapshot_bytes = checkpoint.snapshot.len();
        for calls in &saved.calls {
            engine.kept_bytes += calls.len_bytes();
            for call in calls.iter() {
                match call {
                    Call::Handle { lines, now_ms } => engine.plugin.handle(lines, now_ms)?,
                    Call::Merge { totals } => engine.plugin.merge(totals)?,
                    Call::Tick { now_ms } => engine.plugin.tick(now_ms)?,
                };
            }
        }
        Ok(engine)
    }

    fn start(
        candidate: Candidate,
        options: PluginOptions,
        plan: Option<&Value>,
        now_ms: u64,
    ) -> Result<(Engine, Vec<u8>), EngineError> {
        let chance = || machine::chance().map_err(EngineError::Refused);
        let mut document = json!({ "clock": "wall", "node": NODE });
        document["epoch"] = format!("{:016x}", chance()?).into();
        if let Some(plan) = plan {
            document["policy"] = plan.clone();
        }
        let document = document.to_string().into_bytes();
        let start = Start { document, seed: chance()?, now_ms };
        let (plugin, said) = Plugin::start(candidate.module.clone(), options.clone(), start)?;
        let engine = Engine {
            plugin,
            options,
            candidate,
            before: None,
            pending: Calls::default(),
            asked_ms: None,
            kept_bytes: 0,
            snapshot_bytes: 0,
        };
        Ok((engine, said))
    }

    /// Sends a message that changes something, and gives its reply.
    ///
    /// # Errors
    /// [`Refusal::Engine`]: nothing has changed.
    pub(crate) fn act(
        &mut self,
        message: &Value,
        answer: Option<&'static str>,
        now_ms: u64,
    ) -> Result<Option<String>, Refusal> {
        let line = line(message);
        let reply = self.reply(&line, answer, now_ms)?;
        self.asked_ms = None;
        self.pending.push(Call::Handle { lines: &line, now_ms });
        Ok(reply)
    }

    /// Sends a message that changes nothing, and gives its reply.
    ///
    /// # Errors
    /// [`Refusal::Engine`], or the engine is gone.
    pub(crate) fn ask(
        &mut self,
        message: &Value,
        answer: &'static str,
        now_ms: u64,
    ) -> Result<String, Refusal> {
        let reply = self.reply(&line(message), Some(answer), now_ms)?;
        Ok(reply.unwrap_or_default())
    }

    fn reply(
        &mut self,
        line: &[u8],
        answer: Option<&'static str>,
        now_ms: u64,
    ) -> Result<Option<String>, Refusal> {
        self.asked_ms = Some(now_ms);
        let said = self.plugin.handle(line, now_ms).map_err(EngineError::from)?;
        // A late `rollout_complete` may stand among them: events tell of it.
        for reply in said.split(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Head>(reply) {
                Ok(Head { r#type, code: Some(code), text }) if r#type == "error" => {
                    return Err(Refusal::Engine { code, text: text.unwrap_or_default() });
                }
                Ok(head) if answer == Some(head.r#type.as_str()) => {
                    let reply = String::from_utf8_lossy(reply);
                    return Ok(Some(reply.replacen(IN_REPLY, "", 1)));
                }
                _ => {}
            }
        }
        match answer {
            None => Ok(None),
            Some(_) => Err(EngineError::Unexpected {
                request: String::from_utf8_lossy(line).trim_end().chars().take(200).collect(),
                reply: String::from_utf8_lossy(said).trim_end().chars().take(200).collect(),
            }
            .into()),
        }
    }

    /// Takes in a node's totals.
    ///
    /// # Errors
    /// The engine failed on it.
    pub(crate) fn merge(&mut self, totals: &[u8]) -> Result<Merged, EngineError> {
        #[derive(Deserialize)]
        struct Said {
            new: Option<bool>,
        }
        let said = match self.plugin.merge(totals).map(<[u8]>::to_vec) {
            // The one before does what the one on trial could not.
            Err(PluginError::Fault(_)) if self.plugin.has_fallen_back() => {
                self.plugin.merge(totals)?.to_vec()
            }
            said => said?,
        };
        let reply = String::from_utf8_lossy(said.trim_ascii_end()).into_owned();
        let new = serde_json::from_str::<Said>(&reply).ok().and_then(|said| said.new);
        if new == Some(true) {
            // Totals have no time of their own: they count at the engine's, which a question
            // may have moved. A replay without it would count them at an earlier one.
            if let Some(now_ms) = self.asked_ms.take() {
                self.pending.push(Call::Handle { lines: &[], now_ms });
            }
            self.pending.push(Call::Merge { totals });
        }
        Ok(Merged { reply, taken: new.is_some(), new: new == Some(true) })
    }

    /// Lets time act, and gives what happened since the last tick.
    ///
    /// # Errors
    /// The engine failed at it.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Result<Vec<Told>, EngineError> {
        let told = match self.plugin.tick(now_ms).map(told) {
            Err(PluginError::Fault(_)) if self.plugin.has_fallen_back() => {
                told(self.plugin.tick(now_ms)?)
            }
            told => told?,
        };
        self.asked_ms = None;
        self.pending.push(Call::Tick { now_ms });
        Ok(told)
    }

    /// The policy in force: its revision and its document.
    ///
    /// # Errors
    /// The engine does not say.
    pub(crate) fn policy(&mut self, now_ms: u64) -> Result<(u64, Value), Refusal> {
        #[derive(Deserialize)]
        struct Config {
            revision: u64,
            document: Value,
        }
        let reply = self.ask(&json!({ "type": "get_config" }), "config", now_ms)?;
        match serde_json::from_str::<Config>(&reply) {
            Ok(config) => Ok((config.revision, config.document)),
            Err(_) => Err(EngineError::Unexpected { request: "get_config".into(), reply }.into()),
        }
    }

    /// The whole state.
    ///
    /// # Errors
    /// The engine does not give it, or another one cannot go on from it.
    pub(crate) fn checkpoint(&mut self, now_ms: u64) -> Result<Checkpoint, EngineError> {
        let snapshot = self.plugin.snapshot()?.to_vec();
        (self.kept_bytes, self.snapshot_bytes) = (0, snapshot.len());
        let candidate = self.candidate.clone();
        let (mut other, _) = Engine::start(candidate, self.options.clone(), None, now_ms)?;
        other.plugin.restore(&snapshot).map_err(EngineError::Unreadable)?;
        let Candidate { bytes, digest, .. } = &self.candidate;
        let (engine, module, receipts) = (digest.clone(), bytes.clone(), Vec::new());
        Ok(Checkpoint { snapshot, engine, module, at_ms: now_ms, receipts })
    }

    /// Whether so much was kept since the last checkpoint that another is worth its while.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        self.kept_bytes > machine::REPLAYED_BYTES_MIN.max(2 * self.snapshot_bytes)
    }

    /// Puts another engine in this one's place, on trial: if it fails, this one goes on.
    ///
    /// # Errors
    /// It does not start, or refuses the state.
    pub(crate) fn swap(&mut self, candidate: Candidate) -> Result<(), EngineError> {
        self.plugin.reload_on_trial(candidate.module.clone())?;
        self.before = Some(std::mem::replace(&mut self.candidate, candidate));
        Ok(())
    }

    /// Ends the trial of an engine that has done well.
    pub(crate) fn end_trial(&mut self) {
        self.plugin.end_trial();
        self.before = None;
    }

    /// Why the engine on trial failed, if it did: the one before has taken over again.
    pub(crate) fn fell_back(&mut self) -> Option<String> {
        let why = self.plugin.fell_back()?;
        if let Some(before) = self.before.take() {
            self.candidate = before;
        }
        Some(why)
    }

    /// The module that runs.
    pub(crate) fn module(&self) -> &Module {
        &self.candidate.module
    }

    /// The module's name, its digest, and how often it had to be replaced.
    pub(crate) fn about(&self) -> Value {
        json!({
            "module": self.candidate.module.name(),
            "sha256": self.candidate.digest,
            "on_trial": self.before.is_some(),
            "restarts": self.plugin.restarts(),
            "calls_lost": self.plugin.calls_lost(),
        })
    }
}

/// The message as a line. With an id, so that an error does not begin with the line's
/// number, which nobody here knows.
fn line(message: &Value) -> Vec<u8> {
    let mut message = message.clone();
    message["msg_id"] = json!(MESSAGE_ID);
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

const MESSAGE_ID: u64 = 1;

/// How a reply refers to that; nobody who asked over HTTP has seen it.
const IN_REPLY: &str = r#""in_reply_to":1,"#;

fn heads(lines: &[u8]) -> impl Iterator<Item = Head> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

fn told(lines: &[u8]) -> Vec<Told> {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        event: String,
        at_ms: Option<u64>,
        sentence: Option<String>,
    }
    let read = |line: &[u8]| {
        let event: Event = serde_json::from_slice(line).ok()?;
        let body = serde_json::from_slice(line).ok()?;
        let Event { r#type, event, at_ms, sentence } = event;
        let sentence = sentence.unwrap_or_default();
        (r#type == "event").then_some(Told { event, at_ms, sentence, body })
    };
    lines.split(|byte| *byte == b'\n').filter_map(read).collect()
}
