//! The long way: every message in its general form.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::plan::{Gate as GatePlan, Plan, Split as PlanSplit, Step, Versions};
use crossfade_protocol::reply::{
    Config, ConfigureOk, InitOk, MigrationStats, ReportOutcomesOk, ReportShadowOk, RolloutComplete,
    RolloutExplanation, RolloutState, json_value,
};
use crossfade_protocol::request::{
    Address, Clock, Command, Message, Outcome, Override, Request as Asked,
};
use crossfade_protocol::{Fault, json};
use serde_json::{Map, Value};

use super::questions::{check_policy, evaluate_gate};
use super::{Engine, Waiting, write};
use crate::controller::Source;
use crate::event::{NodeChange, What};
use crate::gate::segment::Arm;
use crate::health::{ShareBy, client_hash};
use crate::latency::Histogram;
use crate::policy::{Policy, STABLE, Traffic};
use crate::rollout::{Course, Phase, Refused};
use crate::split::Split;
use crate::tally::Tally;
use crossfade_protocol::layout::apportion;

impl Engine {
    /// Answers one message: exactly one line, now or, for a rollout in wall time, later.
    pub(super) fn answer(&mut self, message: Message, out: &mut Vec<u8>) {
        let Message { address, src, msg_id, request } = message;
        if let Asked::Init { .. } = request {
            self.enveloped = true;
        }
        if let Err(fault) = self.try_answer(request, address.as_ref(), src.as_deref(), msg_id, out)
        {
            write::error(out, self.reply_to(address.as_ref(), msg_id), &fault);
        }
    }

    fn try_answer(
        &mut self,
        request: Asked,
        address: Option<&Address>,
        src: Option<&str>,
        msg_id: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let to = self.reply_to(address, msg_id);
        match request {
            Asked::Init { node_id } => {
                self.node = node_id;
                write::reply(out, to, &InitOk {});
            }
            Asked::GetUsers { user_id, traffic } => {
                let decision = self.route_message(user_id.as_deref(), &[], traffic);
                self.count(&decision, user_id.as_deref(), src);
                write::reply(out, to, &self.users_response(&decision));
            }
            Asked::Route { key, attributes, traffic, count } => {
                let decision = self.route_message(key.as_deref(), &attributes, traffic);
                if count {
                    self.count(&decision, key.as_deref(), src);
                }
                write::reply(out, to, &self.route_ok(&decision, key.as_deref()));
            }
            Asked::GetMigrationStats { window_ms } => {
                self.collect();
                write::reply(out, to, &self.stats(window_ms));
            }
            Asked::GradualRollout { steps, gate } => {
                self.start_rollout(steps, gate)?;
                self.waiting = Some(Waiting { address: address.cloned(), msg_id });
                self.play_if_virtual(out);
            }
            Asked::ReportOutcomes { outcomes } => {
                self.record_outcomes(&outcomes);
                write::reply(out, to, &ReportOutcomesOk {});
            }
            Asked::ReportShadow(seen) => {
                if let Some(tally) = self.tallies.get_mut(usize::from(self.policy.newest())) {
                    tally.shadow = tally.shadow.plus(seen);
                }
                write::reply(out, to, &ReportShadowOk {});
            }
            Asked::Configure { plan } => {
                let revision = self.configure(*plan)?;
                write::reply(out, to, &ConfigureOk { revision });
            }
            Asked::GetConfig => {
                let document = json_value(&self.policy.plan_in_force());
                write::reply(out, to, &Config { revision: self.policy.revision(), document });
            }
            Asked::Explain { plan, key, attributes, traffic } => {
                write::reply(
                    out,
                    to,
                    &self.explain(plan.map(|plan| *plan), key.as_deref(), &attributes, traffic),
                );
            }
            Asked::CheckPolicy { document } => write::reply(out, to, &check_policy(&document)),
            Asked::EvaluateGate(question) => write::reply(out, to, &evaluate_gate(&question)),
            Asked::ExplainRollout => {
                let sentences = self.controller.history().to_vec();
                write::reply(out, to, &RolloutExplanation { sentences });
            }
            Asked::GetRollout => write::reply(out, to, &self.rollout_state()),
            Asked::Command(command) => self.command(command, to, out)?,
            Asked::Changes(asked) => self.changes(asked, to, out)?,
            Asked::Ledger(asked) => self.ledger(asked, to, out)?,
            Asked::Brownouts(asked) => self.brownouts(asked, to, out)?,
            Asked::Life(asked) => self.life(asked, to, out)?,
            Asked::GetSunset { window_ms } => {
                self.collect();
                let reply = self.sunset(window_ms);
                write::reply(out, to, &reply);
            }
            Asked::Refuse(fault) => {
                let text = format!("line {}: {}", self.lines, fault.text);
                write::error(out, to, &Fault { code: fault.code, text });
            }
        }
        Ok(())
    }

