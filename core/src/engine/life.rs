//! Messages about the life of the migration as a whole.

use crossfade_protocol::reply::{LifeNow, LifeStep, ShadowSeen};
use crossfade_protocol::request::{Clock, Lives as Asked};
use crossfade_protocol::totals::ShadowTotals;
use crossfade_protocol::{Fault, Share, json};

use super::{Engine, write};
use crate::event::{ClientChange, What};
use crate::life::{Compared, Facts, Life, Phase};

impl Engine {
    pub(super) fn life(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.collect();
        let ready = self.sunset(None).ready;
        let mut facts = self.facts_compared(ready);
        if let Asked::Advance { to, reason, force } = asked {
            let phase = Phase::from_name(&to).ok_or_else(|| {
                let known = Phase::ALL.map(Phase::as_str).join(", ");
                Fault::malformed(format!("no phase `{}`: they are {known}", json::shown(&to)))
            })?;
            self.keep_clients();
            self.tend_life();
            let life = &mut self.keep_clients().kept.life;
            let moved = life.advance(phase, &facts, force);
            let moved = moved.map_err(|refused| Fault::precondition(refused.0))?;
            let reason = match (moved.forced, reason.is_empty()) {
                (false, _) => reason,
                (true, true) => "by force".to_owned(),
                (true, false) => format!("by force: {reason}"),
            };
            self.lived((moved.from, moved.to), reason);
            self.follow_life();
            facts = self.facts_compared(ready);
        }
        // A question changes nothing: what time has done is told, and taken up by a tick.
        let mut life = self.life_now();
        while life.observe(&facts).is_some() {}
        let next = life.next(&facts).into_iter();
        let next = next.map(|next| LifeStep {
            to: next.to.as_str(),
            allowed: next.allowed,
            by_force: next.by_force,
            why: next.why,
        });
        let reply = LifeNow {
            phase: life.phase().as_str(),
            since_ms: life.since_ms(),
            shadow: self.shadow_seen(),
            next: next.collect(),
        };
        write::reply(out, to, &reply);
        Ok(())
    }

    /// Where the rollout, dates and brownouts lead by themselves.
    pub(super) fn tend_life(&mut self) {
        // What needs readiness, or comparisons, needs an order, too.
        let facts = self.facts(false);
        if self.clients.is_none()
            && self.life_now().phase() == Phase::Shadow
            && self.life_now().observe(&facts).is_some()
        {
            self.keep_clients();
        }
        while let Some(clients) = &mut self.clients
            && let Some(moved) = clients.kept.life.observe(&facts)
        {
            self.lived((moved.from, moved.to), String::new());
        }
        self.follow_life();
    }

    fn lived(&mut self, (from, to): (Phase, Phase), reason: String) {
        if to == Phase::Shadow {
            // What was compared before, of what has been mended since, counts no more.
            let before = (self.newest_name(), self.compared());
            self.keep_clients().kept.shadow_from = before;
        }
        let (from, to) = (from.as_str(), to.as_str());
        self.happened(What::Client(ClientChange::Life { from, to, reason }), None);
    }

    /// The life of a migration of which nothing was known yet.
    pub(super) fn new_life(&self) -> Life {
        let mirrors = self.policy.plan().shadow.as_ref().is_some_and(|shadow| !shadow.stopped);
        Life::new(mirrors && self.share() == Share::ZERO, self.started_ms)
    }

    fn life_now(&self) -> Life {
        self.clients.as_ref().map_or_else(|| self.new_life(), |clients| clients.kept.life)
    }

    /// Edges mirror while the migration is in the shadow: the policy tells them.
    pub(super) fn follow_life(&mut self) {
        let Some(shadow) = &self.policy.plan().shadow else { return };
        let stopped = self.life_now().phase() != Phase::Shadow;
        if shadow.stopped != stopped {
            self.policy = self.policy.with_shadow_stopped(stopped);
        }
    }

    /// The same for a policy that nobody was told of yet.
    pub(super) fn begin_life(&mut self) {
        let revision = self.policy.revision();
        // What the plan says is looked at first, or it would be overruled.
        let facts = self.facts(false);
        while let Some(clients) = &mut self.clients
            && clients.kept.life.phase() == Phase::Shadow
            && let Some(moved) = clients.kept.life.observe(&facts)
        {
            self.lived((moved.from, moved.to), String::new());
        }
        self.follow_life();
        if self.policy.revision() != revision {
            self.policy = self.policy.with_revision(revision);
        }
    }

    /// A rollout gives clients the new version's answers, so enough has to be compared.
    pub(super) fn leave_shadow(&mut self) -> Result<(), Fault> {
        let life = self.life_now();
        // On a virtual clock a rollout is tried out.
        if life.phase() != Phase::Shadow || self.clock == Clock::Virtual {
            return Ok(());
        }
        let mut left = life;
        left.advance(Phase::Canary, &self.facts_compared(false), false).map_err(|refused| {
            Fault::precondition(format!("a rollout leaves the shadow: {refused}"))
        })?;
        // So that it is told when time takes it up.
        self.keep_clients();
        Ok(())
    }

    fn share(&self) -> Share {
        self.policy.traffic().share_of(self.policy.newest())
    }

    fn newest_name(&self) -> String {
        self.policy.version_name(self.policy.newest()).to_owned()
    }

    /// What this node and others ever compared of the newest version's answers.
    fn compared(&self) -> ShadowTotals {
        self.counted().pop().map(|newest| newest.shadow).unwrap_or_default()
    }

    /// What was compared since the shadow was entered, and what is asked for.
    fn shadow_seen(&self) -> Option<ShadowSeen> {
        let shadow = self.policy.plan().shadow.as_ref()?;
        let before = self.clients.as_ref().map(|clients| &clients.kept.shadow_from);
        let before = before.filter(|(version, _)| *version == self.newest_name());
        let before = before.map(|(_, before)| *before).unwrap_or_default();
        let ShadowTotals { compared, differed, failures, dropped } = self.compared().since(before);
        Some(ShadowSeen {
            compared,
            differed,
            failures,
            dropped,
            min_requests: shadow.min_requests,
            max_mismatch: shadow.max_mismatch,
        })
    }

    /// All facts: also those that take a look at every node's counts.
    fn facts_compared(&self, ready: bool) -> Facts {
        let compared = self.shadow_seen().map(|shadow| Compared {
            requests: shadow.compared,
            mismatches: shadow.differed,
            min_requests: shadow.min_requests,
            max_mismatch: shadow.max_mismatch,
        });
        Facts { shadow: compared, ..self.facts(ready) }
    }

    /// What is the case, but for what a shadow has compared.
    fn facts(&self, ready: bool) -> Facts {
        let plan = self.policy.plan();
        let dates = plan.deprecation.as_ref();
        Facts {
            now_ms: self.now_ms,
            share: self.share(),
            rollout: self.controller.rollout().map(|rollout| rollout.phase()),
            shadow: None,
            shadow_stopped: plan.shadow.as_ref().is_some_and(|shadow| shadow.stopped),
            deprecated_ms: dates.map(|dates| dates.deprecated_at.unix_ms()),
            sunset_ms: self.policy.sunset_ms(),
            notice_days: plan.sunset.notice_days,
            brownout_runs: self.policy.running_brownouts().next().is_some(),
            brownouts_left: plan
                .brownouts
                .iter()
                .filter(|brownout| !brownout.is_over(self.now_ms))
                .count(),
            ready,
        }
    }
}
