//! The study behind `docs/operating-characteristics.md`, with few runs and a fixed seed:
//! what is asserted is so plain that it does not hang on the numbers drawn.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

#[path = "../examples/operating_characteristics/study/mod.rs"]
mod study;

use study::{Cell, Did, RULES, run, scenarios};

fn play(names: &[&str], runs: u32) -> Vec<Cell> {
    let mut plans = scenarios::all();
    plans.retain(|plan| names.contains(&plan.name));
    assert_eq!(plans.len(), names.len());
    run(&plans, runs, 5, &|_, _| ())
}

fn did<'c>(cell: &'c Cell, rule: &str) -> &'c Did {
    cell.rules.iter().find(|did| did.rule == rule).unwrap()
}

#[test]
fn a_threshold_takes_a_healthy_version_back_and_the_gate_does_not() {
    // Healthy, and 1.5 % fail: more than the threshold of 1 % in most minutes.
    let cells = play(&["r100-s10-f1.5"], 3);
    let cell = &cells[0];
    assert_eq!(did(cell, "Argo Rollouts, limit 3").rolled_back, 3);
    assert_eq!(did(cell, "Flagger, threshold 5").rolled_back, 3);
    assert_eq!((did(cell, RULES[0]).rolled_back, did(cell, RULES[0]).inconclusive), (0, Some(0)));
}

#[test]
fn lost_metrics_are_held_against_v2_by_others_only() {
    let cells = play(&["metrics-lost"], 3);
    assert_eq!(did(&cells[0], RULES[0]).rolled_back, 0);
    // Fifth error after 40 s; sixth check after five failed ones.
    let argo = did(&cells[0], "Argo Rollouts, limit 3");
    assert_eq!(argo.seconds.median, Some(3_600 + 60 + 40));
    assert_eq!(did(&cells[0], "Flagger, threshold 5").seconds.median, Some(3_600 + 360));
}

#[test]
fn an_outage_is_found_by_everybody_and_first_by_the_gate() {
    let cells = play(&["outage-100", "late-outage"], 6);
    for cell in &cells {
        assert_eq!((cell.runs, did(cell, RULES[0]).rolled_back), (2, 2));
        let ours = did(cell, RULES[0]);
        assert!(ours.seconds.median <= Some(60), "{ours:?}");
        assert!(ours.harmed_clients.median > Some(100), "{ours:?}");
        for other in &cell.rules[1..] {
            assert!(other.seconds.median >= ours.seconds.median, "{other:?}");
            assert!(other.harmed_requests.median >= ours.harmed_requests.median, "{other:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = || serde_json::to_string(&play(&["outage-1", "x5-1-10"], 4)).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn every_scenario_has_its_healthy_twin_and_a_name_of_its_own() {
    let plans = scenarios::all();
    for plan in &plans {
        let twin = plans.iter().find(|other| other.name == plan.matching).unwrap();
        assert_eq!((twin.bar, twin.share), (study::Bar::Healthy, plan.share), "{}", plan.name);
        assert_eq!(twin.scenario.traffic(), plan.scenario.traffic(), "{}", plan.name);
        assert_eq!(plans.iter().filter(|other| other.name == plan.name).count(), 1);
    }
}