    fn command(
        &mut self,
        command: Command,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let past = self.past_latency();
        let changes = self.controller.command(command, &past, self.now_ms).map_err(refused)?;
        self.follow(changes);
        if self.clock == Clock::Virtual {
            self.play();
        }
        write::reply(out, to, &self.rollout_state());
        // Whoever waits for the rollout hears of its end after the one who ended it.
        self.settle(out);
        Ok(())
    }

    fn start_rollout(
        &mut self,
        steps: Option<Vec<Step>>,
        gate: Option<GatePlan>,
    ) -> Result<(), Fault> {
        self.leave_shadow()?;
        let plan = self.policy.plan();
        let planned = plan.rollout.as_ref();
        let none = || {
            Fault::malformed(
                "`steps` is missing, and the plan has no rollout: a list of {percentage, duration_minutes}",
            )
        };
        let steps =
            steps.or_else(|| planned.map(|rollout| rollout.steps.clone())).ok_or_else(none)?;
        let gate = gate.unwrap_or(plan.gate);
        let freeze = planned.map(|rollout| rollout.freeze.as_slice()).unwrap_or_default();
        let course = Course {
            steps,
            on_inconclusive: gate.on_inconclusive,
            rollback: planned.map(|rollout| rollout.rollback).unwrap_or_default(),
            freeze_ms: freeze.iter().map(|f| (f.from.unix_ms(), f.to.unix_ms())).collect(),
        };
        let sticky = plan.sticky;
        let share_by = match (self.policy.needs_attributes(), sticky) {
            // Where rules may have chosen, nobody can tell whom the share chose.
            (true, _) => None,
            (false, true) => Some(ShareBy::Clients),
            (false, false) => Some(ShareBy::Requests),
        };
        let past = self.past_latency();
        let live = (self.clock == Clock::Wall).then_some((share_by, &past));
        let traffic = self.policy.traffic().clone();
        let share = traffic.share_of(self.policy.newest());
        let changes = self
            .controller
            .start(course, gate, sticky, (share, &traffic), live, self.now_ms)
            .map_err(refused)?;
        self.follow(changes);
        Ok(())
    }

    /// What is known of the latency of all versions but the newest.
    fn past_latency(&self) -> Histogram {
        let mut past = Histogram::default();
        let counted = self.counted();
        counted.iter().take(usize::from(self.policy.newest())).for_each(|t| past.merge(&t.latency));
        past
    }

    fn play_if_virtual(&mut self, out: &mut Vec<u8>) {
        if self.clock == Clock::Virtual {
            self.play();
            // A step that is held will not move by time: that is how this rollout ends.
            if let Some(waiting) = self.waiting.take() {
                self.rollout_complete(&waiting, out);
            }
        }
    }

