//! The plan while it is being put together.

use crossfade_protocol::Share;
use serde_json::{Map, Value, json};

/// A plan in the making, in the order in which it is written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) rules: Vec<Value>,
    pub(super) steps: Vec<Step>,
    /// Share of requests that may fail.
    pub(super) max_failure_ratio: Option<f64>,
    pub(super) latency: Option<Latency>,
    /// What is in the plan and in no source.
    pub(super) added: Vec<Added>,
}

/// A step of the rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) percentage: Share,
    pub(super) duration_ms: f64,
    /// A person must promote it.
    pub(super) is_manual: bool,
}

/// A bound on latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latency {
    pub(super) slo_ms: f64,
    pub(super) quantile: f64,
}

/// A part of the plan that the source does not have.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Added {
    /// Its path in the plan.
    pub(super) path: String,
    /// Whether its author has to put something else there.
    pub(super) is_placeholder: bool,
    pub(super) why: String,
}

/// How the API, its key and its versions are called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) api: String,
    pub(super) key: Value,
    pub(super) from: String,
    pub(super) to: String,
}

impl Draft {
    /// Notes a part of the plan that the source does not have.
    pub(super) fn add(&mut self, path: impl Into<String>, why: impl Into<String>) {
        self.added.push(Added { path: path.into(), is_placeholder: false, why: why.into() });
    }

    /// Path of a field of the newest step.
    pub(super) fn step_path(&self, field: &str) -> String {
        format!("rollout.steps[{}].{field}", self.steps.len().saturating_sub(1))
    }

    /// The newest step, when time may still be added to it. After a person's word the
    /// share stays, but the clock begins anew: that is another step.
    pub(super) fn open_step(&mut self) -> Option<&mut Step> {
        let last = *self.steps.last()?;
        if last.is_manual {
            self.steps.push(Step { duration_ms: 0.0, is_manual: false, ..last });
            let path = self.step_path("percentage");
            self.add(path, "the same share again: time goes on after the approval");
        }
        self.steps.last_mut()
    }

    /// Ends with everything on the new version.
    pub(super) fn finish(&mut self, why: &str) {
        if self.steps.last().is_some_and(|last| last.percentage < Share::FULL) {
            self.steps.push(Step { percentage: Share::FULL, duration_ms: 0.0, is_manual: false });
            let path = self.step_path("percentage");
            self.add(path, why);
        }
    }

    /// The document.
    pub(super) fn plan(&self, names: &Names) -> Value {
        let mut plan = Map::new();
        plan.insert("api".into(), names.api.as_str().into());
        plan.insert("versions".into(), json!({ "from": names.from, "to": names.to }));
        plan.insert("key".into(), names.key.clone());
        if !self.rules.is_empty() {
            plan.insert("rules".into(), self.rules.clone().into());
        }
        if !self.steps.is_empty() {
            let steps: Vec<Value> = self.steps.iter().map(Step::document).collect();
            plan.insert("rollout".into(), json!({ "steps": steps }));
        }
        let mut gate = Map::new();
        if let Some(ratio) = self.max_failure_ratio {
            gate.insert("slo".into(), json!({ "max_failure_ratio": tidy(ratio) }));
        }
        if let Some(Latency { slo_ms, quantile }) = self.latency {
            let latency = json!({ "slo_ms": number(slo_ms), "quantile": tidy(quantile) });
            gate.insert("latency".into(), latency);
        }
        gate.insert("on_inconclusive".into(), "hold".into());
        plan.insert("gate".into(), gate.into());
        plan.into()
    }
}

impl Step {
    fn document(&self) -> Value {
        let mut step = Map::new();
        step.insert("percentage".into(), json!(self.percentage));
        step.insert("duration_minutes".into(), number(self.duration_ms / 60_000.0));
        if self.is_manual {
            step.insert("approval".into(), "manual".into());
        }
        step.into()
    }
}

/// A number as a person would write it: whole where it is, without the tail that
/// arithmetic leaves (`1 - 0.95`).
fn number(number: f64) -> Value {
    let number = tidy(number);
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

fn tidy(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}
