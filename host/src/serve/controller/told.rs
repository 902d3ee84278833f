//! What people are told of the whole.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Running;
use crate::serve::clock::Reading;
use crate::serve::engine::Engine;
use crate::serve::history::Sample;
use crate::serve::job::Refusal;
use crate::serve::machine::Instant;
use crate::serve::store::{Store, View};

/// Clients that are shown to whoever opens the store.
const CLIENTS_SHOWN: u64 = 1_000;

impl Running {
    /// Everything that a person wants to see at once.
    pub(super) fn status(&mut self, now_ms: u64, store: &dyn Store) -> Result<Value, Refusal> {
        let rollout = self.raw("get_rollout", "rollout", now_ms)?;
        let migration = self.raw("get_migration_stats", "migration_stats", now_ms)?;
        let sunset = self.sunset(now_ms)?;
        let mirrors = self.policy.as_ref().is_some_and(|policy| mirrors(&policy.document));
        let shadow = if mirrors { self.shadow(now_ms)? } else { Value::Null };
        let document = self.policy.as_ref().map(|policy| &policy.document);
        let at = |path: &str| document.and_then(|document| document.pointer(path)).cloned();
        let revision = self.policy.as_ref().map_or(0, |policy| policy.revision);
        Ok(json!({
            "api": at("/api"),
            "revision": revision,
            "versions": at("/versions"),
            "now_ms": now_ms,
            "started_ms": self.started_ms,
            "rollout": rollout,
            "plan": at("/rollout/steps").unwrap_or_else(|| json!([])),
            "migration": migration,
            "sunset": sunset,
            "shadow": shadow,
            "nodes": self.nodes.summary(revision, now_ms),
            "engine": self.engine.about(),
            "store": { "name": store.name(), "lead": "ours", "committed_ms": self.kept_ms },
            "clock_offset_ms": self.clock.offset_ms(Reading::now()),
        }))
    }

    /// The numbers that charts are drawn from.
    pub(super) fn sample(&mut self, now_ms: u64) -> Result<Sample, Refusal> {
        let rollout = self.raw("get_rollout", "rollout", now_ms)?;
        let migration = self.raw("get_migration_stats", "migration_stats", now_ms)?;
        let versions = self.policy.as_ref().and_then(|policy| policy.document.get("versions"));
        Ok(Sample::of(&json!({
            "now_ms": now_ms,
            "versions": versions,
            "rollout": rollout,
            "migration": migration,
        })))
    }

    /// Whether the old version can go. The engine goes through all clients for that, so what
    /// took it long is told for a while: no more than a twentieth of the time goes into it,
    /// however often people ask.
    fn sunset(&mut self, now_ms: u64) -> Result<Box<RawValue>, Refusal> {
        if let Some((told, until)) = &self.sunset
            && Instant::now() < *until
        {
            return Ok(told.clone());
        }
        let began = Instant::now();
        let sunset = self.raw("get_sunset", "sunset", now_ms)?;
        self.sunset = Some((sunset.clone(), Instant::now() + 20 * began.elapsed()));
        Ok(sunset)
    }

    /// What the shadow has compared. Where a migration may go depends on its clients, so
    /// this is as dear as the sunset, and told for a while, too.
    fn shadow(&mut self, now_ms: u64) -> Result<Value, Refusal> {
        if let Some((told, until)) = &self.shadow
            && Instant::now() < *until
        {
            return Ok(told.clone());
        }
        let began = Instant::now();
        let life = self.engine.ask(&json!({ "type": "get_life" }), "life", now_ms)?;
        let life: Value = serde_json::from_str(&life).unwrap_or_default();
        let shadow = life["shadow"].clone();
        self.shadow = Some((shadow.clone(), Instant::now() + 20 * began.elapsed()));
        Ok(shadow)
    }

    fn raw(
        &mut self,
        message: &str,
        answer: &'static str,
        now_ms: u64,
    ) -> Result<Box<RawValue>, Refusal> {
        let reply = self.engine.ask(&json!({ "type": message }), answer, now_ms)?;
        RawValue::from_string(reply).map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    /// The state for whoever opens the store. A part that cannot be told is left out.
    pub(super) fn views(&mut self, now_ms: u64) -> Vec<View> {
        let messages = [
            ("rollout", json!({ "type": "get_rollout" }), "rollout"),
            ("migration_stats", json!({ "type": "get_migration_stats" }), "migration_stats"),
            ("clients", json!({ "type": "get_clients", "limit": CLIENTS_SHOWN }), "clients"),
        ];
        let mut views = Vec::new();
        for (name, message, answer) in messages {
            if let Ok(body) = self.engine.ask(&message, answer, now_ms) {
                views.push(View { name, body });
            }
        }
        views.push(View { name: "nodes", body: self.nodes.listed(now_ms).to_string() });
        views
    }
}

/// Whether edges that get this policy mirror requests.
pub(super) fn mirrors(document: &Value) -> bool {
    document.get("shadow").is_some_and(|shadow| shadow.get("stopped") != Some(&true.into()))
}

/// Where the rollout stands, in a sentence.
///
/// # Errors
/// The engine does not say.
pub(crate) fn standing(engine: &mut Engine, now_ms: u64) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Rollout {
        phase: String,
        step: u64,
        steps: u64,
        percentage: serde_json::Number,
    }
    let reply = engine.ask(&json!({ "type": "get_rollout" }), "rollout", now_ms)?;
    Ok(match serde_json::from_str::<Rollout>(&reply) {
        Ok(Rollout { phase, step, steps, percentage }) if step > 0 => {
            let phase = phase.replace('_', " ");
            format!("the rollout is {phase} in step {step} of {steps} at {percentage} %.")
        }
        _ => "there is no rollout.".to_owned(),
    })
}
