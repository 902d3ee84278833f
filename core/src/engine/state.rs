//! The whole state as bytes: for a hot reload, and after a trap.
//!
//! A magic line with a version, a checksum, the state in Borsh (a plain binary format
//! with a written specification), then the clients in a compact form of their own. A
//! change of the state's shape is a new version of the magic line. What was added since
//! version 2 stands in parts of its own, so that version is read as well and a migration
//! goes on through an upgrade; an engine refuses what it cannot read, and the one that
//! wrote it serves on. JSON and MessagePack were tried instead: reading them was a third of
//! the module.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::memory::{Appender, Taker};
use crossfade_protocol::plan::Plan;
use crossfade_protocol::reply::json_text;
use crossfade_protocol::totals::ShadowTotals;
use xxhash_rust::xxh64::xxh64;

use super::{Engine, Waiting};
use crate::census::{self, Census};
use crate::changes::Changes;
use crate::controller::Controller;
use crate::draws::Draws;
use crate::guard::Guard;
use crate::health::Presented;
use crate::policy::{Policy, Traffic};
use crate::tally::{Fleet, Tally};

const MAGIC: &[u8] = b"crossfade snapshot 4\n";

/// An earlier version, which had neither [`Reported`] nor [`Added`].
const MAGIC_BEFORE: &[u8] = b"crossfade snapshot 2\n";

/// In the order in which they are written.
#[derive(BorshSerialize)]
struct State {
    node: Node,
    reported: Reported,
    rollout: Rollout,
    added: Added,
}

