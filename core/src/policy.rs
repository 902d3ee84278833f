//! The policy: the routing part of a plan, compiled, and the decision itself.
//!
//! [`Policy::decide`] reads top to bottom in the order of decision: kill switch, local
//! guard, pinned back, pin, first matching rule, ready or blocked, split or canary, stable;
//! and what led to an old version is refused after the sunset, or in a brownout. From the
//! sunset on the first three pass: nobody is sent back to what is gone. It never waits,
//! never allocates and cannot fail.

mod listed;
mod moment;
mod next;

use borsh::{BorshDeserialize, BorshSerialize};
use std::sync::Arc;

use crossfade_protocol::plan::{self, Headers, OnMissingKey, Plan};
use crossfade_protocol::{Reason, Share};

use crate::bucket::{Seed, bucket_of_draw, bucket_of_key};
use crate::decision::{Decision, NoTrace, Trace};
use crate::gate::sentence::Names;
use crate::request::Request;
use crate::rule::{self, Rule, Then};
use crate::split::Split;
use listed::{Apart, Listed};
use moment::Moment;

/// The version everything falls back to: the first of the list.
pub const STABLE: u16 = 0;

/// An immutable, revisioned policy. Cheap to share, replaced as a whole.
#[derive(Debug, Clone)]
pub struct Policy {
    plan: Arc<Plan>,
    revision: u64,
    /// The first revision whose counts are evidence under this one.
    counts_since: u64,
    kill_switch: bool,
    /// Sorted by key.
    pins: Vec<(Box<[u8]>, u16)>,
    rules: Vec<Rule>,
    traffic: Traffic,
    /// Beside the traffic and not behind the plan: a canary then chooses without a branch,
    /// which no processor could foresee.
    newest: u16,
    seed: Seed,
    draw_without_key: bool,
    listed: Listed,
    /// Whether there is anything for which a call to an old version is ever refused. Asked
    /// before who is served by it: what is the same for every request is foreseen.
    refuses: bool,
    /// Whether traffic decides and nothing else can: asked once, for all that most policies
    /// do not have.
    traffic_alone: bool,
    moment: Moment,
    headers: Vec<Headers>,
}

/// What decides when no pin and no rule did.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Traffic {
    /// The stable version.
    Stable,
    /// The newest version for a share, the stable one for the rest.
    Canary {
        /// The share.
        share: Share,
        /// By key, or by draw.
        sticky: bool,
    },
    /// A table of weights.
    Split {
        /// The table.
        split: Split,
        /// By key, or by draw.
        sticky: bool,
    },
}

impl Traffic {
    /// The share that `newest` gets of the requests this decides.
    pub fn share_of(&self, newest: u16) -> Share {
        match self {
            Traffic::Stable => Share::ZERO,
            Traffic::Canary { share, .. } => *share,
            Traffic::Split { split, .. } => split.share_of(newest),
        }
    }
}

