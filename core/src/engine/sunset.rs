//! Whether the old version can go, and what stands in the way.

use crossfade_protocol::Share;
use crossfade_protocol::plan::{SunsetPlan, Then};
use crossfade_protocol::reply::{Check, Depend, Sunset};
use crossfade_protocol::request::Clock;
use crossfade_protocol::share::Minutes;

use super::Engine;
use crate::clients::{Clients, Outlook, seconds};
use crate::rollout::Phase;

const DAY_MS: u64 = 86_400_000;

impl Engine {
    /// `window_ms` is for how long the old version must have served nobody; the plan's own
    /// when it is not given.
    pub(super) fn sunset(&self, window_ms: Option<u64>) -> Sunset {
        let plan = self.policy.plan().sunset;
        // What is asked of a node that has no more than its own counts is a day.
        let days = if self.clients.is_some() { plan.quiet_days } else { 1 };
        let window_ms = window_ms.unwrap_or(u64::from(days) * DAY_MS);
        let mut checks = self.checks(window_ms);
        let horizon_ms = u64::from(plan.horizon_days) * DAY_MS;
        let Some(clients) = &self.clients else {
            let left = self.census.len() as u64 - self.census.on_version(self.policy.newest());
            return Sunset {
                ready: checks.iter().all(|check| check.ok),
                statement: format!(
                    "{left} clients were last served by an older version here. Whether they come again is known once nodes report clients."
                ),
                confidence: plan.confidence,
                horizon_ms,
                depend: Depend { at_most: left, expected: left as f64, exact: false },
                last_expected_ms: None,
                forecast: None,
                checks,
                candidates: Vec::new(),
            };
        };
        let outlook = clients.outlook(self.look());
        checks.extend(self.client_checks(clients, &outlook, &plan));
        let depend = &outlook.depend;
        let in_ms = |in_s: u32| self.now_ms + u64::from(in_s) * 1000;
        Sunset {
            ready: checks.iter().all(|check| check.ok),
            statement: self.statement(&outlook, &plan),
            confidence: plan.confidence,
            horizon_ms,
            depend: Depend {
                at_most: depend.at_most,
                expected: depend.expected,
                exact: depend.exact,
            },
            last_expected_ms: depend.last_in_s.map(in_ms),
            forecast: None,
            candidates: outlook.candidates.iter().map(|known| self.seen(clients, known)).collect(),
            checks,
        }
    }

    /// What the engine knows without its clients.
    fn checks(&self, window_ms: u64) -> Vec<Check> {
        let newest = self.policy.newest();
        let elsewhere = self.elsewhere();
        let phase = self.controller.rollout().map(|rollout| rollout.phase());
        let mut checks = vec![
            check(
                "share",
                elsewhere.is_none(),
                elsewhere.unwrap_or_else(|| {
                    format!("the policy sends everything to {}", self.policy.version_name(newest))
                }),
            ),
            check("quiet", self.migration_complete(window_ms), self.quietness(window_ms)),
        ];
        if self.clients.is_none() {
            let left = self.census.len() as u64 - self.census.on_version(newest);
            let uncounted = self.census.uncounted();
            checks.push(check(
                "clients",
                left == 0,
                format!("clients last served by an older version: {left}"),
            ));
            checks.push(check(
                "counted",
                uncounted == 0,
                format!("requests of clients that did not fit into the table: {uncounted}"),
            ));
        }
        checks.push(check(
            "rollout",
            !phase.is_some_and(Phase::is_back),
            phase.map_or("there was no rollout".to_owned(), |phase| {
                format!("the last rollout is {}", phase.as_str())
            }),
        ));
        checks
    }

