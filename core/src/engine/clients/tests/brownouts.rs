//! Brownouts, as the ledger tells of them.

use crossfade_protocol::limits::BROWNOUT_CLIENTS_MAX;

use super::*;

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

/// More clients than are told apart: a bound beyond that number has to stop it all the same.
#[test]
fn a_bound_beyond_the_clients_that_are_told_apart_stops_a_brownout_there() {
    let mut engine = engine(json!({
        "canary_percentage": 0,
        "brownouts": [{"name": "b", "start": "2027-01-15T08:00:00Z", "minutes": 60, "percentage": 100,
            "stop_when": {"clients": 100_000}}]
    }));
    tick(&mut engine, START_MS);
    let names: Vec<String> = (0..=BROWNOUT_CLIENTS_MAX).map(|n| format!("c{n}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 0, 1, 0, 1)).collect();
    report(&mut engine, 1, START_MS, &rows[..BROWNOUT_CLIENTS_MAX]);
    assert!(tick(&mut engine, START_MS + 1_000).is_empty());
    report(&mut engine, 2, START_MS, &rows[BROWNOUT_CLIENTS_MAX..]);
    let stopped = tick(&mut engine, START_MS + 2_000);
    assert_eq!(stopped[0]["event"], "brownout_stopped");
    let reason = "more than 65536 clients were refused, who are all that can be told apart; \
        stop_when allows 100000";
    assert_eq!(stopped[0]["reason"], reason);
}

#[test]
fn a_brownout_that_is_called_off_before_its_start_is_over_at_once() {
    let mut engine = engine(json!({
        "deprecation": {"deprecated_at": "2026-01-01"},
        "brownouts": [{"name": "b", "start": "2027-03-01", "minutes": 60, "percentage": 5}]
    }));
    report(&mut engine, 1, START_MS, &[("ann", 1, 4, 0, 0)]);
    let to_come = |engine: &mut Engine| {
        let sunset = say(engine, START_MS, &json!({"type": "get_sunset"}));
        let checks = sunset["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "brownouts").unwrap();
        let life = say(engine, START_MS, &json!({"type": "get_life"}));
        (check["detail"].as_str().unwrap().to_owned(), life.to_string().contains("still to come"))
    };
    let before = ("1 planned, 1 still to come or running, 0 stopped early".to_owned(), true);
    assert_eq!(to_come(&mut engine), before);
    let stop = json!({"type": "stop_brownout", "name": "b", "reason": "not now"});
    let stopped = say(&mut engine, START_MS, &stop);
    assert_eq!(stopped["brownouts"][0]["state"], "stopped");
    let after = ("1 planned, 0 still to come or running, 1 stopped early".to_owned(), false);
    assert_eq!(to_come(&mut engine), after);
    let again = say(&mut engine, START_MS, &stop);
    assert_eq!((&again["code"], &again["text"]), (&json!(22), &json!("brownout `b` is over")));
    assert!(
        tick(&mut engine, START_MS + 90 * DAY_MS)
            .iter()
            .all(|event| event["name"] != "b" || event["event"] == "brownout_stopped")
    );
}
