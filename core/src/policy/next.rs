//! The policies that follow from one, and the plan that one has become.

use std::sync::Arc;

use crossfade_protocol::plan::{self, Brownout, ClientPlan, Plan};

use super::{Listed, Policy, Traffic};
use crate::split::Split;

impl Policy {
    /// The table that a following split should start from.
    pub(super) fn laid_out(&self) -> Option<Split> {
        match &self.traffic {
            Traffic::Split { split, .. } => Some(split.clone()),
            Traffic::Canary { .. } | Traffic::Stable => None,
        }
    }

    /// The same policy with other traffic and the next revision.
    #[must_use]
    pub fn with_traffic(&self, traffic: Traffic) -> Policy {
        let mut policy = self.with_revision(self.revision + 1);
        policy.traffic = traffic;
        policy
    }

    /// The same policy with other clients treated apart, and the next revision.
    ///
    /// Who is among the first or the last changes nothing for anybody else: what was counted
    /// under the policy before is evidence still. Whoever is pinned back is to count no more.
    #[must_use]
    pub fn with_clients(&self, clients: ClientPlan) -> Policy {
        let mut policy = self.with_revision(self.revision + 1);
        if clients.pinned_back == self.plan.clients.pinned_back {
            policy.counts_since = self.counts_since;
        }
        policy.listed = Listed::new(&clients);
        policy.look_what_decides();
        Arc::make_mut(&mut policy.plan).clients = clients;
        policy
    }

    /// The same policy with other brownouts, and the next revision.
    #[must_use]
    pub fn with_brownouts(&self, brownouts: Vec<Brownout>) -> Policy {
        let mut policy = self.with_revision(self.revision + 1);
        Arc::make_mut(&mut policy.plan).brownouts = brownouts;
        policy.look_again();
        policy
    }

    /// The same policy with its shadow stopped or not, and the next revision.
    #[must_use]
    pub fn with_shadow_stopped(&self, stopped: bool) -> Policy {
        let mut policy = self.with_revision(self.revision + 1);
        if let Some(shadow) = &mut Arc::make_mut(&mut policy.plan).shadow {
            shadow.stopped = stopped;
        }
        policy
    }

    /// The same policy under another revision.
    #[must_use]
    pub fn with_revision(&self, revision: u64) -> Policy {
        let mut policy = self.clone();
        (policy.revision, policy.counts_since) = (revision, revision);
        policy
    }

    /// The plan as it would have to be written now: with the traffic in force.
    pub fn plan_in_force(&self) -> Plan {
        let mut plan = Plan::clone(&self.plan);
        let name =
            |version: u16| plan.versions.0.get(usize::from(version)).cloned().unwrap_or_default();
        // A rollout decides by key whatever the plan said before it.
        if let Traffic::Canary { sticky, .. } | Traffic::Split { sticky, .. } = &self.traffic {
            plan.sticky = *sticky;
        }
        plan.traffic = match (&self.traffic, &plan.traffic) {
            (Traffic::Stable, _) => plan::Traffic::Stable,
            (Traffic::Canary { share, .. }, _) => plan::Traffic::Canary(*share),
            (Traffic::Split { split, .. }, plan::Traffic::Split { split: weights, .. }) => {
                let mut from = 0;
                let range = |(to, version): &(u16, u16)| {
                    let range = plan::BucketRange { version: name(*version), from, to: *to };
                    from = *to;
                    range
                };
                let layout: Vec<_> = split.ranges().iter().map(range).collect();
                // Laid out by the weights alone: what a reader makes of no layout.
                let split_only = plan::Traffic::Split { split: weights.clone(), layout: None };
                let plain = Policy::new(Plan { traffic: split_only, ..plan.clone() }, 0, None);
                let is_plain = plain.laid_out().as_ref() == Some(split);
                plan::Traffic::Split {
                    split: weights.clone(),
                    layout: (!is_plain).then_some(layout),
                }
            }
            (Traffic::Split { .. }, other) => other.clone(),
        };
        plan
    }
}
