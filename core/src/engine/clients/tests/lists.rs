//! Whom the policy lists.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::limits::{LISTED_BYTES_MAX, LISTED_CLIENTS_MAX, WINDOWS_MAX};
use proptest::prelude::*;

use super::*;

/// A report of rows `[key, identity, says]`, all of v1.
pub(super) fn told(
    engine: &mut Engine,
    sequence: u64,
    now_ms: u64,
    rows: &[(&str, Identity, Option<&str>)],
) -> Value {
    let now_s = now_ms / 1000;
    let row = |(key, identity, says): &(&str, Identity, Option<&str>)| {
        let mut row = json!({ "key": key, "on": 0, "counts": [[0, 1, 0, now_s, now_s]] });
        if *identity != Identity::Key {
            row["identity"] = identity.as_str().into();
        }
        match says {
            Some("ready") => row["says"] = "ready".into(),
            Some(reason) => row["says"] = json!({ "blocked": reason }),
            None => {}
        }
        row
    };
    let clients: Vec<Value> = rows.iter().map(row).collect();
    let report = json!({ "node": "edge", "epoch": "1", "sequence": sequence, "revision": 1,
        "versions": ["v1", "v2"], "clients": clients });
    let mut out = Vec::new();
    engine.observe(now_ms);
    engine.merge(report.to_string().as_bytes(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

pub(super) fn document(engine: &mut Engine, now_ms: u64) -> Value {
    say(engine, now_ms, &json!({ "type": "get_config" }))["document"].clone()
}

pub(super) fn restored(engine: &mut Engine, now_ms: u64) -> Engine {
    let mut snapshot = Vec::new();
    engine.snapshot(&mut snapshot);
    let mut other = super::engine(json!({}));
    let mut said = Vec::new();
    other.restore(&snapshot, &mut said);
    assert_eq!(String::from_utf8(said).unwrap(), "");
    other.observe(now_ms);
    other
}

const KEY: Identity = Identity::Key;

#[test]
fn clients_cannot_make_the_policy_longer_than_an_edge_reads() {
    let mut engine = engine(json!({ "clients": { "blocked": ["zoe"] } }));
    for sequence in 1..=30 {
        let names: Vec<String> =
            (0..100).map(|n| format!("{sequence:03}-{n:03}-{}", "\u{1}\"".repeat(480))).collect();
        let rows: Vec<_> = names.iter().map(|name| (&**name, KEY, Some("no"))).collect();
        told(&mut engine, sequence, START_MS, &rows);
    }
    tick(&mut engine, START_MS + 60_000);
    let blocked = document(&mut engine, START_MS + 60_000)["clients"]["blocked"].clone();
    assert!(blocked.to_string().len() <= LISTED_BYTES_MAX + 2, "{}", blocked.to_string().len());
    let blocked = blocked.as_array().unwrap();
    assert!(blocked.len() > 100 && blocked.len() < 3_000, "{}", blocked.len());
    assert!(blocked.contains(&json!("zoe")), "whom the plan lists is not crowded out");
    let life = say(&mut engine, START_MS, &json!({ "type": "get_sunset" }));
    assert!(life.to_string().contains("3001"), "they all count: {life}");
}

#[test]
fn who_changes_its_mind_makes_a_policy_a_minute() {
    let mut engine = engine(json!({}));
    let revision = |engine: &mut Engine, now_ms| {
        say(engine, now_ms, &json!({ "type": "get_config" }))["revision"].as_u64().unwrap()
    };
    for second in 0..180 {
        let (now_ms, name) = (START_MS + second * 1000, format!("eve-{second}"));
        told(&mut engine, second + 1, now_ms, &[(&name, KEY, Some("ready"))]);
        tick(&mut engine, now_ms);
    }
    let now_ms = START_MS + 180_000;
    assert_eq!(revision(&mut engine, now_ms), 5, "two at once, then after one and two minutes");
    // An operator does not wait.
    let blocked = json!({ "type": "declare_client", "client": "eve-3", "says": "nothing" });
    assert_eq!(say(&mut engine, now_ms, &blocked)["revision"], 6);
}

#[test]
fn who_is_listed_before_the_first_call_stays_listed() {
    let plan = json!({ "clients": { "blocked": ["partner-7"], "pinned_back": ["partner-8"] } });
    let mut engine = engine(plan.clone());
    let counted = |engine: &mut Engine| {
        let sunset = say(engine, START_MS, &json!({ "type": "get_sunset" }));
        let checks = sunset["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == "blocked").unwrap()["ok"].clone()
    };
    report(&mut engine, 1, START_MS, &[("ann", 0, 1, 0, 0)]);
    assert_eq!(counted(&mut engine), false, "although it has not called");
    report(&mut engine, 2, START_MS, &[("partner-7", 0, 1, 0, 0), ("partner-8", 0, 1, 0, 0)]);
    told(&mut engine, 3, START_MS, &[("bob", KEY, Some("ready"))]);
    let expected =
        json!({ "ready": ["bob"], "blocked": ["partner-7"], "pinned_back": ["partner-8"] });
    assert_eq!(document(&mut engine, START_MS)["clients"], expected);
    let mut other = restored(&mut engine, START_MS);
    tick(&mut other, START_MS + 120_000);
    assert_eq!(document(&mut other, START_MS + 120_000)["clients"], expected);
    let seen = say(&mut other, START_MS, &json!({ "type": "get_client", "client": "partner-8" }));
    assert_eq!(seen["client"]["state"], "pinned_back");
    // What it says itself counts more than what was written of it before its first call.
    let mut engine = super::engine(plan);
    told(&mut engine, 1, START_MS, &[("partner-7", KEY, Some("ready"))]);
    assert_eq!(document(&mut engine, START_MS)["clients"]["ready"], json!(["partner-7"]));
}

#[test]
fn a_new_plan_says_what_a_client_is() {
    let mut engine = engine(json!({}));
    told(&mut engine, 1, START_MS, &[("bob", KEY, Some("not yet"))]);
    let mut plan = document(&mut engine, START_MS);
    plan["clients"] = json!({ "ready": ["bob"] });
    let configured = say(&mut engine, START_MS, &json!({ "type": "configure", "document": plan }));
    assert_eq!(configured["type"], "configure_ok", "{configured}");
    assert_eq!(document(&mut engine, START_MS)["clients"], json!({ "ready": ["bob"] }));
}

#[test]
fn who_is_forgotten_is_in_no_list() {
    let mut engine = engine(json!({ "clients": { "blocked": ["alice", "bob"] } }));
    let forget = |engine: &mut Engine, who: &str| {
        say(engine, START_MS, &json!({ "type": "forget_client", "client": who }))
    };
    // Before anybody has reported a client.
    assert_eq!(forget(&mut engine, "alice")["changed"], true);
    assert_eq!(document(&mut engine, START_MS)["clients"]["blocked"], json!(["bob"]));
    report(&mut engine, 1, START_MS, &[("bob", 0, 1, 0, 0)]);
    assert_eq!(forget(&mut engine, "bob")["changed"], true);
    report(&mut engine, 2, START_MS, &[("bob", 0, 1, 0, 0)]);
    assert_eq!(document(&mut engine, START_MS)["clients"], Value::Null, "nobody waited for it");
}

#[test]
fn who_sends_no_routing_key_cannot_be_sent_back() {
    let mut engine = engine(json!({}));
    told(&mut engine, 1, START_MS, &[("k-1", Identity::ApiKey, Some("no"))]);
    assert_eq!(document(&mut engine, START_MS)["clients"], Value::Null, "no edge would know it");
    let pin = json!({ "type": "repin_client", "client": "k-1", "to": "old" });
    let said = say(&mut engine, START_MS, &pin);
    assert!(said["text"].as_str().unwrap().contains("no routing key"), "{said}");
}

#[test]
fn a_brownout_that_no_plan_may_have_does_not_begin() {
    let mut engine = engine(json!({}));
    let start = |engine: &mut Engine, more: Value| {
        let mut message = json!({ "type": "start_brownout", "minutes": 1, "percentage": 5 });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        say(engine, START_MS, &message)["text"].as_str().unwrap_or_default().to_owned()
    };
    assert!(start(&mut engine, json!({ "status": 200 })).contains("400 to 599"));
    assert!(start(&mut engine, json!({ "exempt": [""] })).contains("it is empty"));
    let window = |n| json!({ "name": format!("b{n}"), "start": "2027-03-01", "minutes": 1, "percentage": 5 });
    let windows: Vec<Value> = (1..WINDOWS_MAX).map(window).collect();
    let mut engine = super::engine(json!({ "brownouts": windows }));
    assert_eq!(start(&mut engine, json!({ "name": "the last" })), "");
    let said = start(&mut engine, json!({ "name": "one more" }));
    assert!(said.contains("take those that are over out of it"), "{said}");
    Plan::read(&document(&mut engine, START_MS)).unwrap();
}

#[test]
fn a_long_list_is_a_problem_of_the_plan() {
    let names = |bytes: usize| vec!["n".repeat(bytes); LISTED_BYTES_MAX / 1000 + 1];
    let plan = |names: Vec<String>| {
        Plan::read(&json!({ "api": "a", "versions": ["v1", "v2"], "key": { "header": "k" },
            "clients": { "ready": names } }))
    };
    let said = plan(names(997)).unwrap_err().to_string();
    assert!(said.contains("clients.ready: 525000 bytes of names, at most 524288"), "{said}");
    plan(names(900)).unwrap();
    assert!(plan(vec!["n".to_owned(); LISTED_CLIENTS_MAX + 1]).is_err());
}

/// What clients and operators do.
#[derive(Debug, Clone)]
enum Did {
    Call(usize, usize, usize),
    Declare(usize, usize),
    Repin(usize, bool),
    Forget(usize),
    Configure(Vec<usize>, Vec<usize>, Vec<usize>),
    Minutes(u64),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SAYS: [Option<&str>; 3] = [None, Some("ready"), Some("not before May")];

fn did() -> impl Strategy<Value = Did> {
    let some = || prop::sample::subsequence(vec![0, 1, 2, 3], 0..3);
    prop_oneof![
        6 => (0..4usize, 0..2usize, 0..3usize).prop_map(|(who, as_, says)| Did::Call(who, as_, says)),
        2 => (0..4usize, 0..3usize).prop_map(|(who, says)| Did::Declare(who, says)),
        2 => (0..4usize, any::<bool>()).prop_map(|(who, back)| Did::Repin(who, back)),
        1 => (0..4usize).prop_map(Did::Forget),
        1 => (some(), some(), some()).prop_map(|(a, b, c)| Did::Configure(a, b, c)),
        2 => (0..3u64).prop_map(Did::Minutes),
    ]
}

proptest! {
    /// Whatever is done, what the engine hands out an edge can read, and a snapshot of it can
    /// be restored, and goes on alike.
    #[test]
    fn every_policy_is_one_that_can_be_read(all in prop::collection::vec(did(), 1..40)) {
        let mut engine = engine(json!({}));
        let mut now_ms = START_MS;
        for (sequence, one) in all.into_iter().enumerate() {
            match one {
                Did::Call(who, identity, says) => {
                    let identity = [KEY, Identity::ApiKey][identity];
                    let row = (NAMES[who], identity, SAYS[says]);
                    told(&mut engine, sequence as u64 + 1, now_ms, &[row]);
                }
                Did::Declare(who, says) => {
                    let says = ["nothing", "ready", "blocked"][says];
                    let message = json!({ "type": "declare_client", "client": NAMES[who], "says": says });
                    say(&mut engine, now_ms, &message);
                }
                Did::Repin(who, back) => {
                    let to = if back { "old" } else { "policy" };
                    let message = json!({ "type": "repin_client", "client": NAMES[who], "to": to });
                    say(&mut engine, now_ms, &message);
                }
                Did::Forget(who) => {
                    say(&mut engine, now_ms, &json!({ "type": "forget_client", "client": NAMES[who] }));
                    let named = document(&mut engine, now_ms)["clients"].to_string();
                    prop_assert!(!named.contains(&format!("\"{}\"", NAMES[who])), "{}", named);
                }
                Did::Configure(ready, blocked, pinned_back) => {
                    let blocked: Vec<_> = blocked.into_iter().filter(|n| !ready.contains(n)).collect();
                    let names = |list: &[usize]| list.iter().map(|n| NAMES[*n]).collect::<Vec<_>>();
                    let mut plan = document(&mut engine, now_ms);
                    plan["clients"] = json!({ "ready": names(&ready), "blocked": names(&blocked),
                        "pinned_back": names(&pinned_back) });
                    let said = say(&mut engine, now_ms, &json!({ "type": "configure", "document": plan }));
                    prop_assert_eq!(&said["type"], "configure_ok", "{}", said);
                }
                Did::Minutes(minutes) => {
                    now_ms += minutes * 60_000;
                    tick(&mut engine, now_ms);
                }
            }
            let now = document(&mut engine, now_ms);
            Plan::read(&now).map_err(|problems| TestCaseError::fail(format!("{problems}: {now}")))?;
        }
        let mut other = restored(&mut engine, now_ms);
        for now_ms in [now_ms, now_ms + 60_000] {
            tick(&mut engine, now_ms);
            tick(&mut other, now_ms);
            prop_assert_eq!(document(&mut engine, now_ms), document(&mut other, now_ms));
        }
    }
}
