//! One step of a plan, set up to be played by itself.

use crossfade_protocol::Share;
use crossfade_protocol::plan::{EvidenceNeed, MissingData, OnInconclusive, Plan, Step};
use crossfade_protocol::share::Minutes;
use crossfade_sim::{Fault, Rehearsal, Scenario, TICK_MS, Traffic};
use serde_json::{Value, json};

/// Ticks of a play, about: a few hundred looks at a step find what all of them find.
const TICKS: u64 = 200;

/// Evidence that one tick may bring, in parts of what a single failure of v2 says. The
/// gate lets bins in a row say little more than 1.7 such failures do; a longer tick is
/// one bin, and must stay well below.
const FAILURES_PER_TICK: f64 = 0.08;

/// Ticks of the step before, where there is one: it only has to have been there.
const LEAD_TICKS: u64 = 200;

/// A step and the world it is played in.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// Its number in the plan, from 1.
    pub(super) number: usize,
    pub(super) step: Step,
    /// The share before, and how long it lasts: it gives 100 % its baseline. `None` where
    /// v1 is served too.
    lead: Option<Lead>,
    traffic: Traffic,
    requests_per_s: f64,
    failure_ratio: f64,
    versions: [String; 2],
    gate: Value,
    /// The longest tick, where missing reports have consequences.
    tick_ms_max: u64,
}

/// What is played before a step that has nothing to be compared with.
#[derive(Debug, Clone, Copy)]
struct Lead {
    share: Share,
    /// Place of the step in the plan.
    place: usize,
    lasts_ms: u64,
}

impl Stage {
    /// The steps of a plan's rollout.
    pub(super) fn all(
        plan: &Plan,
        traffic: &Traffic,
        requests_per_s: f64,
        failure_ratio: f64,
    ) -> Vec<Stage> {
        let steps = plan.rollout.as_ref().map(|rollout| rollout.steps.as_slice());
        let steps = steps.unwrap_or_default();
        let missing = &plan.gate.on_missing_data;
        let tick_ms_max = match missing.then {
            MissingData::Hold => u64::MAX,
            // Reports that come less often than that would be taken for missing ones.
            MissingData::Advance | MissingData::RollBack => missing.after_minutes.ms() / 2,
        };
        let stage = |(place, step): (usize, &Step)| Stage {
            number: place + 1,
            step: *step,
            lead: (step.percentage == Share::FULL).then(|| lead(steps, place)).flatten(),
            traffic: traffic.clone(),
            requests_per_s,
            failure_ratio,
            versions: [plan.versions.stable().to_owned(), plan.versions.new_version().to_owned()],
            gate: json!(plan.gate),
            tick_ms_max: tick_ms_max.max(TICK_MS),
        };
        steps.iter().enumerate().map(stage).collect()
    }

    /// How long the step lasts as planned, with its watch; 0 when evidence alone ends it.
    pub(super) fn planned_ms(&self) -> u64 {
        self.step.duration_minutes.ms() + self.step.watch_minutes.map_or(0, Minutes::ms)
    }

    /// The longest it lasts by itself, where it has a bound.
    pub(super) fn max_ms(&self) -> Option<u64> {
        let watch = self.step.watch_minutes.map_or(0, Minutes::ms);
        self.step.max_minutes.map(|max| max.ms() + watch)
    }

    /// Whether nothing is served that v2 could be compared with, and nothing was.
    pub(super) fn is_without_control(&self) -> bool {
        self.step.percentage == Share::FULL && self.lead.is_none()
    }

    /// Whether the step goes on without evidence.
    pub(super) fn is_advancing(&self) -> bool {
        self.gate["on_inconclusive"] == json!(OnInconclusive::Advance)
            && self.step.evidence == EvidenceNeed::Default
    }

    /// Place in the plan of the step that is played before, if one is.
    pub(super) fn lead_place(&self) -> Option<usize> {
        self.lead.map(|lead| lead.place)
    }

    /// Makes the step before last at least so long: as long as its proof took.
    pub(super) fn prolong_lead(&mut self, ms: u64) {
        if let Some(lead) = &mut self.lead {
            lead.lasts_ms = lead.lasts_ms.max(ms);
        }
    }

    /// When the step begins, in milliseconds of the world's clock.
    fn begins_ms(&self) -> u64 {
        self.lead.map_or(0, |lead| lead.lasts_ms.max(TICK_MS))
    }

    /// Place of the step among those of a story.
    pub(super) fn place(&self) -> usize {
        usize::from(self.lead.is_some())
    }

