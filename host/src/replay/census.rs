//! `crossfade replay --census`: who is still on which version, from access logs alone.
//!
//! Requests are counted as they were: a pattern tells the version, and no policy decides.
//! What each client did in a minute goes to the engine as a node's report of its clients
//! would, so the table and the statement are those of a running control plane.

mod checks;
mod ledger;
mod order;
mod report;
mod rules;
mod visits;

use std::io;

use crossfade_protocol::agent::product;
use crossfade_protocol::clients::Identity;

use super::entry::{BadLine, Entry, Part};
use super::policy::Policy;
use super::reading::{self, Clock, Reading, Take};
use super::report::{FileRow, Input};
use super::{Engine, ReplayArgs, ReplayError, Source};
use crate::Start;

use ledger::Ledger;
use visits::{Call, Visits};

pub use rules::Rules;

/// Reads the logs, and writes who is there.
///
/// # Errors
/// As [`run`](super::run).
pub(super) fn run<E: Engine>(
    args: &ReplayArgs,
    start: impl FnOnce(Start) -> Result<E, ReplayError>,
    out: &mut dyn io::Write,
) -> Result<(), ReplayError> {
    let usual = [Rules::default()];
    let (rules, unversioned) = match args.version_of.as_slice() {
        [] => (usual.as_slice(), Unversioned::Undecided),
        named => (named, Unversioned::Nobodys),
    };
    let versions = rules::versions(rules)?;
    let policy = ledger::plan(args, &versions)?;
    let mut census = Census {
        args,
        patterns: rules::Patterns::of(rules, &versions),
        unversioned,
        identity: identity(&args.key),
        start: Some(start),
        ledger: None,
        policy,
        visits: Visits::new(versions.clone()),
        seen: Seen {
            requests: vec![0; versions.len()],
            last_ms: vec![None; versions.len()],
            ..Seen::default()
        },
    };
    let mut reading = Reading::new(args);
    for log in order::by_time(args) {
        reading.log(&log, &mut census)?;
    }
    reading.finish();
    report::write(census.finish()?, reading, args, out)
}

/// The place of the version that clients are to leave.
const OLDEST: u8 = 0;

/// One run.
struct Census<'a, E, S> {
    args: &'a ReplayArgs,
    patterns: rules::Patterns<'a>,
    unversioned: Unversioned,
    identity: Identity,
    start: Option<S>,
    ledger: Option<Ledger<E>>,
    policy: Policy,
    visits: Visits,
    seen: Seen,
}

/// Whose requests are that no pattern knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unversioned {
    /// Of no version.
    Nobodys,
    /// The oldest version's: no pattern has known any request.
    Oldest,
    /// One or the other. Until it is known, they are gathered as if they were the oldest's.
    Undecided,
}

/// What was counted beside the engine.
#[derive(Debug, Default)]
struct Seen {
    /// Of each version.
    requests: Vec<u64>,
    /// When each version had its latest request.
    last_ms: Vec<Option<u64>>,
    /// Of no version.
    other: u64,
    /// The latest of them.
    other_last_ms: Option<u64>,
    /// Where the first of them went.
    other_example: Option<String>,
    /// Of those of the oldest version, the ones that no pattern knows.
    unversioned: u64,
    clock: Clock,
}

/// All that is known when everything is read.
struct Known<E> {
    ledger: Ledger<E>,
    policy: Policy,
    versions: Vec<String>,
    seen: Seen,
    /// Requests that came when their time had been handed on.
    late: u64,
}

