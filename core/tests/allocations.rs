//! What is said to allocate nothing is held to it, by counting.
//!
//! A first call may set things up; the claim is about every later one.

use allocation_counter::measure;
use crossfade_core::changes::{Call, Changes};
use crossfade_core::guest::Guest;
use crossfade_core::{Engine, Policy, Request};
use crossfade_protocol::plan::Plan;
use serde_json::json;

fn policy(document: serde_json::Value) -> Policy {
    Policy::new(Plan::read(&document).expect("a plan of this test"), 1, None)
}

#[track_caller]
fn allocates_nothing(what: &str, run: impl FnOnce()) {
    let counted = measure(run);
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{what}");
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9)))).count_total, 1);
}

#[test]
fn deciding_allocates_nothing() {
    let plan = |traffic: serde_json::Value| {
        let mut plan = json!({
            "api": "users", "versions": ["v1", "v2"], "key": {"header": "x-user-id"},
            "pins": {"qa-1": "v2"},
            "rules": [
                {"name": "sdk", "when": {"attribute": "sdk", "semver": ">=2.4"}, "to": "v2"},
                {"name": "beta", "when": {"all": [
                    {"attribute": "plan", "in": ["beta", "internal"]},
                    {"not": {"attribute": "region", "prefix": "eu-"}},
                ]}, "split": {"v1": 1, "v2": 3}},
            ],
        });
        let more = traffic.as_object().expect("an object").clone();
        plan.as_object_mut().expect("an object").extend(more);
        policy(plan)
    };
    let policies = [
        plan(json!({"canary_percentage": 10})),
        plan(json!({"split": {"v1": 50, "v2": 50}})),
        plan(json!({"canary_percentage": 10, "sticky": false})),
        plan(json!({})),
        plan(json!({"kill_switch": true})),
    ];
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let all = [pair("sdk", "2.3.9"), pair("plan", "beta"), pair("region", "us-1")];
    for attributes in [&all[..0], &all[..1], &all[..]] {
        for key in [None, Some("qa-1"), Some("user123")] {
            let request = Request {
                attributes: &attributes,
                ..Request::of_key(key.unwrap_or_default().as_bytes())
            };
            for (place, policy) in policies.iter().enumerate() {
                let what = format!("policy {place}, key {key:?}, {} attributes", attributes.len());
                allocates_nothing(&what, || {
                    std::hint::black_box(policy.decide(&request, 7));
                });
            }
        }
    }
}

#[test]
fn serving_a_known_client_allocates_nothing() {
    let lines = [
        r#"{"src":"client","dest":"api","body":{"type":"get_users","msg_id":1,"user_id":"user123"},"canary_percentage":10}"#,
        r#"{"src":"client","dest":"api","body":{"type":"get_users","msg_id":18,"user_id":"user123"}}"#,
        r#"{"src":"client","dest":"api","body":{"type":"get_users"}}"#,
    ];
    let enveloped = r#"{"src":"c","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}"#;
    for init in ["", enveloped] {
        let mut out = Vec::new();
        let mut engine = Engine::init(b"", 0, 7, &mut out);
        engine.handle(init.as_bytes(), 0, &mut out);
        for line in lines {
            let block = format!("{line}\n").repeat(100);
            let mut serve = |now_ms| {
                out.clear();
                engine.handle(block.as_bytes(), now_ms, &mut out);
            };
            serve(1_000);
            allocates_nothing(line, || serve(2_000));
            assert_eq!(out.split(|byte| *byte == b'\n').count(), 101, "{line}");
        }
    }
}

#[test]
fn routing_a_known_client_allocates_nothing() {
    let mut engine = Engine::init(b"", 0, 7, &mut Vec::new());
    engine.route(b"user123", 0);
    allocates_nothing("route", || {
        engine.route(b"user123", 0);
    });
}

/// Three million clients, ever new ones, of keys short and long: what is held stays where
/// it was after the first ones, and what the buffer says that it holds is what it does.
#[test]
fn a_buffer_of_clients_is_flat_whatever_keys_come() {
    let mut changes = Changes::new(1);
    changes.set_versions(&["v1".to_owned(), "v2".to_owned()]);
    let mut number = 0_u64;
    let mut feed = |changes: &mut Changes, clients: u64| {
        let held = measure(|| {
            for _ in 0..clients {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let length = if number.is_multiple_of(3) { 1024 } else { 20 };
                let key = format!("{number:0length$}");
                let agent = Some("okhttp/4.12.0");
                let version = (number >> 63) as u8;
                let call =
                    Call { key: key.as_bytes(), version, requests: 1, agent, ..Call::default() };
                changes.record(&call, 1);
            }
            // As often as not nobody takes the report.
            let _ = changes.next("n", 1, 1).map(|report| report.sequence);
        });
        held.bytes_current
    };
    let first = feed(&mut changes, 100_000);
    assert!(first.unsigned_abs() < 8 << 20, "{first} bytes");
    assert!(changes.memory_bytes() < 8 << 20);
    let difference = changes.memory_bytes() as i64 - first;
    assert!(difference.abs() < 64 << 10, "{difference} bytes more than are held");
    let mut more = first;
    for _ in 0..29 {
        more += feed(&mut changes, 100_000);
        assert!(more < 8 << 20, "{more} bytes");
    }
    assert!((changes.memory_bytes() as i64 - more).abs() < 64 << 10);
    // And a client that is known costs no allocation.
    let call = Call { key: b"ann", requests: 1, agent: Some("a/1"), ..Call::default() };
    let mut changes = Changes::new(1);
    changes.set_versions(&["v1".to_owned()]);
    changes.record(&call, 1);
    allocates_nothing("a known client", || changes.record(&call, 2));
}
