//! The steps of a rollout, one a line.

use crate::client::page::{Line, Page, Tone, minutes, percent};
use crate::client::status::{Phase, PlanStep, Standing, Status};

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Passed,
    Current,
    TakenBack,
    ToCome,
}

impl Status {
    /// Writes the rail. Of a plan that is not the rollout's any more, only the steps.
    pub(super) fn rail(&self, page: &mut Page) {
        let width = |text: fn(&PlanStep) -> String| {
            self.plan.iter().map(|step| text(step).chars().count()).max().unwrap_or(0)
        };
        let shares = width(|step| percent(step.percentage));
        let times = width(planned);
        for (place, step) in self.plan.iter().enumerate() {
            let stage = self.stage(place + 1);
            let (mark, tone) = match stage {
                Stage::Passed => ('✔', Tone::Good),
                Stage::Current => ('●', Tone::Strong),
                Stage::TakenBack => ('✘', Tone::Bad),
                Stage::ToCome => ('○', Tone::Faint),
            };
            let share = percent(step.percentage);
            let line = Line::default().and("  ").with(tone, mark.to_string());
            let line = line.with(tone, format!("  {share:>shares$}  "));
            let line = line.and(format!("{:times$}  ", planned(step)));
            page.push(line.with(tone, self.said(stage, step)));
        }
    }

    fn stage(&self, number: usize) -> Stage {
        let rollout = &self.rollout;
        if self.current_step().is_none() || number > rollout.step {
            return Stage::ToCome;
        }
        let back =
            rollout.phase.standing() == Standing::TakenBack || rollout.phase == Phase::RollingBack;
        match (number == rollout.step, back) {
            (true, true) => Stage::TakenBack,
            (true, false) if rollout.phase == Phase::Completed => Stage::Passed,
            (true, false) => Stage::Current,
            (false, _) => Stage::Passed,
        }
    }

    /// What is said of a step behind its plan.
    fn said(&self, stage: Stage, step: &PlanStep) -> String {
        let spent = minutes(self.rollout.step_minutes);
        match stage {
            Stage::Passed => "passed".to_owned(),
            Stage::ToCome => String::new(),
            Stage::TakenBack => format!("{} here", self.rollout.phase.name()),
            Stage::Current => match self.rollout.phase {
                Phase::Progressing => match self.to_go(step) {
                    Some(left) => format!("{spent} in, {} to go", minutes(left)),
                    None => format!("{spent} in"),
                },
                Phase::Watching => match step.watch_minutes {
                    Some(_) => format!("watched, {spent} in"),
                    None => format!("{spent} in"),
                },
                Phase::Held => format!("{spent} in, waits for evidence"),
                phase => format!("{spent} in, {}", phase.name()),
            },
        }
    }

    /// Minutes until the step's time is over; `None` when time alone does not end it.
    pub(super) fn to_go(&self, step: &PlanStep) -> Option<f64> {
        let planned = step.least_minutes().or(step.watch_minutes)?;
        let is_timed = step.evidence.as_deref() != Some("auto");
        is_timed.then(|| (planned - self.rollout.step_minutes).max(0.0))
    }
}

/// How long a step is meant to last.
fn planned(step: &PlanStep) -> String {
    let auto = step.evidence.as_deref() == Some("auto");
    let mut text = match (step.least_minutes(), step.max_minutes) {
        _ if auto => match step.max_minutes {
            Some(most) => format!("until proven, {} at most", minutes(most)),
            None => "until proven".to_owned(),
        },
        (Some(least), Some(most)) if most > least => {
            format!("{} to {}", minutes(least), minutes(most))
        }
        (Some(least), _) => minutes(least),
        (None, Some(most)) => format!("{} at most", minutes(most)),
        (None, None) => String::new(),
    };
    if let Some(watch) = step.watch_minutes {
        let gap = if text.is_empty() { "" } else { ", then " };
        text += &format!("{gap}watched {}", minutes(watch));
    }
    if step.approval.as_deref() == Some("manual") {
        text += if text.is_empty() { "approval" } else { ", approval" };
    }
    text
}
