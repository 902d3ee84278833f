//! What a store holds, for whoever looks after it: check, export, import.
//!
//! The exported form is one JSON object a line: a head, then rows in the order in which
//! they are put back. It names everything, and outlives the store's own format.

use std::fmt;
use std::io::{BufRead, Write};
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};

use super::calls::Calls;
use super::controller;
use super::engine::Engine;
use super::store::sqlite::{FILE, Sqlite};
use super::store::{
    AuditRow, Checkpoint, Commit, EventRow, PolicyRow, Receipt, Saved, Store, StoreError,
};
use super::{module, store_failure};
use crate::exit::{Exit, Failure};
use crate::output::counted;
use crate::plugin::PluginOptions;

/// Version of the exported form.
const FORMAT: u32 = 1;

/// Rows that are fetched at once.
const ROWS: usize = 1_000;

/// A line of the exported form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    CrossfadeData {
        format: u32,
    },
    Policy(PolicyRow),
    Event(EventRow),
    Audit(AuditRow),
    /// Of a checkpoint that follows.
    Receipt(Receipt),
    Checkpoint {
        at_ms: u64,
        engine: String,
        module: Option<String>,
        snapshot: String,
    },
    Calls {
        at_ms: u64,
        calls: String,
    },
    End {
        rows: u64,
    },
}

/// What a store holds, counted.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Where it is.
    store: String,
    /// The engine's time of the checkpoint.
    checkpoint_ms: u64,
    /// Length of its snapshot.
    snapshot_bytes: u64,
    /// Commits since.
    commits: u64,
    /// The policy in force.
    revision: Option<u64>,
    /// Ids of the newest event and audit row.
    events: u64,
    audit: u64,
    /// Where the rollout stands once everything is replayed.
    rollout: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is sound", self.store)?;
        writeln!(
            f,
            "one checkpoint of {} bytes and {} since, replayed by the engine",
            self.snapshot_bytes,
            counted(self.commits, "commit"),
        )?;
        let revision = self.revision.map_or("none".to_owned(), |revision| revision.to_string());
        writeln!(
            f,
            "policy revision {revision}, {}, {}",
            counted(self.events, "event"),
            counted(self.audit, "audit row"),
        )?;
        writeln!(f, "{}", self.rollout)
    }
}

/// Reads everything, and has the engine replay it.
///
/// # Errors
/// There is no store, it is damaged, or the engine cannot go on from it.
pub(crate) fn check(directory: &Path) -> Result<Summary, Failure> {
    let mut store = Sqlite::open_read_only(directory).map_err(|error| store_failure(&error))?;
    summary(&mut store)
}

fn summary(store: &mut dyn Store) -> Result<Summary, Failure> {
    let saved = store.load().map_err(|error| store_failure(&error))?;
    let name = store.name();
    let Some(checkpoint) = &saved.checkpoint else {
        return Err(Failure::new(Exit::Data, format!("{name} holds no migration yet")));
    };
    let rollout = replay(checkpoint, &saved).map_err(|why| {
        Failure::new(Exit::Data, format!("{name}: the engine cannot go on from it: {why}"))
    })?;
    Ok(Summary {
        store: name,
        checkpoint_ms: checkpoint.at_ms,
        snapshot_bytes: checkpoint.snapshot.len() as u64,
        commits: saved.calls.len() as u64,
        revision: saved.policy.as_ref().map(|policy| policy.revision),
        events: saved.last_event,
        audit: saved.last_audit,
        rollout,
    })
}

/// Where the rollout stands after everything that is stored.
fn replay(checkpoint: &Checkpoint, saved: &Saved) -> Result<String, String> {
    let candidate = match &checkpoint.module {
        Some(bytes) => module::stored(bytes.clone()),
        None => module::builtin(),
    };
    let candidate = candidate.map_err(|error| error.to_string())?;
    let engine = Engine::resume(candidate, PluginOptions::default(), checkpoint, saved);
    let mut engine = engine.map_err(|error| error.to_string())?;
    controller::standing(&mut engine, saved.at_ms).map_err(|error| error.to_string())
}

/// Writes everything as JSON lines.
///
/// # Errors
/// There is no store, it is damaged, or the output fails.
pub(crate) fn export(directory: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let mut store = Sqlite::open_read_only(directory).map_err(|error| store_failure(&error))?;
    let lines = every_line(&mut store).map_err(|error| store_failure(&error))?;
    for line in lines {
        let text =
            serde_json::to_string(&line).map_err(|error| Failure::new(Exit::Internal, error))?;
        writeln!(out, "{text}").map_err(|error| cannot_write(&error))?;
    }
    Ok(())
}

/// The failure of an output.
pub(crate) fn cannot_write(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot write to stdout: {error}"))
}