impl Policy {
    /// Compiles a plan. `before` is the policy it replaces: a split whose weights
    /// changed keeps every bucket that need not move.
    pub fn new(plan: Plan, revision: u64, before: Option<&Policy>) -> Policy {
        let index = |name: &str| plan.versions.index(name).unwrap_or_default() as u16;
        // A plan's splits name only its own versions, so positions are complete.
        let weights = |split: &plan::Split| -> Vec<u32> {
            let weight = |version: &String| {
                split.0.iter().find(|(name, _)| name == version).map_or(0, |(_, w)| w.hundredths())
            };
            plan.versions.0.iter().map(weight).collect()
        };
        // In order of their bytes, as the plan's map is.
        let pins: Vec<(Box<[u8]>, u16)> = plan
            .pins
            .iter()
            .map(|(key, version)| (key.as_bytes().into(), index(version)))
            .collect();
        let rules = plan.rules.iter().map(|rule| Rule {
            name: rule.name.clone(),
            when: rule.when.clone(),
            then: match &rule.then {
                plan::Then::To(version) => Then::To(index(version)),
                plan::Then::Split(split) => Then::Split {
                    split: Split::new(&weights(split)),
                    seed: Seed::of_rule(&plan.salt, &rule.name),
                },
            },
        });
        let sticky = plan.sticky;
        let traffic = match &plan.traffic {
            plan::Traffic::Stable => Traffic::Stable,
            plan::Traffic::Canary(share) => Traffic::Canary { share: *share, sticky },
            plan::Traffic::Split { split, layout: Some(layout) } => {
                let ranges = layout.iter().map(|range| (range.to, index(&range.version))).collect();
                Traffic::Split {
                    split: Split::from_ranges(ranges).reweighted(&weights(split)),
                    sticky,
                }
            }
            plan::Traffic::Split { split, layout: None } => {
                let plain = || Split::new(&weights(split));
                let split = before
                    .filter(|before| {
                        before.plan.versions == plan.versions && before.plan.salt == plan.salt
                    })
                    .and_then(|before| before.laid_out())
                    .map_or_else(plain, |old| old.reweighted(&weights(split)));
                Traffic::Split { split, sticky }
            }
        };
        let mut policy = Policy {
            revision,
            counts_since: revision,
            kill_switch: plan.kill_switch,
            pins,
            rules: rules.collect(),
            traffic,
            newest: plan.versions.0.len().saturating_sub(1) as u16,
            seed: Seed::of_salt(&plan.salt),
            draw_without_key: plan.key.on_missing == OnMissingKey::Random,
            listed: Listed::new(&plan.clients),
            refuses: moment::refuses(&plan),
            traffic_alone: false,
            moment: Moment::default(),
            headers: Headers::of_plan(&plan, 0),
            plan: Arc::new(plan),
        };
        policy.look_what_decides();
        policy
    }

    /// To be called when anything has changed that may decide beside the traffic.
    fn look_what_decides(&mut self) {
        self.traffic_alone = !self.kill_switch
            && !self.refuses
            && self.pins.is_empty()
            && self.rules.is_empty()
            && self.listed.is_empty();
    }

    /// The plan this was compiled from, as it was read.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether what was counted under this revision is evidence under the present one.
    pub(crate) fn counts(&self, revision: u64) -> bool {
        (self.counts_since..=self.revision).contains(&revision)
    }

    /// The first revision that [`counts`](Policy::counts).
    pub(crate) fn counts_since(&self) -> u64 {
        self.counts_since
    }

    /// The same policy, with that.
    pub(crate) fn with_counts_since(mut self, revision: u64) -> Policy {
        self.counts_since = revision;
        self
    }

    /// Grows with every change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What decides when no pin and no rule did.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The version names, oldest first.
    pub fn versions(&self) -> &[String] {
        &self.plan.versions.0
    }

    /// The name of a version by its place; empty for a place that does not exist.
    pub fn version_name(&self, version: u16) -> &str {
        self.versions().get(usize::from(version)).map_or("", String::as_str)
    }

    /// The place of the newest version.
    pub fn newest(&self) -> u16 {
        self.newest
    }

    /// The headers that go with a version.
    pub fn headers(&self, version: u16) -> Option<&Headers> {
        self.headers.get(usize::from(version))
    }

