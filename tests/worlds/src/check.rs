//! What must hold, whatever fails. Each check names what it saw.
//!
//! | check | |
//! |---|---|
//! | `decides` | an edge that has a policy answers every call, and as anybody can compute from the document and the key; without one it leaves the call alone |
//! | `one document` | a revision is one document, for good and for everybody |
//! | `never back` | no worker's revision falls, nor that of a worker's successor after a trap |
//! | `no flip` | nobody goes from the new version to the old while the share does not fall |
//! | `back is back` | under a policy that took the new version back nobody gets it |
//! | `log` | time, events, acts and revisions in the store only grow, without a gap |
//! | `one state` | the checkpoint and the calls in the store give the engine that wrote them, to the byte, every time |
//! | `counts` | the controller counted no less than was acknowledged to edges, and no more than they sent |
//! | `edge counts` | an edge counted what was sent through it |
//! | `clients` | the same as `counts`, of each client |
//! | `proof` | no share grows by itself where proof is asked for and none was given, and none grows again after it was taken back |
//! | `commands` | what was acknowledged is in the audit log once, what was refused is not; with a key it is there once however often it was sent, and always answered alike |
//! | `reads` | nobody answers for the whole while another may act |
//! | `converges` | when faults have ended: everybody has the newest policy, counts are equal, the rollout has ended |

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::disk::{self, Disk};
use crate::edge::{Seen, Worker};
use crate::ledger::{Books, within};
use crate::plan::{Known, Setup};
use crate::plugin::{Plugin, PluginOptions};
use crate::serve::engine::Engine;
use crate::server::candidate;

/// A check, and what it saw.
pub(crate) type Held = Result<(), String>;

fn wrong<T>(check: &str, what: impl Into<String>) -> Result<T, String> {
    Err(format!("{check}: {}", what.into()))
}

/// Every document that there ever was, by revision.
#[derive(Debug, Default)]
pub(crate) struct Policies(BTreeMap<u64, Known>);

impl Policies {
    /// One was given out.
    pub(crate) fn given(&mut self, revision: u64, document: &Value) -> Held {
        match self.0.get(&revision) {
            None => {
                self.0.insert(revision, Known::of(document));
                Ok(())
            }
            Some(known) if known.document == *document => Ok(()),
            Some(known) => wrong(
                "one document",
                format!("revision {revision} is {document}, and was {}", known.document),
            ),
        }
    }

    pub(crate) fn known(&self, revision: u64) -> Option<&Known> {
        self.0.get(&revision)
    }

    /// A client was sent somewhere by this worker, under its policy now.
    pub(crate) fn decided(
        &self,
        worker: &Worker,
        setup: &Setup,
        client: usize,
        version: Option<&str>,
    ) -> Result<Option<usize>, String> {
        let key = &setup.keys[client];
        let Some(revision) = worker.revision_now() else {
            return match version {
                None => Ok(None),
                Some(version) => wrong("decides", format!("{key} got {version} without a policy")),
            };
        };
        let Some(known) = self.known(revision) else {
            return wrong("decides", format!("nobody gave revision {revision} out"));
        };
        let place = match version {
            Some("v1") => 0,
            Some("v2") => 1,
            other => {
                let other = other.unwrap_or("nothing");
                return wrong("decides", format!("{key} got {other} under revision {revision}"));
            }
        };
        if known.is_back(key) && place == 1 {
            return wrong("back is back", format!("{key} got v2 under revision {revision}"));
        }
        if let Some((1, before)) = worker.last.get(&client)
            && place == 0
            && !worker.tripped
            && let Some(then) = self.known(*before)
            && known.buckets >= then.buckets
            && known.same_lists(then)
        {
            let shares = (then.buckets, known.buckets);
            return wrong(
                "no flip",
                format!("{key} went back to v1 while buckets went {shares:?}"),
            );
        }
        let expected = if worker.tripped { 0 } else { known.version(key) };
        if place != expected {
            let guard = if worker.tripped { ", its guard tripped" } else { "" };
            return wrong(
                "decides",
                format!(
                    "{key} got v{} and not v{} under revision {revision} ({} buckets{guard})",
                    place + 1,
                    expected + 1,
                    known.buckets
                ),
            );
        }
        Ok(Some(place))
    }
}