    /// The step as it is planned, with v2 failing so many times as often as v1.
    pub(super) fn as_planned(&self, times: f64, lasts_ms: u64, tick_ms: u64) -> Rehearsal {
        let mut step = json!(self.step);
        // Whoever approves does not make a regression easier to see.
        step["approval"] = "none".into();
        if self.lead.is_some() && !self.is_advancing() {
            step["evidence"] = "auto".into();
        }
        self.rehearsal(step, times, lasts_ms, tick_ms)
    }

    /// The step until v2, which is as good as v1, is proven to be.
    pub(super) fn until_healthy(&self, lasts_ms: u64, tick_ms: u64) -> Rehearsal {
        let step = json!({
            "percentage": self.step.percentage,
            "evidence": "auto",
            "duration_minutes": 0,
        });
        self.rehearsal(step, 1.0, lasts_ms, tick_ms)
    }

    fn rehearsal(&self, step: Value, times: f64, lasts_ms: u64, tick_ms: u64) -> Rehearsal {
        let begins_ms = self.begins_ms();
        let mut steps = Vec::new();
        let mut gate = self.gate.clone();
        if let Some(lead) = self.lead {
            let minutes = begins_ms as f64 / 60_000.0;
            steps.push(json!({ "percentage": lead.share, "duration_minutes": minutes }));
            // It ends when its time is over; the step itself asks for evidence by itself.
            gate["on_inconclusive"] = "advance".into();
        }
        steps.push(step);
        let rollout = json!({ "type": "gradual_rollout", "steps": steps, "gate": gate });
        let mut scenario = Scenario::new(self.traffic.clone()).every_ms(tick_ms);
        if begins_ms > 0 {
            let tick_ms = (begins_ms / LEAD_TICKS).min(self.tick_ms_max).max(TICK_MS);
            scenario = scenario.first_every_ms(begins_ms, tick_ms);
        }
        if times != 1.0 {
            scenario = scenario.with_from(begins_ms, Fault::Times(times));
        }
        Rehearsal {
            scenario,
            rollout: rollout.to_string(),
            versions: self.versions.clone(),
            start_ms: 0,
            lasts_ms: begins_ms + lasts_ms,
        }
    }

    /// How long a tick may last in a play of this length: several hundred ticks, but
    /// none so long that the gate's cap on what one bin may say would be felt.
    pub(super) fn tick_ms(&self, times: f64, lasts_ms: u64) -> u64 {
        let share = self.step.percentage.percent() / 100.0;
        let old = (1.0 - share) * self.failure_ratio * self.requests_per_s;
        let new = share * (self.failure_ratio * times).min(1.0) * self.requests_per_s;
        let nats_per_s = if self.lead.is_some() {
            // Against a bound: how far the number of failures is from that of v1.
            let times = (self.failure_ratio * times).min(1.0) / self.failure_ratio;
            self.requests_per_s * self.failure_ratio * (times * libm::log(times) - times + 1.0)
        } else {
            // Against v1: how far the canary's part of the failures is from its share.
            let found = new / (old + new);
            let part = |p: f64, q: f64| if p > 0.0 { p * libm::log(p / q) } else { 0.0 };
            (old + new) * (part(found, share) + part(1.0 - found, 1.0 - share))
        };
        // Without v1 there is no such bound: the gate's caps are about comparisons.
        let nats_of_failure = if share < 1.0 { -libm::log(share) } else { 1.0 };
        let quiet_ms = FAILURES_PER_TICK * nats_of_failure / nats_per_s * 1_000.0;
        let longest = if quiet_ms.is_finite() { quiet_ms as u64 } else { u64::MAX };
        let tick_ms = (lasts_ms / TICKS).min(longest).min(self.tick_ms_max);
        (tick_ms / TICK_MS * TICK_MS).max(TICK_MS)
    }

    /// The length, or the longest that a tick may have.
    pub(super) fn cap(&self, tick_ms: u64) -> u64 {
        tick_ms.min(self.tick_ms_max / TICK_MS * TICK_MS).max(TICK_MS)
    }
}

/// The last step before this one that serves both versions.
fn lead(steps: &[Step], before: usize) -> Option<Lead> {
    let steps = steps.iter().enumerate().take(before).rev();
    let (place, step) = steps.into_iter().find(|(_, step)| step.percentage < Share::FULL)?;
    Some(Lead { share: step.percentage, place, lasts_ms: step.duration_minutes.ms() })
}
