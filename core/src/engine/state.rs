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
use crate::health::{Presented, SavedClients};
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
    /// Control and canary of the outcomes presented on a virtual clock.
    presented: [SavedTally; 2],
    /// How many clients of open bins follow: seen and failed of the gates, presented.
    bins: [usize; 3],
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
    let (clients, presented) = (engine.controller.clients(), engine.presented.clients());
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
        presented: [&engine.presented.control, &engine.presented.canary].map(SavedTally::from),
        bins: [clients.seen.len(), clients.failed.len(), presented.len()],
        waiting: engine.waiting.clone(),
        lines: engine.lines,
        enveloped: engine.enveloped,
        events: engine.events.iter().cloned().collect(),
        events_dropped: engine.events_dropped,
    };
    out.extend_from_slice(MAGIC);
    write::line(out, &state);
    let failed = clients.failed.iter().flat_map(|(client, until)| [*client, *until]);
    for number in clients.seen.iter().copied().chain(failed).chain(presented) {
        out.extend_from_slice(&number.to_le_bytes());
    }
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
    let (json, tail) = match memchr::memchr(b'\n', body) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => return Err("damaged snapshot: it ends in the middle".to_owned()),
    };
    let state: State =
        serde_json::from_slice(json).map_err(|e| format!("damaged snapshot: {e}"))?;
    let (saved, presented_clients, clients) =
        read_bins(state.bins, tail).ok_or("damaged snapshot: open bins")?;
    let mut controller = state.controller;
    controller.restore_clients(saved);
    let [control, canary] = state.presented.each_ref().map(Tally::from);
    let presented = Presented::restore(control, canary, presented_clients);
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
        controller,
        presented,
        waiting: state.waiting,
        lines: state.lines,
        enveloped: state.enveloped,
        events: state.events.into(),
        events_dropped: state.events_dropped,
    };
    engine.name_versions();
    Ok(())
}

/// The clients of open bins, and what follows them.
fn read_bins(counts: [usize; 3], tail: &[u8]) -> Option<(SavedClients, Vec<u64>, &[u8])> {
    let [seen, failed, presented] = counts;
    let numbers = seen.checked_add(failed.checked_mul(2)?)?.checked_add(presented)?;
    let (bytes, rest) = tail.split_at_checked(numbers.checked_mul(8)?)?;
    let mut numbers = bytes.chunks_exact(8).map(|eight| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(eight);
        u64::from_le_bytes(bytes)
    });
    let seen = numbers.by_ref().take(seen).collect();
    let mut pairs = Vec::with_capacity(failed);
    for _ in 0..failed {
        pairs.push((numbers.next()?, numbers.next()?));
    }
    Some((SavedClients { seen, failed: pairs }, numbers.collect(), rest))
}
