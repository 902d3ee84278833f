//! What the time makes of a policy: which brownouts run, whether the sunset has passed,
//! and what answers announce.
//!
//! A policy is told the time and keeps what follows from it, so that a decision reads no
//! clock: between two moments at which something changes, it is a function of the request
//! alone.

use crossfade_protocol::plan::{Brownout, Headers, Instant, Plan, Refusal};
use crossfade_protocol::{Reason, Share};

use super::{Apart, Policy, STABLE};
use crate::bucket::{Seed, bucket_of_key};
use crate::decision::{Decision, Trace};

/// What holds from one moment to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Moment {
    /// It holds from here
    from_ms: u64,
    /// until before here. Nothing was observed yet when this is 0.
    until_ms: u64,
    /// When it was looked at last.
    seen_ms: u64,
    /// Brownouts that run, in the plan's order.
    running: Vec<Running>,
    gone: bool,
    turn: u32,
}

/// A brownout that runs.
#[derive(Debug, Clone)]
struct Running {
    /// In the plan's list.
    place: u16,
    seed: Seed,
    share: Share,
    /// Sorted.
    exempt: Vec<Box<[u8]>>,
}

impl Running {
    fn of(plan: &Plan, place: usize, brownout: &Brownout) -> Running {
        let mut exempt: Vec<Box<[u8]>> =
            brownout.exempt.iter().map(|key| key.as_bytes().into()).collect();
        crossfade_protocol::order::sort(&mut exempt);
        Running {
            place: place as u16,
            seed: Seed::of_brownout(&plan.salt, &brownout.name),
            share: brownout.percentage,
            exempt,
        }
    }
}

fn sunset_ms(plan: &Plan) -> Option<u64> {
    plan.deprecation.as_ref()?.sunset_at.map(Instant::unix_ms)
}

/// Whether a plan can ever refuse a call.
pub(super) fn refuses(plan: &Plan) -> bool {
    sunset_ms(plan).is_some() || !plan.brownouts.is_empty()
}

impl Policy {
    /// Takes up the time, in milliseconds since 1970, and says whether that changed who is
    /// refused, or what answers say. Time may go back.
    ///
    /// A policy that was never told the time refuses nobody.
    pub fn observe(&mut self, now_ms: u64) -> bool {
        self.moment.seen_ms = now_ms;
        if !self.is_due(now_ms) {
            return false;
        }
        let plan = &self.plan;
        let (mut from_ms, mut until_ms) = (0, u64::MAX);
        let mut boundary = |at_ms: u64| {
            if at_ms <= now_ms {
                from_ms = from_ms.max(at_ms);
            } else {
                until_ms = until_ms.min(at_ms);
            }
        };
        let mut running = Vec::new();
        for (place, brownout) in plan.brownouts.iter().enumerate() {
            boundary(brownout.announce_ms());
            boundary(brownout.start_ms());
            boundary(brownout.end_ms());
            if brownout.is_on(now_ms) {
                running.push(Running::of(plan, place, brownout));
            }
        }
        let sunset_ms = sunset_ms(plan);
        sunset_ms.into_iter().for_each(boundary);
        let gone = sunset_ms.is_some_and(|sunset_ms| sunset_ms <= now_ms);
        let before = &self.moment;
        let places = |running: &[Running]| running.iter().map(|r| r.place).collect::<Vec<_>>();
        let turned = gone != before.gone || places(&running) != places(&before.running);
        let turn = before.turn + u32::from(turned);
        self.moment = Moment { from_ms, until_ms, seen_ms: now_ms, running, gone, turn };
        let headers = Headers::of_plan(&self.plan, now_ms);
        let says_else = headers != self.headers;
        self.headers = headers;
        turned || says_else
    }

    /// Whether [`observe`](Policy::observe) may have something to do at this time. Cheap.
    #[inline]
    pub fn is_due(&self, now_ms: u64) -> bool {
        !(self.moment.from_ms..self.moment.until_ms).contains(&now_ms)
    }

    /// Grows whenever time changes whom this policy refuses: a decision by the key alone
    /// holds for one revision and one turn.
    #[inline]
    pub fn turn(&self) -> u32 {
        self.moment.turn
    }

    /// When the sunset is, if the plan has one.
    pub fn sunset_ms(&self) -> Option<u64> {
        sunset_ms(&self.plan)
    }

    /// Whether the sunset has passed.
    pub fn is_gone(&self) -> bool {
        self.moment.gone
    }

