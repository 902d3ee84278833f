//! What a plan's author should change, in words.

use crossfade_protocol::Plan;
use serde::Serialize;

use super::search::{Found, GRID, NEVER_MS};
use super::stage::Stage;
use super::table::lasting;

/// Times out, or is taken back though healthy, more often than anyone would want.
pub(super) const TOO_OFTEN: f64 = 0.1;

/// A remark on a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    /// Path in the plan.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// All remarks, in the order of the steps.
pub(super) fn of(plan: &Plan, stages: &[Stage], steps: &[Found]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for stage in stages {
        let path = format!("rollout.steps[{}]", stage.number - 1);
        let mut warn = |message: String| {
            warnings.push(Warning { path: path.clone(), message });
        };
        if stage.is_without_control() {
            warn("begins with everybody on v2: nothing is left to compare it with".into());
            continue;
        }
        let Some(found) = steps.iter().find(|found| found.step == stage.number) else { continue };
        if found.false_rollback.low > plan.gate.failures.alpha
            && found.false_rollback.ratio > TOO_OFTEN
        {
            let percent = found.false_rollback.ratio * 100.0;
            warn(format!(
                "takes back a v2 that is as good as v1 in {percent:.0} % of rollouts: v1 itself \
                 breaks a bound of the gate (`gate.slo`, `gate.latency.slo_ms`)"
            ));
            // Nothing else about the step means anything then.
            continue;
        }
        health(stage, found, &mut warn);
        if found.smallest_caught.ratio.is_none() {
            let worst = GRID[GRID.len() - 1];
            let watched = lasting(found.watched_minutes);
            let after = if stage.is_advancing() {
                ", and goes on all the same: give it more time or a larger share, or let it wait \
                 (`gate.on_inconclusive: hold`)"
            } else {
                "; it does not go on without proof either"
            };
            warn(format!(
                "cannot see a v2 that fails {worst} times as often in its {watched}{after}"
            ));
        }
    }
    warnings
}

/// Whether and when a healthy v2 passes.
fn health(stage: &Stage, found: &Found, warn: &mut impl FnMut(String)) {
    if stage.is_advancing() {
        return;
    }
    let never = lasting(found.healthy_minutes.looked_minutes);
    let healthy = &found.healthy_minutes;
    if let (Some(timed_out), Some(max)) = (found.timed_out, found.max_minutes)
        && timed_out.ratio > TOO_OFTEN
    {
        let percent = timed_out.ratio * 100.0;
        let needed = match healthy.p90.value {
            Some(p90) => format!("nine in ten rollouts need {}", lasting(p90)),
            None => format!("even {never} would not do"),
        };
        let how_often = match timed_out.ratio {
            1.0 => "can never conclude".to_owned(),
            _ => format!("times out in {percent:.0} % of rollouts"),
        };
        warn(format!(
            "{how_often}: proof that v2 is healthy does not come within `max_minutes` ({}); \
             {needed}",
            lasting(max)
        ));
    } else if healthy.median.value.is_none()
        || healthy.looked_minutes >= NEVER_MS as f64 / 60_000.0
            && healthy.proven.ratio < 1.0 - TOO_OFTEN
    {
        warn(format!(
            "can never conclude: proof that v2 is healthy takes longer than {never} at this \
             traffic, so the rollout would stay here; give it a larger share, or let a person \
             decide (`promote_rollout`)"
        ));
    }
}
