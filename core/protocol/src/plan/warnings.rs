//! What a plan may say but probably does not mean.

mod dates;

use super::{PinBackMode, Plan, Privacy, Then, Traffic};
use crate::error::Problem;
use crate::share::Share;

pub(super) fn of(plan: &Plan) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut warn = |path: String, message: String| warnings.push(Problem { path, message });
    if plan.kill_switch {
        let stable = plan.versions.stable();
        let mut message =
            format!("is on: every request goes to {stable}, whatever else is written");
        if let Some(at) = plan.deprecation.as_ref().and_then(|dates| dates.sunset_at) {
            message.push_str(&format!(
                ", until the sunset of {at}: from then on it sends nobody there; if {stable} still runs, move `sunset_at` first"
            ));
        }
        warn("kill_switch".into(), message);
    }
    let always = plan.rules.iter().position(|rule| rule.when.is_none());
    if let Some(always) = always.filter(|always| always + 1 < plan.rules.len()) {
        let name = &plan.rules[always].name;
        warn(
            format!("rules[{}]", always + 1),
            format!("is never reached: `{name}` before it always matches"),
        );
    }
    if always.is_some() && plan.traffic != Traffic::Stable {
        warn(
            "rules".into(),
            "a rule without a condition decides everything: the split or canary is never reached"
                .into(),
        );
    }
    for (place, rule) in plan.rules.iter().enumerate() {
        if let Then::Split(split) = &rule.then
            && split.0.iter().filter(|(_, weight)| weight.hundredths() > 0).count() == 1
        {
            warn(
                format!("rules[{place}].split"),
                "has one version only: `to` says the same".into(),
            );
        }
    }
    if let Some(rollout) = &plan.rollout {
        if let Some(first) = rollout.steps.first().filter(|step| step.percentage == Share::FULL) {
            warn(
                "rollout.steps[0]".into(),
                format!(
                    "begins at {}: nothing is learnt before everyone is on it",
                    first.percentage
                ),
            );
        }
        if let Some(last) = rollout.steps.last().filter(|step| step.percentage < Share::FULL) {
            warn(
                "rollout.steps".into(),
                format!("end at {}: the migration will not be complete", last.percentage),
            );
        }
        for (place, pair) in rollout.steps.windows(2).enumerate() {
            if let [a, b] = pair
                && a.percentage == b.percentage
            {
                warn(
                    format!("rollout.steps[{}]", place + 1),
                    format!("does not raise the share above {}", a.percentage),
                );
            }
        }
    }
    if plan.privacy == Privacy::Hashed && plan.clients.pin_back.mode == PinBackMode::Auto {
        warn(
            "clients.pin_back.mode".into(),
            "is `auto`, and `privacy: hashed` keeps hashes that no edge can tell: clients that fail are told, and pinned back by nobody; names in `clients.pinned_back` are"
                .into(),
        );
    }
    dates::of(plan, &mut warnings);
    warnings
}
