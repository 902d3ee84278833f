//! The same from the rhythms of all clients.

use crossfade_protocol::plan::{Instant, SunsetPlan};
use crossfade_protocol::reply::{Check, Depend, Forecast, Sunset};

use super::{DAY_MS, Engine, check};
use crate::clients::{Clients, Outlook, seconds};

impl Engine {
    /// `known` is what can be said without.
    pub(super) fn sunset_of(&self, clients: &Clients, known: Sunset) -> Sunset {
        let plan = self.policy.plan().sunset;
        let outlook = clients.outlook(self.look());
        let mut checks = known.checks;
        checks.extend(self.client_checks(clients, &outlook, &plan));
        let depend = &outlook.depend;
        let in_ms = |in_s: u32| u64::from(outlook.at_s.saturating_add(in_s)) * 1000;
        let as_of_ms = u64::from(outlook.at_s) * 1000;
        Sunset {
            as_of_ms: (outlook.at_s < seconds(self.now_ms)).then_some(as_of_ms),
            ready: checks.iter().all(|check| check.ok),
            statement: self.statement(&outlook, &plan),
            depend: Depend {
                at_most: depend.at_most,
                expected: depend.expected,
                exact: depend.exact,
            },
            last_expected_ms: depend.last_in_s.map(in_ms),
            forecast: clients.forecast(plan.at_most).map(|forecast| Forecast {
                low_ms: u64::from(forecast.low_s) * 1000,
                ready_ms: u64::from(forecast.ready_s) * 1000,
                high_ms: Some(u64::from(forecast.high_s) * 1000),
            }),
            candidates: outlook.candidates.iter().map(|known| self.seen(clients, known)).collect(),
            checks,
            ..known
        }
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
            clients_detail(depend.at_most, outlook.longest_s, plan),
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
        let (blocked, pinned_back) = (clients.kept.blocked, clients.kept.pinned_back);
        checks.push(check(
            "blocked",
            blocked + pinned_back == 0,
            format!("clients that say they are blocked: {blocked}; pinned back: {pinned_back}"),
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
            let at = Instant::of_ms(u64::from(outlook.at_s.saturating_add(in_s)) * 1000);
            text.push_str(&format!(" The last of them is expected on {at}."));
        }
        if !depend.exact {
            text.push_str(" Clients were sampled, which is in the number.");
        }
        text
    }
}

/// `longest_s` is 0 where no interval is known.
fn clients_detail(at_most: u64, longest_s: u32, plan: &SunsetPlan) -> String {
    let mut text = format!(
        "at {} % confidence at most {} clients call an older version again within {} days, {} are allowed",
        100.0 * plan.confidence,
        at_most,
        plan.horizon_days,
        plan.at_most
    );
    if longest_s > 0 {
        text.push_str(&format!(
            "; the longest usual interval among those who may is {} days",
            f64::from(longest_s / 8_640) / 10.0
        ));
    }
    text
}
