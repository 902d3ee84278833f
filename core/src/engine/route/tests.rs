//! What was kept is what would be decided: every word is compared with the policy's own
//! decision, whatever is changed in between.

use proptest::prelude::*;
use serde_json::json;

use super::super::tests::{engine, handle};
use super::*;
use crate::guest::Guest as _;
use crossfade_protocol::Reason;

/// Clients of these tests; each one is met again and again.
const CLIENTS: usize = 300;

fn key(client: usize) -> String {
    // Of every length that is looked at in a way of its own.
    let stem = ["", "u", "user", "user-of-a-shop", "6f1c2d3e-aaaa-bbbb-cccc-0123456789ab"];
    format!("{}{client}", stem[client % stem.len()])
}

/// What a policy that has just been asked says.
fn decided(engine: &Engine, key: &str) -> RouteWord {
    if engine.policy.needs_attributes() {
        return RouteWord::CANNOT;
    }
    let guard_tripped = engine.guard.tripped();
    let request = Request { guard_tripped, ..Request::of_key(key.as_bytes()) };
    let mut policy = engine.policy.clone();
    policy.observe(engine.now_ms);
    let decision = policy.decide(&request, 0);
    RouteWord::new(decision.version, decision.canary == Some(true), decision.reason)
}

/// Routes everybody, and holds the answers and the counts against the policy.
fn everybody(engine: &mut Engine) {
    let routed = |engine: &Engine| engine.tallies.iter().map(|t| t.routed).collect::<Vec<_>>();
    let mut expected = routed(engine);
    for client in 0..CLIENTS {
        let key = key(client);
        let word = engine.route_key(key.as_bytes(), 0);
        assert_eq!(word, decided(engine, &key), "{key}");
        if let Some(version) = word.version() {
            // Nobody is served by what is refused.
            expected[usize::from(version)] += u64::from(!word.refuses());
            let counted = engine.census.get(key.as_bytes(), Identity::Key).unwrap();
            assert_eq!(counted.version, version, "{key}");
        }
    }
    assert_eq!(routed(engine), expected);
}

fn configure(engine: &mut Engine, more: serde_json::Value) {
    handle(engine, r#"{"type":"abort_rollout"}"#);
    let versions = ["v1", "v1b", "v2"];
    let mut plan = json!({"api": "users", "versions": versions, "key": {"header": "x-id"}});
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = handle(engine, &json!({"type": "configure", "document": plan}).to_string());
    assert!(reply[0].contains("configure_ok"), "{reply:?}");
}

/// A change of everything that decides.
fn change(engine: &mut Engine, which: usize) {
    match which {
        0 => configure(engine, json!({"canary_percentage": 10})),
        1 => configure(engine, json!({"canary_percentage": 60, "salt": "2027"})),
        2 => configure(engine, json!({"canary_percentage": 60, "sticky": false})),
        3 => configure(engine, json!({"split": {"v1": 1, "v2": 3}})),
        4 => configure(engine, json!({"canary_percentage": 10, "pins": {"user2": "v2"}})),
        5 => configure(engine, json!({"canary_percentage": 100, "kill_switch": true})),
        6 => configure(engine, json!({"rules": [{"name": "all", "to": "v2"}]})),
        // Every version has another place.
        7 => {
            configure(engine, json!({"versions": ["v1b", "v2", "v1"], "split": {"v2": 1, "v1": 2}}))
        }
        8 => configure(
            engine,
            json!({"canary_percentage": 90, "guard": {"max_failure_ratio": 0.1, "min_requests": 10}}),
        ),
        // Trips the guard, if there is one.
        9 => {
            let outcome = json!({"version": "v2", "ok": false, "count": 100});
            handle(engine, &json!({"type": "report_outcomes", "outcomes": [outcome]}).to_string());
        }
        10 => {
            let mut saved = Vec::new();
            super::super::state::save(engine, &mut saved);
            let mut other = Engine::new(Default::default(), 0, 99);
            super::super::state::load(&mut other, &saved).unwrap();
            *engine = other;
        }
        11 => {
            let steps = json!([{"percentage": 30, "duration_minutes": 1}]);
            handle(engine, &json!({"type": "gradual_rollout", "steps": steps}).to_string());
        }
        12 => configure(
            engine,
            json!({
                "canary_percentage": 40,
                "brownouts": [{"name": "a", "start": "1970-01-01T00:20Z", "minutes": 60,
                    "percentage": 40, "exempt": ["user2"]}],
                "deprecation": {"deprecated_at": "1970-01-01", "sunset_at": "1970-01-01T01:40Z"},
                "clients": {"ready": ["u6"], "blocked": ["u1"], "pinned_back": ["user7"]},
            }),
        ),
        // Brownouts begin, and end, and the sunset comes.
        13 => {
            let mut out = Vec::new();
            engine.tick(engine.now_ms + 30 * 60_000, &mut out);
        }
        14 => {
            handle(engine, r#"{"type":"stop_brownout","name":"a","reason":"enough"}"#);
        }
        // Sends everybody elsewhere for one request.
        _ => {
            for client in 0..CLIENTS {
                let line =
                    json!({"type": "get_users", "user_id": key(client), "canary_percentage": 100});
                handle(engine, &line.to_string());
            }
        }
    }
}

const CHANGES: usize = 16;

#[test]
fn every_change_changes_what_was_kept() {
    for first in 0..CHANGES {
        for second in 0..CHANGES {
            let mut engine = engine();
            everybody(&mut engine);
            for which in [first, second] {
                change(&mut engine, which);
                everybody(&mut engine);
                everybody(&mut engine);
            }
        }
    }
}

#[test]
fn a_guard_that_trips_takes_back_whom_it_had_let_through() {
    let mut engine = engine();
    change(&mut engine, 8);
    everybody(&mut engine);
    assert!(engine.census.on_version(2) > 200);
    change(&mut engine, 9);
    everybody(&mut engine);
    assert_eq!(engine.census.on_version(2), 0);
}

#[test]
fn a_brownout_and_the_sunset_change_what_was_kept() {
    let mut engine = engine();
    change(&mut engine, 12);
    let refused = |engine: &mut Engine, reason: Reason| {
        everybody(engine);
        let is =
            |client: &usize| engine.route_key(key(*client).as_bytes(), 0).reason() == Some(reason);
        (0..CLIENTS).filter(is).count()
    };
    assert_eq!(refused(&mut engine, Reason::Brownout), 0);
    change(&mut engine, 13);
    // 40 % of the 60 % that the canary leaves.
    assert!((40..110).contains(&refused(&mut engine, Reason::Brownout)));
    change(&mut engine, 14);
    assert_eq!(refused(&mut engine, Reason::Brownout), 0);
    (0..3).for_each(|_| change(&mut engine, 13));
    assert!(refused(&mut engine, Reason::Gone) > 120);
    assert_eq!(refused(&mut engine, Reason::Stable), 0);
}

/// Or all of this would be in vain.
#[test]
fn nearly_everybody_is_found_at_once() {
    let mut engine = engine();
    change(&mut engine, 0);
    everybody(&mut engine);
    let terms = engine.terms();
    let found = (0..CLIENTS)
        .filter(|client| engine.census.again(key(*client).as_bytes(), terms, 0).is_some())
        .count();
    assert!(found > CLIENTS * 8 / 10, "{found} of {CLIENTS}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..Default::default() })]
    #[test]
    fn what_was_kept_is_what_would_be_decided(changes in prop::collection::vec(0..CHANGES, 1..8)) {
        let mut engine = engine();
        for which in changes {
            change(&mut engine, which);
            everybody(&mut engine);
        }
    }
}