    /// What sentences call the versions that a gate compares.
    pub(crate) fn names(&self) -> Names<'_> {
        let versions = &self.plan.versions;
        let old = if versions.0.len() == 2 { versions.stable() } else { "the rest" };
        Names { old, new: versions.new_version() }
    }

    /// The name of a rule by its place.
    pub fn rule_name(&self, rule: u16) -> Option<&str> {
        self.rules.get(usize::from(rule)).map(|rule| rule.name.as_str())
    }

    /// Whether every request of a key is decided alike: by the key, and by nothing else but
    /// the guard.
    pub(crate) fn is_by_key_alone(&self) -> bool {
        let sticky = match &self.traffic {
            Traffic::Stable => true,
            Traffic::Canary { sticky, .. } | Traffic::Split { sticky, .. } => *sticky,
        };
        self.rules.is_empty() && sticky
    }

    /// Whether a decision may look at attributes.
    pub fn needs_attributes(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The attributes that rules look at, each once, in document order.
    pub fn attribute_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for condition in self.rules.iter().filter_map(|rule| rule.when.as_ref()) {
            rule::names(condition, &mut names);
        }
        names
    }

    /// The bucket of a key under the policy's own salt.
    pub fn bucket(&self, key: &[u8]) -> u16 {
        bucket_of_key(key, self.seed)
    }

    /// Decides. `draw` is uniform over `u32`; it counts only where no key does.
    ///
    /// A canary by key, before which nothing comes, is decided here: that is nearly every
    /// request there is, and this is then short enough to be a part of whoever asks. It is
    /// what [`decide_traced`](Policy::decide_traced) says of the same.
    #[inline]
    pub fn decide(&self, request: &Request<'_>, draw: u32) -> Decision {
        if self.traffic_alone
            && !request.guard_tripped
            && let Some(key) = request.key
            && let Traffic::Canary { share, sticky: true } =
                request.traffic.unwrap_or(&self.traffic)
        {
            return self.canary(*share, bucket_of_key(key, self.seed));
        }
        self.decide_at_length(*request, draw)
    }

    /// Takes a copy, so that a request which is decided in short need not be in memory.
    #[inline(never)]
    fn decide_at_length(&self, request: Request<'_>, draw: u32) -> Decision {
        self.decide_traced(&request, draw, &mut NoTrace)
    }

    /// Decides, telling `trace` of every stage tried.
    pub fn decide_traced(
        &self,
        request: &Request<'_>,
        draw: u32,
        trace: &mut impl Trace,
    ) -> Decision {
        let apart = self.listed.get(request.key);
        let mut decision = self.choose(request, apart, draw, trace);
        if self.refuses && decision.version != self.newest {
            self.refuse(&mut decision, request.key, apart, trace);
        }
        decision
    }

    /// The version that serves, if it serves.
    #[inline]
    fn choose(
        &self,
        request: &Request<'_>,
        apart: Option<Apart>,
        draw: u32,
        trace: &mut impl Trace,
    ) -> Decision {
        if self.kill_switch && !self.is_gone() {
            trace.stage("kill_switch", || {
                format!("on: everything to {}", self.version_name(STABLE))
            });
            return Decision::plain(STABLE, Reason::KillSwitch);
        }
        trace.stage("kill_switch", || self.passed(self.kill_switch, "off"));
        if request.guard_tripped && !self.is_gone() {
            trace.stage("guard", || "tripped: everything to the stable version".to_owned());
            return Decision::plain(STABLE, Reason::Guard);
        }
        if self.plan.guard.is_some() {
            trace.stage("guard", || self.passed(request.guard_tripped, "not tripped"));
        }
        if apart == Some(Apart::PinnedBack) && !self.is_gone() {
            trace.stage("pinned_back", || {
                format!("the new version fails for this client: {}", self.version_name(STABLE))
            });
            return Decision::plain(STABLE, Reason::PinnedBack);
        }
        if let Some(version) = self.pin(request.key) {
            trace.stage("pin", || format!("this key is pinned to {}", self.version_name(version)));
            return Decision::plain(version, Reason::Pin);
        }
        trace.stage("pin", || format!("not among {} pinned keys", self.pins.len()));
        if !self.rules.is_empty()
            && let Some(decision) = self.by_rule(request, draw, trace)
        {
            return decision;
        }
        if let Some(decision) = apart.and_then(|apart| self.as_said(apart, request, trace)) {
            return decision;
        }
        self.by_traffic(request, draw, trace)
    }

    /// By the first rule that matches. Out of line, as what follows is: a decision without
    /// them is then short.
    #[inline(never)]
    fn by_rule(
        &self,
        request: &Request<'_>,
        draw: u32,
        trace: &mut impl Trace,
    ) -> Option<Decision> {
        let (place, rule) = self.first_match(request, trace)?;
        let decision = match &rule.then {
            Then::To(version) => Decision::plain(*version, Reason::Rule),
            Then::Split { split, seed } => {
                self.by_split(split, *seed, true, Reason::Rule, request, draw, trace)
            }
        };
        Some(Decision { rule: Some(place as u16), ..decision })
    }

    /// Ready clients move as soon as anybody does, blocked ones when everybody does.
    #[inline(never)]
    fn as_said(
        &self,
        apart: Apart,
        request: &Request<'_>,
        trace: &mut impl Trace,
    ) -> Option<Decision> {
        let share = request.traffic.unwrap_or(&self.traffic).share_of(self.newest);
        let (version, reason) = match apart {
            Apart::Ready if share > Share::ZERO => (self.newest, Reason::Ready),
            Apart::Blocked if share < Share::FULL => (STABLE, Reason::Blocked),
            _ => return None,
        };
        trace.stage(reason.as_str(), || {
            format!("this client is {}, at {share}: {}", apart.word(), self.version_name(version))
        });
        Some(Decision::plain(version, reason))
    }

    #[inline]
    fn pin(&self, key: Option<&[u8]>) -> Option<u16> {
        if self.pins.is_empty() { None } else { listed::find(&self.pins, key) }
    }

    #[inline]
    fn first_match(&self, request: &Request<'_>, trace: &mut impl Trace) -> Option<(usize, &Rule)> {
        for (place, rule) in self.rules.iter().enumerate() {
            let matched = rule.matches(request.attributes);
            trace.stage("rule", || {
                let verdict = if matched { "matches" } else { "does not match" };
                match &rule.when {
                    Some(when) => {
                        format!(
                            "`{}` {verdict}: {}",
                            rule.name,
                            rule::why(when, request.attributes)
                        )
                    }
                    None => format!("`{}` has no condition: it matches always", rule.name),
                }
            });
            if matched {
                return Some((place, rule));
            }
        }
        None
    }

    #[inline]
    fn by_traffic(&self, request: &Request<'_>, draw: u32, trace: &mut impl Trace) -> Decision {
        match request.traffic.unwrap_or(&self.traffic) {
            Traffic::Stable => {
                trace.stage("stable", || "no split and no canary percentage".to_owned());
                Decision::plain(STABLE, Reason::Stable)
            }
            Traffic::Canary { share, sticky } => {
                let Some(bucket) = self.place(request.key, self.seed, *sticky, draw) else {
                    trace.stage("canary", || "no key: the stable version".to_owned());
                    return Decision {
                        canary: Some(false),
                        ..Decision::plain(STABLE, Reason::NoKey)
                    };
                };
                let decision = self.canary(*share, bucket);
                trace.stage("canary", || {
                    let is = if decision.canary == Some(true) { "is" } else { "is not" };
                    format!("bucket {bucket} {is} below {} ({share})", share.buckets())
                });
                decision
            }
            Traffic::Split { split, sticky } => {
                self.by_split(split, self.seed, *sticky, Reason::Split, request, draw, trace)
            }
        }
    }

    #[inline]
    fn canary(&self, share: Share, bucket: u16) -> Decision {
        let canary = bucket < share.buckets();
        Decision {
            version: if canary { self.newest } else { STABLE },
            canary: Some(canary),
            reason: Reason::Canary,
            bucket: Some(bucket),
            rule: None,
            brownout: None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a leaf that both kinds of split share")]
    fn by_split(
        &self,
        split: &Split,
        seed: Seed,
        sticky: bool,
        reason: Reason,
        request: &Request<'_>,
        draw: u32,
        trace: &mut impl Trace,
    ) -> Decision {
        let Some(bucket) = self.place(request.key, seed, sticky, draw) else {
            trace.stage("split", || "no key: the stable version".to_owned());
            return Decision::plain(STABLE, Reason::NoKey);
        };
        let version = split.version(bucket);
        trace.stage("split", || {
            let by = if sticky && request.key.is_some() { "of the key" } else { "drawn" };
            format!("bucket {bucket} ({by}) belongs to {}", self.version_name(version))
        });
        Decision { bucket: Some(bucket), ..Decision::plain(version, reason) }
    }

    /// The bucket of a request: of its key, or of the draw where the key does not count.
    /// `None` when the key should count and there is none.
    #[inline]
    fn place(&self, key: Option<&[u8]>, seed: Seed, sticky: bool, draw: u32) -> Option<u16> {
        match key {
            Some(key) if sticky => Some(bucket_of_key(key, seed)),
            None if sticky && !self.draw_without_key => None,
            _ => Some(bucket_of_draw(draw)),
        }
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "policy/refusal_tests.rs"]
mod refusal_tests;
