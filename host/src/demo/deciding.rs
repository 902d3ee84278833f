//! The engine that decides for the demo's own endpoint, as it does in an edge: it is asked
//! for every request, hears how requests ended, and is taken totals and clients from.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossfade_protocol::clients::Declared;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::record::{Head, Kind, Writer, make};
use crate::exit::{Exit, Failure};
use crate::module::Module;
use crate::plugin::{Plugin, PluginOptions, Start};

/// The name in totals.
pub(super) const NODE: &str = "demo-edge";

/// Clients that are noted down between two calls of the engine.
const NOTED_MAX: usize = 4_096;

/// Who makes a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) key: Option<String>,
    pub(super) app: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) says: Option<Declared>,
}

/// Where a request goes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Route {
    pub(super) version: String,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) refusal: Option<Refusal>,
}

/// What a refused request gets.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// With this answer, after this time.
    Answered { failed: bool, latency: Duration },
    /// It was refused.
    Refused,
}

#[derive(Debug, Default)]
struct Noted {
    agent: Option<String>,
    says: Option<Declared>,
    on: usize,
    failures: BTreeMap<usize, (u64, u64)>,
    refused: u64,
}

/// A running engine.
pub(super) struct Deciding {
    plugin: Plugin,
    record: Option<Writer>,
    /// The control plane's number of the policy in force.
    revision: u64,
    versions: Vec<String>,
    /// Requests by version's place, success and milliseconds.
    outcomes: BTreeMap<(usize, bool, u64), u64>,
    noted: BTreeMap<String, Noted>,
    /// The last report of clients that was taken in.
    acknowledged: Option<u64>,
    calls: u64,
}

impl Deciding {
    /// Starts an engine with this policy; every call of it is recorded if a file is named.
    ///
    /// # Errors
    /// The engine does not start, or the file cannot be written.
    pub(super) fn start(
        revision: u64,
        policy: &Value,
        seed: u64,
        record: Option<&Path>,
    ) -> Result<Deciding, Failure> {
        let internal = |why: String| Failure::new(Exit::Internal, why);
        // Another at each start, whatever the seed: a control plane that has heard of an
        // epoch takes what begins again at 0 for old news. A record has it in its head.
        let epoch = getrandom::u64().map_err(|error| internal(error.to_string()))?;
        let document = json!({
            "clock": "wall", "node": NODE, "epoch": format!("{epoch:016x}"), "clients": "report",
            "policy": policy,
        });
        let start = Start { document: document.to_string().into_bytes(), seed, now_ms: now_ms() };
        let head = Head::new(&start).map_err(|error| internal(error.to_string()))?;
        let record = record.map(|path| Writer::create(path, &head)).transpose()?;
        let module = Module::builtin().map_err(|error| internal(error.to_string()))?;
        let (plugin, said) = Plugin::start(module, PluginOptions::default(), start)
            .map_err(|error| internal(error.to_string()))?;
        if !said.is_empty() {
            return Err(internal(String::from_utf8_lossy(&said).into_owned()));
        }
        Ok(Deciding {
            plugin,
            record,
            revision,
            versions: versions(policy),
            outcomes: BTreeMap::new(),
            noted: BTreeMap::new(),
            acknowledged: None,
            calls: 0,
        })
    }