    /// Brownouts that run.
    pub fn running_brownouts(&self) -> impl Iterator<Item = &Brownout> {
        self.moment
            .running
            .iter()
            .filter_map(|running| self.plan.brownouts.get(usize::from(running.place)))
    }

    /// Whether a share, and nothing else, chooses the version of this key. Where rules may
    /// have chosen, only the request would tell.
    pub fn is_randomised(&self, key: &[u8]) -> bool {
        (!self.kill_switch || self.is_gone())
            && self.rules.is_empty()
            && self.pin(Some(key)).is_none()
            && self.listed.get(Some(key)).is_none()
    }

    /// What is said of a brake that sends nobody back.
    #[cold]
    pub(super) fn passed(&self, on: bool, off: &str) -> String {
        if on {
            format!("on, but {} is gone: nobody is sent there", self.version_name(STABLE))
        } else {
            off.to_owned()
        }
    }

    /// What a client gets whose call is refused; `None` for a decision that serves it.
    /// `now_ms` is for `retry-after`.
    pub fn refusal(&self, decision: &Decision, now_ms: u64) -> Option<Refusal> {
        let version = self.version_name(decision.version);
        match decision.reason {
            Reason::Gone => Some(Refusal::of_sunset(&self.plan, version)),
            Reason::Brownout => {
                let place = usize::from(decision.brownout?);
                let brownout = self.plan.brownouts.get(place)?;
                Some(Refusal::of_brownout(&self.plan, brownout, version, now_ms))
            }
            _ => None,
        }
    }

    /// The same after a replacement of the plan's dates.
    pub(super) fn look_again(&mut self) {
        self.refuses = refuses(&self.plan);
        self.look_what_decides();
        let seen_ms = self.moment.seen_ms;
        if self.moment.until_ms > 0 {
            self.moment.until_ms = 0;
            self.observe(seen_ms);
        }
    }

    /// Turns a decision for an old version into a refusal, if it is refused now. In its
    /// place, so that one which is not need not be moved.
    #[inline(never)]
    pub(super) fn refuse(
        &self,
        decision: &mut Decision,
        key: Option<&[u8]>,
        apart: Option<Apart>,
        trace: &mut impl Trace,
    ) {
        if let Some(sunset) = self.plan.deprecation.as_ref().and_then(|dates| dates.sunset_at) {
            let gone = self.moment.gone;
            trace.stage("gone", || {
                let is = if gone { "has passed" } else { "is to come" };
                format!("the sunset of {sunset} {is}")
            });
            if gone {
                decision.reason = Reason::Gone;
                return;
            }
        }
        if self.plan.brownouts.is_empty() {
            return;
        }
        // Nobody is sent to a new version that is known to be broken by refusing the old one.
        let emergency = matches!(decision.reason, Reason::KillSwitch | Reason::Guard);
        let apart = apart.filter(|apart| *apart != Apart::Ready);
        if emergency || apart.is_some() {
            trace.stage("brownout", || match apart {
                None => format!("nobody is refused for `{}`", decision.reason.as_str()),
                Some(apart) => format!("spared: this client is {}", apart.word()),
            });
            return;
        }
        if self.moment.running.is_empty() {
            trace.stage("brownout", || format!("none of {} is running", self.plan.brownouts.len()));
        }
        for running in &self.moment.running {
            if self.hits(running, key, trace) {
                decision.reason = Reason::Brownout;
                decision.brownout = Some(running.place);
                return;
            }
        }
    }

    /// Whether a brownout hits this key. A call without one is hit where everybody is.
    fn hits(&self, running: &Running, key: Option<&[u8]>, trace: &mut impl Trace) -> bool {
        let name = || {
            let brownout = self.plan.brownouts.get(usize::from(running.place));
            brownout.map_or("", |brownout| brownout.name.as_str())
        };
        let Some(key) = key else {
            let hit = running.share == Share::FULL;
            trace.stage("brownout", || {
                let is = if hit { "refused" } else { "spared" };
                format!("`{}` is running, for {}: no key, {is}", name(), running.share)
            });
            return hit;
        };
        if running.exempt.binary_search_by(|exempt| (**exempt).cmp(key)).is_ok() {
            trace.stage("brownout", || format!("`{}` is running: this key is exempt", name()));
            return false;
        }
        let bucket = bucket_of_key(key, running.seed);
        let hit = bucket < running.share.buckets();
        trace.stage("brownout", || {
            let is = if hit { "is" } else { "is not" };
            format!(
                "`{}` is running: its bucket {bucket} {is} below {} ({})",
                name(),
                running.share.buckets(),
                running.share
            )
        });
        hit
    }
}
