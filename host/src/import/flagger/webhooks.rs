//! Webhooks that wait become approvals; nothing is called.

use super::super::source::Field;
use super::Import;

impl Import<'_> {
    pub(super) fn webhook(&mut self, webhook: &Field<'_>) {
        let kind = webhook.value["type"].as_str().unwrap_or("rollout");
        let last = self.draft.steps.len().saturating_sub(1);
        let steps = match kind {
            "confirm-promotion" => last..self.draft.steps.len(),
            "confirm-traffic-increase" => 0..self.draft.steps.len(),
            _ => 0..0,
        };
        if steps.is_empty() {
            self.ledger.left(webhook, not_called(kind));
            return;
        }
        for place in steps {
            if let Some(step) = self.draft.steps.get_mut(place) {
                step.is_manual = true;
            }
            let how = "waits for `promote_rollout`, which a person or your pipeline sends; the \
                       address is not called";
            let path = format!("rollout.steps[{place}].approval");
            self.ledger.changed(webhook, &path, how);
        }
    }
}

fn not_called(kind: &str) -> &'static str {
    match kind {
        "confirm-rollout" => {
            "a rollout begins when `gradual_rollout` is sent: send it when this has been answered"
        }
        "pre-rollout" => "nothing is called: run it in your pipeline, before `gradual_rollout`",
        "post-rollout" => "nothing is called: run it in your pipeline, after `rollout_complete`",
        "rollback" => "nothing is asked: whoever decides this sends `abort_rollout`",
        "event" => "nothing is called: the node writes every event to its log",
        "confirm-promotion" | "confirm-traffic-increase" => {
            "there is no step for it to wait in: approve by hand"
        }
        _ => "nothing is called: make load, and run tests, in your pipeline",
    }
}