impl<E: Engine, S> Take for Census<'_, E, S>
where
    S: FnOnce(Start) -> Result<E, ReplayError>,
{
    fn take(
        &mut self,
        line: &[u8],
        file: &mut FileRow,
        input: &mut Input,
    ) -> Result<Result<(), BadLine>, ReplayError> {
        let args = self.args;
        let names = &args.json_fields;
        let entry = match Entry::read(line, args.format, names) {
            Ok(entry) => entry,
            Err(bad) => return Ok(Err(bad)),
        };
        let key = match reading::key(args, &entry) {
            Ok(key) => key,
            Err(bad) => return Ok(Err(bad)),
        };
        self.seen.clock.request(&entry, key.is_some(), file, input);
        let looked_at = args.version_from.find(&entry, names);
        let found = looked_at.as_deref().and_then(|text| self.patterns.find(text));
        let version = match found {
            Some(version) => {
                if self.unversioned == Unversioned::Undecided {
                    self.unversioned = Unversioned::Nobodys;
                    self.visits.forget();
                }
                self.seen.requests[usize::from(version)] += 1;
                let last_ms = &mut self.seen.last_ms[usize::from(version)];
                *last_ms = (*last_ms).max(Some(entry.time_ms));
                version
            }
            None => {
                self.seen.pass(looked_at.as_deref(), entry.time_ms);
                if self.unversioned == Unversioned::Nobodys {
                    return Ok(Ok(()));
                }
                OLDEST
            }
        };
        let Some(key) = key else { return Ok(Ok(())) };
        let agent = entry.part(Part::Agent, names);
        self.visits.call(Call {
            key: &key,
            agent: agent.as_deref().and_then(|agent| product(agent.as_bytes())),
            version,
            failed: entry.status.is_some_and(|status| args.failure_status.contains(status)),
            time_ms: entry.time_ms,
        });
        if self.visits.is_full() {
            self.hand_on(false)?;
        }
        Ok(Ok(()))
    }
}

impl Seen {
    /// How long the versions before the newest were not called.
    fn quiet(&self) -> checks::Quiet {
        let (first_ms, now_ms) = self.clock.span.unwrap_or_default();
        let (new_ms, old) = self.last_ms.split_last().map_or((None, &[][..]), |(n, o)| (*n, o));
        let old_ms = old.iter().copied().flatten().max();
        checks::Quiet { old_ms, new_ms, first_ms, now_ms }
    }

    /// A request that no pattern knows.
    fn pass(&mut self, text: Option<&str>, time_ms: u64) {
        self.other += 1;
        self.other_last_ms = self.other_last_ms.max(Some(time_ms));
        if self.other_example.is_none() {
            self.other_example = text.map(str::to_owned);
        }
    }
}

impl<E: Engine, S> Census<'_, E, S>
where
    S: FnOnce(Start) -> Result<E, ReplayError>,
{
    /// Hands visits to the engine: those that nothing of the log can still belong to, or
    /// all.
    fn hand_on(&mut self, all: bool) -> Result<(), ReplayError> {
        if self.unversioned == Unversioned::Undecided {
            self.unversioned = Unversioned::Oldest;
        }
        if let Some(start) = self.start.take() {
            let (first_ms, _) = self.seen.clock.span.unwrap_or_default();
            self.ledger = Some(Ledger::start(start, &self.policy, self.args.seed, first_ms)?);
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let now_ms = self.seen.clock.span.map_or(0, |(_, last)| last);
        let (identity, visits) = (self.identity, &mut self.visits);
        visits.hand_on(all, identity, &mut |report| ledger.report(report, now_ms))
    }

    fn finish(mut self) -> Result<Known<E>, ReplayError> {
        if self.seen.clock.span.is_none() {
            let logs: Vec<String> =
                self.args.logs.iter().map(|log| super::source::name(log)).collect();
            return Err(ReplayError::Nothing { logs: logs.join(", ") });
        }
        self.hand_on(true)?;
        if self.unversioned == Unversioned::Oldest {
            self.seen.unversioned = std::mem::take(&mut self.seen.other);
            self.seen.requests[usize::from(OLDEST)] += self.seen.unversioned;
            let last_ms = &mut self.seen.last_ms[usize::from(OLDEST)];
            *last_ms = (*last_ms).max(self.seen.other_last_ms);
        }
        let Census { ledger, policy, visits, seen, .. } = self;
        // The first call finds a start, and leaves a ledger or an error.
        let ledger = ledger.ok_or_else(|| ReplayError::Census("no engine".to_owned()))?;
        Ok(Known { ledger, policy, late: visits.late(), versions: visits.versions, seen })
    }
}

/// Where names of this source come from, in the ledger's terms.
fn identity(key: &Source) -> Identity {
    match key {
        Source::Address | Source::AddressAndAgent | Source::Agent => Identity::Address,
        Source::Method
        | Source::Path
        | Source::Field(_)
        | Source::Header(_)
        | Source::PathMatch(_) => Identity::Key,
    }
}
