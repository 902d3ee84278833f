use super::super::tests::{engine, handle};
use super::*;
use crate::guest::Guest;
use crossfade_protocol::request::InitDocument;

#[test]
fn a_node_that_has_just_started_does_not_know_that_the_old_version_is_quiet() {
    let init = InitDocument { clock: Clock::Wall, ..InitDocument::default() };
    let began_ms = 1_800_000_000_000;
    let mut engine = Engine::new(init, began_ms, 7);
    let mut ask = |now_ms, line: &str| {
        let mut out = Vec::new();
        engine.handle(line.as_bytes(), now_ms, &mut out);
        String::from_utf8(out).unwrap()
    };
    ask(began_ms, r#"{"type":"get_users","user_id":"u","canary_percentage":100}"#);
    let stats = r#"{"type":"get_migration_stats","window_ms":60000}"#;
    assert!(ask(began_ms + 59_999, stats).contains("\"migration_complete\":false"));
    let sunset = ask(began_ms + 30_000, r#"{"type":"get_sunset","window_ms":60000}"#);
    assert!(sunset.contains("watched for 0.99 minutes, and the window is 1 minute"), "{sunset}");
    assert!(ask(began_ms + 60_000, stats).contains("\"migration_complete\":true"));
}

#[test]
fn a_version_that_another_node_serves_is_not_quiet() {
    let mut engine = engine();
    handle(&mut engine, r#"{"body":{"type":"get_users","user_id":"u"},"canary_percentage":100}"#);
    let day_ms = 24 * 60 * 60 * 1000;
    let complete = |engine: &mut Engine, now_ms: u64| {
        let mut out = Vec::new();
        engine.handle(br#"{"type":"get_migration_stats"}"#, now_ms, &mut out);
        String::from_utf8(out).unwrap().contains("\"migration_complete\":true")
    };
    let merge = |engine: &mut Engine, sequence: u64, v1: u64, v2: u64| {
        let report = format!(
            r#"{{"node":"n2","epoch":"1","sequence":{sequence},"revision":1,"versions":[{{"version":"v1","routed":{v1},"requests":0,"failures":0,"latency":[]}},{{"version":"v2","routed":{v2},"requests":0,"failures":0,"latency":[]}}]}}"#
        );
        let mut out = Vec::new();
        engine.merge(report.as_bytes(), &mut out);
        assert!(out.starts_with(b"{\"type\":\"merge_ok\""));
    };
    assert!(complete(&mut engine, day_ms));
    merge(&mut engine, 1, 5, 0);
    assert!(!complete(&mut engine, 2 * day_ms - 1));
    assert!(complete(&mut engine, 2 * day_ms));
    merge(&mut engine, 2, 5, 9);
    assert!(complete(&mut engine, 2 * day_ms), "only the new version has served more");
    merge(&mut engine, 3, 6, 9);
    merge(&mut engine, 1, 9, 9);
    assert!(!complete(&mut engine, 3 * day_ms - 1));
    assert!(complete(&mut engine, 3 * day_ms), "a late report is old news");
}

/// 2027-07-31
const SUNSET_MS: u64 = 1_816_992_000_000;

fn after_the_sunset(more: &str) -> Engine {
    let init = format!(
        r#"{{"clock":"wall","policy":{{"api":"a","versions":["v1","v2"],"key":{{"header":"k"}},"canary_percentage":100,
            "deprecation":{{"deprecated_at":"2027-01-31","sunset_at":"2027-07-31"}}{more}}}}}"#
    );
    let mut out = Vec::new();
    let engine = <Engine as Guest>::init(init.as_bytes(), SUNSET_MS, 7, &mut out);
    assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    engine
}

fn ask(engine: &mut Engine, now_ms: u64, line: &str) -> String {
    let mut out = Vec::new();
    engine.handle(line.as_bytes(), now_ms, &mut out);
    engine.tick(now_ms, &mut out);
    String::from_utf8(out).unwrap()
}

const FAILING: &str = r#"{"type":"report_outcomes","outcomes":[{"version":"v2","ok":true,"count":750},{"version":"v2","ok":false,"count":250}]}"#;

