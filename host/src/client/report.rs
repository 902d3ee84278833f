//! A status as a page: the steps, the evidence, the verdict, who is left, what to do.

mod evidence;
mod next;
mod rail;

use super::page::{Line, Page, Tone, minutes, percent};
use super::status::{Nodes, Phase, Rollout, Status, Verdict};
use crate::output::counted;
use crate::replay::grouped;
use crate::units;

/// Where values begin behind their names.
const VALUES: usize = 11;

impl Status {
    /// Writes all of it.
    pub(crate) fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        self.heading(&mut page);
        if !self.plan.is_empty() {
            page.gap();
            self.rail(&mut page);
        }
        if let Some(evidence) = &self.rollout.evidence {
            page.gap();
            evidence.write(&mut page, self.old_version(), self.new_version());
        }
        page.gap();
        self.rollout.verdict(&mut page);
        if let Some(shadow) = &self.shadow {
            let head = Line::default().with(Tone::Faint, "Shadow").to(VALUES);
            page.paragraph(head, shadow.tone(), &shadow.sentence());
        }
        self.clients(&mut page);
        if let Some(nodes) = &self.nodes {
            nodes.write(&mut page, self.revision);
        }
        self.sunset(&mut page);
        self.warnings(&mut page);
        page.gap();
        self.next(&mut page);
        page
    }

    /// What distinguishes one situation from another: while it stays, only numbers have
    /// changed.
    pub(crate) fn situation(&self) -> (u64, Phase, usize, Option<Verdict>, u64) {
        let behind = self.nodes.as_ref().map_or(0, |nodes| nodes.behind);
        (self.revision, self.rollout.phase, self.rollout.step, self.rollout.verdict, behind)
    }

    fn heading(&self, page: &mut Page) {
        let line = Line::default().with(Tone::Strong, &self.api);
        let line = line.and(format!("  {}  ", self.versions.join(" → ")));
        let line = line.with(self.rollout.phase.tone(), format!("{} ", self.rollout.phase.mark()));
        let line = line.with(self.rollout.phase.tone(), self.rollout.phase.name());
        page.push(line.with(Tone::Faint, format!("  revision {}", self.revision)));
        page.push(Line::default().and(self.rollout.place(self.new_version())));
    }

    fn clients(&self, page: &mut Page) {
        let Some(migration) = &self.migration else { return };
        let head = || Line::default().with(Tone::Faint, "Clients").to(VALUES);
        if migration.total_clients == 0 {
            let text = "none known: edges report counts, not keys";
            page.paragraph(head(), Tone::Plain, text);
            return;
        }
        let count = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        let newest = self.new_version();
        let left: u64 = migration
            .clients
            .iter()
            .filter(|(version, _)| *version != newest)
            .map(|(_, clients)| count(clients))
            .sum();
        let share = left as f64 * 100.0 / migration.total_clients as f64;
        let text = format!(
            "{} of {} not yet on {newest} ({})",
            grouped(left),
            grouped(migration.total_clients),
            percent(share)
        );
        page.paragraph(head(), Tone::Plain, &text);
    }

    fn sunset(&self, page: &mut Page) {
        let Some(sunset) = &self.sunset else { return };
        let head = Line::default().with(Tone::Faint, "Sunset").to(VALUES);
        if sunset.ready {
            let text = format!("✔ {} can be switched off", self.old_version());
            page.paragraph(head, Tone::Good, &text);
        } else {
            let missing = sunset.checks.iter().filter(|check| !check.ok).count() as u64;
            let text = format!("not yet: {} (`crossfade sunset`)", counted(missing, "open point"));
            page.paragraph(head, Tone::Plain, &text);
        }
    }

    /// What is wrong with the server itself, if anything is.
    fn warnings(&self, page: &mut Page) {
        let mut warn = |text: String| {
            page.paragraph(
                Line::default().with(Tone::Bad, "Warning").to(VALUES),
                Tone::Plain,
                &text,
            );
        };
        if let Some(engine) = &self.engine {
            if engine.calls_lost > 0 {
                let lost = counted(engine.calls_lost, "call");
                warn(format!("the engine failed, and the effect of {lost} was lost"));
            } else if engine.restarts > 0 {
                let times = counted(engine.restarts, "time");
                warn(format!("the engine failed {times} and was brought back, nothing was lost"));
            }
        }
        if self.clock_offset_ms.unsigned_abs() >= 1_000 {
            let by = minutes(self.clock_offset_ms.unsigned_abs() as f64 / 60_000.0);
            warn(format!("the server's clock was set by {by} while it ran: it is not followed"));
        }
        if self.store.as_ref().is_some_and(|store| store.lead == "others") {
            warn("this server stands by, another one leads".to_owned());
        }
    }
}