    fn record_outcomes(&mut self, outcomes: &[Outcome]) {
        let newest = usize::from(self.policy.newest());
        for outcome in outcomes {
            if let Some(tally) = self.tallies.get_mut(outcome.version) {
                tally.record(outcome);
            }
            // Who has an outcome was served, whoever decided it.
            if let Some(last) = self.last_served_ms.get_mut(outcome.version) {
                *last = Some(self.now_ms);
            }
            if let Some(user_id) = outcome.user_id.as_deref().filter(|_| outcome.failed) {
                let version = u16::try_from(outcome.version).unwrap_or(u16::MAX);
                let failures = outcome.requests();
                self.reported(user_id.as_bytes(), Identity::Key, version, (0, failures, 0));
            }
            let arm = if outcome.version == newest { Arm::Canary } else { Arm::Control };
            // An aggregate is taken as it is: neither counted once a client nor capped.
            let user_id = outcome.user_id.as_deref().filter(|_| outcome.requests() == 1);
            let client = user_id.map(|user_id| client_hash(user_id, self.epoch));
            match self.clock {
                Clock::Virtual => self.presented.record(arm, outcome, client),
                Clock::Wall => {
                    let randomised = match outcome.user_id.as_deref() {
                        Some(key) => self.policy.is_randomised(key.as_bytes()),
                        None => true,
                    };
                    let now_ms = self.now_ms;
                    if let Some(health) = self.controller.health() {
                        health.record(arm, outcome, client, randomised, now_ms);
                    }
                }
            }
        }
        let (rule, gone) = (self.policy.plan().guard, self.policy.is_gone());
        let tally = self.tallies.get(newest);
        let tripped = tally.and_then(|tally| self.guard.look(rule.as_ref(), tally, gone));
        if let Some(change) = tripped {
            self.happened(What::Node(change), None);
        }
        match self.clock {
            Clock::Wall => self.act(),
            // A rollout that is held waits for just this.
            Clock::Virtual => self.play(),
        }
    }

    /// Puts a plan into force; its revision.
    fn configure(&mut self, mut plan: Plan) -> Result<u64, Fault> {
        if self.controller.is_active() {
            return Err(Fault::precondition(
                "a rollout is running on the present policy: abort it or wait for its end",
            ));
        }
        let places = self.places(&plan.versions)?;
        let renumbered = |old: usize| places.get(old).copied().unwrap_or(STABLE);
        let mut tallies = vec![Tally::default(); plan.versions.0.len()];
        let mut last_served_ms = vec![None; plan.versions.0.len()];
        for old in 0..self.tallies.len() {
            let new = usize::from(renumbered(old));
            if self.tallies[old] != Tally::default() || self.last_served_ms[old].is_some() {
                tallies[new] = std::mem::take(&mut self.tallies[old]);
                last_served_ms[new] = self.last_served_ms[old];
            }
        }
        self.tallies = tallies;
        self.last_served_ms = last_served_ms;
        self.census.renumber(&places);
        self.renumber_clients(&places, &mut plan);
        self.policy = Policy::new(plan, self.policy.revision() + 1, Some(&self.policy));
        self.name_versions();
        self.turn();
        self.reported_versions();
        self.mark_listed();
        self.controller.forget();
        self.begin_life();
        let newest = self.tallies.get(usize::from(self.policy.newest()));
        self.guard = newest.map(crate::guard::Guard::armed).unwrap_or_default();
        let revision = self.policy.revision();
        self.happened(What::Node(NodeChange::Configured { revision }), None);
        // Whoever was marked before is listed in this policy, too.
        self.list_clients();
        Ok(self.policy.revision())
    }

    /// Where each present version stands in a new list.
    fn places(&self, new: &Versions) -> Result<Vec<u16>, Fault> {
        let mut places = Vec::new();
        for (old, name) in self.policy.versions().iter().enumerate() {
            let counted = self.tallies.get(old).is_some_and(|tally| *tally != Tally::default())
                || self.census.on_version(old as u16) > 0;
            match new.index(name) {
                Some(place) => places.push(place as u16),
                None if !counted => places.push(STABLE),
                None => {
                    return Err(Fault::precondition(format!(
                        "version `{}` has been counted here and is not in the new plan: a new migration needs a new node",
                        json::shown(name)
                    )));
                }
            }
        }
        Ok(places)
    }

    fn by_version(&self, value: impl Fn(usize) -> Value) -> Map<String, Value> {
        let versions = self.policy.versions().iter().enumerate();
        versions.map(|(place, name)| (name.clone(), value(place))).collect()
    }

    fn stats(&self, window_ms: u64) -> MigrationStats {
        let versions = self.policy.versions().len();
        let (clients, exact) = self.clients_reported().unwrap_or_else(|| {
            let counted = (0..versions).map(|v| self.census.on_version(v as u16)).collect();
            (counted, true)
        });
        let total = clients.iter().sum();
        let percents = if total == 0 { vec![0; versions] } else { apportion(&clients, 100) };
        let counted = self.counted();
        let outcomes = |place: usize| {
            let tally = counted.get(place).cloned().unwrap_or_default();
            serde_json::json!({"requests": tally.requests, "failures": tally.failures})
        };
        MigrationStats {
            total_clients: total,
            version_percentages: self
                .by_version(|v| percents.get(v).copied().unwrap_or_default().into()),
            migration_complete: self.migration_complete(window_ms),
            clients: self.by_version(|v| clients.get(v).copied().unwrap_or_default().into()),
            routed: self.by_version(|v| counted.get(v).map_or(0, |tally| tally.routed).into()),
            outcomes: self.by_version(outcomes),
            window_ms,
            uncounted_requests: self.census.uncounted(),
            clients_sampled: !exact,
        }
    }

