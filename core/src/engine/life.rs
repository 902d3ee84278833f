//! Messages about the life of the migration as a whole.

use crossfade_protocol::reply::{LifeNow, LifeStep};
use crossfade_protocol::request::Lives as Asked;
use crossfade_protocol::{Fault, json};

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
        let facts = self.facts(ready);
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
        }
        // A question changes nothing: what time has done is told, and taken up by a tick.
        let mut life = self.clients.as_ref().map_or(self.new_life(), |clients| clients.kept.life);
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
            next: next.collect(),
        };
        write::reply(out, to, &reply);
        Ok(())
    }

    /// Where the rollout, dates and brownouts lead by themselves.
    pub(super) fn tend_life(&mut self) {
        // What needs readiness needs an order, too.
        let facts = self.facts(false);
        while let Some(clients) = &mut self.clients
            && let Some(moved) = clients.kept.life.observe(&facts)
        {
            self.lived((moved.from, moved.to), String::new());
        }
    }

    fn lived(&mut self, (from, to): (Phase, Phase), reason: String) {
        let (from, to) = (from.as_str(), to.as_str());
        self.happened(What::Client(ClientChange::Life { from, to, reason }), None);
    }

    /// The life of a migration of which nothing was known yet.
    pub(super) fn new_life(&self) -> Life {
        Life::new(self.policy.plan().shadow.is_some(), self.started_ms)
    }

    fn facts(&self, ready: bool) -> Facts {
        let plan = self.policy.plan();
        let dates = plan.deprecation.as_ref();
        Facts {
            now_ms: self.now_ms,
            share: self.policy.traffic().share_of(self.policy.newest()),
            rollout: self.controller.rollout().map(|rollout| rollout.phase()),
            // No edge compares answers yet.
            shadow: plan.shadow.as_ref().map(|shadow| Compared {
                requests: 0,
                mismatches: 0,
                min_requests: shadow.min_requests,
                max_mismatch: shadow.max_mismatch,
            }),
            deprecated_ms: dates.map(|dates| dates.deprecated_at.unix_ms()),
            sunset_ms: dates.and_then(|dates| dates.sunset_at).map(|at| at.unix_ms()),
            notice_days: plan.sunset.notice_days,
            brownout_runs: self.policy.running_brownouts().next().is_some(),
            brownouts_left: plan
                .brownouts
                .iter()
                .filter(|brownout| brownout.end_ms() > self.now_ms)
                .count(),
            ready,
        }
    }
}
