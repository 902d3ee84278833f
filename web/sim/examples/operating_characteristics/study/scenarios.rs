//! The scenarios of the study.

use crossfade_sim::{Burst, Fault, PodBlips, Retries, Scenario, Side, Traffic};

use super::{Bar, Plan};

const HOUR_MS: u64 = 3_600_000;
/// When a late fault begins.
const LATE_MS: u64 = 2 * HOUR_MS;

fn traffic(requests_per_s: f64, failures: f64) -> Scenario {
    match Traffic::new(requests_per_s, failures) {
        Ok(traffic) => Scenario::new(traffic),
        Err(error) => unreachable!("the study's own numbers are in range: {error}"),
    }
}

fn pods(scenario: Scenario, ratio: f64) -> Scenario {
    scenario.with(Fault::PodBlips(PodBlips { pods: 10, ratio, every_s: 7_200.0, lasts_s: 5.0 }))
}

fn retries(scenario: Scenario, per_tick: u32) -> Scenario {
    scenario.with(Fault::Retries(Retries { again: 0.8, per_tick }))
}

fn healthy(name: &'static str, says: &'static str, share: f64, scenario: Scenario) -> Plan {
    Plan { name, says, share, scenario, from_ms: 0, matching: name, bar: Bar::Healthy }
}

/// Every scenario, healthy ones first.
pub(crate) fn all() -> Vec<Plan> {
    let mut all = same_traffic();
    all.extend(troubled());
    all.extend(regressions());
    all
}

/// Nothing is wrong: rate, share and failures vary.
fn same_traffic() -> Vec<Plan> {
    let plan =
        |name, says, share, rate, failures| healthy(name, says, share, traffic(rate, failures));
    vec![
        plan("r0.1-s10-f0.1", "0.1 req/s, share 10 %, failures 0.1 %", 10.0, 0.1, 0.001),
        plan("r1-s10-f0.1", "1 req/s, share 10 %, failures 0.1 %", 10.0, 1.0, 0.001),
        plan("r1-s50-f1", "1 req/s, share 50 %, failures 1 %", 50.0, 1.0, 0.01),
        plan("r10-s10-f0.1", "10 req/s, share 10 %, failures 0.1 %", 10.0, 10.0, 0.001),
        plan("r10-s10-f1", "10 req/s, share 10 %, failures 1 %", 10.0, 10.0, 0.01),
        plan("r10-s50-f5", "10 req/s, share 50 %, failures 5 %", 50.0, 10.0, 0.05),
        plan("r100-s1-f1", "100 req/s, share 1 %, failures 1 %", 1.0, 100.0, 0.01),
        plan("r100-s10-f0.1", "100 req/s, share 10 %, failures 0.1 %", 10.0, 100.0, 0.001),
        plan("r100-s10-f1", "100 req/s, share 10 %, failures 1 %", 10.0, 100.0, 0.01),
        plan("r100-s10-f1.5", "100 req/s, share 10 %, failures 1.5 %", 10.0, 100.0, 0.015),
        plan("r100-s50-f0.1", "100 req/s, share 50 %, failures 0.1 %", 50.0, 100.0, 0.001),
        plan("r100-s50-f1", "100 req/s, share 50 %, failures 1 %", 50.0, 100.0, 0.01),
        plan("r1000-s10-f0.1", "1,000 req/s, share 10 %, failures 0.1 %", 10.0, 1_000.0, 0.001),
    ]
}

/// The world is in trouble, v2 is not to blame.
fn troubled() -> Vec<Plan> {
    let burst =
        |side, ratio, every_s, lasts_s| Fault::Burst(Burst { side, ratio, every_s, lasts_s });
    let usual = || traffic(100.0, 0.001);
    vec![
        healthy(
            "drift",
            "both versions drift from 0.1 % to 1 % failures in 4 h",
            10.0,
            usual().with_between(0, 4 * HOUR_MS, Fault::Drift(10.0)),
        ),
        healthy(
            "shared-outage",
            "both versions fail altogether for 5 min; 10 req/s",
            10.0,
            traffic(10.0, 0.001).with_between(
                LATE_MS,
                LATE_MS + 300_000,
                burst(Side::Both, 1.0, 0.0, 1e9),
            ),
        ),
        healthy(
            "bursts",
            "20 % of both versions' requests fail for 10 s, every 10 min",
            10.0,
            usual().with(burst(Side::Both, 0.2, 600.0, 10.0)),
        ),
        healthy(
            "retries-at-once",
            "clients retry, 5 failures at once",
            10.0,
            retries(usual(), 100),
        ),
        healthy("retries-2", "clients retry, 5 failures, two in 5 s", 10.0, retries(usual(), 2)),
        healthy("retries-1", "clients retry, 5 failures, one in 5 s", 10.0, retries(usual(), 1)),
        healthy("pods-s10", "pods blip, share 10 %", 10.0, pods(usual(), 0.5)),
        healthy("pods-s50", "pods blip, share 50 %", 50.0, pods(usual(), 0.5)),
        healthy("pods-s10-f1", "pods blip, share 10 %, failures 1 %", 10.0, {
            pods(traffic(100.0, 0.01), 0.5)
        }),
        healthy(
            "metrics-lost",
            "metrics are lost for 10 min after an hour",
            10.0,
            usual().with_between(HOUR_MS, HOUR_MS + 600_000, Fault::MetricsLost),
        ),
    ]
}

