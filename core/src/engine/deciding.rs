//! Deciding for a message, and what is said of a decision.

use crossfade_protocol::plan::Plan;
use crossfade_protocol::reply::{Explanation, RouteOk, Stage, UsersResponse, json_value};
use crossfade_protocol::request::Override;

use super::Engine;
use super::answer::compile;
use crate::decision::Decision;
use crate::policy::Policy;
use crate::request::Request;

impl Engine {
    pub(super) fn route_message(
        &mut self,
        key: Option<&str>,
        attributes: &[(String, String)],
        traffic: Option<Override>,
    ) -> Decision {
        let traffic = traffic.map(|traffic| compile(&self.policy, traffic));
        let draw = self.draws.next_u32();
        let request = Request {
            key: key.map(str::as_bytes),
            attributes: &attributes,
            traffic: traffic.as_ref(),
            guard_tripped: self.guard.tripped(),
        };
        self.policy.decide(&request, draw)
    }

    pub(super) fn users_response(&self, decision: &Decision) -> UsersResponse {
        UsersResponse {
            version: self.policy.version_name(decision.version).to_owned(),
            canary: decision.canary,
            refused: Some(decision.reason).filter(|reason| reason.refuses()),
        }
    }

    pub(super) fn route_ok(&self, decision: &Decision, key: Option<&str>) -> RouteOk {
        RouteOk {
            version: self.policy.version_name(decision.version).to_owned(),
            canary: decision.canary == Some(true),
            reason: decision.reason,
            rule: decision.rule.and_then(|rule| self.policy.rule_name(rule)).map(str::to_owned),
            bucket: decision.bucket.or_else(|| key.map(|key| self.policy.bucket(key.as_bytes()))),
            headers: json_value(&self.policy.headers(decision.version)),
            refusal: self.policy.refusal(decision, self.now_ms),
        }
    }

    pub(super) fn explain(
        &self,
        plan: Option<Plan>,
        key: Option<&str>,
        attributes: &[(String, String)],
        traffic: Option<Override>,
    ) -> Explanation {
        let mut other = plan.map(|plan| Policy::new(plan, 0, None));
        if let Some(other) = &mut other {
            other.observe(self.now_ms);
        }
        let policy = other.as_ref().unwrap_or(&self.policy);
        let traffic = traffic.map(|traffic| compile(policy, traffic));
        let mut trace = Vec::new();
        let request = Request {
            key: key.map(str::as_bytes),
            attributes: &attributes,
            traffic: traffic.as_ref(),
            // Another policy would arm the guard anew.
            guard_tripped: other.is_none() && self.guard.tripped(),
        };
        // The draw of a look ahead: asking changes nothing.
        let draw = self.draws.clone().next_u32();
        let decision = policy.decide_traced(&request, draw, &mut trace);
        Explanation {
            version: policy.version_name(decision.version).to_owned(),
            canary: decision.canary == Some(true),
            reason: decision.reason,
            rule: decision.rule.and_then(|rule| policy.rule_name(rule)).map(str::to_owned),
            bucket: decision.bucket.or_else(|| key.map(|key| policy.bucket(key.as_bytes()))),
            stages: trace.into_iter().map(|(stage, outcome)| Stage { stage, outcome }).collect(),
        }
    }
}