/// A worker's revision, looked at again.
pub(crate) fn never_back(edge: usize, worker: &mut Worker) -> Result<bool, String> {
    let now = worker.revision_now();
    if now < worker.revision {
        return wrong(
            "never back",
            format!("edge {edge} went from revision {:?} to {now:?}", worker.revision),
        );
    }
    Ok(std::mem::replace(&mut worker.revision, now) != now)
}

/// A worker at the end of its life, or of the world.
pub(crate) fn edge_counts(edge: usize, worker: &Worker) -> Held {
    let (seen, counted) = (worker.seen, worker.counted());
    match seen == counted {
        true => Ok(()),
        false => wrong("edge counts", format!("edge {edge} counted {counted:?} of {seen:?}")),
    }
}

/// What the controller says it has counted, against the books.
pub(crate) fn counts(books: &Books, stats: &Value, settled: bool) -> Held {
    let of = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let counted = Seen {
        routed: [of("/routed/v1"), of("/routed/v2")],
        failures: [of("/outcomes/v1/failures"), of("/outcomes/v2/failures")],
    };
    let bounds = if settled { books.settled() } else { books.totals() };
    if !within(&counted, &bounds.high) {
        return wrong("counts", format!("{counted:?} were counted, and {:?} sent", bounds.high));
    }
    if !within(&bounds.low, &counted) {
        return wrong(
            "counts",
            format!("{counted:?} were counted, and {:?} acknowledged", bounds.low),
        );
    }
    Ok(())
}

/// The same of each client, when nothing is under way.
pub(crate) fn clients(books: &Books, listed: &Value) -> Held {
    let rows = listed["clients"].as_array().cloned().unwrap_or_default();
    let by_key: BTreeMap<&str, &Value> =
        rows.iter().map(|row| (row["client"].as_str().unwrap_or_default(), row)).collect();
    for (key, bounds) in books.clients(None) {
        let row = by_key.get(key.as_str()).copied().unwrap_or(&Value::Null);
        let of = |path: &str| row.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        let counted = Seen {
            routed: [of("/old/requests"), of("/new/requests")],
            failures: [of("/old/failures"), of("/new/failures")],
        };
        if !within(&counted, &bounds.high) || !within(&bounds.low, &counted) {
            return wrong(
                "clients",
                format!(
                    "{counted:?} of {key} were counted, {:?} acknowledged and {:?} sent",
                    bounds.low, bounds.high
                ),
            );
        }
    }
    Ok(())
}

/// A worker that is up has had everything acknowledged that it counted.
pub(crate) fn told(books: &Books, worker: &Worker, setup: &Setup) -> Held {
    let told = books.told(worker.uid);
    if told != worker.seen {
        let (uid, seen) = (worker.uid, worker.seen);
        return wrong("converges", format!("worker {uid} counted {seen:?}, and {told:?} arrived"));
    }
    let clients = books.clients(Some(worker.uid));
    for (client, seen) in &worker.clients {
        let told = clients.get(&setup.keys[*client]).copied().unwrap_or_default().low;
        if told != *seen {
            let key = &setup.keys[*client];
            return wrong(
                "converges",
                format!("{seen:?} of {key} were counted, and {told:?} arrived"),
            );
        }
    }
    Ok(())
}

/// A server answered a question about the whole.
pub(crate) fn reads(disk: &Disk, server: usize) -> Held {
    match disk.holder().filter(|holder| disk.fleet && *holder != server) {
        None => Ok(()),
        Some(holder) => {
            wrong("reads", format!("server {server} answers, and server {holder} has the lease"))
        }
    }
}

