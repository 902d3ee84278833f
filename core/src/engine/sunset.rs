//! Whether the old version can go, and what stands in the way.

#[cfg(feature = "ledger")]
mod clients;

use crossfade_protocol::Share;
use crossfade_protocol::plan::{KeyFrom, Then};
use crossfade_protocol::reply::{Check, Sunset};
use crossfade_protocol::request::Clock;
use crossfade_protocol::share::Minutes;
use crossfade_protocol::words::{counted, measured};

use super::Engine;
use crate::request::Request;
use crate::rollout::Phase;

const DAY_MS: u64 = 86_400_000;

impl Engine {
    /// `window_ms` is for how long the old version must have served nobody; the plan's own
    /// when it is not given.
    pub(super) fn sunset(&self, window_ms: Option<u64>) -> Sunset {
        let plan = self.policy.plan().sunset;
        // What is asked of a node that has no more than its own counts is a day.
        let days = if self.reported_clients().is_some() { plan.quiet_days } else { 1 };
        let window_ms = window_ms.unwrap_or(u64::from(days) * DAY_MS);
        let mut checks = self.checks(window_ms);
        if self.reported_clients().is_none() {
            checks.extend(self.dates_checked());
        }
        let left = self.census.len() as u64 - self.census.on_version(self.policy.newest());
        let known = Sunset {
            ready: checks.iter().all(|check| check.ok),
            statement: format!(
                "Clients last served by an older version here: {left}. Who calls again is known once nodes report clients."
            ),
            confidence: plan.confidence,
            horizon_ms: u64::from(plan.horizon_days) * DAY_MS,
            depend: None,
            as_of_ms: None,
            last_expected_ms: None,
            forecast: None,
            checks,
            candidates: Vec::new(),
        };
        #[cfg(feature = "ledger")]
        if let Some(clients) = self.reported_clients() {
            return self.sunset_of(clients, known);
        }
        known
    }

    /// What the engine knows without its clients.
    fn checks(&self, window_ms: u64) -> Vec<Check> {
        let newest = self.policy.newest();
        let elsewhere = self.elsewhere();
        let phase = self.controller.rollout().map(|rollout| rollout.phase());
        let mut checks = vec![
            check("share", elsewhere.is_none(), elsewhere.unwrap_or_else(|| self.everything())),
            check("quiet", self.migration_complete(window_ms), self.quietness(window_ms)),
        ];
        if self.reported_clients().is_none() {
            let left = self.census.len() as u64 - self.census.on_version(newest);
            let uncounted = self.census.uncounted();
            // Who is counted elsewhere has no name here.
            let elsewhere = self.fleet.sources() > 0 || self.census.is_empty();
            checks.push(check(
                "clients",
                left == 0 && !elsewhere,
                match elsewhere {
                    true => "no node has reported clients: who still calls an older version is not known".to_owned(),
                    false => format!("clients last served by an older version: {left}"),
                },
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

    /// What the plan's dates say.
    fn dates_checked(&self) -> impl Iterator<Item = Check> {
        let plan = self.policy.plan();
        let brownouts = &plan.brownouts;
        let to_come = brownouts.iter().filter(|it| !it.is_over(self.now_ms)).count();
        let stopped = brownouts.iter().filter(|it| it.stopped_at.is_some()).count();
        let passed = (!brownouts.is_empty()).then(|| {
            let planned = brownouts.len();
            check(
                "brownouts",
                to_come == 0 && stopped == 0,
                format!(
                    "{planned} planned, {to_come} still to come or running, {stopped} stopped early"
                ),
            )
        });
        let notice = plan.deprecation.as_ref().map(|dates| {
            let given_ms = self.now_ms.saturating_sub(dates.deprecated_at.unix_ms());
            let days = plan.sunset.notice_days;
            check(
                "notice",
                given_ms >= u64::from(days) * DAY_MS
                    && self.now_ms >= dates.deprecated_at.unix_ms(),
                format!(
                    "deprecated for {}, and `sunset.notice_days` asks for {days}",
                    counted(given_ms / DAY_MS, "day")
                ),
            )
        });
        passed.into_iter().chain(notice)
    }

    /// What still leads to an older version, or `None` when nothing does.
    fn elsewhere(&self) -> Option<String> {
        let plan = self.policy.plan();
        let newest = plan.versions.new_version();
        let stable = plan.versions.stable();
        let gone = self.policy.is_gone();
        if plan.kill_switch && !gone {
            return Some(format!("the kill switch sends everything to {stable}"));
        }
        if self.guard.tripped() && !gone {
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

    /// What a policy that sends every key to the newest version sends there.
    fn everything(&self) -> String {
        let newest = self.policy.version_name(self.policy.newest());
        // Where it is an address, every request has one.
        let keyless = self.policy.plan().key.from != KeyFrom::Address
            && self.policy.decide(&Request::of_key(b""), 0).version != self.policy.newest();
        match keyless {
            false => format!("the policy sends everything to {newest}"),
            true => format!(
                "the policy sends every key to {newest}; requests without one go to {} unless the plan's `key` says `on_missing_key: random`",
                self.versions().stable()
            ),
        }
    }

    fn quietness(&self, window_ms: u64) -> String {
        let newest = usize::from(self.policy.newest());
        if self.last_served_ms.get(newest).is_none_or(Option::is_none) {
            return format!("{} has served nobody yet", self.versions().new_version());
        }
        let last = self.last_served_ms.iter().take(newest).flatten().max();
        // In hundredths, rounded down: what is asked for has not passed before it has.
        let minutes = |ms: u64| measured(Minutes::from_ms(ms / 600 * 600).minutes(), "minute");
        let watched_ms = self.now_ms.saturating_sub(self.started_ms);
        match last {
            None if self.clock == Clock::Wall && watched_ms < window_ms => format!(
                "this node has watched for {}, and the window is {}",
                minutes(watched_ms),
                minutes(window_ms)
            ),
            None => "no older version has served anybody".to_owned(),
            Some(last) => format!(
                "an older version last served somebody {} ago, and the window is {}",
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
