//! The engine that keeps the table.

use crossfade_protocol::clients::ClientsReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Start;
use crate::clients::Listed;
use crate::replay::policy::{Policy, configure};
use crate::replay::{Engine, ReplayArgs, ReplayError};

/// Clients of one answer.
pub(super) const PAGE: u64 = 10_000;

/// In so many ticks an engine looks at all clients, however many they are.
const LOOK_TICKS: usize = 130;

/// It does so when the log has become longer by one in so many: what a look costs grows with
/// the log, too. The curve of who is left has hardly more points.
const LOOK_PART: u64 = 8;

/// And not before the log is this much longer.
const LOOK_AFTER_MS: u64 = 6 * 3_600_000;

/// The plan of the census: its versions, and where there is a policy, how sure one wants to
/// be of a sunset.
///
/// # Errors
/// The policy cannot be read, or its versions are others.
pub(super) fn plan(args: &ReplayArgs, versions: &[String]) -> Result<Policy, ReplayError> {
    let Some(path) = &args.policy else { return Ok(Policy::counting(versions)) };
    let policy = Policy::read(path)?;
    let listed = match &policy.document["versions"] {
        Value::Array(list) => list.clone(),
        two => vec![two["from"].clone(), two["to"].clone()],
    };
    if listed != versions {
        let text = format!(
            "--version-of names {}, and the policy has {}: name the same, the oldest first",
            versions.join(", "),
            json!(listed)
        );
        return Err(ReplayError::Census(text));
    }
    Ok(policy)
}

/// See the module.
pub(super) struct Ledger<E> {
    engine: E,
    buffer: Vec<u8>,
    first_ms: u64,
    look_ms: u64,
}

impl<E: Engine> Ledger<E> {
    pub(super) fn start(
        start: impl FnOnce(Start) -> Result<E, ReplayError>,
        policy: &Policy,
        seed: u64,
        now_ms: u64,
    ) -> Result<Ledger<E>, ReplayError> {
        // "wall": the engine's time is the log's.
        let document = json!({ "clock": "wall", "node": "replay" }).to_string().into_bytes();
        let mut engine = start(Start { document, seed, now_ms })?;
        configure(&mut engine, policy, now_ms)?;
        Ok(Ledger { engine, buffer: Vec::new(), first_ms: now_ms, look_ms: now_ms })
    }

    /// Hands on what clients did, at the time of the log.
    pub(super) fn report(
        &mut self,
        report: &ClientsReport,
        now_ms: u64,
    ) -> Result<(), ReplayError> {
        self.buffer.clear();
        let wrong = |error: &dyn std::fmt::Display| ReplayError::Unexpected {
            request: "report_clients",
            reply: error.to_string(),
        };
        serde_json::to_writer(&mut self.buffer, report).map_err(|error| wrong(&error))?;
        let latest = report.clients.iter().flat_map(|row| &row.counts).map(|count| count.last_s);
        let latest_ms = latest.max().map_or(now_ms, |at_s| u64::from(at_s) * 1000);
        self.look(latest_ms.min(now_ms))?;
        let said = self.engine.merge(&self.buffer)?;
        read::<Value>("report_clients", said).map(|_| ())
    }

    /// Moves the engine's time, and has it look at its clients from time to time.
    fn look(&mut self, now_ms: u64) -> Result<(), ReplayError> {
        if now_ms < self.look_ms {
            return self.engine.handle(b"", now_ms).map(|_| ());
        }
        let part_ms = now_ms.saturating_sub(self.first_ms) / LOOK_PART;
        self.look_ms = now_ms.saturating_add(part_ms.max(LOOK_AFTER_MS));
        for _ in 0..LOOK_TICKS {
            self.engine.tick(now_ms)?;
        }
        Ok(())
    }

    /// A part of the table.
    pub(super) fn clients(&mut self, question: Value, now_ms: u64) -> Result<Listed, ReplayError> {
        let (_, listed) = self.ask("get_clients", question, now_ms)?;
        Ok(listed)
    }

    /// An answer, as it was written and as it was read.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        request: &'static str,
        mut message: Value,
        now_ms: u64,
    ) -> Result<(Value, T), ReplayError> {
        message["type"] = request.into();
        message["msg_id"] = 1.into();
        let said = self.engine.handle(format!("{message}\n").as_bytes(), now_ms)?;
        let mut written: Value = read(request, said)?;
        let typed = serde_json::from_value(written.clone());
        let typed =
            typed.map_err(|error| ReplayError::Unexpected { request, reply: error.to_string() })?;
        if let Some(fields) = written.as_object_mut() {
            fields.remove("type");
            fields.remove("in_reply_to");
        }
        Ok((written, typed))
    }
}

/// The last line of an answer, unless it is an error.
fn read<T: DeserializeOwned>(request: &'static str, said: &[u8]) -> Result<T, ReplayError> {
    #[derive(Deserialize)]
    struct Head {
        r#type: String,
    }
    let unexpected = |said: &[u8]| ReplayError::Unexpected {
        request,
        reply: crate::replay::text::shown(said, 300),
    };
    let line = said.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<Head>(line) {
        Ok(head) if head.r#type != "error" => {
            serde_json::from_slice(line).map_err(|_| unexpected(line))
        }
        _ => Err(unexpected(line)),
    }
}