#[test]
fn a_guard_that_trips_after_the_sunset_takes_nobody_off_the_only_version() {
    let mut engine = after_the_sunset(r#","guard":{"max_failure_ratio":0.2,"min_requests":100}"#);
    let told = ask(&mut engine, SUNSET_MS, FAILING);
    assert!(told.contains(r#""event":"guard_tripped""#) && told.contains(r#""gone":true"#));
    assert!(told.contains("everything stays: if it still runs, move `sunset_at`"), "{told}");
    let route = ask(&mut engine, SUNSET_MS, r#"{"type":"route","key":"u"}"#);
    assert!(route.contains(r#""version":"v2""#) && !route.contains("refusal"), "{route}");
    assert_eq!(engine.route(b"u", 0).0 & 0xFFFF, 1);
}

#[test]
fn a_rollout_that_is_still_watched_at_the_sunset_is_not_taken_back() {
    let mut engine = after_the_sunset("");
    let rollout = r#"{"type":"gradual_rollout","steps":[{"percentage":100,"duration_minutes":60,"max_minutes":600}],"gate":{"slo":{"max_failure_ratio":0.05}}}"#;
    ask(&mut engine, SUNSET_MS, rollout);
    for minute in 1..30 {
        ask(&mut engine, SUNSET_MS + minute * 60_000, FAILING);
    }
    let stands = ask(&mut engine, SUNSET_MS + 30 * 60_000, r#"{"type":"get_rollout"}"#);
    assert!(stands.contains(r#""verdict":"unhealthy""#), "{stands}");
    assert!(stands.contains(r#""phase":"progressing""#), "{stands}");
    let later = ask(&mut engine, SUNSET_MS + 61 * 60_000, r#"{"type":"get_rollout"}"#);
    assert!(later.contains(r#""percentage":100"#) && !later.contains("completed"), "{later}");
}

#[test]
fn nobody_is_pinned_back_to_what_is_gone() {
    let mut engine = after_the_sunset("");
    let report = r#"{"type":"report_clients","node":"n","epoch":"1","sequence":1,"revision":1,"versions":["v1","v2"],"clients":[{"key":"ann","on":1,"counts":[[1,5,0,1,1]]}]}"#;
    ask(&mut engine, SUNSET_MS, report);
    let told = ask(&mut engine, SUNSET_MS, r#"{"type":"repin_client","client":"ann","to":"old"}"#);
    assert!(told.contains(r#""code":22"#) && told.contains("move `sunset_at` first"), "{told}");
}

#[test]
fn where_requests_without_a_key_go_is_told() {
    let check = |key: &str, more: &str, all: bool| {
        let mut engine = super::super::tests::engine();
        let plan = format!(
            r#"{{"type":"configure","document":{{"api":"a","versions":["v1","v2"],"key":{key},"canary_percentage":100{more}}}}}"#
        );
        handle(&mut engine, &plan);
        let sunset = handle(&mut engine, r#"{"type":"get_sunset"}"#).concat();
        assert!(
            sunset.contains(r#"{"check":"share","ok":true,"detail":"the policy sends e"#),
            "{sunset}"
        );
        let told = "sends every key to v2; requests without one go to v1 unless the plan's `key`";
        assert_eq!(sunset.contains(told), !all, "{sunset}");
    };
    check(r#"{"header":"k"}"#, "", false);
    check(r#"{"header":"k"}"#, r#","rules":[{"name":"r","to":"v2"}]"#, true);
    check(r#"{"header":"k"}"#, r#","sticky":false"#, true);
    check(r#"{"header":"k","on_missing_key":"random"}"#, "", true);
    check(r#""address""#, "", true);
}

#[test]
fn a_ledger_that_nobody_has_reported_to_takes_no_check_away() {
    let mut engine = engine();
    handle(&mut engine, r#"{"type":"get_users","user_id":"u"}"#);
    let ask = r#"{"type":"get_sunset"}"#;
    let before = handle(&mut engine, ask);
    assert!(before[0].contains(r#""check":"clients","ok":false"#), "{before:?}");
    let start = r#"{"type":"start_brownout","name":"b","minutes":1,"percentage":0}"#;
    let started = handle(&mut engine, start);
    assert!(started[0].starts_with(r#"{"type":"brownouts""#), "{started:?}");
    assert!(engine.clients.is_some(), "begun by the brownout");
    let checks = |said: &[String]| {
        let said: serde_json::Value = serde_json::from_str(&said[0]).unwrap();
        let mut checks = said["checks"].as_array().unwrap().clone();
        checks.retain(|check| check["check"] != "brownouts");
        checks
    };
    assert_eq!(checks(&handle(&mut engine, ask)), checks(&before));
}

#[test]
fn who_is_served_elsewhere_without_a_name_may_still_be_there() {
    let mut engine = after_the_sunset(r#","rules":[{"name":"r","to":"v2"}]"#);
    let mut ask = |now_ms, line: &str| {
        let mut out = Vec::new();
        engine.handle(line.as_bytes(), now_ms, &mut out);
        String::from_utf8(out).unwrap()
    };
    let sunset = r#"{"type":"get_sunset","window_ms":60000}"#;
    ask(SUNSET_MS, r#"{"type":"route","key":"u"}"#);
    // An outcome says that somebody was served, whoever decided it.
    let outcome = r#"{"type":"report_outcomes","outcomes":[{"version":"v1","ok":true}]}"#;
    ask(SUNSET_MS + 600_000, outcome);
    let said = ask(SUNSET_MS + 600_000, sunset);
    assert!(said.contains("last served somebody 0 minutes ago"), "{said}");
    let said = ask(SUNSET_MS + 700_000, sunset);
    assert!(said.contains(r#""ready":true"#) && said.contains(r#""check":"notice""#), "{said}");
    assert!(!said.contains("depend\":"), "nobody knows who calls again: {said}");
    let totals = r#"{"node":"n2","epoch":"1","sequence":1,"revision":1,"versions":[{"version":"v2","routed":9,"requests":0,"failures":0,"latency":[]}]}"#;
    engine.merge(totals.as_bytes(), &mut Vec::new());
    let mut out = Vec::new();
    engine.handle(sunset.as_bytes(), SUNSET_MS + 800_000, &mut out);
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("no node has reported clients"), "{said}");
    assert!(said.contains(r#""ready":false"#), "{said}");
}

#[test]
fn a_snapshot_knows_when_nodes_were_heard_and_who_made_room() {
    let mut engine = engine();
    let report = |engine: &mut Engine, now_ms| {
        let mut out = Vec::new();
        engine.observe(now_ms);
        engine.merge(
            br#"{"node":"n","epoch":"1","sequence":1,"revision":1,"versions":[]}"#,
            &mut out,
        );
    };
    report(&mut engine, 5);
    engine.fleet.folded.push(7);
    let (mut saved, mut out) = (Vec::new(), Vec::new());
    engine.snapshot(&mut saved);
    let mut other = super::super::tests::engine();
    other.restore(&saved, &mut out);
    assert!(out.is_empty() && other.fleet == engine.fleet, "{:?}", other.fleet);
    report(&mut other, 6);
    assert_ne!(other.fleet, engine.fleet, "heard again");
}
