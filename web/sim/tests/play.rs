//! Scripts, played with the engine linked in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

#[path = "../../src/linked.rs"]
mod linked;

use crossfade_core::guest::Guest;
use crossfade_sim::{
    Asking, COLUMNS, Order, Outcome, Phase, Play, PlayEnd, START_MS, Script, init_document,
    scenarios,
};
use linked::Linked;
use serde_json::json;

fn native(script: &Script) -> Linked {
    let mut out = Vec::new();
    let document = init_document(script);
    let engine = Guest::init(document.as_bytes(), START_MS, u64::from(script.seed), &mut out);
    assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    Linked(engine)
}

fn script(seed: u32) -> Script {
    let text = json!({
        "seed": seed,
        "plan": {"api": "users", "versions": {"from": "v1", "to": "v2"}, "key": {"header": "x-user-id"},
            "rollout": {"steps": [
                {"percentage": 5, "duration_minutes": 5},
                {"percentage": 50, "duration_minutes": 10},
                {"percentage": 100, "watch_minutes": 10}]}},
        "traffic": {"rps": 100, "clients": 1500, "failure_percent": 0.5},
    });
    Script::read(&text.to_string()).unwrap()
}

fn faulty(name: &str, seed: u32) -> Script {
    let found = scenarios().into_iter().find(|named| named.name == name);
    Script { faults: found.unwrap().faults, ..script(seed) }
}

fn outcome(script: &Script, asking: Asking) -> (Outcome, String) {
    let mut play = Play::new(script, asking);
    let outcome = play.finish(script, &mut native(script), 6 * 3_600_000).unwrap();
    (outcome, play.digest())
}

/// As the page plays it, row by row.
fn watched(script: &Script) -> Outcome {
    let (mut engine, mut play) = (native(script), Play::new(script, Asking::Always));
    while play.phase() == Phase::Running {
        play.step(script, &mut engine, true).unwrap();
    }
    Outcome { regression_ms: play.regression_ms(script), ..play.outcome().clone() }
}

#[test]
fn a_healthy_version_gets_through_and_a_bad_one_is_taken_back() {
    let (healthy, _) = outcome(&script(1), Asking::Always);
    assert_eq!((healthy.end, healthy.harmed_requests), (PlayEnd::Completed, 0), "{healthy:?}");
    assert_eq!(healthy.steps_passed, 3);
    let (bad, _) = outcome(&faulty("bad-canary", 1), Asking::Always);
    assert_eq!(bad.end, PlayEnd::RolledBack, "{bad:?}");
    assert_eq!(bad.because.as_deref(), Some("unhealthy"));
    assert!(bad.harmed_clients > 0 && bad.harmed_clients <= bad.harmed_requests);
    let after = bad.detected_after_ms().unwrap();
    assert!((1_000..30 * 60_000).contains(&after), "{after}");
}

/// Each scenario that is not v2's fault leaves v2 where it is; each that is takes it back.
#[test]
fn every_named_scenario_ends_as_it_should() {
    for named in scenarios() {
        let mut script = faulty(named.name, 3);
        if named.name == "slow-v2" {
            script.plan["gate"] = json!({"latency": {}});
        }
        if named.name == "bursts" {
            // At 100 % there is no v1 beside v2 that would have them, too.
            script.plan["rollout"]["steps"][2]["percentage"] = json!(90);
        }
        let (outcome, _) = outcome(&script, Asking::Once);
        let own =
            matches!(named.name, "bad-canary" | "slow-regression" | "slow-v2" | "broken-segment");
        let expected = if own { PlayEnd::RolledBack } else { PlayEnd::Completed };
        assert_eq!(outcome.end, expected, "{}: {outcome:?}", named.name);
    }
}

#[test]
fn a_seed_gives_one_digest_and_another_seed_another() {
    let digest = |seed| outcome(&faulty("bad-canary", seed), Asking::Always).1;
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}

/// Where routing is sticky, asking the engine once is enough.
#[test]
fn asking_once_gives_the_same_run() {
    for name in ["bad-canary", "healthy", "bursts"] {
        let script = faulty(name, 5);
        let (once, digest) = outcome(&script, Asking::Once);
        assert_eq!(outcome(&script, Asking::Always), (once.clone(), digest), "{name}");
        assert_eq!(watched(&script), once, "{name}");
    }
}

/// Also when it is looked at all the time.
#[test]
fn a_moment_can_be_come_back_to() {
    let script = faulty("bad-canary", 9);
    let mut engine = native(&script);
    let mut play = Play::new(&script, Asking::Always);
    let run = |play: &mut Play, engine: &mut Linked, until: u64| {
        while play.now_ms() < until {
            play.step(&script, engine, true).unwrap();
        }
        (play.digest(), play.town().squares())
    };
    run(&mut play, &mut engine, 400_000);
    let mut saved = Vec::new();
    engine.0.snapshot(&mut saved);
    let then = play.clone();
    let first = run(&mut play, &mut engine, 900_000);
    let mut other = native(&script);
    let mut out = Vec::new();
    other.0.restore(&saved, &mut out);
    assert!(out.is_empty());
    assert_eq!(run(&mut then.clone(), &mut other, 900_000), first);
}

