//! The whole life of a migration: a pure transition table over phases.
//!
//! A phase says what is the case, so each has facts without which it cannot be
//! (hard needs): no force makes them true. Beside these a step forward has
//! conditions that make it safe (soft needs), which an operator may overrule.
//! Every phase can be left for an earlier one but the last, and the last follows on none but
//! the sunset, once its date has passed. Facts come in as arguments; what changed comes out
//! as values.

mod need;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::Share;
use serde::Serialize;

use crate::rollout;

pub use need::Need;

/// Where a migration stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The new version's answers are compared, and nobody gets them.
    Shadow,
    /// Some clients are on the new version.
    Canary,
    /// A rollout raises the share.
    Rollout,
    /// Everybody is on the new version.
    Complete,
    /// Clients of the old version are told that it goes.
    Deprecated,
    /// Some of their calls are refused for a while.
    Brownout,
    /// It is settled that, and when, the old version is switched off.
    Sunset,
    /// The old version is no more.
    Gone,
}

impl Phase {
    /// Every phase, in the order of a life.
    pub const ALL: [Phase; 8] = [
        Phase::Shadow,
        Phase::Canary,
        Phase::Rollout,
        Phase::Complete,
        Phase::Deprecated,
        Phase::Brownout,
        Phase::Sunset,
        Phase::Gone,
    ];

    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Shadow => "shadow",
            Phase::Canary => "canary",
            Phase::Rollout => "rollout",
            Phase::Complete => "complete",
            Phase::Deprecated => "deprecated",
            Phase::Brownout => "brownout",
            Phase::Sunset => "sunset",
            Phase::Gone => "gone",
        }
    }

    /// The phase of this name.
    pub fn from_name(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// What is the case, as far as the life of a migration depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// The newest version's share under the policy in force.
    pub share: Share,
    /// Where the last rollout stands; `None` when there was none.
    pub rollout: Option<rollout::Phase>,
    /// What the shadow has compared; `None` when the plan has no shadow.
    pub shadow: Option<Compared>,
    /// Whether the plan says that mirroring is over.
    pub shadow_stopped: bool,
    /// When the old version becomes deprecated, if the plan says so.
    pub deprecated_ms: Option<u64>,
    /// When it is switched off, if the plan says so.
    pub sunset_ms: Option<u64>,
    /// Days that the plan asks for between the two.
    pub notice_days: u32,
    /// Whether a brownout runs.
    pub brownout_runs: bool,
    /// Brownouts of the plan that are still to come.
    pub brownouts_left: usize,
    /// Whether the old version can go, by what is known of its clients.
    pub ready: bool,
}

/// What a shadow has compared, and what is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Answers of both versions that were compared.
    pub requests: u64,
    /// Those that differed.
    pub mismatches: u64,
    /// How many have to be compared.
    pub min_requests: u64,
    /// The share that may differ.
    pub max_mismatch: f64,
}

impl Facts {
    fn rollout_runs(&self) -> bool {
        self.rollout.is_some_and(rollout::Phase::is_active)
    }

    fn is_full(&self) -> bool {
        self.share == Share::FULL
    }

    fn is_past(&self, at_ms: Option<u64>) -> bool {
        at_ms.is_some_and(|at_ms| at_ms <= self.now_ms)
    }
}

/// A migration's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Life {
    phase: Phase,
    since_ms: u64,
}

/// A change of phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// From here
    pub from: Phase,
    /// to there,
    pub to: Phase,
    /// and whether an operator overruled what should have held.
    pub forced: bool,
}

/// A phase that could be next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// The phase.
    pub to: Phase,
    /// Whether it can be entered now.
    pub allowed: bool,
    /// Whether force would do it; false when it is not needed.
    pub by_force: bool,
    /// What would have to be the case; empty when it is allowed.
    pub why: String,
}

/// Why a phase was not entered, and what would have to be the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Life {
    /// A migration that begins: in the shadow if the plan has one, else as a canary.
    pub fn new(has_shadow: bool, now_ms: u64) -> Life {
        let phase = if has_shadow { Phase::Shadow } else { Phase::Canary };
        Life { phase, since_ms: now_ms }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Since when.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Every other phase, and what stands in its way.
    pub fn next(&self, facts: &Facts) -> Vec<Next> {
        let others = Phase::ALL.into_iter().filter(|to| *to != self.phase);
        let next = |to| {
            let (must, should) = self.missing(to, facts);
            Next {
                to,
                allowed: must.is_empty() && should.is_empty(),
                by_force: must.is_empty() && !should.is_empty(),
                why: sentence(&must, &should),
            }
        };
        others.map(next).collect()
    }

    /// Enters a phase. `force` overrules what should hold, never what must.
    ///
    /// # Errors
    /// Everything that is missing; nothing has changed.
    pub fn advance(&mut self, to: Phase, facts: &Facts, force: bool) -> Result<Moved, Refused> {
        if to == self.phase {
            return Err(Refused(format!("the migration is in phase `{}` already", to.as_str())));
        }
        let (must, should) = self.missing(to, facts);
        if !must.is_empty() || (!should.is_empty() && !force) {
            let why = sentence(&must, &should);
            return Err(Refused(format!(
                "`{}` cannot follow on `{}` now: {why}",
                to.as_str(),
                self.phase.as_str()
            )));
        }
        Ok(self.enter(to, !should.is_empty(), facts.now_ms))
    }

    /// Takes up what has happened: rollouts begin and end, brownouts too. One change at
    /// most; call it until there is none.
    pub fn observe(&mut self, facts: &Facts) -> Option<Moved> {
        let to = match self.phase {
            Phase::Sunset | Phase::Gone => return None,
            Phase::Rollout if facts.rollout_runs() => return None,
            _ if facts.rollout_runs() => Phase::Rollout,
            // Somebody gets the new version's answers, or nobody is to compare them.
            Phase::Shadow if facts.share != Share::ZERO || facts.shadow_stopped => Phase::Canary,
            Phase::Rollout if facts.is_full() => Phase::Complete,
            // It ended short of everybody, or was taken back.
            Phase::Rollout => Phase::Canary,
            Phase::Complete | Phase::Deprecated if facts.brownout_runs => Phase::Brownout,
            Phase::Brownout if !facts.brownout_runs => {
                if facts.is_past(facts.deprecated_ms) {
                    Phase::Deprecated
                } else {
                    Phase::Complete
                }
            }
            Phase::Complete if !facts.is_full() => Phase::Canary,
            _ => return None,
        };
        Some(self.enter(to, false, facts.now_ms))
    }

    fn enter(&mut self, to: Phase, forced: bool, now_ms: u64) -> Moved {
        let from = self.phase;
        *self = Life { phase: to, since_ms: now_ms };
        Moved { from, to, forced }
    }

    /// What must be the case and is not, and what should.
    fn missing(&self, to: Phase, facts: &Facts) -> (Vec<Need>, Vec<Need>) {
        let mut missing = (Vec::new(), Vec::new());
        need::missing(self.phase, to, facts, &mut |need: Need| {
            if need.is_hard() { missing.0.push(need) } else { missing.1.push(need) }
        });
        missing
    }
}

fn sentence(must: &[Need], should: &[Need]) -> String {
    let mut text = String::new();
    for need in must.iter().chain(should) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&need.to_string());
    }
    if must.is_empty() && !should.is_empty() {
        text.push_str("; `force` overrules it");
    }
    text
}

#[cfg(test)]
mod tests;
