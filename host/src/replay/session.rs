//! One run over the logs, from the first line to the report.

mod finish;

use std::borrow::Cow;

use crossfade_protocol::limits::ATTRIBUTE_BYTES_MAX;

use super::driver::{Driver, Engine, Request};
use super::entry::{BadLine, Entry};
use super::policy::Policy;
use super::reading::{self, Clock, Reading, Take};
use super::report::{FileRow, Input, Report};
use super::{ReplayArgs, ReplayError};
use crate::Start;

/// The report, and the first and last time of the log.
pub(super) type Replayed = (Report, Option<(u64, u64)>);

/// A run.
pub(super) struct Session<'a, E, S> {
    args: &'a ReplayArgs,
    policy: Policy,
    start: Option<S>,
    driver: Option<Driver<E>>,
    requests: u64,
    clock: Clock,
    /// What the engine thinks of the policy.
    warnings: Vec<String>,
    /// Files that begin before the one before them ended.
    overlapping: Vec<String>,
}

impl<'a, E: Engine, S> Session<'a, E, S>
where
    S: FnOnce(Start) -> Result<E, ReplayError>,
{
    pub(super) fn new(args: &'a ReplayArgs, start: S) -> Result<Session<'a, E, S>, ReplayError> {
        let policy = match (&args.policy, &args.split) {
            (Some(path), _) => Policy::read(path)?,
            (None, Some(weights)) => Policy::split(weights, args.sticky, &args.salt),
            (None, None) => Policy::canary(args.canary, &args.salt),
        };
        Ok(Session {
            args,
            policy,
            start: Some(start),
            driver: None,
            requests: 0,
            clock: Clock::default(),
            warnings: Vec::new(),
            overlapping: Vec::new(),
        })
    }

    /// Reads every log and reports.
    pub(super) fn run(mut self) -> Result<Replayed, ReplayError> {
        let mut reading = Reading::new(self.args);
        for log in &self.args.logs {
            reading.log(log, &mut self)?;
        }
        reading.finish();
        finish::report(self, reading)
    }

    /// The engine, started when it is first needed.
    fn driver(&mut self, now_ms: u64) -> Result<&mut Driver<E>, ReplayError> {
        if let Some(start) = self.start.take() {
            // "wall": a rollout in the plan takes the time that the log takes.
            let document = br#"{"clock":"wall","node":"replay"}"#.to_vec();
            let mut engine = start(Start { document, seed: self.args.seed, now_ms })?;
            self.warnings = super::policy::configure(&mut engine, &self.policy, now_ms)?;
            let versions = self.policy.versions();
            let pace = self.policy.pace();
            self.driver = Some(Driver::new(engine, versions, pace, self.args.seed));
        }
        // Only the first call finds a start, and it leaves a driver or an error.
        self.driver.as_mut().ok_or_else(|| ReplayError::Nothing { logs: String::new() })
    }
}

impl<E: Engine, S> Take for Session<'_, E, S>
where
    S: FnOnce(Start) -> Result<E, ReplayError>,
{
    /// Sends one line's request to the engine, or says why it is none.
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
        let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
        for attribute in &args.attributes {
            if let Some(value) = attribute.source.find(&entry, names) {
                if value.len() > ATTRIBUTE_BYTES_MAX {
                    let (name, bytes) = (attribute.name.clone(), value.len());
                    return Ok(Err(BadLine::Attribute { name, bytes }));
                }
                attributes.push((&attribute.name, value));
            }
        }
        let first = file.requests == 0;
        if self.clock.request(&entry, key.is_some(), file, input) && first {
            self.overlapping.push(file.name.clone());
        }
        self.requests += 1;
        let request = Request {
            time_ms: entry.time_ms,
            key: key.as_deref(),
            attributes: &attributes,
            failed: entry.status.map(|status| args.failure_status.contains(status)),
        };
        self.driver(entry.time_ms)?.request(request).map(Ok)
    }
}