#[test]
fn rows_have_the_numbers_of_the_engines_own_evidence() {
    let script = faulty("bad-canary", 2);
    let (mut engine, mut play) = (native(&script), Play::new(&script, Asking::Always));
    let column = |name| COLUMNS.iter().position(|column| *column == name).unwrap();
    let mut rows = Vec::new();
    while play.phase() == Phase::Running {
        play.step(&script, &mut engine, true).unwrap();
        rows.extend(play.take_rows());
        if play.now_ms() == 420_000 {
            let status = play.status(&mut engine).unwrap();
            let last = &rows[rows.len() - COLUMNS.len()..];
            let failures = &status["evidence"]["failures"];
            assert_eq!(json!(last[column("ratio_low")]), failures["ratio_interval"]["low"]);
            let worse = failures["log_e_worse"].as_f64().unwrap()
                / failures["threshold_worse"].as_f64().unwrap();
            assert_eq!(last[column("worse")], worse);
        }
    }
    assert_eq!(rows.len() % COLUMNS.len(), 0);
    let events = play.take_events();
    let taken = events.iter().find(|told| told.event["event"] == "rollback_started").unwrap();
    assert!(taken.event["sentence"].as_str().unwrap().contains("v2 fails more often than v1"));
    assert!(taken.event["evidence"]["failures"]["log_e_worse"].as_f64().unwrap() > 5.0);
}

/// However seldom the evidence is looked at, no request is missing from the rows.
#[test]
fn rows_add_up_to_everything_that_was_served() {
    let script = faulty("bad-canary", 2);
    for look_every in [1, 7] {
        let (mut engine, mut play) = (native(&script), Play::new(&script, Asking::Always));
        for tick in 1..=70 {
            play.step(&script, &mut engine, tick % look_every == 0).unwrap();
        }
        let rows = play.take_rows();
        let served: f64 = rows.chunks(COLUMNS.len()).map(|row| row[1] + row[3]).sum();
        assert_eq!(served, play.outcome().requests as f64, "{look_every}");
        assert_eq!(rows.len() / COLUMNS.len(), 70 / look_every as usize);
    }
}

#[test]
fn an_operator_is_obeyed_at_the_moment_given() {
    let mut script = script(4);
    let order = |at_ms, command: &str| Order { at_ms, command: command.to_owned(), full: false };
    script.commands = vec![
        order(60_000, "pause_rollout"),
        order(65_000, "pause_rollout"),
        order(90_000, "abort_rollout"),
    ];
    let (mut engine, mut play) = (native(&script), Play::new(&script, Asking::Always));
    while play.now_ms() < 100_000 {
        play.step(&script, &mut engine, false).unwrap();
    }
    let events: Vec<_> =
        play.take_events().iter().map(|t| (t.at_ms, t.event["event"].clone())).collect();
    let names = ["step_started", "paused", "refused", "rollback_started", "aborted"];
    assert_eq!(events.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), names);
    assert_eq!(
        events.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [0, 60_000, 65_000, 90_000, 90_000]
    );
    assert_eq!(play.outcome().end, PlayEnd::Aborted);
}

/// A rule on an attribute keeps its segment where it is, and the others move.
#[test]
fn a_rule_keeps_a_segment_on_v1() {
    let mut script = script(6);
    script.plan["rules"] = json!([{"name": "partners", "when": {"attribute": "app", "equals": "partner"}, "to": "v1"}]);
    let (mut engine, mut play) = (native(&script), Play::new(&script, Asking::Always));
    while play.phase() == Phase::Running && play.now_ms() < 4 * 3_600_000 {
        play.step(&script, &mut engine, false).unwrap();
    }
    let cards: Vec<_> = (0..1500).filter_map(|place| play.town().client(place)).collect();
    assert!(cards.is_sorted_by_key(|card| card.bucket));
    let seen: Vec<_> = cards.iter().filter(|card| card.version.is_some()).collect();
    let partners = seen.iter().filter(|card| card.app == "partner");
    assert!(partners.clone().count() > 50 && partners.clone().all(|card| card.version == Some(0)));
    assert!(seen.iter().any(|card| card.app == "web" && card.version == Some(1)));
}

#[test]
fn a_client_is_on_the_side_of_the_front_that_its_bucket_is_on() {
    let script = script(11);
    let (mut engine, mut play) = (native(&script), Play::new(&script, Asking::Always));
    while play.now_ms() < 240_000 {
        play.step(&script, &mut engine, false).unwrap();
    }
    let squares = play.town().squares();
    for (place, square) in squares.iter().enumerate() {
        let card = play.town().client(place).unwrap();
        assert_eq!(card.version.map_or(0, |version| version + 1), square & 3);
        if let Some(version) = card.version {
            assert_eq!(version == 1, card.bucket < 500, "{card:?}");
        }
    }
}
