//! Questions that have nothing to do with the engine's state.

use crossfade_protocol::plan::Plan;
use crossfade_protocol::reply::{GateVerdict, PolicyChecked, json_value};
use crossfade_protocol::request::GateQuestion;
use serde_json::Value;

use crate::gate::evidence::FailureEvidence;
use crate::gate::segment::{Arm, Segment};
use crate::health::failure_config;

/// Every problem of a document, and what it probably does not mean.
pub(super) fn check_policy(document: &Value) -> PolicyChecked {
    match Plan::read(document) {
        Ok(plan) => {
            PolicyChecked { valid: true, problems: Vec::new(), more: 0, warnings: plan.warnings() }
        }
        Err(problems) => PolicyChecked {
            valid: false,
            problems: problems.list,
            more: problems.more,
            warnings: Vec::new(),
        },
    }
}

/// The gate as a calculator.
pub(super) fn evaluate_gate(question: &GateQuestion) -> GateVerdict {
    let segments = question.segments.iter().map(|counts| {
        let mut segment = Segment::default();
        segment.count(Arm::Canary, counts.canary_requests, counts.canary_failures);
        segment.count(Arm::Control, counts.control_requests, counts.control_failures);
        segment
    });
    let segments: Vec<Segment> = segments.collect();
    let evidence = FailureEvidence::of_segments(&segments, &failure_config(&question.gate));
    GateVerdict {
        verdict: evidence.finding.verdict.as_str().into(),
        evidence: json_value(&evidence),
        reason: evidence.sentence(),
    }
}
