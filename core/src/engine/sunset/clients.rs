//! The same from the rhythms of all clients.

use crossfade_protocol::plan::{Instant, SunsetPlan};
use crossfade_protocol::reply::{Check, Depend, Forecast, Sunset};
use crossfade_protocol::words::{counted, measured, plural};

use super::{Engine, check};
use crate::clients::{Clients, Outlook, seconds};

impl Engine {
    /// `known` is what can be said without.
    pub(super) fn sunset_of(&self, clients: &Clients, known: Sunset) -> Sunset {
        let plan = self.policy.plan().sunset;
        let mut checks = known.checks;
        let Some(outlook) = clients.outlook(self.look()) else {
            let looked_at = clients.table.len() as u64;
            let statement = format!(
                "Not known yet: {looked_at} clients are looked at, a part of them in each tick."
            );
            checks.push(check("clients", false, statement.clone()));
            checks.extend(self.client_checks(clients, &plan));
            return Sunset { ready: false, statement, checks, ..known };
        };
        checks.push(depend_check(&outlook, &plan));
        checks.extend(self.client_checks(clients, &plan));
        let depend = &outlook.depend;
        let in_ms = |in_s: u32| u64::from(outlook.at_s.saturating_add(in_s)) * 1000;
        let as_of_ms = u64::from(outlook.at_s) * 1000;
        Sunset {
            as_of_ms: (outlook.at_s < seconds(self.now_ms)).then_some(as_of_ms),
            ready: checks.iter().all(|check| check.ok),
            statement: self.statement(clients, &outlook, &plan),
            depend: Some(Depend {
                at_most: depend.at_most,
                expected: depend.expected,
                exact: depend.exact,
            }),
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

    /// What its clients and their dates say beside that.
    fn client_checks(&self, clients: &Clients, plan: &SunsetPlan) -> Vec<Check> {
        let mut checks = Vec::new();
        let since_s = self.look().since_s();
        let sampled = clients.table.sampled_until_s().is_some_and(|until_s| until_s >= since_s);
        let uncounted = self.census.uncounted();
        checks.push(check(
            "counted",
            !sampled && uncounted == 0,
            match (sampled, clients.table.untold(Some(since_s))) {
                (true, 0) => {
                    "clients of the last days were only sampled: nobody can be ruled out".to_owned()
                }
                (true, untold) => format!(
                    "of {} nobody knows whose they were: an edge dropped them, the last on {}; see to that edge, and ask again {} after it",
                    counted(untold, "call"),
                    Instant::of_ms(1000 * clients.table.sampled_until_s().map_or(0, u64::from)),
                    counted(u64::from(plan.horizon_days), "day")
                ),
                (false, _) if uncounted > 0 => {
                    format!("requests of clients that did not fit into the table: {uncounted}")
                }
                (false, _) => format!(
                    "{}, every one of them counted",
                    counted(clients.table.len() as u64, "client")
                ),
            },
        ));
        let (blocked, pinned_back) = (clients.kept.blocked, clients.kept.pinned_back);
        checks.push(check(
            "blocked",
            blocked + pinned_back == 0,
            format!("clients that say they are blocked: {blocked}; pinned back: {pinned_back}"),
        ));
        checks.extend(self.dates_checked());
        checks
    }

    fn statement(&self, clients: &Clients, outlook: &Outlook<'_>, plan: &SunsetPlan) -> String {
        let depend = &outlook.depend;
        let sure = 100.0 * plan.confidence;
        let stable = self.versions().stable();
        let horizon = counted(u64::from(plan.horizon_days), "day");
        let mut text = match depend.at_most {
            0 => format!("At {sure} % confidence no client calls {stable} again within {horizon}."),
            n => format!(
                "At {sure} % confidence at most {} still depend{s} on {stable}: call{s} it again within {horizon}; {} expected.",
                counted(n, "client"),
                libm::round(10.0 * depend.expected) / 10.0,
                s = plural(n != 1),
            ),
        };
        if let Some(in_s) = depend.last_in_s {
            let at = Instant::of_ms(u64::from(outlook.at_s.saturating_add(in_s)) * 1000);
            text.push_str(&format!(" The last of them is expected on {at}."));
        }
        let untold = clients.table.untold(Some(self.look().since_s()));
        if untold > 0 {
            text.push_str(&format!(
                " Calls that edges dropped, nobody knows whose: {untold}, in no number."
            ));
        } else if !depend.exact {
            text.push_str(" Clients were sampled, which is in the number.");
        }
        text
    }
}

fn depend_check(outlook: &Outlook<'_>, plan: &SunsetPlan) -> Check {
    let depend = &outlook.depend;
    let mut detail = format!(
        "at {} % confidence at most {} call{} an older version again within {}, and the plan allows {}",
        100.0 * plan.confidence,
        counted(depend.at_most, "client"),
        plural(depend.at_most != 1),
        counted(u64::from(plan.horizon_days), "day"),
        plan.at_most
    );
    // 0 where no interval is known.
    if outlook.longest_s > 0 {
        let days = f64::from(outlook.longest_s / 8_640) / 10.0;
        let longest = measured(days, "day");
        detail.push_str(&format!("; the longest usual interval among those who may is {longest}"));
    }
    check("clients", depend.at_most <= plan.at_most, detail)
}
