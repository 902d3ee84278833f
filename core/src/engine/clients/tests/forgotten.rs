//! What is left of somebody who was forgotten.

use crossfade_protocol::clients::Identity;

use super::lists::{document, restored, told};
use super::*;

fn forget(engine: &mut Engine, who: &str, identity: Option<&str>) -> Value {
    let mut message = json!({ "type": "forget_client", "client": who });
    if let Some(identity) = identity {
        message["identity"] = identity.into();
    }
    say(engine, START_MS, &message)
}

/// How often this stands in the engine's state.
fn count(engine: &mut Engine, name: &str) -> usize {
    let mut snapshot = Vec::new();
    engine.snapshot(&mut snapshot);
    snapshot.windows(name.len()).filter(|part| *part == name.as_bytes()).count()
}

#[test]
fn whoever_is_forgotten_is_in_no_byte_of_the_state() {
    let mut engine = engine(json!({}));
    let mut out = Vec::new();
    let line = json!({ "type": "get_users", "msg_id": 1, "user_id": "mixed" });
    engine.handle(format!("{line}\n").as_bytes(), START_MS, &mut out);
    let line = json!({ "src": "mixed", "dest": "n", "body": { "type": "get_users", "msg_id": 1 } });
    engine.handle(format!("{line}\n").as_bytes(), START_MS, &mut out);
    report(&mut engine, 1, START_MS, &[("mixed", 0, 3, 0, 0), ("bob", 0, 1, 0, 0)]);
    for message in [
        json!({ "type": "declare_client", "client": "bob", "says": "blocked", "reason": "waits for mixed" }),
        json!({ "type": "declare_client", "client": "mixed", "says": "blocked", "reason": "in May" }),
        json!({ "type": "repin_client", "client": "mixed", "to": "old", "reason": "asked" }),
        json!({ "type": "start_brownout", "name": "zz", "minutes": 5, "percentage": 100 }),
        json!({ "type": "stop_brownout", "name": "zz", "reason": "mixed called" }),
    ] {
        let said = say(&mut engine, START_MS, &message);
        assert_ne!(said["type"], "error", "{said}");
    }
    tick(&mut engine, START_MS);
    assert!(count(&mut engine, "mixed") > 6, "{}", count(&mut engine, "mixed"));
    assert_eq!(forget(&mut engine, "mixed", None)["changed"], true);
    tick(&mut engine, START_MS);
    assert_eq!(count(&mut engine, "mixed"), 0);
    let bob = say(&mut engine, START_MS, &json!({ "type": "get_client", "client": "bob" }));
    assert_eq!(bob["client"]["because"], "waits for (forgotten)");
    let brownouts = say(&mut engine, START_MS, &json!({ "type": "get_brownouts" }));
    assert_eq!(brownouts["brownouts"][0]["because"], "(forgotten) called");
    restored(&mut engine, START_MS);
}

#[test]
fn of_two_of_one_name_the_one_that_is_meant_is_forgotten() {
    let mut engine = engine(json!({}));
    let rows = [("ann", Identity::Key, None), ("ann", Identity::Jwt, Some("not yet"))];
    told(&mut engine, 1, START_MS, &rows);
    report(&mut engine, 2, START_MS, &[("bob", 0, 1, 0, 0)]);
    let blocked =
        json!({ "type": "declare_client", "client": "bob", "says": "blocked", "reason": "ann" });
    say(&mut engine, START_MS, &blocked);
    let pin = json!({ "type": "repin_client", "client": "ann", "to": "old", "identity": "key" });
    say(&mut engine, START_MS, &pin);
    let known = |engine: &mut Engine, identity: &str| {
        let ask = json!({ "type": "get_client", "client": "ann", "identity": identity });
        say(engine, START_MS, &ask)["client"]["state"].clone()
    };
    assert_eq!(forget(&mut engine, "ann", Some("jwt"))["changed"], true);
    assert_eq!(forget(&mut engine, "ann", Some("jwt"))["changed"], false);
    assert_eq!(known(&mut engine, "jwt"), Value::Null);
    assert_eq!(known(&mut engine, "key"), "pinned_back");
    assert_eq!(document(&mut engine, START_MS)["clients"]["pinned_back"], json!(["ann"]));
    let because = |engine: &mut Engine| {
        let ask = json!({ "type": "get_client", "client": "bob" });
        say(engine, START_MS, &ask)["client"]["because"].clone()
    };
    assert_eq!(because(&mut engine), "ann", "who has that name is still there");
    assert_eq!(forget(&mut engine, "ann", Some("key"))["changed"], true);
    assert_eq!(document(&mut engine, START_MS)["clients"]["pinned_back"], Value::Null);
    assert_eq!(because(&mut engine), "(forgotten)");
    tick(&mut engine, START_MS);
    assert_eq!(count(&mut engine, "ann"), 0);
}
