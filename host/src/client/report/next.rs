//! What whoever looks at a status may or must do now.

use super::VALUES;
use crate::client::page::{Line, Page, Tone, minutes};
use crate::client::status::{Phase, Status};

impl Status {
    pub(super) fn next(&self, page: &mut Page) {
        let head = Line::default().with(Tone::Strong, "Next").to(VALUES);
        page.paragraph(head, Tone::Plain, &self.advice());
    }

    /// One or two sentences.
    fn advice(&self) -> String {
        let (old, new) = (self.old_version(), self.new_version());
        match self.rollout.phase {
            Phase::Idle if self.shadow.as_ref().is_some_and(|shadow| !shadow.is_enough()) => {
                format!(
                    "wait for comparisons: nobody gets {new} before. `crossfade life advance \
                     canary --force` goes on without"
                )
            }
            Phase::Idle if self.plan.is_empty() => {
                "`crossfade policy set FILE` with a plan that has a `rollout`: this one has none"
                    .to_owned()
            }
            Phase::Idle => "`crossfade start` begins the rollout".to_owned(),
            Phase::Progressing => self.while_progressing(),
            Phase::Held => format!(
                "wait for evidence: {new} has to be proven healthy, which takes requests. \
                 `crossfade promote` goes on without, `crossfade abort` takes {new} back"
            ),
            Phase::TimedOut => format!(
                "a person has to decide: `crossfade promote` goes on, `crossfade resume` gives the \
                 step its time again, `crossfade abort` takes {new} back"
            ),
            Phase::AwaitingApproval => format!(
                "a person has to approve: `crossfade promote` goes on, `crossfade abort` takes \
                 {new} back"
            ),
            Phase::Frozen => {
                "wait for the end of the freeze window; no step begins before".to_owned()
            }
            Phase::Paused => format!(
                "`crossfade resume` lets the clock run again; health is watched all the same, and \
                 `crossfade abort` takes {new} back"
            ),
            Phase::Watching => {
                let left = self.current_step().and_then(|step| {
                    Some((step.watch_minutes? - self.rollout.step_minutes).max(0.0))
                });
                let when = left.map_or(String::new(), |left| format!(" in {}", minutes(left)));
                format!("nothing: {new} is still watched, and the rollout is complete{when}")
            }
            Phase::RollingBack => format!(
                "nothing: {new} is taken back bit by bit. `crossfade abort` takes it back at once"
            ),
            Phase::Completed if self.sunset.as_ref().is_some_and(|sunset| sunset.ready) => {
                format!("{old} can be switched off; `crossfade undo` restores what was before")
            }
            Phase::Completed => format!(
                "`crossfade clients --version {old}` lists who is left; `crossfade undo` restores \
                 what was before"
            ),
            Phase::RolledBack | Phase::Aborted | Phase::Undone => {
                "`crossfade retry` begins again, \
                 with the same clients; `crossfade events` tells what happened"
                    .to_owned()
            }
            Phase::Other => "`crossfade events` tells what happened".to_owned(),
        }
    }

    fn while_progressing(&self) -> String {
        let new = self.new_version();
        let stop = format!("`crossfade pause` stops the clock, `crossfade abort` takes {new} back");
        let Some(step) = self.current_step() else {
            return format!("nothing: the rollout goes on by itself. {stop}");
        };
        let goes_on = if step.approval.as_deref() == Some("manual") {
            "a person has to approve the end of this step"
        } else {
            "the rollout goes on by itself"
        };
        match self.to_go(step) {
            Some(left) if left > 0.0 => {
                format!("nothing: {goes_on}, in {} at the earliest. {stop}", minutes(left))
            }
            _ => format!("nothing: {goes_on}. {stop}"),
        }
    }
}
