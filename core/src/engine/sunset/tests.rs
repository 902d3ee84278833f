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
    assert!(sunset.contains("watched for 0.99 minutes, 1 are asked for"), "{sunset}");
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
