//! The controller: the one rollout of a control domain, and the evidence it waits for.
//!
//! It decides the share; the engine turns the share into a policy of the next revision.

use crossfade_protocol::plan::{FailureGate, Gate as GatePlan, Step};
use crossfade_protocol::request::{Command, Counts};
use serde::{Deserialize, Serialize};

use crate::event::{Event, What};
use crate::health::{Gate as _, Judgement, TwoProportions};
use crate::policy::Traffic;
use crate::rollout::{Phase, Refused, Rollout};

/// Past events kept for `explain_rollout`.
const HISTORY_MAX: usize = 512;

/// The rollout of this control domain.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Controller {
    rollout: Option<Rollout>,
    failures: FailureGate,
    /// Traffic from before the rollout, for undo.
    before: Option<Traffic>,
    /// What had been counted when the rollout's evidence began.
    baseline: Counts,
    judgement: Option<Judgement>,
    /// What happened, one sentence each.
    history: Vec<String>,
}

impl Controller {
    /// Begins a rollout.
    ///
    /// `traffic` is what it replaces, and `newest` the version it leads to.
    /// `baseline` is what has been counted and is *not* to be evidence.
    ///
    /// # Errors
    /// [`Refused`] while another one runs.
    pub(crate) fn start(
        &mut self,
        steps: Vec<Step>,
        gate: GatePlan,
        traffic: &Traffic,
        newest: u16,
        baseline: Counts,
        now_ms: u64,
    ) -> Result<Vec<What>, Refused> {
        if let Some(rollout) = self.rollout.as_ref().filter(|rollout| rollout.phase().is_active()) {
            let (step, steps) = rollout.step();
            return Err(Refused(format!(
                "a rollout is {} in step {step} of {steps} at {}: abort it or wait for its end",
                rollout.phase().as_str(),
                rollout.share(),
            )));
        }
        let before = traffic.share_of(newest);
        let (rollout, events) = Rollout::start(steps, gate.on_inconclusive, before, now_ms);
        *self = Controller {
            rollout: Some(rollout),
            failures: gate.failures,
            before: Some(traffic.clone()),
            baseline,
            judgement: None,
            history: Vec::new(),
        };
        Ok(events)
    }

    /// The rollout, the last verdict on it, and what happened.
    pub(crate) fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    pub(crate) fn judgement(&self) -> Option<&Judgement> {
        self.judgement.as_ref()
    }

    pub(crate) fn history(&self) -> &[String] {
        &self.history
    }

    /// Keeps an event for `explain_rollout`; the oldest go first.
    pub(crate) fn remember(&mut self, event: &Event) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(event.what.sentence());
    }

    /// Lets go of a rollout that has ended; what happened is kept.
    ///
    /// It belonged to the policy that was replaced: undoing it would bring back traffic
    /// whose places mean other versions now.
    pub(crate) fn forget(&mut self) {
        *self = Controller { history: std::mem::take(&mut self.history), ..Controller::default() };
    }

    pub(crate) fn is_active(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.phase().is_active())
    }

    /// Judges the evidence and lets time act. `counts` is everything counted so far.
    pub(crate) fn tick(&mut self, counts: &Counts, now_ms: u64) -> Vec<What> {
        let Some(rollout) = self.rollout.as_mut().filter(|rollout| rollout.phase().is_active())
        else {
            return Vec::new();
        };
        let since = |total: u64, before: u64| total.saturating_sub(before);
        let evidence = Counts {
            canary_requests: since(counts.canary_requests, self.baseline.canary_requests),
            canary_failures: since(counts.canary_failures, self.baseline.canary_failures),
            control_requests: since(counts.control_requests, self.baseline.control_requests),
            control_failures: since(counts.control_failures, self.baseline.control_failures),
        };
        let judgement = TwoProportions::of(&self.failures).judge(&evidence);
        let events = rollout.advance(&judgement, now_ms);
        self.judgement = Some(judgement);
        events
    }

    /// When [`tick`](Controller::tick) will do something though nothing is reported.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.rollout.as_ref().and_then(Rollout::next_ms)
    }

    /// Carries out an operator's command. A retry starts its evidence from `counts`.
    pub(crate) fn command(
        &mut self,
        command: Command,
        counts: Counts,
        now_ms: u64,
    ) -> Result<Vec<What>, Refused> {
        let Some(rollout) = self.rollout.as_mut() else {
            return Err(Refused("there is no rollout: `gradual_rollout` begins one".to_owned()));
        };
        let events = rollout.command(command, now_ms)?;
        if command == Command::Retry {
            self.baseline = counts;
            self.judgement = None;
        }
        Ok(events)
    }

    /// The traffic that the rollout asks for now.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        let rollout = self.rollout.as_ref()?;
        if rollout.phase() == Phase::Undone {
            return self.before.clone();
        }
        Some(Traffic::Canary { share: rollout.share(), sticky: true })
    }
}
