//! One instance of the filter: the policy in force, what was counted, and the guard.

use std::rc::Rc;

use crossfade_core::changes::{Call, Changes};
use crossfade_core::draws::Draws;
use crossfade_core::event::NodeChange;
use crossfade_core::guard::Guard;
use crossfade_core::protocol::Reason;
use crossfade_core::protocol::plan::Plan;
use crossfade_core::protocol::request::Outcome;
use crossfade_core::protocol::totals::{ShadowTotals, VersionTotals};
use crossfade_core::tally::Tally;
use crossfade_core::{Decision, Policy};

use crate::host::{Answer, Host, Level};
use crate::metrics::{Class, Metrics};
use crate::request::Places;
use crate::shadow::{Asked, Came, Mirrors, Shade, Shadow};

/// Names of versions that one instance has counted under. Versions beyond it are decided
/// and not counted; a policy has at most 16, so this is many migrations.
const SLOTS_MAX: usize = 256;

/// What is known of an instance of the filter.
#[derive(Debug)]
pub struct Node {
    in_force: Option<Rc<InForce>>,
    /// Counts by version name; a slot is never removed or reused, so a request that began
    /// under an older policy still counts for the version it was sent to.
    slots: Vec<Slot>,
    guard: Guard,
    draws: Draws,
    /// Grows with everything that is counted.
    counted: u64,
    /// What clients did and the control server does not know yet, where there is one.
    changes: Option<Changes>,
    /// What is mirrored; boxed, since most of the time nothing is.
    shadow: Box<Shadow>,
    pub(crate) metrics: Metrics,
}

#[derive(Debug)]
struct Slot {
    version: String,
    tally: Tally,
}

/// A policy, and what is made from it once.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    pub(crate) places: Places,
    /// The slot of each version.
    slots: Vec<Option<usize>>,
    /// Whose requests are mirrored, where any are.
    pub(crate) shade: Option<Rc<Shade>>,
}

impl InForce {
    /// Where this version is counted.
    pub(crate) fn slot(&self, version: u16) -> Option<usize> {
        self.slots.get(usize::from(version)).copied().flatten()
    }

    /// Whether a request that was decided like this is mirrored once it was answered: not
    /// one that gets the newest version anyway, and none in an emergency.
    pub(crate) fn mirrors(
        &self,
        decision: &Decision,
        key: Option<&[u8]>,
        draw: impl FnOnce() -> u32,
    ) -> Option<Rc<Shade>> {
        let shade = self.shade.as_ref()?;
        let served = decision.version != self.policy.newest()
            && !matches!(decision.reason, Reason::KillSwitch | Reason::Guard);
        (served && shade.chooses(key, draw)).then(|| Rc::clone(shade))
    }
}

impl Node {
    /// Without a policy. `seed` is for draws, where no key decides.
    pub fn new(seed: u64) -> Node {
        Node {
            in_force: None,
            slots: Vec::new(),
            guard: Guard::default(),
            draws: Draws::new(seed),
            counted: 0,
            changes: None,
            shadow: Box::new(Shadow::new(None, "")),
            metrics: Metrics::default(),
        }
    }

    pub(crate) fn in_force(&self) -> Option<&Rc<InForce>> {
        self.in_force.as_ref()
    }

    /// The revision of the policy in force.
    pub fn revision(&self) -> Option<u64> {
        self.in_force.as_ref().map(|in_force| in_force.policy.revision())
    }

    /// Whether a policy of this revision would be taken: the first one, and newer ones.
    pub fn takes(&self, revision: u64) -> bool {
        self.revision().is_none_or(|mine| revision > mine)
    }