    /// Calls of the engine so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Ends the record, if there is one: what comes after is in none.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(super) fn end_record(&mut self) -> Result<(), Failure> {
        self.record.take().map_or(Ok(()), Writer::end)
    }

    fn call(&mut self, kind: Kind, ask: &str) -> Result<String, Failure> {
        let at_ms = now_ms();
        let said = make(&mut self.plugin, kind, ask, at_ms)
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        self.calls += 1;
        let text = String::from_utf8_lossy(said).into_owned();
        if let Some(record) = &mut self.record {
            record.call(kind, ask, at_ms, text.as_bytes())?;
        }
        Ok(text)
    }

    /// Decides for one request.
    ///
    /// # Errors
    /// The engine fails, or the record cannot be written.
    pub(super) fn route(&mut self, caller: &Caller) -> Result<Route, Failure> {
        let mut attributes = Map::new();
        attributes.extend(caller.app.as_ref().map(|app| ("app".to_owned(), app.clone().into())));
        let message =
            json!({ "type": "route", "msg_id": 1, "key": caller.key, "attributes": attributes });
        let said = self.call(Kind::Handle, &message.to_string())?;
        serde_json::from_str(said.trim_end()).map_err(|_| {
            Failure::new(Exit::Internal, format!("the engine did not decide: {}", said.trim_end()))
        })
    }

    /// Notes how a request ended. The engine is told with the next [`hand_over`].
    ///
    /// [`hand_over`]: Self::hand_over
    pub(super) fn ended(&mut self, caller: &Caller, version: &str, ended: Ended) {
        let Some(place) = self.versions.iter().position(|known| known == version) else { return };
        let failed = match ended {
            Ended::Answered { failed, latency } => {
                let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
                *self.outcomes.entry((place, !failed, ms)).or_default() += 1;
                failed
            }
            Ended::Refused => false,
        };
        // The engine has counted the call by its key.
        let Some(key) = &caller.key else { return };
        if !self.noted.contains_key(key) && self.noted.len() >= NOTED_MAX {
            return;
        }
        let noted = self.noted.entry(key.clone()).or_default();
        noted.agent.clone_from(&caller.agent);
        if caller.says.is_some() {
            noted.says.clone_from(&caller.says);
        }
        noted.on = place;
        noted.refused += u64::from(matches!(ended, Ended::Refused));
        if failed {
            let at_s = now_ms() / 1_000;
            let (failures, last_s) = noted.failures.entry(place).or_default();
            (*failures, *last_s) = (*failures + 1, at_s);
        }
    }

    /// Tells the engine how requests ended, and lets time act.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        let outcomes: Vec<Value> = std::mem::take(&mut self.outcomes)
            .into_iter()
            .map(|((place, ok, ms), count)| {
                json!({ "version": self.versions[place], "ok": ok, "latency_ms": ms, "count": count })
            })
            .collect();
        if !outcomes.is_empty() {
            let message = json!({ "type": "report_outcomes", "msg_id": 1, "outcomes": outcomes });
            self.told(&message)?;
        }
        let clients: Vec<Value> = std::mem::take(&mut self.noted).iter().map(row).collect();
        if !clients.is_empty() {
            self.told(&json!({ "type": "note_clients", "msg_id": 1, "clients": clients }))?;
        }
        self.call(Kind::Tick, "")?;
        if let Some(record) = &mut self.record {
            record.flush()?;
        }
        Ok(())
    }

    /// Puts a policy into force. One that is refused leaves what there is.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub(super) fn adopt(&mut self, revision: u64, policy: &Value) -> Result<(), Failure> {
        if revision <= self.revision {
            return Ok(());
        }
        self.hand_over()?;
        self.told(&json!({ "type": "configure", "msg_id": 1, "document": policy }))?;
        self.revision = revision;
        self.versions = versions(policy);
        Ok(())
    }

    /// The totals so far, numbered as the control plane does.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub(super) fn totals(&mut self) -> Result<Value, Failure> {
        let said = self.call(Kind::Totals, "")?;
        let mut totals: Value = serde_json::from_str(said.trim_end())
            .map_err(|error| Failure::new(Exit::Internal, format!("no totals: {error}")))?;
        totals["revision"] = self.revision.into();
        Ok(totals)
    }

    /// The next report of clients, if there is anything in it.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub(super) fn clients(&mut self) -> Result<Option<Value>, Failure> {
        let mut message = json!({ "type": "take_clients", "msg_id": 1 });
        if let Some(sequence) = self.acknowledged {
            message["acknowledged"] = sequence.into();
        }
        let said = self.call(Kind::Handle, &message.to_string())?;
        let mut report: Value = serde_json::from_str(said.trim_end())
            .map_err(|error| Failure::new(Exit::Internal, format!("no report: {error}")))?;
        let has_any = report["clients"].as_array().is_some_and(|clients| !clients.is_empty());
        report["revision"] = self.revision.into();
        Ok(has_any.then_some(report))
    }

    /// The control plane has taken this report in.
    pub(super) fn acknowledge(&mut self, report: &Value) {
        self.acknowledged = report["sequence"].as_u64().or(self.acknowledged);
    }

    fn told(&mut self, message: &Value) -> Result<(), Failure> {
        let said = self.call(Kind::Handle, &message.to_string())?;
        if said.contains(r#""type":"error""#) {
            let text = format!("the engine refuses {}: {}", message["type"], said.trim_end());
            return Err(Failure::new(Exit::Internal, text));
        }
        Ok(())
    }
}

fn row((key, noted): (&String, &Noted)) -> Value {
    let counts: Vec<Value> = noted
        .failures
        .iter()
        .map(|(place, (failures, last_s))| json!([place, 0, failures, last_s, last_s]))
        .collect();
    let mut row = json!({ "key": key, "on": noted.on, "counts": counts });
    if let Some(agent) = &noted.agent {
        row["agent"] = agent.as_str().into();
    }
    if let Some(says) = &noted.says {
        row["says"] = json!(says);
    }
    if noted.refused > 0 {
        row["refused"] = noted.refused.into();
    }
    row
}

fn versions(policy: &Value) -> Vec<String> {
    match &policy["versions"] {
        Value::Array(names) => {
            names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
        }
        named => {
            ["from", "to"].iter().filter_map(|end| Some(named[end].as_str()?.to_owned())).collect()
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