    /// The newest version has served someone, and no other anybody within the window that
    /// ends now and was seen whole.
    pub(super) fn migration_complete(&self, window_ms: u64) -> bool {
        let newest = usize::from(self.policy.newest());
        let unseen = (self.clock == Clock::Wall).then_some(self.started_ms);
        let quiet = |last: &Option<u64>| {
            last.or(unseen).is_none_or(|last| self.now_ms.saturating_sub(last) >= window_ms)
        };
        let old_quiet = self.last_served_ms.iter().take(newest).all(quiet);
        old_quiet && self.last_served_ms.get(newest).is_some_and(Option::is_some)
    }

    /// The verdict as it stands, every number behind it, and the same in words.
    fn judged(&mut self) -> (Value, Value, String) {
        let fleet = self.fleet_pair();
        let source = match self.clock {
            Clock::Virtual => Source::Before(&self.presented, &fleet),
            Clock::Wall => Source::Live,
        };
        match self.controller.evidence(source, self.policy.names(), self.now_ms) {
            None => (Value::Null, Value::Null, String::new()),
            Some(told) => {
                let numbers = serde_json::from_str(&told.numbers).unwrap_or_default();
                (told.verdict.into(), numbers, told.sentence)
            }
        }
    }

    fn rollout_state(&mut self) -> RolloutState {
        let (verdict, evidence, because) = self.judged();
        let Some(rollout) = self.controller.rollout() else {
            let percentage = self.policy.traffic().share_of(self.policy.newest());
            return RolloutState {
                phase: "idle",
                step: 0,
                steps: 0,
                percentage,
                verdict,
                evidence,
                reason: "No rollout has begun.".to_owned(),
                step_minutes: Default::default(),
            };
        };
        let (step, steps) = rollout.step();
        let ended = !rollout.phase().is_active();
        RolloutState {
            phase: rollout.phase().as_str(),
            step,
            steps,
            percentage: rollout.share(),
            verdict,
            evidence,
            reason: if ended || because.is_empty() {
                self.controller.reason().to_owned()
            } else {
                because
            },
            step_minutes: if ended {
                Default::default()
            } else {
                rollout.step_elapsed(self.now_ms)
            },
        }
    }

    pub(super) fn rollout_complete(&mut self, waiting: &Waiting, out: &mut Vec<u8>) {
        let evidence = self.judged().1;
        let Some(rollout) = self.controller.rollout() else { return };
        let phase = rollout.phase();
        let reply = RolloutComplete {
            final_percentage: rollout.share(),
            health_checks_passed: !(rollout.was_rolled_back()
                || matches!(phase, Phase::Held | Phase::TimedOut)),
            outcome: phase.as_str(),
            steps_passed: rollout.passed(),
            duration_minutes: rollout.elapsed(self.now_ms),
            reason: self.controller.reason().to_owned(),
            evidence,
        };
        write::reply(out, self.reply_to(waiting.address.as_ref(), waiting.msg_id), &reply);
    }
}

fn refused(refused: Refused) -> Fault {
    Fault::precondition(refused.0)
}

/// Traffic for one message, in the places of the policy that decides it.
pub(super) fn compile(policy: &Policy, traffic: Override) -> Traffic {
    match traffic {
        Override::Canary(share) => Traffic::Canary { share, sticky: true },
        Override::Split { split, sticky } => {
            let weights = weights(&policy.plan().versions, &split);
            Traffic::Split { split: Split::new(&weights), sticky }
        }
    }
}

/// Weights by place in the version list.
fn weights(versions: &Versions, split: &PlanSplit) -> Vec<u32> {
    let weight = |version: &String| {
        split.0.iter().find(|(name, _)| name == version).map_or(0, |(_, w)| w.hundredths())
    };
    versions.0.iter().map(weight).collect()
}