    /// Puts a plan into force, and arms the guard anew.
    ///
    /// It is compiled without regard to the one before, so that every instance decides
    /// the same whenever it began: where a split's history counts, the document says so
    /// (`split_buckets`).
    pub fn adopt(&mut self, plan: Plan, revision: u64) {
        let places = Places::of(&plan);
        let policy = Policy::new(plan, revision, None);
        let slots: Vec<_> = policy.versions().iter().map(|name| self.slot_of(name)).collect();
        self.metrics.grow(self.slots.len());
        let newest = slots.get(usize::from(policy.newest())).copied().flatten();
        let newest = newest.and_then(|slot| self.slots.get(slot));
        self.guard = newest.map(|slot| Guard::armed(&slot.tally)).unwrap_or_default();
        if let Some(changes) = &mut self.changes {
            changes.set_versions(policy.versions());
        }
        let newest = slots.get(usize::from(policy.newest())).copied().flatten();
        let shade = self.shadow.shade(policy.plan(), newest);
        self.in_force = Some(Rc::new(InForce { policy, places, slots, shade }));
    }

    /// Mirrors requests from the next policy on, where that asks for it.
    pub(crate) fn mirror(&mut self, mirrors: Option<Mirrors>, version_header: &str) {
        *self.shadow = Shadow::new(mirrors, version_header);
    }

    /// A request is over that may be mirrored.
    pub(crate) fn mirror_request(&mut self, host: &impl Host, asked: &Asked, status: u16) {
        // A policy that came meanwhile may want no more of them.
        let current = self.in_force.as_ref().and_then(|in_force| in_force.shade.as_ref());
        if current.is_some_and(|current| asked.is_for(current)) {
            let came = self.shadow.take(host, asked, status);
            self.came(vec![came]);
        }
    }

    /// Sends mirrored requests that wait.
    pub(crate) fn mirror_what_waits(&mut self, host: &impl Host) {
        let mut came = Vec::new();
        self.shadow.tick(host, &mut came);
        self.came(came);
    }

    /// Whether a mirrored request waits for the answer with this token.
    pub(crate) fn is_shadow(&self, token: u32) -> bool {
        self.shadow.waits_for(token)
    }

    /// The newest version answered a mirrored request.
    pub(crate) fn compare(&mut self, host: &impl Host, token: u32, answer: &Answer) {
        let mut came = Vec::new();
        self.shadow.answer(host, token, answer, &mut came);
        self.came(came);
    }