/// What the store says of itself, and whether its bytes are the state.
pub(crate) fn store(disk: &Disk) -> Held {
    if let Some(what) = &disk.wrong {
        return wrong("log", what.clone());
    }
    let Some(disk::Mirror { engine, saved, at_ms }) = disk::take_mirror() else { return Ok(()) };
    let Some(checkpoint) = &saved.checkpoint else { return Ok(()) };
    let replayed = || {
        Engine::resume(candidate(), PluginOptions, checkpoint, &saved)
            .map_err(|error| format!("one state: what is stored cannot be read: {error}"))
    };
    let (mut one, mut other) = (replayed()?, replayed()?);
    let bytes = |engine: &mut Engine| {
        engine.checkpoint(at_ms).map(|checkpoint| checkpoint.snapshot).map_err(|e| e.to_string())
    };
    if bytes(&mut one)? != bytes(&mut other)? {
        return wrong("one state", "what is stored was read twice, and gave two states");
    }
    let mut mirror = Plugin::of(engine);
    for kind in ["get_config", "get_rollout", "get_migration_stats", "get_clients"] {
        let line = format!("{}\n", json!({ "type": kind, "msg_id": 1 }));
        let asked = mirror.handle(line.as_bytes(), at_ms).map_err(|e| e.to_string())?;
        let asked =
            String::from_utf8_lossy(asked).trim_end().replacen(r#""in_reply_to":1,"#, "", 1);
        let answer: &'static str = match kind {
            "get_config" => "config",
            "get_rollout" => "rollout",
            "get_migration_stats" => "migration_stats",
            _ => "clients",
        };
        let stored = one.ask(&json!({ "type": kind }), answer, at_ms).map_err(|e| e.to_string())?;
        if stored != asked {
            let (asked, stored) =
                (from_difference(&asked, &stored), from_difference(&stored, &asked));
            return wrong(
                "one state",
                format!("{kind}: the engine says {asked}, what is stored {stored}"),
            );
        }
    }
    Ok(())
}

/// What a text says from a little before where it differs from another.
fn from_difference<'t>(text: &'t str, other: &str) -> &'t str {
    let same = text.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(120);
    text.get(from..text.len().min(same + 60)).unwrap_or(text)
}

/// What the store says of shares that grew by themselves.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    looked_at: usize,
    buckets: u64,
    /// After a rollback, until somebody begins anew.
    latched: bool,
    events: usize,
    acts: usize,
    /// Whether a step has passed since the share last changed.
    passed: bool,
}

impl Proof {
    pub(crate) fn look(&mut self, disk: &Disk, setup: &Setup) -> Held {
        for row in &disk.events[self.events..] {
            let body: Value = serde_json::from_str(row.body.get()).unwrap_or_default();
            match body["event"].as_str().unwrap_or_default() {
                "step_passed" => {
                    let verdict = body.pointer("/evidence/verdict").and_then(Value::as_str);
                    // Without an old version to compare with, a bound is what is proven.
                    let paths = ["/evidence/failures/step/canary_requests", "/evidence/slo/step/0"];
                    let seen =
                        paths.iter().filter_map(|path| body.pointer(path)?.as_u64()).sum::<u64>();
                    if setup.hold && (verdict != Some("healthy") || seen == 0) {
                        return wrong("proof", format!("a step passed without it: {body}"));
                    }
                    self.passed = true;
                }
                "rolled_back" | "rollback_started" => self.latched = true,
                _ => {}
            }
        }
        self.events = disk.events.len();
        // Somebody's command is reason enough, and begins anew.
        let commanded = disk.audit[self.acts..].iter().any(|row| row.who == "op");
        self.acts = disk.audit.len();
        for row in &disk.policies[self.looked_at..] {
            let known = Known::of(&row.document);
            let grew = known.buckets > self.buckets;
            if commanded {
                self.latched = false;
            } else if grew && self.latched {
                return wrong(
                    "proof",
                    format!("{} buckets came back after a rollback: {}", known.buckets, row.why),
                );
            } else if grew && self.buckets > 0 && !self.passed {
                return wrong(
                    "proof",
                    format!(
                        "the share grew to {} buckets, and no step had passed: {}",
                        known.buckets, row.why
                    ),
                );
            }
            self.passed = false;
            self.buckets = known.buckets;
        }
        self.looked_at = disk.policies.len();
        Ok(())
    }
}
