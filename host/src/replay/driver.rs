//! Sends requests through the engine and gathers what it says.
//!
//! A client's first request is a `route` message, whose answer also tells its bucket;
//! later ones take the engine's short way, a call without JSON. Outcomes are reported
//! once a batch, on the versions that the engine chose. See [`Pace`] for when this is
//! not exact enough.

mod outcomes;

use std::collections::BTreeMap;

use crossfade_protocol::Reason;
use crossfade_protocol::abi::RouteWord;
use serde::{Deserialize, Serialize};

use super::ReplayError;
use super::clients::Clients;
use outcomes::{OutcomeItem, Outcomes};

/// Requests in one batch at most: some milliseconds of work, and well below the
/// protocol's limit of outcomes in one message.
const BATCH_REQUESTS_MAX: usize = 1024;

/// An engine that answers: the plugin, or a stand-in in tests.
pub trait Engine {
    /// Serves JSON lines; one reply line each.
    ///
    /// # Errors
    /// The engine cannot go on.
    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<&[u8], ReplayError>;

    /// Decides for one key, empty for none, without JSON.
    ///
    /// # Errors
    /// As for [`handle`](Engine::handle).
    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, ReplayError>;

    /// Takes in a report of clients; the answer to it.
    ///
    /// # Errors
    /// As for [`handle`](Engine::handle).
    fn merge(&mut self, report: &[u8]) -> Result<&[u8], ReplayError>;

    /// Lets time act; what happened, as JSON lines.
    ///
    /// # Errors
    /// As for [`handle`](Engine::handle).
    fn tick(&mut self, now_ms: u64) -> Result<&[u8], ReplayError>;
}

/// How closely the engine's time follows the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// For a policy that looks at neither the time nor at outcomes: batches reach over
    /// instants, and outcomes are reported as sums. No number of the report depends
    /// on either.
    Batched,
    /// For all others: a batch is the requests of one instant, time acts between two,
    /// and each outcome is reported with its client.
    Exact,
}

/// One request, as the engine is asked about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) time_ms: u64,
    /// The client's key, when the line has one.
    pub(super) key: Option<&'a str>,
    pub(super) attributes: &'a [(&'a str, std::borrow::Cow<'a, str>)],
    /// Whether it failed, when the line says so.
    pub(super) failed: Option<bool>,
}

/// What the engine said, summed up.
#[derive(Debug)]
pub(super) struct Driver<E> {
    engine: E,
    /// Versions in the policy's order, then any that the engine named besides.
    versions: Vec<String>,
    pace: Pace,
    /// Whether the engine decides by key alone; until it says that it cannot.
    has_short_way: bool,
    draws: Draws,
    batch: Batch,
    pub(super) clients: Clients,
    pub(super) reasons: BTreeMap<String, u64>,
    /// Requests that the engine gave no version for, and what it said to the first.
    pub(super) refused: u64,
    pub(super) refusal: Option<String>,
}

#[derive(Debug, Default)]
struct Batch {
    now_ms: u64,
    lines: Vec<u8>,
    keys: String,
    pending: Vec<Pending>,
    /// By version: outcomes that were fine, and failures.
    sums: Vec<[u64; 2]>,
    /// Requests decided the short way.
    short: usize,
    outcomes: Outcomes,
}

#[derive(Debug)]
struct Pending {
    /// Where the key ends in `keys`; it starts where the one before ended.
    key_end: usize,
    has_key: bool,
    failed: Option<bool>,
}

#[derive(Serialize)]
struct RouteLine<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes<'a>,
}

struct Attributes<'a>(&'a [(&'a str, std::borrow::Cow<'a, str>)]);

impl Attributes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// `route_ok`, or `error`.
#[derive(Deserialize)]
struct RouteReply<'a> {
    r#type: &'a str,
    version: Option<std::borrow::Cow<'a, str>>,
    reason: Option<&'a str>,
    bucket: Option<u16>,
    text: Option<std::borrow::Cow<'a, str>>,
}

impl<E: Engine> Driver<E> {
    pub(super) fn new(engine: E, versions: Vec<String>, pace: Pace, seed: u64) -> Driver<E> {
        Driver {
            engine,
            versions,
            pace,
            has_short_way: pace == Pace::Batched,
            draws: Draws(seed),
            batch: Batch::default(),
            clients: Clients::new(),
            reasons: BTreeMap::new(),
            refused: 0,
            refusal: None,
        }
    }