    /// What its clients and their dates say.
    fn client_checks(
        &self,
        clients: &Clients,
        outlook: &Outlook<'_>,
        plan: &SunsetPlan,
    ) -> Vec<Check> {
        let depend = &outlook.depend;
        let mut checks = vec![check(
            "clients",
            depend.at_most <= plan.at_most,
            format!(
                "at {} % confidence at most {} clients call an older version again within {} days, {} are allowed; the longest usual interval among those who may is {} days",
                100.0 * plan.confidence,
                depend.at_most,
                plan.horizon_days,
                plan.at_most,
                f64::from(outlook.longest_s / 8_640) / 10.0
            ),
        )];
        let since_s = seconds(self.now_ms.saturating_sub(u64::from(plan.horizon_days) * DAY_MS));
        let sampled = clients.table.sampled_until_s().is_some_and(|until_s| until_s >= since_s);
        checks.push(check(
            "counted",
            !sampled && self.census.uncounted() == 0,
            match sampled {
                true => {
                    "clients of the last days were only sampled: nobody can be ruled out".to_owned()
                }
                false => format!("{} clients, every one of them counted", clients.table.len()),
            },
        ));
        let apart = outlook.blocked + outlook.pinned_back;
        checks.push(check(
            "blocked",
            apart == 0,
            format!(
                "clients that say they are blocked: {}; pinned back: {}",
                outlook.blocked, outlook.pinned_back
            ),
        ));
        let brownouts = &self.policy.plan().brownouts;
        if !brownouts.is_empty() {
            let to_come = brownouts.iter().filter(|it| it.end_ms() > self.now_ms).count();
            let stopped = brownouts.iter().filter(|it| it.stopped_at.is_some()).count();
            checks.push(check(
                "brownouts",
                to_come == 0 && stopped == 0,
                format!(
                    "{} planned, {to_come} still to come or running, {stopped} stopped early",
                    brownouts.len()
                ),
            ));
        }
        if let Some(dates) = &self.policy.plan().deprecation {
            let given_ms = self.now_ms.saturating_sub(dates.deprecated_at.unix_ms());
            let asked_ms = u64::from(plan.notice_days) * DAY_MS;
            checks.push(check(
                "notice",
                given_ms >= asked_ms && self.now_ms >= dates.deprecated_at.unix_ms(),
                format!(
                    "deprecated for {} days, {} are asked for",
                    given_ms / DAY_MS,
                    plan.notice_days
                ),
            ));
        }
        checks
    }

    fn statement(&self, outlook: &Outlook<'_>, plan: &SunsetPlan) -> String {
        let depend = &outlook.depend;
        let sure = 100.0 * plan.confidence;
        let stable = self.versions().stable();
        let mut text = match depend.at_most {
            0 => format!(
                "At {sure} % confidence no client calls {stable} again within {} days.",
                plan.horizon_days
            ),
            n => format!(
                "At {sure} % confidence at most {n} clients still depend on {stable} (they call again within {} days); {} are expected.",
                plan.horizon_days,
                libm::round(10.0 * depend.expected) / 10.0
            ),
        };
        if let Some(in_s) = depend.last_in_s {
            let at = crossfade_protocol::plan::Instant::of_ms(self.now_ms + u64::from(in_s) * 1000);
            text.push_str(&format!(" The last of them is expected on {at}."));
        }
        if !depend.exact {
            text.push_str(" Clients were sampled, which is in the number.");
        }
        text
    }

    /// What still leads to an older version, or `None` when nothing does.
    fn elsewhere(&self) -> Option<String> {
        let plan = self.policy.plan();
        let newest = plan.versions.new_version();
        let stable = plan.versions.stable();
        if plan.kill_switch {
            return Some(format!("the kill switch sends everything to {stable}"));
        }
        if self.guard.tripped() {
            return Some(format!("the guard has tripped and sends everything to {stable}"));
        }
        let pins = plan.pins.values().filter(|version| *version != newest).count();
        if pins > 0 {
            return Some(format!("keys pinned to an older version: {pins}"));
        }
        let elsewhere = |then: &Then| match then {
            Then::To(version) => version != newest,
            Then::Split(split) => split.0.iter().any(|(v, w)| v != newest && w.hundredths() > 0),
        };
        if let Some(rule) = plan.rules.iter().find(|rule| elsewhere(&rule.then)) {
            return Some(format!("rule `{}` leads to an older version", rule.name));
        }
        let share = self.policy.traffic().share_of(self.policy.newest());
        (share != Share::FULL).then(|| format!("the policy sends {share} to {newest}"))
    }

    fn quietness(&self, window_ms: u64) -> String {
        let newest = usize::from(self.policy.newest());
        if self.last_served_ms.get(newest).is_none_or(Option::is_none) {
            return format!("{} has served nobody yet", self.versions().new_version());
        }
        let last = self.last_served_ms.iter().take(newest).flatten().max();
        // In hundredths, rounded down: what is asked for has not passed before it has.
        let minutes = |ms: u64| Minutes::from_ms(ms / 600 * 600).minutes();
        let watched_ms = self.now_ms.saturating_sub(self.started_ms);
        match last {
            None if self.clock == Clock::Wall && watched_ms < window_ms => format!(
                "this node has watched for {} minutes, {} are asked for",
                minutes(watched_ms),
                minutes(window_ms)
            ),
            None => "no older version has served anybody".to_owned(),
            Some(last) => format!(
                "an older version last served somebody {} minutes ago, {} are asked for",
                minutes(self.now_ms.saturating_sub(*last)),
                minutes(window_ms)
            ),
        }
    }
}

fn check(check: &'static str, ok: bool, detail: String) -> Check {
    Check { check, ok, detail }
}

#[cfg(test)]
#[path = "sunset/tests.rs"]
mod tests;
