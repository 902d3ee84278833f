use super::*;
use crate::{Burst, Fault, PodBlips, Retries, Side, Traffic};

fn share(percent: f64) -> Share {
    Share::from_percent(percent).unwrap()
}

fn traffic() -> Traffic {
    Traffic::new(100.0, 0.01).unwrap()
}

/// Sums of v1 and v2 over so many ticks at 10 %, and clients harmed.
fn sums(scenario: &Scenario, ticks: u32) -> ([Served; 2], u64) {
    let mut world = World::new(scenario, 1);
    let (mut sums, mut clients) = ([Served::default(); 2], 0);
    for _ in 0..ticks {
        let tick = world.tick(share(10.0));
        sums[0].add(&tick.old);
        sums[1].add(&tick.new);
        clients += tick.harmed_clients;
    }
    (sums, clients)
}

fn ratio(served: &Served) -> f64 {
    served.failures as f64 / served.requests as f64
}

#[track_caller]
fn near(is: f64, expected: f64, part: f64) {
    assert!((is - expected).abs() <= part * expected, "{is} is not near {expected}");
}

#[test]
fn healthy_versions_fail_alike_and_harm_nobody() {
    let ([old, new], clients) = sums(&Scenario::new(traffic()), 2_880);
    near((old.requests + new.requests) as f64, 1_440_000.0, 0.005);
    near(new.requests as f64, 144_000.0, 0.05);
    near(ratio(&old), 0.01, 0.03);
    near(ratio(&new), 0.01, 0.1);
    assert_eq!((new.harmed, clients), (0, 0));
}

#[test]
fn what_a_fault_adds_is_counted_as_harm() {
    let check = |fault: Fault, expected: f64| {
        let ([old, new], clients) = sums(&Scenario::new(traffic()).with(fault), 1_440);
        near(ratio(&new), expected, 0.05);
        near(new.harmed as f64 / new.requests as f64, expected - 0.01, 0.05);
        near(ratio(&old), 0.01, 0.05);
        assert_eq!(old.harmed, 0);
        assert!(clients > 0 && clients <= new.harmed);
    };
    check(Fault::Times(5.0), 0.05);
    check(Fault::More(0.02), 0.03);
    check(Fault::Outage, 1.0);
}

#[test]
fn a_fault_begins_and_ends_when_it_is_said_to() {
    let scenario = Scenario::new(traffic()).with_between(60_000, 120_000, Fault::Outage);
    let mut world = World::new(&scenario, 1);
    for _ in 0..48 {
        let tick = world.tick(share(50.0));
        let out = (60_000..120_000).contains(&tick.from_ms);
        assert_eq!(tick.new.failures == tick.new.requests, out, "at {}", tick.from_ms);
    }
}

#[test]
fn both_versions_drift_together() {
    let scenario = Scenario::new(traffic()).with_between(0, 7_200_000, Fault::Drift(9.0));
    let ([old, new], clients) = sums(&scenario, 1_440);
    near(ratio(&old), 0.05, 0.05);
    near(ratio(&new), 0.05, 0.05);
    assert_eq!(clients, 0);
}

#[test]
fn a_burst_hits_whom_it_is_said_to() {
    let check = |side: Side, [old, new]: [f64; 2]| {
        let burst = Burst { side, ratio: 0.5, every_s: 45.0, lasts_s: 5.0 };
        let (served, _) = sums(&Scenario::new(traffic()).with(Fault::Burst(burst)), 2_880);
        near(ratio(&served[0]), old, 0.15);
        near(ratio(&served[1]), new, 0.15);
    };
    check(Side::Old, [0.06, 0.01]);
    check(Side::New, [0.01, 0.06]);
    check(Side::Both, [0.06, 0.06]);
}

#[test]
fn pods_of_both_versions_blip() {
    let pods = PodBlips { pods: 10, ratio: 0.5, every_s: 45.0, lasts_s: 5.0 };
    let ([old, new], _) = sums(&Scenario::new(traffic()).with(Fault::PodBlips(pods)), 2_880);
    near(ratio(&old), 0.06, 0.1);
    near(ratio(&new), 0.06, 0.2);
}

#[test]
fn clients_try_again_and_fail_again() {
    for per_tick in [1, 2, 100] {
        let retries = Retries { again: 0.8, per_tick };
        let ([old, _], _) = sums(&Scenario::new(traffic()).with(Fault::Retries(retries)), 2_880);
        // Five failures for one, four of them retries.
        near(old.failures as f64 / (old.requests as f64 * 0.01), 5.0 / 1.04, 0.05);
    }
}

#[test]
fn sticky_clients_stay_on_v2_when_the_share_grows() {
    let mut clients = Clients::new(10_000, true);
    let mut chance = Chance::new(2);
    let mut before = 0;
    for (percent, expected) in [(1.0, 100.0), (10.0, 1_000.0), (50.0, 5_000.0), (100.0, 10_000.0)] {
        clients.route(share(percent), &mut chance);
        let now = (clients.part_on_new(0.0) * 10_000.0) as u32;
        assert!(now > before, "{now} after {before}");
        near(f64::from(now), expected, 0.3);
        before = now;
    }
}

#[test]
fn each_client_is_named_once_a_step_until_enough_are() {
    let named = |clients: u32, ticks: u32| {
        let traffic = traffic().clients(clients).unwrap();
        let scenario = Scenario::new(Traffic { failure_ratio: 0.0, ..traffic });
        let mut world = World::new(&scenario, 1);
        (0..ticks).map(|_| world.tick(share(10.0)).singles.len()).sum::<usize>()
    };
    assert_eq!(named(500, 100), 500);
    assert_eq!(named(30_000, 100), 2_048);
}

/// Also where one tick holds more requests than are named, and v2 fails altogether.
#[test]
fn clients_are_named_whatever_their_version_and_however_they_fare() {
    for requests_per_s in [1_000.0, 20_000.0] {
        let traffic = Traffic::new(requests_per_s, 0.01).unwrap();
        let mut world = World::new(&Scenario::new(traffic).with(Fault::Outage), 1);
        let tick = world.tick(share(10.0));
        let mut named = std::collections::BTreeSet::new();
        let first = tick.singles.iter().filter(|single| named.insert(single.client));
        let new = first.take(2_048).filter(|single| single.on == Version::New).count();
        near(new as f64, 204.8, 0.25);
    }
}

#[test]
fn lost_metrics_do_not_stop_the_world() {
    let scenario = Scenario::new(traffic()).with_between(10_000, 20_000, Fault::MetricsLost);
    let mut world = World::new(&scenario, 1);
    let reported: Vec<bool> = (0..6)
        .map(|_| {
            let tick = world.tick(share(10.0));
            assert!(tick.old.requests > 0);
            tick.reported
        })
        .collect();
    assert_eq!(reported, [true, true, false, false, true, true]);
}