    /// Takes a request in; it is decided by the next [`flush`](Driver::flush) at the
    /// latest.
    pub(super) fn request(&mut self, request: Request<'_>) -> Result<(), ReplayError> {
        let is_full = self.batch.pending.len() + self.batch.short >= BATCH_REQUESTS_MAX;
        let is_new_instant = self.pace == Pace::Exact && request.time_ms != self.batch.now_ms;
        if is_full || is_new_instant {
            self.flush()?;
        }
        if is_new_instant {
            self.engine.tick(request.time_ms)?;
        }
        self.batch.now_ms = request.time_ms;
        if self.take_short_way(&request)? {
            self.batch.short += 1;
            return Ok(());
        }
        let batch = &mut self.batch;
        let attributes = Attributes(request.attributes);
        write_json(&mut batch.lines, &RouteLine { r#type: "route", key: request.key, attributes })?;
        batch.lines.push(b'\n');
        batch.keys.push_str(request.key.unwrap_or_default());
        batch.pending.push(Pending {
            key_end: batch.keys.len(),
            has_key: request.key.is_some(),
            failed: request.failed,
        });
        Ok(())
    }

    /// Decides at once, if the engine can and the client is known.
    fn take_short_way(&mut self, request: &Request<'_>) -> Result<bool, ReplayError> {
        if !self.has_short_way || !request.attributes.is_empty() {
            return Ok(false);
        }
        let key = request.key.unwrap_or_default();
        let client = match request.key {
            // A key that is new has its first decision in the batch, and must not be
            // overtaken by its second.
            Some(key) => match self.clients.get(key) {
                Some(client) => Some(client.bucket),
                None => return Ok(false),
            },
            None => None,
        };
        let word = self.engine.route(key.as_bytes(), self.draws.next_u32())?;
        let Some(version) = word.version().map(usize::from) else {
            self.has_short_way = false;
            return Ok(false);
        };
        count(&mut self.reasons, word.reason().map_or("unknown", Reason::as_str));
        if let Some(bucket) = client {
            self.clients.record(key, version, bucket, request.failed == Some(true));
        }
        self.batch.sum(version, request.failed);
        Ok(true)
    }

    /// Decides what is waiting and reports the outcomes.
    pub(super) fn flush(&mut self) -> Result<(), ReplayError> {
        self.decide()?;
        let Driver { engine, versions, batch, .. } = self;
        for (version, sums) in versions.iter().zip(&mut batch.sums) {
            for (ok, count) in [(true, sums[0]), (false, sums[1])] {
                if count > 0 {
                    let count = Some(count);
                    batch.outcomes.push(&OutcomeItem { version, user_id: None, ok, count })?;
                }
            }
            *sums = [0; 2];
        }
        batch.short = 0;
        if let Some(message) = batch.outcomes.message() {
            let reply = engine.handle(message, batch.now_ms)?;
            if !reply.starts_with(br#"{"type":"report_outcomes_ok""#) {
                return Err(unexpected("report_outcomes", reply));
            }
            batch.outcomes.clear();
        }
        Ok(())
    }

    /// Sends the waiting messages and takes in the decisions.
    fn decide(&mut self) -> Result<(), ReplayError> {
        let Driver { engine, versions, pace, batch, clients, reasons, refused, refusal, .. } = self;
        if batch.pending.is_empty() {
            return Ok(());
        }
        let replies = engine.handle(&batch.lines, batch.now_ms)?;
        let mut replies = replies.split(|byte| *byte == b'\n');
        let pending = std::mem::take(&mut batch.pending);
        let mut key_start = 0;
        for Pending { key_end, has_key, failed } in &pending {
            let key = batch.keys.get(key_start..*key_end).filter(|_| *has_key);
            key_start = *key_end;
            let reply = replies.next().unwrap_or_default();
            let reply: RouteReply<'_> =
                serde_json::from_slice(reply).map_err(|_| unexpected("route", reply))?;
            let (Some(version), "route_ok") = (reply.version, reply.r#type) else {
                *refused += 1;
                refusal.get_or_insert_with(|| reply.text.unwrap_or_default().into_owned());
                continue;
            };
            let index = versions.iter().position(|name| *name == version).unwrap_or_else(|| {
                versions.push(version.to_string());
                versions.len() - 1
            });
            count(reasons, reply.reason.unwrap_or("unknown"));
            if let Some(key) = key {
                clients.record(key, index, reply.bucket, *failed == Some(true));
            }
            match (*pace, failed) {
                (_, None) => {}
                (Pace::Batched, failed) => batch.sum(index, *failed),
                (Pace::Exact, Some(failed)) => {
                    let (user_id, ok) = (key, !failed);
                    let item = OutcomeItem { version: &version, user_id, ok, count: None };
                    batch.outcomes.push(&item)?;
                }
            }
        }
        batch.lines.clear();
        batch.keys.clear();
        batch.pending = pending;
        batch.pending.clear();
        Ok(())
    }

    /// Decides what is waiting, then asks one more thing.
    pub(super) fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        request: &'static str,
        now_ms: u64,
    ) -> Result<T, ReplayError> {
        self.flush()?;
        let line = format!("{{\"type\":\"{request}\"}}\n");
        let reply = self.engine.handle(line.as_bytes(), now_ms)?;
        serde_json::from_slice(reply).map_err(|_| unexpected(request, reply))
    }
}

impl<E> Driver<E> {
    /// The versions known, oldest first.
    pub(super) fn versions(&self) -> &[String] {
        &self.versions
    }
}

impl Batch {
    /// Adds an outcome to the sums of its version.
    fn sum(&mut self, version: usize, failed: Option<bool>) {
        let Some(failed) = failed else { return };
        if self.sums.len() <= version {
            self.sums.resize(version + 1, [0; 2]);
        }
        self.sums[version][usize::from(failed)] += 1;
    }
}

/// SplitMix64: chance for decisions by request, the same for the same seed.
#[derive(Debug)]
struct Draws(u64);

impl Draws {
    fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

fn count(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    match reasons.get_mut(reason) {
        Some(requests) => *requests += 1,
        None => {
            reasons.insert(reason.to_owned(), 1);
        }
    }
}

fn write_json<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), ReplayError> {
    serde_json::to_writer(out, value).map_err(|source| ReplayError::Write(source.into()))
}

/// The engine said something that is not the answer to what it was asked.
pub(super) fn unexpected(request: &'static str, reply: &[u8]) -> ReplayError {
    ReplayError::Unexpected { request, reply: super::text::shown(reply.trim_ascii(), 500) }
}

#[cfg(test)]
mod tests;
