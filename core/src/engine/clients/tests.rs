use crossfade_protocol::plan::Plan;
use crossfade_protocol::request::{Clock, InitDocument};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::guest::Guest;

const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 1_800_000_000_000;

fn engine(more: Value) -> Engine {
    let mut plan = json!({
        "api": "users",
        "versions": { "from": "v1", "to": "v2" },
        "key": { "header": "x-user-id" },
        "canary_percentage": 100
    });
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let plan = Some(Box::new(Plan::read(&plan).unwrap()));
    Engine::new(InitDocument { plan, clock: Clock::Wall, ..InitDocument::default() }, START_MS, 7)
}

/// The answers, and events of the tick after.
fn say(engine: &mut Engine, now_ms: u64, message: &Value) -> Value {
    let mut out = Vec::new();
    engine.handle(format!("{message}\n").as_bytes(), now_ms, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn tick(engine: &mut Engine, now_ms: u64) -> Vec<Value> {
    let mut out = Vec::new();
    engine.tick(now_ms, &mut out);
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// A report of rows `[key, place, requests, failures, refused]`, all at `now_ms`.
fn report(
    engine: &mut Engine,
    sequence: u64,
    now_ms: u64,
    rows: &[(&str, u8, u64, u64, u64)],
) -> Value {
    let now_s = now_ms / 1000;
    let clients: Vec<Value> = rows
        .iter()
        .map(|(key, on, requests, failures, refused)| {
            json!({ "key": key, "on": on, "agent": "lib/1.0", "refused": refused,
                "counts": [[on, requests, failures, now_s, now_s]] })
        })
        .collect();
    let report = json!({ "node": "edge", "epoch": "1", "sequence": sequence, "revision": 1,
        "versions": ["v1", "v2"], "clients": clients });
    let mut out = Vec::new();
    engine.observe(now_ms);
    engine.merge(report.to_string().as_bytes(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_report_counts_once_and_is_listed() {
    let mut engine = engine(json!({}));
    let rows = [("ann", 0, 3, 1, 0), ("bob", 1, 5, 0, 0)];
    let taken = report(&mut engine, 1, START_MS, &rows);
    assert_eq!(
        taken,
        json!({"type": "report_clients_ok", "node": "edge", "new": true, "sequence": 1})
    );
    assert_eq!(report(&mut engine, 1, START_MS, &rows)["new"], false);
    let list = say(&mut engine, START_MS, &json!({"type": "get_clients", "version": "v1"}));
    assert_eq!((&list["total"], &list["exact"]), (&json!(1), &json!(true)));
    let ann = &list["clients"][0];
    assert_eq!(
        (&ann["client"], &ann["requests"], &ann["software"]),
        (&json!("ann"), &json!(3), &json!("lib/1.0"))
    );
    assert_eq!((&ann["old"]["failures"], &ann["state"]), (&json!(1), &json!("active")));
    let one = say(&mut engine, START_MS, &json!({"type": "get_client", "client": "bob"}));
    assert_eq!(one["client"]["state"], "moved");
    let nobody = say(&mut engine, START_MS, &json!({"type": "get_client", "client": "eve"}));
    assert_eq!(
        (&nobody["code"], &nobody["text"]),
        (&json!(20), &json!("no client `eve` has been seen"))
    );
}

#[test]
fn who_is_marked_is_in_the_next_policy_and_who_is_forgotten_is_not() {
    let mut engine = engine(json!({}));
    report(&mut engine, 1, START_MS, &[("ann", 0, 3, 0, 0), ("bob", 0, 1, 0, 0)]);
    let lists = |engine: &mut Engine| {
        let config = say(engine, START_MS, &json!({"type": "get_config"}));
        config["document"]["clients"].clone()
    };
    let pin = json!({"type": "repin_client", "client": "ann", "to": "old", "reason": "asked"});
    assert_eq!(say(&mut engine, START_MS, &pin)["changed"], true);
    let blocked =
        json!({"type": "declare_client", "client": "bob", "says": "blocked", "reason": "in May"});
    say(&mut engine, START_MS, &blocked);
    assert_eq!(lists(&mut engine), json!({"pinned_back": ["ann"], "blocked": ["bob"]}).clone());
    let route = json!({"type": "route", "key": "ann"});
    assert_eq!(say(&mut engine, START_MS, &route)["reason"], "pinned_back");
    let seen = say(&mut engine, START_MS, &json!({"type": "get_client", "client": "bob"}));
    assert_eq!(
        (&seen["client"]["state"], &seen["client"]["because"]),
        (&json!("blocked"), &json!("in May"))
    );
    let told: Vec<Value> =
        tick(&mut engine, START_MS).iter().map(|event| event["event"].clone()).collect();
    // Whoever hands the policy out hears of each.
    assert_eq!(told, ["client_pinned_back", "configured", "client_declared", "configured"]);
    let lift = json!({"type": "repin_client", "client": "ann", "to": "policy"});
    say(&mut engine, START_MS, &lift);
    assert_eq!(lists(&mut engine)["pinned_back"], Value::Null);
    say(
        &mut engine,
        START_MS,
        &json!({"type": "declare_client", "client": "bob", "says": "nothing"}),
    );
    say(&mut engine, START_MS, &json!({"type": "forget_client", "client": "bob"}));
    assert_eq!(lists(&mut engine), Value::Null);
    let gone = say(&mut engine, START_MS, &json!({"type": "get_client", "client": "bob"}));
    assert_eq!(gone["code"], 20);
}

#[test]
fn one_client_for_whom_v2_is_broken_is_found_and_pinned_back() {
    let mut engine = engine(json!({"clients": {"pin_back": {"mode": "auto"}}}));
    let (mut now_ms, mut told) = (START_MS, Vec::new());
    for sequence in 1..60 {
        now_ms += 60_000;
        let names: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
        let mut rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 10, 0, 0)).collect();
        rows[17].3 = 9;
        report(&mut engine, sequence, now_ms, &rows);
        told.extend(tick(&mut engine, now_ms));
    }
    let about: Vec<(&str, &str)> = told
        .iter()
        .filter(|event| event["client"].is_string())
        .map(|event| (event["event"].as_str().unwrap(), event["client"].as_str().unwrap()))
        .collect();
    assert_eq!(about, [("client_sick", "c17"), ("client_pinned_back", "c17")]);
    let route = say(&mut engine, now_ms, &json!({"type": "route", "key": "c17"}));
    assert_eq!((&route["version"], &route["reason"]), (&json!("v1"), &json!("pinned_back")));
    let sunset = say(&mut engine, now_ms, &json!({"type": "get_sunset"}));
    let blocked =
        sunset["checks"].as_array().unwrap().iter().find(|check| check["check"] == "blocked");
    assert_eq!(blocked.unwrap()["ok"], false);
}

#[test]
fn a_monthly_job_that_is_silent_for_twenty_days_keeps_the_old_version_alive() {
    let mut engine = engine(json!({}));
    let mut now_ms = START_MS;
    for month in 0..8 {
        now_ms = START_MS + month * 30 * DAY_MS;
        report(&mut engine, 2 * month + 1, now_ms, &[("job", 0, 10, 0, 0)]);
        report(&mut engine, 2 * month + 2, now_ms + DAY_MS, &[("web", 1, 10, 0, 0)]);
    }
    let twenty_ms = now_ms + 20 * DAY_MS;
    let sunset = say(&mut engine, twenty_ms, &json!({"type": "get_sunset"}));
    assert_eq!(
        (&sunset["ready"], &sunset["candidates"][0]["client"]),
        (&json!(false), &json!("job"))
    );
    assert!(sunset["depend"]["at_most"].as_u64().unwrap() >= 1);
    assert!(
        sunset["statement"].as_str().unwrap().starts_with("At 95 % confidence at most 1"),
        "{sunset}"
    );
    let expected_ms = sunset["last_expected_ms"].as_u64().unwrap();
    assert!(expected_ms > twenty_ms && expected_ms < twenty_ms + 20 * DAY_MS, "{sunset}");
}

#[test]
fn a_brownout_is_told_bounded_and_measured() {
    let bound = json!({"clients": 2});
    let mut engine = engine(json!({
        "canary_percentage": 0,
        "deprecation": {"deprecated_at": "2026-01-01"},
        "brownouts": [{"name": "first", "start": "2027-01-15T08:00:00Z", "minutes": 60, "percentage": 100,
            "stop_when": bound}]
    }));
    // 2027-01-15T08:00:00Z
    let begun_ms = 1_800_000_000_000;
    let started = tick(&mut engine, begun_ms);
    assert_eq!(started[0]["event"], "brownout_started");
    let refused = say(&mut engine, begun_ms, &json!({"type": "route", "key": "ann"}));
    assert_eq!(
        (&refused["reason"], &refused["refusal"]["status"]),
        (&json!("brownout"), &json!(503))
    );
    report(&mut engine, 1, begun_ms + 60_000, &[("ann", 0, 4, 0, 4)]);
    assert!(tick(&mut engine, begun_ms + 61_000).is_empty(), "one client is within the bound");
    report(&mut engine, 2, begun_ms + 62_000, &[("bob", 0, 1, 0, 1)]);
    let stopped = tick(&mut engine, begun_ms + 63_000);
    assert_eq!(stopped[0]["event"], "brownout_stopped");
    let served = say(&mut engine, begun_ms + 64_000, &json!({"type": "route", "key": "ann"}));
    assert_eq!(served["refusal"], Value::Null);
    report(&mut engine, 3, begun_ms + 600_000, &[("ann", 1, 4, 0, 0), ("bob", 0, 1, 0, 0)]);
    let all = say(&mut engine, begun_ms + 700_000, &json!({"type": "get_brownouts"}));
    let first = &all["brownouts"][0];
    let counts = ["hit_clients", "refused_calls", "moved", "unchanged", "silent"]
        .map(|name| first[name].as_u64().unwrap());
    assert_eq!((first["state"].as_str(), counts), (Some("stopped"), [2, 5, 1, 1, 0]));
    let again = json!({"type": "stop_brownout", "name": "first"});
    assert_eq!(say(&mut engine, begun_ms + 700_000, &again)["code"], 22);
}

#[test]
fn everything_about_clients_survives_a_snapshot() {
    let mut engine = engine(
        json!({"brownouts": [{"name": "b", "start": "2027-01-15T08:00:00Z", "minutes": 60, "percentage": 50}], "deprecation": {"deprecated_at": "2026-01-01"}}),
    );
    tick(&mut engine, START_MS);
    report(&mut engine, 1, START_MS, &[("ann", 0, 3, 0, 1), ("bob", 1, 9, 9, 0)]);
    tick(&mut engine, START_MS + 60_000);
    let mut saved = Vec::new();
    engine.snapshot(&mut saved);
    let mut other = super::super::Engine::new(
        InitDocument { clock: Clock::Wall, ..InitDocument::default() },
        0,
        1,
    );
    let mut out = Vec::new();
    other.restore(&saved, &mut out);
    assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    let mut again = Vec::new();
    other.snapshot(&mut again);
    assert!(saved == again, "another snapshot");
    for message in ["get_clients", "get_sunset", "get_brownouts", "get_life"] {
        let ask = json!({ "type": message });
        assert_eq!(
            say(&mut engine, START_MS + 61_000, &ask),
            say(&mut other, START_MS + 61_000, &ask)
        );
    }
}

#[test]
fn a_life_does_not_jump() {
    let mut engine =
        engine(json!({"deprecation": {"deprecated_at": "2026-01-01", "sunset_at": "2027-06-01"}}));
    report(&mut engine, 1, START_MS, &[("ann", 0, 3, 0, 0)]);
    let life = say(&mut engine, START_MS, &json!({"type": "get_life"}));
    assert_eq!(life["type"], "life");
    let jump = json!({"type": "advance_life", "to": "gone", "force": true});
    let refused = say(&mut engine, START_MS, &jump);
    assert_eq!(refused["code"], 22, "{refused}");
    let unknown = say(&mut engine, START_MS, &json!({"type": "advance_life", "to": "heaven"}));
    assert_eq!(unknown["code"], 12);
}
