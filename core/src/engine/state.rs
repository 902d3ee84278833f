//! The whole state as bytes: for a hot reload, and after a trap.
//!
//! A magic line with a version, the state as one line of JSON, then the clients in a
//! compact form of their own. JSON has field names, so that a later build can read what
//! an earlier one wrote: new fields have defaults. (MessagePack was tried instead: its
//! reader alone was a third of the module.)

use crossfade_protocol::plan::Plan;
use serde::{Deserialize, Serialize};

use super::{Engine, Waiting, write};
use crate::census::{self, Census};
use crate::controller::Controller;
use crate::draws::Draws;
use crate::guard::Guard;
use crate::latency::Histogram;
use crate::policy::{Policy, Traffic};
use crate::tally::{Fleet, Tally};

const MAGIC: &[u8] = b"crossfade snapshot 1\n";

#[derive(Serialize, Deserialize)]
struct State {
    node: String,
    epoch: u64,
    sequence: u64,
    now_ms: u64,
    ahead_ms: u64,
    draws: Draws,
    /// The plan as JSON, as it was configured.
    plan: String,
    revision: u64,
    traffic: Traffic,
    tallies: Vec<SavedTally>,
    last_served_ms: Vec<Option<u64>>,
    fleet: Fleet,
    census: census::Head,
    guard: Guard,
    controller: Controller,
    waiting: Option<Waiting>,
    lines: u64,
    enveloped: bool,
    events: Vec<String>,
    events_dropped: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedTally {
    routed: u64,
    requests: u64,
    failures: u64,
    latency: Vec<(u8, u64)>,
}

impl From<&Tally> for SavedTally {
    fn from(tally: &Tally) -> SavedTally {
        let latency = tally.latency.sparse();
        SavedTally {
            routed: tally.routed,
            requests: tally.requests,
            failures: tally.failures,
            latency,
        }
    }
}

impl From<&SavedTally> for Tally {
    fn from(saved: &SavedTally) -> Tally {
        let latency = Histogram::from_sparse(&saved.latency);
        Tally { routed: saved.routed, requests: saved.requests, failures: saved.failures, latency }
    }
}

/// Writes the state.
pub(super) fn save(engine: &Engine, out: &mut Vec<u8>) {
    let state = State {
        node: engine.node.clone(),
        epoch: engine.epoch,
        sequence: engine.sequence,
        now_ms: engine.now_ms,
        ahead_ms: engine.ahead_ms,
        draws: engine.draws,
        plan: serde_json::to_string(engine.policy.plan()).unwrap_or_default(),
        revision: engine.policy.revision(),
        traffic: engine.policy.traffic().clone(),
        tallies: engine.tallies.iter().map(SavedTally::from).collect(),
        last_served_ms: engine.last_served_ms.clone(),
        fleet: engine.fleet.clone(),
        census: engine.census.head(),
        guard: engine.guard,
        controller: engine.controller.clone(),
        waiting: engine.waiting.clone(),
        lines: engine.lines,
        enveloped: engine.enveloped,
        events: engine.events.iter().cloned().collect(),
        events_dropped: engine.events_dropped,
    };
    out.extend_from_slice(MAGIC);
    write::line(out, &state);
    engine.census.save(out);
}

/// Replaces the state of `engine`, keeping its clock.
///
/// # Errors
/// Why the bytes are no snapshot; the engine is unchanged.
pub(super) fn load(engine: &mut Engine, snapshot: &[u8]) -> Result<(), String> {
    let Some(body) = snapshot.strip_prefix(MAGIC) else {
        let head = String::from_utf8_lossy(&snapshot[..snapshot.len().min(24)]).into_owned();
        return Err(format!(
            "not a snapshot of this version: it begins with \"{}\"",
            crossfade_protocol::json::shown(&head)
        ));
    };
    let (json, clients) = match memchr::memchr(b'\n', body) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => return Err("damaged snapshot: it ends in the middle".to_owned()),
    };
    let state: State =
        serde_json::from_slice(json).map_err(|e| format!("damaged snapshot: {e}"))?;
    let plan =
        serde_json::from_str(&state.plan).map_err(|e| format!("damaged snapshot: plan: {e}"))?;
    let plan =
        Plan::read(&plan).map_err(|problems| format!("damaged snapshot: plan: {problems}"))?;
    let census = Census::load(&state.census, clients).ok_or("damaged snapshot: clients")?;
    let versions = plan.versions.0.len();
    if state.tallies.len() != versions || state.last_served_ms.len() != versions {
        return Err("damaged snapshot: counts do not match the versions".to_owned());
    }
    let policy = Policy::new(plan, state.revision, None).with_traffic(state.traffic);
    *engine = Engine {
        node: state.node,
        epoch: state.epoch,
        sequence: state.sequence,
        clock: engine.clock,
        now_ms: state.now_ms,
        ahead_ms: state.ahead_ms,
        draws: state.draws,
        policy: policy.with_revision(state.revision),
        version_json: Vec::new(),
        tallies: state.tallies.iter().map(Tally::from).collect(),
        last_served_ms: state.last_served_ms,
        fleet: state.fleet,
        census,
        guard: state.guard,
        controller: state.controller,
        waiting: state.waiting,
        lines: state.lines,
        enveloped: state.enveloped,
        events: state.events.into(),
        events_dropped: state.events_dropped,
    };
    engine.name_versions();
    Ok(())
}