/// What is new in parts that were there before.
#[derive(BorshSerialize, BorshDeserialize, Default)]
struct Added {
    /// Of our own tallies, then of all reports.
    shadows: Vec<ShadowTotals>,
    /// Of the gate on failures: whether requests are reported one by one.
    single: bool,
    /// Of the policy: the first revision whose counts are evidence.
    counts_since: u64,
    /// When each node was heard last.
    heard_ms: Vec<u64>,
    /// Runs of nodes that made room for others.
    folded: Vec<u64>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Node {
    node: String,
    epoch: u64,
    sequence: u64,
    now_ms: u64,
    started_ms: u64,
    ahead_ms: u64,
    draws: Draws,
    /// The plan as JSON, as it was configured.
    plan: String,
    revision: u64,
    traffic: Traffic,
    tallies: Vec<Tally>,
    last_served_ms: Vec<Option<u64>>,
    fleet: Fleet,
    census: census::Head,
}

#[derive(BorshSerialize, BorshDeserialize, Default)]
struct Reported {
    /// What nodes reported of clients: so many bytes, which follow, and its brownouts.
    clients: Option<(u64, Kept)>,
    /// Those of its clients that were not reported: nothing where none are.
    changes: Vec<String>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Rollout {
    guard: Guard,
    controller: Controller,
    presented: Presented,
    waiting: Option<Waiting>,
    lines: u64,
    enveloped: bool,
    events: Vec<String>,
    events_dropped: u64,
}

impl State {
    /// Reads what `save` wrote, or what the version `before` did.
    fn read(from: &mut Taker<'_>, before: bool) -> borsh::io::Result<State> {
        let node = Node::deserialize_reader(from)?;
        let reported = match before {
            true => Reported::default(),
            false => Reported::deserialize_reader(from)?,
        };
        let rollout = Rollout::deserialize_reader(from)?;
        let added = match before {
            true => Added::default(),
            false => Added::deserialize_reader(from)?,
        };
        Ok(State { node, reported, rollout, added })
    }
}

/// Writes the state.
pub(super) fn save(engine: &Engine, out: &mut Vec<u8>) {
    let (clients, table) = save_clients(engine);
    let node = Node {
        node: engine.node.clone(),
        epoch: engine.epoch,
        sequence: engine.sequence,
        now_ms: engine.now_ms,
        started_ms: engine.started_ms,
        ahead_ms: engine.ahead_ms,
        draws: engine.draws,
        plan: json_text(engine.policy.plan()),
        revision: engine.policy.revision(),
        traffic: engine.policy.traffic().clone(),
        tallies: engine.tallies.clone(),
        last_served_ms: engine.last_served_ms.clone(),
        fleet: engine.fleet.clone(),
        census: engine.census.head(),
    };
    let changes = engine.changes.as_ref().map(|changes| changes.save()).unwrap_or_default();
    let rollout = Rollout {
        guard: engine.guard,
        controller: engine.controller.clone(),
        presented: engine.presented.clone(),
        waiting: engine.waiting.clone(),
        lines: engine.lines,
        enveloped: engine.enveloped,
        events: engine.events.iter().cloned().collect(),
        events_dropped: engine.events_dropped,
    };
    let ours = engine.tallies.iter().map(|tally| &tally.shadow);
    let shadows = ours.chain(engine.fleet.shadows()).copied().collect();
    let single = engine.controller.health.as_ref().is_some_and(|health| health.failures.single);
    let counts_since = engine.policy.counts_since();
    let (heard_ms, folded) = (engine.fleet.heard_ms(), engine.fleet.folded.clone());
    let added = Added { shadows, single, counts_since, heard_ms, folded };
    let reported = Reported { clients, changes };
    let state = State { node, reported, rollout, added };
    out.extend_from_slice(MAGIC);
    let checked_from = out.len() + 8;
    out.extend_from_slice(&[0; 8]);
    if state.serialize(&mut Appender(out)).is_err() {
        // Writing to memory fails only for numbers that are none, which no state holds;
        // were it to, no snapshot is better than half of one.
        return out.clear();
    }
    out.extend_from_slice(&table);
    engine.census.save(out);
    let checksum = xxh64(&out[checked_from..], 0).to_le_bytes();
    out[checked_from - 8..checked_from].copy_from_slice(&checksum);
}

/// Replaces the state of `engine`, keeping its clock.
///
/// # Errors
/// Why the bytes are no snapshot; the engine is unchanged.
pub(super) fn load(engine: &mut Engine, snapshot: &[u8]) -> Result<(), String> {
    let (body, before) = match (snapshot.strip_prefix(MAGIC), snapshot.strip_prefix(MAGIC_BEFORE)) {
        (Some(body), _) => (body, false),
        (None, Some(body)) => (body, true),
        (None, None) => {
            let head = String::from_utf8_lossy(&snapshot[..snapshot.len().min(24)]).into_owned();
            return Err(format!(
                "not a snapshot of this version: it begins with \"{}\"",
                crossfade_protocol::json::shown(&head)
            ));
        }
    };
    let mut rest = match body.split_first_chunk() {
        Some((checksum, rest)) if u64::from_le_bytes(*checksum) == xxh64(rest, 0) => Taker(rest),
        _ => return Err("damaged snapshot: its checksum does not fit".to_owned()),
    };
    let State { node: mut state, reported, mut rollout, added } =
        State::read(&mut rest, before).map_err(|e| format!("damaged snapshot: {e}"))?;
    state.fleet.folded = added.folded;
    state.fleet.set_heard_ms(added.heard_ms, state.now_ms);
    let ours = state.tallies.iter_mut().map(|tally| &mut tally.shadow);
    for (shadow, saved) in ours.chain(state.fleet.shadows_mut()).zip(added.shadows) {
        *shadow = saved;
    }
    if let Some(health) = &mut rollout.controller.health {
        health.failures.single = added.single;
    }
    let plan =
        serde_json::from_str(&state.plan).map_err(|e| format!("damaged snapshot: plan: {e}"))?;
    let plan =
        Plan::read(&plan).map_err(|problems| format!("damaged snapshot: plan: {problems}"))?;
    let clients = load_clients(reported.clients, &mut rest)?;
    let census = Census::load(&state.census, rest.0).ok_or("damaged snapshot: clients")?;
    let changes = match reported.changes.as_slice() {
        [] => None,
        saved => match Changes::load(saved, &plan.versions.0) {
            Some(changes) => Some(Box::new(changes)),
            None => return Err("damaged snapshot: changes".to_owned()),
        },
    };
    let versions = plan.versions.0.len();
    if state.tallies.len() != versions || state.last_served_ms.len() != versions {
        return Err("damaged snapshot: counts do not match the versions".to_owned());
    }
    let policy = Policy::new(plan, state.revision, None).with_traffic(state.traffic);
    let counts_since = if before { state.revision } else { added.counts_since };
    *engine = Engine {
        node: state.node,
        epoch: state.epoch,
        sequence: state.sequence,
        clock: engine.clock,
        now_ms: state.now_ms,
        started_ms: state.started_ms,
        ahead_ms: state.ahead_ms,
        draws: state.draws,
        policy: policy.with_revision(state.revision).with_counts_since(counts_since),
        endings: Vec::new(),
        tallies: state.tallies,
        last_served_ms: state.last_served_ms,
        fleet: state.fleet,
        census,
        changes,
        clients,
        keeps_ledger: engine.keeps_ledger,
        guard: rollout.guard,
        controller: rollout.controller,
        presented: rollout.presented,
        waiting: rollout.waiting,
        lines: rollout.lines,
        enveloped: rollout.enveloped,
        events: rollout.events.into(),
        events_dropped: rollout.events_dropped,
    };
    engine.name_versions();
    engine.turn();
    engine.wait_for_listed();
    Ok(())
}

/// What is kept of clients beside their rows.
#[cfg(feature = "ledger")]
type Kept = crate::clients::Kept;
#[cfg(not(feature = "ledger"))]
type Kept = super::Clients;

/// What nodes reported of clients, and their rows as bytes.
#[cfg(feature = "ledger")]
fn save_clients(engine: &Engine) -> (Option<(u64, Kept)>, Vec<u8>) {
    let Some(clients) = &engine.clients else { return (None, Vec::new()) };
    let mut table = Vec::new();
    clients.table.save(&mut table);
    (Some((table.len() as u64, clients.kept.clone())), table)
}

#[cfg(feature = "ledger")]
fn load_clients(
    saved: Option<(u64, Kept)>,
    rest: &mut Taker<'_>,
) -> Result<Option<Box<super::Clients>>, String> {
    let Some((bytes, kept)) = saved else { return Ok(None) };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let table = rest.0.split_at_checked(bytes).and_then(|(table, others)| {
        rest.0 = others;
        crossfade_ledger::Ledger::load(table)
    });
    let table = table.ok_or("damaged snapshot: the ledger")?;
    Ok(Some(Box::new(super::Clients::from_parts(table, kept))))
}

#[cfg(not(feature = "ledger"))]
fn save_clients(_: &Engine) -> (Option<(u64, Kept)>, Vec<u8>) {
    (None, Vec::new())
}

#[cfg(not(feature = "ledger"))]
fn load_clients(
    saved: Option<(u64, Kept)>,
    _: &mut Taker<'_>,
) -> Result<Option<Box<super::Clients>>, String> {
    match saved {
        None => Ok(None),
        Some(_) => Err("this snapshot has a ledger of clients, and this engine none".to_owned()),
    }
}
