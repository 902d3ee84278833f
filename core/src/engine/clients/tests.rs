mod brownouts;

use crossfade_protocol::clients::{Identity, client_hash};
use crossfade_protocol::plan::Plan;
use crossfade_protocol::request::{Clock, InitDocument};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::guest::Guest;

mod forgotten;
mod lists;

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
fn one_client_and_one_day_are_told_as_one() {
    let mut engine = engine(json!({ "sunset": { "horizon_days": 1 } }));
    report(&mut engine, 1, START_MS, &[("ann", 0, 3, 0, 0)]);
    let sunset = say(&mut engine, START_MS + 60_000, &json!({"type": "get_sunset"}));
    assert_eq!(sunset["depend"]["at_most"], 1, "{sunset}");
    for text in [
        "at most 1 client still depends on v1: calls it again within 1 day;",
        "at most 1 client calls an older version again within 1 day, and",
        "1 client, every one of them counted",
    ] {
        assert!(sunset.to_string().contains(text), "{text}: {sunset}");
    }
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
fn calls_that_an_edge_dropped_stand_in_the_way_for_the_whole_horizon() {
    let mut engine = engine(json!({}));
    let dropped = json!({"type": "report_clients", "node": "edge", "epoch": "1", "sequence": 1,
        "revision": 1, "versions": ["v1", "v2"], "dropped": 12,
        "clients": [{"key": "ann", "on": 1, "counts": [[1, 5, 0, START_MS / 1000, START_MS / 1000]]}]});
    say(&mut engine, START_MS, &dropped);
    let ask = |engine: &mut Engine, now_ms| {
        let sunset = say(engine, now_ms, &json!({"type": "get_sunset"}));
        let checks = sunset["checks"].as_array().unwrap();
        let counted = checks.iter().find(|check| check["check"] == "counted").unwrap().clone();
        (counted["ok"].clone(), counted["detail"].to_string(), sunset["depend"]["exact"].clone())
    };
    for days in [0, 30] {
        let (ok, detail, exact) = ask(&mut engine, START_MS + days * DAY_MS);
        assert_eq!((ok, exact), (json!(false), json!(false)));
        let said = "of 12 calls nobody knows whose they were: an edge dropped them, the last on \
            2027-01-15T08:00:00Z; see to that edge, and ask again 30 days after it";
        assert!(detail.contains(said), "{detail}");
    }
    let stats = say(&mut engine, START_MS, &json!({"type": "get_migration_stats"}));
    assert_eq!(stats["clients_sampled"], true);
    let (ok, detail, exact) = ask(&mut engine, START_MS + 31 * DAY_MS);
    assert_eq!((ok, exact), (json!(true), json!(true)));
    assert!(detail.contains("1 client, every one of them counted"), "{detail}");
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

/// What was found against v2 is no evidence against v3.
#[test]
fn another_newest_version_is_judged_anew() {
    let mut engine = engine(json!({"clients": {"pin_back": {"mode": "auto"}}}));
    let (mut now_ms, mut sequence) = (START_MS, 0);
    while say(&mut engine, now_ms, &json!({"type": "route", "key": "c17"}))["reason"]
        != "pinned_back"
    {
        (now_ms, sequence) = (now_ms + 60_000, sequence + 1);
        assert!(sequence < 60, "found after an hour at the latest");
        let names: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
        let mut rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 10, 0, 0)).collect();
        rows[17].3 = 9;
        report(&mut engine, sequence, now_ms, &rows);
        tick(&mut engine, now_ms);
    }
    // As one does: what `get_config` answers, with one version more, and a name of one's own.
    let mut document = say(&mut engine, now_ms, &json!({"type": "get_config"}))["document"].clone();
    assert_eq!(document["clients"]["pinned_back"], json!(["c17"]));
    document["clients"]["pinned_back"] = json!(["c17", "partner-7"]);
    document["versions"] = json!(["v1", "v2", "v3"]);
    say(&mut engine, now_ms, &json!({"type": "configure", "document": document}));
    let told = tick(&mut engine, now_ms);
    let anew = told.iter().find(|event| event["event"] == "judged_anew").unwrap();
    assert_eq!((&anew["version"], &anew["lifted"]), (&json!("v3"), &json!(1)));
    let config = say(&mut engine, now_ms, &json!({"type": "get_config"}));
    assert_eq!(config["document"]["clients"]["pinned_back"], json!(["partner-7"]));
    let route = say(&mut engine, now_ms, &json!({"type": "route", "key": "c17"}));
    assert_eq!((&route["version"], &route["reason"]), (&json!("v3"), &json!("canary")));
    assert_eq!(engine.clients.as_ref().unwrap().failures(client_hash(b"c17", Identity::Key)), None);
    // The same versions again: nothing is forgotten.
    say(&mut engine, now_ms, &json!({"type": "configure", "document": config["document"]}));
    assert!(tick(&mut engine, now_ms).iter().all(|event| event["event"] != "judged_anew"));
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

/// A control plane hands out what it is told of: an edge that goes on under the revision
/// before counts for nothing, and a step would wait for it.
#[test]
fn a_policy_that_lists_who_declared_itself_in_a_report_is_told_of() {
    let mut engine = engine(json!({}));
    report(&mut engine, 1, START_MS, &[("ann", 0, 3, 0, 0)]);
    tick(&mut engine, START_MS);
    let declared = json!({ "node": "edge", "epoch": "1", "sequence": 2, "revision": 1,
        "versions": ["v1", "v2"],
        "clients": [{ "key": "ann", "on": 0, "counts": [], "says": { "blocked": "in May" } }] });
    let mut out = Vec::new();
    engine.merge(declared.to_string().as_bytes(), &mut out);
    let told: Vec<_> = tick(&mut engine, START_MS)
        .iter()
        .filter(|event| event["event"] == "configured")
        .map(|event| event["revision"].clone())
        .collect();
    let config = say(&mut engine, START_MS, &json!({ "type": "get_config" }));
    assert_eq!(config["document"]["clients"]["blocked"], json!(["ann"]));
    assert_eq!(told, [config["revision"].clone()]);
}

/// Totals of an edge, as they have grown: `[requests, failures]` of v1 and of v2.
fn totals(engine: &mut Engine, sequence: u64, now_ms: u64, old: [u64; 2], new: [u64; 2]) {
    let version = |name: &str, [requests, failures]: [u64; 2]| {
        json!({ "version": name, "routed": requests, "requests": requests, "failures": failures,
            "latency": [] })
    };
    let totals = json!({ "node": "edge", "epoch": "1", "sequence": sequence,
        "revision": engine.policy.revision(), "versions": [version("v1", old), version("v2", new)] });
    let mut out = Vec::new();
    engine.observe(now_ms);
    engine.merge(totals.to_string().as_bytes(), &mut out);
    assert!(out.starts_with(b"{\"type\":\"merge_ok\""), "{}", String::from_utf8_lossy(&out));
}

/// One client of v2 fails, all others do not: pinned back it speaks no longer for "worse",
/// and still stands against "healthy".
#[test]
fn whoever_is_pinned_back_does_not_count_against_the_rollout() {
    let mut engine = engine(json!({"canary_percentage": 0}));
    let steps = json!([{"percentage": 50, "duration_minutes": 240}]);
    let start = json!({"type": "gradual_rollout", "steps": steps});
    engine.handle(format!("{start}\n").as_bytes(), START_MS, &mut Vec::new());
    totals(&mut engine, 1, START_MS + 1_000, [0, 0], [0, 0]);
    let mut now_ms = START_MS;
    for minute in 1..=20 {
        now_ms = START_MS + minute * 60_000;
        totals(&mut engine, minute + 1, now_ms, [500 * minute, minute], [500 * minute, 2 * minute]);
        let rows = [("bad", 1, 5, 1, 0), ("good", 1, 495, 1, 0)];
        report(&mut engine, minute, now_ms, &rows);
        tick(&mut engine, now_ms);
    }
    let evidence = |engine: &mut Engine| {
        let rollout = say(engine, now_ms, &json!({"type": "get_rollout"}));
        assert_eq!(rollout["phase"], "progressing", "{rollout}");
        let failures = &rollout["evidence"]["failures"];
        ["log_e_worse", "log_e_ok", "withheld_failures"]
            .map(|name| failures[name].as_f64().unwrap())
    };
    let [worse, ok, withheld] = evidence(&mut engine);
    let pin = json!({"type": "repin_client", "client": "bad", "to": "old", "reason": "broken"});
    for _ in 0..2 {
        say(&mut engine, now_ms, &pin);
        let [worse_now, ok_now, withheld_now] = evidence(&mut engine);
        assert!(worse_now < worse - 0.5, "{worse_now} is hardly less than {worse}");
        assert_eq!(ok_now, ok);
        assert!((withheld_now - withheld - 20.0).abs() < 0.1, "{withheld} {withheld_now}");
    }
}

#[test]
fn a_rollback_makes_nobody_waver() {
    let mut engine = engine(json!({}));
    let minute_ms = 60_000;
    let state = |engine: &mut Engine, now_ms: u64, client: &str| {
        let seen = say(engine, now_ms, &json!({"type": "get_client", "client": client}));
        seen["client"]["state"].as_str().unwrap().to_owned()
    };
    report(&mut engine, 1, START_MS, &[("ann", 0, 1, 0, 0), ("bob", 0, 1, 0, 0)]);
    report(&mut engine, 2, START_MS + minute_ms, &[("ann", 1, 1, 0, 0), ("bob", 1, 1, 0, 0)]);
    // Bob goes back by himself; Ann is sent back.
    report(&mut engine, 3, START_MS + 2 * minute_ms, &[("bob", 0, 1, 0, 0)]);
    tick(&mut engine, START_MS + 2 * minute_ms);
    let mut plan = json!({"type": "configure", "document": {
        "api": "users", "versions": {"from": "v1", "to": "v2"},
        "key": {"header": "x-user-id"}, "canary_percentage": 0}});
    assert_eq!(say(&mut engine, START_MS + 3 * minute_ms, &plan)["type"], "configure_ok");
    report(&mut engine, 4, START_MS + 4 * minute_ms, &[("ann", 0, 1, 0, 0)]);
    plan["document"]["canary_percentage"] = 100.into();
    say(&mut engine, START_MS + 5 * minute_ms, &plan);
    let now_ms = START_MS + 6 * minute_ms;
    report(&mut engine, 5, now_ms, &[("ann", 1, 1, 0, 0), ("bob", 1, 1, 0, 0)]);
    assert_eq!(state(&mut engine, now_ms, "ann"), "moved");
    assert_ne!(state(&mut engine, now_ms, "bob"), "moved");
}

#[test]
fn a_refused_call_is_nobodys_request_and_is_counted_for_its_client() {
    let plan = json!({ "api": "users", "versions": {"from": "v1", "to": "v2"},
        "key": {"header": "x-user-id"}, "canary_percentage": 0,
        "deprecation": {"deprecated_at": "2026-01-01"},
        "brownouts": [{"name": "b", "start": "2027-01-15T08:00:00Z", "minutes": 60, "percentage": 100}] });
    let plan = Some(Box::new(Plan::read(&plan).unwrap()));
    let init =
        InitDocument { plan, clock: Clock::Wall, keep_clients: true, ..InitDocument::default() };
    let init = InitDocument { report_clients: true, ..init };
    let mut engine = Engine::new(init, START_MS, 7);
    tick(&mut engine, START_MS);
    for _ in 0..2 {
        engine.route(b"ann", 0);
    }
    let users = json!({"type": "get_users", "user_id": "ann"});
    assert_eq!(say(&mut engine, START_MS, &users)["refused"], "brownout");
    assert_eq!(
        say(&mut engine, START_MS, &json!({"type": "route", "key": "ann"}))["reason"],
        "brownout"
    );
    let stats = say(&mut engine, START_MS, &json!({"type": "get_migration_stats"}));
    assert_eq!(
        (&stats["routed"], &stats["total_clients"]),
        (&json!({"v1": 0, "v2": 0}), &json!(1))
    );
    let ann = say(&mut engine, START_MS, &json!({"type": "get_client", "client": "ann"}));
    assert_eq!((&ann["client"]["requests"], &ann["client"]["refused"]), (&json!(4), &json!(4)));
    let seen = say(&mut engine, START_MS, &json!({"type": "get_brownouts"}));
    assert_eq!(seen["brownouts"][0]["hit_clients"], 1);
    let served = say(&mut engine, START_MS + 2 * 3_600_000, &users);
    assert_eq!((&served["version"], &served["refused"]), (&json!("v1"), &Value::Null));
    let stats = say(&mut engine, START_MS + 2 * 3_600_000, &json!({"type": "get_migration_stats"}));
    assert_eq!(stats["routed"], json!({"v1": 1, "v2": 0}));
}

#[test]
fn under_hashed_privacy_nobody_is_pinned_back_and_it_is_said_why() {
    let pin_back = json!({"pin_back": {"mode": "auto"}, "pinned_back": ["c99"]});
    let mut engine = engine(json!({"privacy": "hashed", "clients": pin_back}));
    let mut told = Vec::new();
    for sequence in 1..60 {
        let now_ms = START_MS + sequence * 60_000;
        let names: Vec<String> = (0..200).map(|n| format!("h:{n}")).collect();
        let mut rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 10, 0, 0)).collect();
        rows[17].3 = 9;
        report(&mut engine, sequence, now_ms, &rows);
        told.extend(tick(&mut engine, now_ms));
    }
    let about: Vec<&str> = told
        .iter()
        .filter(|event| event["client"].is_string())
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(about, ["client_sick"]);
    let pin = json!({"type": "repin_client", "client": "h:17", "to": "old"});
    let refused = say(&mut engine, START_MS + 3_600_000, &pin);
    assert_eq!(refused["code"], 22);
    assert!(refused["text"].as_str().unwrap().contains("clients.pinned_back"), "{refused}");
    let route = say(&mut engine, START_MS + 3_600_000, &json!({"type": "route", "key": "c99"}));
    assert_eq!(route["reason"], "pinned_back", "the plan's own list counts");
    let config = say(&mut engine, START_MS + 3_600_000, &json!({"type": "get_config"}));
    let check = json!({"type": "check_policy", "document": config["document"]});
    let checked = say(&mut engine, START_MS + 3_600_000, &check);
    assert_eq!(checked["warnings"][0]["path"], "clients.pin_back.mode", "{checked}");
}

/// To look at all of so many at once would take longer than a call may.
#[test]
fn of_many_clients_the_answer_comes_when_ticks_have_looked_at_them() {
    let mut engine = engine(json!({}));
    let names: Vec<String> = (0..20_001).map(|n| format!("c{n}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 1, 0, 0)).collect();
    report(&mut engine, 1, START_MS, &rows);
    let ask = |engine: &mut Engine| {
        let sunset = say(engine, START_MS, &json!({"type": "get_sunset"}));
        (sunset["statement"].as_str().unwrap().to_owned(), sunset["depend"]["at_most"].clone())
    };
    let unknown = "Not known yet: 20001 clients are looked at, a part of them in each tick.";
    assert_eq!(ask(&mut engine), (unknown.to_owned(), Value::Null));
    (0..=2 * crossfade_ledger::PARTS).for_each(|_| _ = tick(&mut engine, START_MS));
    let known = "At 95 % confidence no client calls v1 again within 30 days.";
    assert_eq!(ask(&mut engine), (known.to_owned(), json!(0)));
}