impl Rollout {
    /// `Step 2 of 4: 10 % to v2`, and since when.
    pub(crate) fn place(&self, new: &str) -> String {
        let share = format!("{} to {new}", percent(self.percentage));
        if self.step == 0 {
            return share;
        }
        let place = format!("Step {} of {}: {share}", self.step, self.steps);
        if self.phase.is_active() {
            format!("{place}, for {} now", minutes(self.step_minutes))
        } else {
            place
        }
    }

    fn verdict(&self, page: &mut Page) {
        let (tone, word) = match self.verdict {
            Some(Verdict::Healthy) => (Tone::Good, "✔ healthy. "),
            Some(Verdict::Unhealthy) => (Tone::Bad, "✘ unhealthy. "),
            Some(Verdict::Inconclusive) => (Tone::Wait, "… inconclusive. "),
            Some(Verdict::Other) | None => (Tone::Plain, ""),
        };
        let head = Line::default().with(Tone::Faint, "Verdict").to(VALUES);
        if self.verdict.is_none() {
            page.paragraph(head, Tone::Plain, &self.reason);
            return;
        }
        page.push(head.with(tone, word.trim_end()));
        page.paragraph(Line::default().to(VALUES), Tone::Plain, &self.reason);
    }

    /// The page after a command.
    pub(crate) fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        let line = Line::default().with(self.phase.tone(), format!("{} ", self.phase.mark()));
        let line = line.with(self.phase.tone(), self.phase.name());
        page.push(line.and(format!("  {}", self.place("the new version"))));
        page.paragraph(Line::default(), Tone::Plain, &self.reason);
        page
    }
}

impl Phase {
    /// Whether the rollout is not over.
    pub(crate) fn is_active(self) -> bool {
        !matches!(
            self,
            Phase::Idle | Phase::Completed | Phase::RolledBack | Phase::Aborted | Phase::Undone
        )
    }

    fn mark(self) -> char {
        match self {
            Phase::Idle | Phase::Other => '○',
            Phase::Progressing | Phase::Watching => '●',
            Phase::Held | Phase::Frozen | Phase::Paused => '‖',
            Phase::TimedOut | Phase::AwaitingApproval => '!',
            Phase::RollingBack => '↩',
            Phase::Completed => '✔',
            Phase::RolledBack | Phase::Aborted | Phase::Undone => '✘',
        }
    }

    fn tone(self) -> Tone {
        match self {
            Phase::Idle | Phase::Other => Tone::Plain,
            Phase::Progressing | Phase::Watching | Phase::Completed => Tone::Good,
            Phase::Held
            | Phase::Frozen
            | Phase::Paused
            | Phase::TimedOut
            | Phase::AwaitingApproval => Tone::Wait,
            Phase::RollingBack | Phase::RolledBack | Phase::Aborted | Phase::Undone => Tone::Bad,
        }
    }
}

impl Nodes {
    fn write(&self, page: &mut Page, revision: u64) {
        let head = Line::default().with(Tone::Faint, "Nodes").to(VALUES);
        let Nodes { known, reporting, oldest_ms, behind } = *self;
        if known == 0 {
            page.paragraph(head, Tone::Plain, "none has reported");
            return;
        }
        let mut text = format!("{} of {} reporting", grouped(reporting), grouped(known));
        if let Some(age) = oldest_ms {
            text += &format!(", the oldest report {} old", units::span(age));
        }
        if behind > 0 {
            text += &format!("; {} not at revision {revision} yet", grouped(behind));
        }
        let tone = if behind > 0 || reporting < known { Tone::Wait } else { Tone::Plain };
        page.paragraph(head, tone, &text);
    }
}

#[cfg(test)]
mod tests;