/// v2 is worse.
fn regressions() -> Vec<Plan> {
    let late = |plan: Plan| Plan { from_ms: LATE_MS, ..plan };
    let plan = |name, says, matching, bar, (rate, share, failures), fault: Fault| Plan {
        name,
        says,
        share,
        scenario: traffic(rate, failures).with(fault),
        from_ms: 0,
        matching,
        bar,
    };
    let late_plan = |name, says, matching, (rate, share, failures), fault: Fault| {
        late(Plan {
            scenario: traffic(rate, failures).with_from(LATE_MS, fault.clone()),
            ..plan(name, says, matching, Bar::First, (rate, share, failures), fault)
        })
    };
    let (first, near, none) = (Bar::First, Bar::Near, Bar::None);
    let (few, many, much) = ((1.0, 10.0, 0.001), (100.0, 10.0, 0.001), (100.0, 10.0, 0.01));
    let (rare, common) = ("r100-s10-f0.1", "r100-s10-f1");
    vec![
        plan("outage-1", "outage, 1 req/s, 0.1 %", "r1-s10-f0.1", first, few, Fault::Outage),
        plan("outage-100", "outage, 100 req/s, 0.1 %", rare, first, many, Fault::Outage),
        plan(
            "outage-s50",
            "outage, 100 req/s, 0.1 %, share 50 %",
            "r100-s50-f0.1",
            first,
            (100.0, 50.0, 0.001),
            Fault::Outage,
        ),
        plan(
            "plus1-10",
            "+1 point, 10 req/s, 0.1 %",
            "r10-s10-f0.1",
            first,
            (10.0, 10.0, 0.001),
            Fault::More(0.01),
        ),
        plan("x10-0.1", "×10, 100 req/s, 0.1 %", rare, none, many, Fault::Times(10.0)),
        plan("x5-0.1", "×5, 100 req/s, 0.1 %", rare, first, many, Fault::Times(5.0)),
        plan(
            "x5-1-10",
            "×5, 10 req/s, 1 %",
            "r10-s10-f1",
            first,
            (10.0, 10.0, 0.01),
            Fault::Times(5.0),
        ),
        plan("x2-0.1", "×2, 100 req/s, 0.1 %", rare, near, many, Fault::Times(2.0)),
        plan("x2-1", "×2, 100 req/s, 1 %", common, near, much, Fault::Times(2.0)),
        plan(
            "x2-s50",
            "×2, 100 req/s, 1 %, share 50 %",
            "r100-s50-f1",
            near,
            (100.0, 50.0, 0.01),
            Fault::Times(2.0),
        ),
        plan("x1.5-1", "×1.5, 100 req/s, 1 %", common, near, much, Fault::Times(1.5)),
        plan("x1.2-1", "×1.2, 100 req/s, 1 %", common, none, much, Fault::Times(1.2)),
        plan("x2-thin", "×2, 1 req/s, 0.1 %", "r1-s10-f0.1", none, few, Fault::Times(2.0)),
        Plan {
            scenario: retries(traffic(100.0, 0.001).with(Fault::Times(5.0)), 2),
            ..plan(
                "x5-retries",
                "×5, 100 req/s, 0.1 %, clients retry",
                "retries-2",
                none,
                many,
                Fault::Times(5.0),
            )
        },
        late_plan("late-x5-1", "×5 after 2 h, 100 req/s, 1 %", common, much, Fault::Times(5.0)),
        late_plan("late-x2-1", "×2 after 2 h, 100 req/s, 1 %", common, much, Fault::Times(2.0)),
        late_plan("late-x5-0.1", "×5 after 2 h, 100 req/s, 0.1 %", rare, many, Fault::Times(5.0)),
        late_plan("late-outage", "outage after 2 h, 100 req/s, 0.1 %", rare, many, Fault::Outage),
    ]
}