fn every_line(store: &mut dyn Store) -> Result<Vec<Line>, StoreError> {
    let saved = store.load()?;
    let mut lines = vec![Line::CrossfadeData { format: FORMAT }];
    let mut policies = store.policies(u64::MAX, usize::MAX)?;
    policies.reverse();
    lines.extend(policies.into_iter().map(Line::Policy));
    let mut after = 0;
    while let Some(last) = store.events(after, ROWS).map(|rows| {
        let last = rows.last().map(|row| row.id);
        lines.extend(rows.into_iter().map(Line::Event));
        last
    })? {
        after = last;
    }
    after = 0;
    while let Some(last) = store.audit(after, ROWS).map(|rows| {
        let last = rows.last().map(|row| row.id);
        lines.extend(rows.into_iter().map(Line::Audit));
        last
    })? {
        after = last;
    }
    if let Some(Checkpoint { snapshot, engine, module, at_ms, .. }) = saved.checkpoint {
        lines.extend(saved.receipts.into_iter().map(Line::Receipt));
        let module = module.map(|bytes| BASE64_STANDARD.encode(bytes));
        let snapshot = BASE64_STANDARD.encode(snapshot);
        lines.push(Line::Checkpoint { at_ms, engine, module, snapshot });
    }
    for calls in &saved.calls {
        let calls = BASE64_STANDARD.encode(calls.as_bytes());
        lines.push(Line::Calls { at_ms: saved.at_ms, calls });
    }
    lines.push(Line::End { rows: lines.len() as u64 });
    Ok(lines)
}

/// Makes a store of what [`export`] wrote. Nothing is made of a file that is not whole.
///
/// # Errors
/// There is a migration already, a line cannot be read, or the disk fails.
pub(crate) fn import(directory: &Path, input: impl BufRead) -> Result<Summary, Failure> {
    if directory.join(FILE).exists() {
        let text =
            format!("{} holds a migration already: import into another", directory.display());
        return Err(Failure::new(Exit::Data, text));
    }
    let lines = read(input)?;
    let mut store = Sqlite::open(directory).map_err(|error| store_failure(&error))?;
    put_back(lines, &mut store).map_err(|error| store_failure(&error))?;
    summary(&mut store)
}

fn read(input: impl BufRead) -> Result<Vec<Line>, Failure> {
    let wrong = |place: usize, why: &dyn fmt::Display| {
        Failure::new(Exit::Data, format!("line {}: {why}", place + 1))
    };
    let mut lines = Vec::new();
    for (place, text) in input.lines().enumerate() {
        let text = text.map_err(|error| {
            Failure::new(Exit::Io, format!("cannot read line {}: {error}", place + 1))
        })?;
        let line: Line = serde_json::from_str(&text).map_err(|error| wrong(place, &error))?;
        match (place, &line) {
            (0, Line::CrossfadeData { format: FORMAT }) => {}
            (0, Line::CrossfadeData { format }) => {
                let why = format!("format {format} is unknown: this program knows {FORMAT}");
                return Err(wrong(0, &why));
            }
            (0, _) => return Err(wrong(0, &"this does not begin as `data export` does")),
            (_, Line::End { rows }) if *rows == lines.len() as u64 => return Ok(lines),
            (_, Line::End { rows }) => {
                return Err(wrong(
                    place,
                    &format!("{rows} lines were written, {} are here", lines.len()),
                ));
            }
            _ => {}
        }
        lines.push(line);
    }
    Err(wrong(lines.len(), &"the end is missing: the file was cut off"))
}

fn put_back(lines: Vec<Line>, store: &mut dyn Store) -> Result<(), StoreError> {
    let unreadable = |what: &str| StoreError::Failed {
        store: "the input".to_owned(),
        why: format!("{what} is not what was written"),
    };
    let bytes = |text: &str, what: &str| BASE64_STANDARD.decode(text).map_err(|_| unreadable(what));
    store.load()?;
    let (mut rows, mut receipts) = (Commit::default(), Vec::new());
    for line in lines {
        match line {
            Line::CrossfadeData { .. } | Line::End { .. } => {}
            Line::Policy(policy) => {
                store.commit(&Commit { policy: Some(policy), ..Commit::default() })?;
            }
            Line::Event(event) => rows.events.push(event),
            Line::Audit(row) => rows.audit.push(row),
            Line::Receipt(receipt) => receipts.push(receipt),
            Line::Checkpoint { at_ms, engine, module, snapshot } => {
                store.commit(&std::mem::take(&mut rows))?;
                let module = module.map(|text| bytes(&text, "the module")).transpose()?;
                let snapshot = bytes(&snapshot, "the checkpoint")?;
                let receipts = std::mem::take(&mut receipts);
                store.checkpoint(&Checkpoint { snapshot, engine, module, at_ms, receipts })?;
            }
            Line::Calls { at_ms, calls } => {
                let calls = Calls::from_bytes(bytes(&calls, "a commit")?);
                let calls = calls.map_err(|_| unreadable("a commit"))?;
                store.commit(&Commit { at_ms, calls, ..Commit::default() })?;
            }
        }
    }
    Ok(())
}
