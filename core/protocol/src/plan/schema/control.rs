//! The parts that act over time: guard, rollout, gate.

use serde_json::{Value, json};

use super::{count, described, flag, object, share, words};
use crate::limits::{MINUTES_MAX, STEPS_MAX, WINDOWS_MAX};
use crate::plan::{FailureGate, MissingDataPolicy};

/// Strictly between 0 and 1.
pub(super) fn fraction(description: &str) -> Value {
    json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1,
        "description": description })
}

/// From 1 to 10.
fn ratio(description: &str, default: f64) -> Value {
    json!({ "type": "number", "minimum": 1, "maximum": 10, "default": default,
        "description": description })
}

pub(super) fn minutes(description: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": MINUTES_MAX, "description": description })
}

pub(super) fn above_zero(mut schema: Value) -> Value {
    schema["exclusiveMinimum"] = 0.into();
    schema
}

/// A date, or a time with its zone.
pub(super) fn instant(description: &str) -> Value {
    json!({
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$",
        "description": description,
        "examples": ["2027-01-31", "2027-03-01T00:00Z"],
    })
}

pub(super) fn guard() -> Value {
    let guard = object(
        json!({
            "max_failure_ratio": fraction("Share of the new version's requests that may fail: \
                0.2 is 20 %."),
            "min_requests": described(count(), "Requests of the new version before it may act."),
        }),
        &["max_failure_ratio", "min_requests"],
    );
    described(guard, "The node's own brake: it takes the new version away at once.")
}

pub(super) fn rollout() -> Value {
    let window = object(
        json!({
            "from": instant("Its first moment."),
            "to": instant("The first moment after it."),
        }),
        &["from", "to"],
    );
    let rollout = object(
        json!({
            "steps": { "type": "array", "items": step(), "minItems": 1, "maxItems": STEPS_MAX,
                "description": "Percentages never fall; only the last step is watched." },
            "rollback": rollback(),
            "freeze": { "type": "array", "items": window, "maxItems": WINDOWS_MAX,
                "description": "Windows in which no step begins." },
        }),
        &["steps"],
    );
    described(rollout, "How the share of the new version grows.")
}

fn step() -> Value {
    let mut step = object(
        json!({
            "percentage": described(above_zero(share()), "Share of the new version."),
            "duration_minutes": minutes("How long it lasts at least."),
            "max_minutes": minutes("How long it may wait for evidence; no bound when absent."),
            "approval": words("Whether a person must promote it.", &["none", "manual"], "none"),
            "watch_minutes": minutes("How long health is watched after the last step has been \
                reached for good."),
            "evidence": words("`auto`: it ends as soon as health is proven, and not before.",
                &["default", "auto"], "default"),
        }),
        &["percentage"],
    );
    step["anyOf"] = json!([
        { "required": ["duration_minutes"] },
        { "required": ["watch_minutes"] },
        { "required": ["evidence"], "properties": { "evidence": { "const": "auto" } } },
    ]);
    step["examples"] = json!([{ "percentage": 10, "duration_minutes": 60 }]);
    step
}

fn rollback() -> Value {
    let pace = described(above_zero(share()), "Share given back each minute.");
    json!({
        "description": "How the new version is taken back: to 0 % at once, or at a pace that the old \
            version can take.",
        "oneOf": [
            object(json!({ "mode": { "const": "instant" } }), &["mode"]),
            object(
                json!({ "mode": { "const": "stepped" }, "percentage_per_minute": pace }),
                &["mode", "percentage_per_minute"],
            ),
        ],
        "examples": [{ "mode": "instant" }],
    })
}

pub(super) fn gate() -> Value {
    let slo = object(
        json!({ "max_failure_ratio": fraction("Share of requests that may fail: 0.005 is 0.5 %.") }),
        &["max_failure_ratio"],
    );
    let missing = MissingDataPolicy::default().after_minutes;
    let missing = object(
        json!({
            "after_minutes": { "type": "number", "minimum": 0, "maximum": MINUTES_MAX,
                "default": missing, "description": "How long nothing may come." },
            "then": words("What happens then.", &["hold", "advance", "roll_back"], "hold"),
        }),
        &[],
    );
    let gate = object(
        json!({
            "failures": failures(),
            "latency": latency(),
            "slo": described(slo, "A bound on the new version's failures, whatever the old one's."),
            "on_inconclusive": words("What a step does that ends without evidence either way.",
                &["hold", "advance"], "hold"),
            "on_missing_data": described(missing, "What happens when reports stop coming."),
        }),
        &[],
    );
    described(gate, "What counts as healthy.")
}

fn failures() -> Value {
    let default = FailureGate::default();
    let with_default = |mut schema: Value, default: f64| {
        schema["default"] = default.into();
        schema
    };
    let tolerated = object(
        json!({
            "ratio": { "type": "number", "exclusiveMinimum": 1, "maximum": 10,
                "default": default.not_worse.ratio,
                "description": "Times the old version's failure rate." },
            "points": { "type": "number", "exclusiveMinimum": 0, "maximum": 50,
                "default": default.not_worse.points,
                "description": "Percentage points above the old version's failure rate." },
        }),
        &[],
    );
    let failures = object(
        json!({
            "margin": ratio("Times the old version's failure rate that the new one may have \
                before it counts as worse.", default.margin),
            "not_worse": described(tolerated, "What `healthy` has to prove: below either bound."),
            "alpha": with_default(fraction("Chance of rolling a healthy version back, over the \
                whole rollout."), default.alpha),
            "beta": with_default(fraction("Chance of calling a worse version healthy, per step."),
                default.beta),
            "min_effect": ratio("Below this estimated ratio the new version is not taken back, \
                however sure it is that it is worse.", default.min_effect),
        }),
        &[],
    );
    described(failures, "Failures of the new version against the old one.")
}

fn latency() -> Value {
    let mut latency = object(
        json!({
            "slower_than_old": flag("Whether the new version is taken back when it is slower than \
                the old one.", true),
            "slo_ms": { "type": "number", "exclusiveMinimum": 0, "maximum": 180_000,
                "description": "A bound in milliseconds." },
            "quantile": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1,
                "default": 0.99, "description": "The quantile that must stay under the bound." },
        }),
        &[],
    );
    latency["anyOf"] = json!([
        { "required": ["slo_ms"] },
        { "properties": { "slower_than_old": { "const": true } } },
    ]);
    described(latency, "Latency against the old version, against a bound, or both.")
}