    fn came(&mut self, came: Vec<Came>) {
        for (slot, seen) in came.into_iter().filter(|(_, seen)| *seen != ShadowTotals::default()) {
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.tally.shadow = slot.tally.shadow.plus(seen);
            }
            self.counted = self.counted.saturating_add(1);
            self.metrics.mirrored(seen);
        }
    }

    /// Takes up the time: brownouts begin and end by it, and the sunset comes.
    #[inline]
    pub(crate) fn observe(&mut self, now_ms: u64) {
        if self.in_force.as_ref().is_some_and(|in_force| in_force.policy.is_due(now_ms)) {
            self.turn(now_ms);
        }
    }

    #[cold]
    fn turn(&mut self, now_ms: u64) {
        let Some(in_force) = &self.in_force else { return };
        let InForce { policy, places, slots, shade } = &**in_force;
        // Requests that are under way keep the one they were decided by.
        let mut policy = policy.clone();
        policy.observe(now_ms);
        let (places, slots, shade) = (places.clone(), slots.clone(), shade.clone());
        self.in_force = Some(Rc::new(InForce { policy, places, slots, shade }));
    }

    /// Remembers clients from now on, until they are reported; `seed` keys the memory.
    pub fn report_clients(&mut self, seed: u64) {
        let mut changes = Changes::new(seed);
        if let Some(in_force) = &self.in_force {
            changes.set_versions(in_force.policy.versions());
        }
        self.changes = Some(changes);
    }

    /// What clients did, where that is reported.
    pub(crate) fn changes(&mut self) -> Option<&mut Changes> {
        self.changes.as_mut()
    }

    /// Whether anybody wants to know who the clients are.
    pub(crate) fn reports_clients(&self) -> bool {
        self.changes.is_some()
    }

    /// Remembers a call that was decided under `in_force`.
    pub(crate) fn client(&mut self, in_force: &Rc<InForce>, version: u16, call: Call<'_>, s: u32) {
        let Some(changes) = &mut self.changes else { return };
        let current = self.in_force.as_ref().is_some_and(|current| Rc::ptr_eq(current, in_force));
        let version = match current {
            true => changes.place_of(version),
            // A version that no policy has any more has no place: the call is left out.
            false => changes.place(in_force.policy.version_name(version)).unwrap_or(u8::MAX),
        };
        changes.record(&Call { version, ..call }, s);
    }

    fn slot_of(&mut self, version: &str) -> Option<usize> {
        let known = self.slots.iter().position(|slot| slot.version == version);
        if known.is_none() && self.slots.len() < SLOTS_MAX {
            self.slots.push(Slot { version: version.to_owned(), tally: Tally::default() });
            return self.slots.len().checked_sub(1);
        }
        known
    }

    pub(crate) fn draw(&mut self) -> u32 {
        self.draws.next_u32()
    }

    /// Whether the guard has sent everything to the stable version.
    pub fn guard_tripped(&self) -> bool {
        self.guard.tripped()
    }

    /// Counts a request that no version will see.
    pub(crate) fn refused(&mut self, slot: usize, reason: Reason) {
        self.metrics.decided(slot, reason);
    }

    /// Counts a request on its way to a version.
    pub(crate) fn routed(&mut self, slot: usize, reason: Reason) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.tally.routed = slot.tally.routed.saturating_add(1);
        }
        self.counted = self.counted.saturating_add(1);
        self.metrics.decided(slot, reason);
    }

    /// Counts how a request ended. `outcome` is `None` where nothing is known of how the
    /// version did.
    pub(crate) fn ended(
        &mut self,
        host: &impl Host,
        slot: usize,
        class: Class,
        outcome: Option<&Outcome>,
    ) {
        self.metrics.ended(slot, class);
        let (Some(outcome), Some(counted)) = (outcome, self.slots.get_mut(slot)) else { return };
        counted.tally.record(outcome);
        self.counted = self.counted.saturating_add(1);
        let Some(in_force) = &self.in_force else { return };
        if in_force.slot(in_force.policy.newest()) != Some(slot) {
            return;
        }
        let rule = in_force.policy.plan().guard;
        if let Some(change) =
            self.guard.look(rule.as_ref(), &counted.tally, in_force.policy.is_gone())
        {
            host.log(Level::Warn, &tripped(&in_force.policy, &change));
            self.metrics.guard(host, true);
        }
    }

    /// Grows with everything that is counted; 0 is nothing yet.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// The counts since the start, of the policy's versions in its order. A version that a
    /// newer policy no longer has keeps its counts here, and they are shown again with it.
    pub fn totals(&self) -> Vec<VersionTotals> {
        let Some(in_force) = &self.in_force else { return Vec::new() };
        let counted = in_force.slots.iter().flatten().filter_map(|slot| self.slots.get(*slot));
        counted.map(|slot| slot.tally.to_totals(&slot.version)).collect()
    }

    /// Brings Envoy's statistics up to date.
    pub(crate) fn flush(&mut self, host: &impl Host) {
        if let Some(changes) = &self.changes {
            self.metrics.client_requests_dropped(changes.dropped_ever());
        }
        self.metrics.flush(host, self.slots.iter().map(|slot| slot.version.as_str()));
        // Another instance that adopted this policy later has set it to 0.
        if self.guard.tripped() {
            self.metrics.guard(host, true);
        }
    }
}

fn tripped(policy: &Policy, change: &NodeChange) -> String {
    let NodeChange::GuardTripped { failures, requests, max_failure_ratio, gone } = change else {
        return format!("crossfade: {change:?}");
    };
    let old = policy.version_name(crossfade_core::policy::STABLE);
    let then = match gone {
        false => format!(
            "everything goes to {old} until a policy newer than revision {} comes",
            policy.revision()
        ),
        true => format!(
            "{old} is gone since the sunset, so everything stays: if it still runs, move `sunset_at`"
        ),
    };
    format!(
        "crossfade: guard tripped: {failures} of {requests} requests of {} failed, over the \
         policy's max_failure_ratio of {max_failure_ratio}; {then}",
        policy.version_name(policy.newest()),
    )
}
