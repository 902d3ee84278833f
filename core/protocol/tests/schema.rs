//! The plan's JSON Schema: the copy that editors are given is the function's, and it
//! takes and refuses the documents that reading does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

use std::collections::BTreeSet;
use std::path::Path;

use crossfade_protocol::Plan;
use crossfade_protocol::limits::{KEY_BYTES_MAX, MINUTES_MAX, NAME_BYTES_MAX};
use crossfade_protocol::plan::schema;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

#[test]
fn the_file_is_what_the_function_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plan.schema.json");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let expected = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert!(
        written == expected,
        "docs/plan.schema.json is out of date; write it with\n    \
         cargo run -p crossfade -- check --schema > docs/plan.schema.json"
    );
}

#[test]
fn it_is_a_schema_of_its_draft() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// A plan with every field in it, but for those that exclude each other.
fn full() -> Value {
    json!({
        "api": "users",
        "versions": { "from": "v1", "to": "v2" },
        "hash": "xxh64/1",
        "key": { "header": "x-user-id", "on_missing_key": "random" },
        "attributes": { "plan": { "header": "X-Plan" }, "tier": { "cookie": "tier" } },
        "salt": "spring",
        "kill_switch": false,
        "guard": { "max_failure_ratio": 0.2, "min_requests": 200 },
        "pins": { "partner-7": "v1", "x-1": "v2" },
        "rules": [
            { "name": "beta", "to": "v2", "when": { "all": [
                { "attribute": "plan", "in": ["beta", 7, true] },
                { "any": [{ "attribute": "sdk", "semver": ">=2.4, <3" }] },
                { "not": { "attribute": "bot", "present": true } },
            ] } },
            { "name": "rest", "split": { "v1": 50, "v2": 50.5 },
              "when": { "attribute": "a", "equals": 1 } },
            { "name": "old", "to": "v1", "when": { "attribute": "a", "prefix": "b" } },
        ],
        "split": { "v1": 90, "v2": 10 },
        "split_buckets": [
            { "version": "v2", "from": 0, "to": 1000 },
            { "version": "v1", "from": 1000, "to": 10000 },
        ],
        "sticky": true,
        "rollout": {
            "steps": [
                { "percentage": 1, "duration_minutes": 30, "max_minutes": 240, "evidence": "default" },
                { "percentage": 10, "evidence": "auto" },
                { "percentage": 50, "duration_minutes": 0.5, "approval": "manual" },
                { "percentage": 100, "watch_minutes": 1440 },
            ],
            "rollback": { "mode": "stepped", "percentage_per_minute": 5 },
            "freeze": [{ "from": "2027-03-01T00:00Z", "to": "2027-03-02T00:00+01:00" }],
        },
        "gate": {
            "failures": { "margin": 1.1, "not_worse": { "ratio": 1.5, "points": 0.5 },
                          "alpha": 0.005, "beta": 0.05, "min_effect": 1.2 },
            "latency": { "slower_than_old": false, "slo_ms": 300, "quantile": 0.99 },
            "slo": { "max_failure_ratio": 0.005 },
            "on_inconclusive": "advance",
            "on_missing_data": { "after_minutes": 10, "then": "roll_back" },
        },
        "deprecation": { "deprecated_at": "2027-01-31", "sunset_at": "2027-07-31T12:00:00.5Z",
                         "link": "https://example.com/migrate", "after": "redirect",
                         "sunset_link": "http://example.com/sunset?of=v1#when",
                         "successor": "https://api.example.com:8443" },
        "brownouts": [{ "name": "first", "start": "2027-06-01T10:00+02:00",
                        "time_zone": "Europe/Berlin", "minutes": 60, "percentage": 5,
                        "status": 410, "exempt": ["partner-7"], "announce_minutes": 1440.5,
                        "stop_when": { "clients": 50, "calls": 10000 },
                        "stopped_at": "2027-06-01T10:20+02:00" }],
        "clients": {
            "limit": 2_000_000,
            "identity": [{ "header": "x-api-key" }, "mtls", { "jwt": "sub" }, "address"],
            "declare": { "header": "x-api-migration" },
            "pin_back": { "fdr": 0.01, "min_requests": 50, "mode": "auto" },
            "ready": ["a"], "blocked": ["b"], "pinned_back": ["a", "c"],
        },
        "sunset": { "confidence": 0.99, "horizon_days": 90, "quiet_days": 0, "notice_days": 180,
                    "at_most": 3 },
        "shadow": { "percentage": 5, "methods": ["GET"], "min_requests": 500,
                    "max_mismatch": 0, "content_type": false, "stopped": true },
        "privacy": "hashed",
        "x-owner": ["team", { "users": null }],
    })
}

/// [`full`] with `value` at a JSON pointer; `null` takes the field away.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = full();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
        Value::Object(fields) if value.is_null() => drop(fields.shift_remove(field)),
        Value::Object(fields) => drop(fields.insert(field.to_owned(), value)),
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        other => panic!("{pointer}: {other}"),
    }
    document
}

#[track_caller]
fn check(validator: &Validator, document: &Value, by_schema: bool, by_reader: bool) {
    let found: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(found.is_empty(), by_schema, "schema: {found:?}\n{document}");
    let read = Plan::read(document);
    assert_eq!(read.is_ok(), by_reader, "reader: {read:?}\n{document}");
}

#[test]
fn both_take_what_is_valid() {
    let validator = validator();
    let is_valid = |document: Value| check(&validator, &document, true, true);
    is_valid(full());
    is_valid(json!({ "api": "users", "versions": ["v1", "v2", "v3"], "key": "address" }));
    for key in [
        json!({ "cookie": "session" }),
        json!({ "attribute": "user_id", "x-note": "ours" }),
        json!({ "address": true, "on_missing_key": "stable" }),
    ] {
        is_valid(with("/key", key));
    }
    let steps = json!([{ "percentage": 0.01, "duration_minutes": MINUTES_MAX }]);
    is_valid(with("/rollout/steps", steps));
    is_valid(with("/rollout/rollback", json!({ "mode": "instant" })));
    is_valid(with("/gate", json!({})));
    is_valid(with("/gate/latency", json!({})));
    is_valid(with("/gate/failures", json!({ "x-note": null })));
    is_valid(with("/split", json!({ "v1": 0, "v2": 1_000_000 })));
    is_valid(with("/api", "a".repeat(NAME_BYTES_MAX).into()));
    is_valid(with("/salt", "é".repeat(KEY_BYTES_MAX / 2).into()));
    let mut canary = with("/split", Value::Null);
    canary.as_object_mut().unwrap().shift_remove("split_buckets");
    canary["canary_percentage"] = json!(0.07);
    is_valid(canary);
}

/// At least one value that each field cannot have.
fn wrong_values() -> Vec<(&'static str, Value)> {
    let long = || Value::from("x".repeat(KEY_BYTES_MAX + 1));
    vec![
        ("/api", json!("")),
        ("/api", json!("a\u{7}b")),
        ("/api", "a".repeat(NAME_BYTES_MAX + 1).into()),
        ("/api", json!(7)),
        ("/versions", json!("v1")),
        ("/versions", json!(["v1"])),
        ("/versions", json!(["v1", "v2", "v1"])),
        ("/versions/from", json!("")),
        ("/versions/to", json!(2)),
        ("/hash", json!("md5")),
        ("/key", json!("header")),
        ("/key", json!({})),
        ("/key", json!({ "header": "a", "cookie": "b" })),
        ("/key", json!({ "address": false })),
        ("/key/header", json!("")),
        ("/key/on_missing_key", json!("v1")),
        ("/key", json!({ "cookie": 1 })),
        ("/key", json!({ "attribute": [] })),
        ("/salt", long()),
        ("/salt", json!(1)),
        ("/kill_switch", json!("on")),
        ("/guard", json!(0.2)),
        ("/guard/max_failure_ratio", json!(1)),
        ("/guard/max_failure_ratio", json!(0)),
        ("/guard/min_requests", json!(-1)),
        ("/guard/min_requests", json!(0.5)),
        ("/pins", json!(["partner-7"])),
        ("/pins/partner-7", json!(1)),
        ("/pins/", json!("v1")),
        ("/rules", json!({})),
        ("/rules/0/name", json!("")),
        ("/rules/0/to", json!(2)),
        ("/rules/0/split", json!({ "v1": 1 })),
        ("/rules/1/split", json!({ "v1": 0, "v2": 0 })),
        ("/rules/0/when", json!("always")),
        ("/rules/0/when", json!({})),
        ("/rules/0/when", json!({ "all": [], "any": [] })),
        ("/rules/0/when/all", json!({})),
        ("/rules/0/when/all/1/any", json!("a")),
        ("/rules/0/when/all/2/not", json!([])),
        ("/rules/0/when/all/2/not/attribute", json!("")),
        ("/rules/0/when/all/2/not/present", json!("yes")),
        ("/rules/0/when/all/0/in", json!("beta")),
        ("/rules/0/when/all/0/in", json!([["beta"]])),
        ("/rules/0/when/all/0/equals", json!("a second test")),
        ("/rules/0/when/all/1/any/0/semver", json!("2.4")),
        ("/rules/0/when/all/1/any/0/semver", json!(">=2.4,")),
        ("/rules/0/when/all/1/any/0/semver", json!(2.4)),
        ("/rules/1/when/equals", json!([1])),
        ("/rules/2/when/prefix", json!({})),
        ("/split", json!({})),
        ("/split", json!([50, 50])),
        ("/split/v1", json!(-1)),
        ("/split/v2", json!(1_000_001)),
        ("/split/v2", json!("10")),
        ("/split_buckets", json!([])),
        ("/split_buckets/0/version", json!(1)),
        ("/split_buckets/0/from", json!(-1)),
        ("/split_buckets/1/to", json!(10_001)),
        ("/canary_percentage", json!(10)),
        ("/sticky", json!(1)),
        ("/rollout", json!([])),
        ("/rollout/steps", json!([])),
        ("/rollout/steps/0/percentage", json!(0)),
        ("/rollout/steps/0/percentage", json!(101)),
        ("/rollout/steps/0/percentage", json!("1")),
        ("/rollout/steps/0/duration_minutes", json!(-1)),
        ("/rollout/steps/0/max_minutes", json!(MINUTES_MAX + 1)),
        ("/rollout/steps/0/approval", json!(true)),
        ("/rollout/steps/0/evidence", json!("enough")),
        ("/rollout/steps/3/watch_minutes", json!("1 day")),
        ("/rollout/rollback", json!("instant")),
        ("/rollout/rollback/mode", json!("slow")),
        ("/rollout/rollback/mode", json!("instant")),
        ("/rollout/rollback/percentage_per_minute", json!(0)),
        ("/rollout/freeze", json!({})),
        ("/rollout/freeze/0/from", json!("1 March 2027")),
        ("/rollout/freeze/0/to", json!("2027-03-02T00:00")),
        ("/gate", json!("strict")),
        ("/gate/failures", json!(1.0)),
        ("/gate/failures/margin", json!(0.9)),
        ("/gate/failures/margin", json!(10.5)),
        ("/gate/failures/not_worse", json!(1.5)),
        ("/gate/failures/not_worse/ratio", json!(1)),
        ("/gate/failures/not_worse/points", json!(0)),
        ("/gate/failures/not_worse/points", json!(51)),
        ("/gate/failures/alpha", json!(0)),
        ("/gate/failures/beta", json!(1)),
        ("/gate/failures/min_effect", json!(0.5)),
        ("/gate/latency", json!(300)),
        ("/gate/latency", json!({ "slower_than_old": false })),
        ("/gate/latency/slower_than_old", json!("no")),
        ("/gate/latency/slo_ms", json!(0)),
        ("/gate/latency/slo_ms", json!(180_001)),
        ("/gate/latency/quantile", json!(99)),
        ("/gate/slo", json!(0.005)),
        ("/gate/slo/max_failure_ratio", json!(0)),
        ("/gate/on_inconclusive", json!("wait")),
        ("/gate/on_missing_data", json!("hold")),
        ("/gate/on_missing_data/after_minutes", json!(-1)),
        ("/gate/on_missing_data/then", json!("rollback")),
        ("/deprecation", json!("2027-01-31")),
        ("/deprecation/deprecated_at", json!(20_270_131)),
        ("/deprecation/sunset_at", json!("2027-7-31")),
        ("/deprecation/link", json!("ftp://example.com")),
        ("/deprecation/link", json!("https://example.com/<a>")),
        ("/deprecation/link", json!("https://example.com/ü")),
        ("/deprecation/after", json!("404")),
        ("/attributes", json!(["plan"])),
        ("/attributes/plan", json!("x-plan")),
        ("/attributes/plan", json!({})),
        ("/attributes/plan", json!({ "header": "a", "cookie": "b" })),
        ("/attributes/plan", json!({ "header": "" })),
        ("/attributes/tier", json!({ "cookie": 5 })),
        ("/attributes", json!({ "": { "header": "x-plan" } })),
        ("/brownouts", json!({})),
        ("/brownouts/0/start", json!("soon")),
        ("/brownouts/0/minutes", json!(0)),
        ("/brownouts/0/percentage", json!(-5)),
        ("/brownouts/0/exempt", json!("partner-7")),
        ("/brownouts/0/exempt/0", long()),
        ("/brownouts/0/exempt/0", json!("")),
        ("/brownouts/0/name", json!("")),
        ("/brownouts/0/time_zone", json!(1)),
        ("/brownouts/0/status", json!(302)),
        ("/brownouts/0/status", json!("503")),
        ("/brownouts/0/announce_minutes", json!(-1)),
        ("/brownouts/0/stop_when", json!({})),
        ("/brownouts/0/stop_when/clients", json!(0.5)),
        ("/brownouts/0/stop_when/calls", json!("many")),
        ("/brownouts/0/stopped_at", json!("now")),
        ("/deprecation/sunset_link", json!("https://")),
        ("/deprecation/successor", json!("https:///v2")),
        ("/clients", json!(["a"])),
        ("/clients/limit", json!(0)),
        ("/clients/limit", json!(10_000_001)),
        ("/clients/identity", json!("mtls")),
        ("/clients/identity", json!(["mtls", "mtls"])),
        ("/clients/identity/0", json!("header")),
        ("/clients/identity/0", json!({ "header": "a", "jwt": "b" })),
        ("/clients/identity/0/header", json!("")),
        ("/clients/identity/2/jwt", json!(1)),
        ("/clients/declare", json!("x-api-migration")),
        ("/clients/declare", json!({})),
        ("/clients/declare/header", json!("")),
        ("/clients/pin_back", json!("auto")),
        ("/clients/pin_back/fdr", json!(0)),
        ("/clients/pin_back/min_requests", json!(-1)),
        ("/clients/pin_back/mode", json!("on")),
        ("/clients/ready", json!("a")),
        ("/clients/blocked/0", json!("")),
        ("/clients/pinned_back/1", long()),
        ("/clients/pinned_back", json!({ "c": "v1" })),
        ("/sunset", json!("2027-07-31")),
        ("/sunset/confidence", json!(95)),
        ("/sunset/horizon_days", json!(0)),
        ("/sunset/quiet_days", json!(0.5)),
        ("/sunset/notice_days", json!(3661)),
        ("/sunset/at_most", json!(-1)),
        ("/shadow", json!(5)),
        ("/shadow/percentage", json!(101)),
        ("/shadow/methods", json!([])),
        ("/shadow/methods/0", json!("POST")),
        ("/shadow/min_requests", json!(-1)),
        ("/shadow/max_mismatch", json!(1)),
        ("/shadow/content_type", json!("status")),
        ("/shadow/stopped", json!(0)),
        ("/privacy", json!("secret")),
    ]
}

#[test]
fn both_refuse_what_is_wrong() {
    let validator = validator();
    for (pointer, value) in wrong_values() {
        check(&validator, &with(pointer, value), false, false);
    }
}

/// Fields that `wrong_values` must spoil: all that the schema knows, as `a/b/c`.
fn fields(schema: &Value, at: &str, defs: &Value, depth: usize, found: &mut BTreeSet<String>) {
    if depth > 8 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return fields(&defs[name], at, defs, depth + 1, found);
    }
    for part in ["oneOf", "anyOf"].iter().filter_map(|part| schema[part].as_array()).flatten() {
        fields(part, at, defs, depth, found);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], at, defs, depth, found);
    }
    for (name, schema) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        // A condition's parts once, not at every depth of nesting.
        let at = if at.starts_with("when") || name == "when" {
            format!("when/{name}")
        } else {
            format!("{at}/{name}")
        };
        if found.insert(at.clone()) {
            fields(schema, &at, defs, depth + 1, found);
        }
    }
}

#[test]
fn every_field_is_spoilt_once() {
    let schema = schema();
    let mut known = BTreeSet::new();
    fields(&schema, "", &schema["$defs"], 0, &mut known);
    let spoilt: Vec<String> = wrong_values()
        .into_iter()
        .map(|(pointer, value)| {
            // Without places in lists: `/rollout/steps/0/approval` is one field.
            let parts = pointer.split('/').filter(|part| part.parse::<usize>().is_err());
            let pointer = parts.collect::<Vec<_>>().join("/");
            match value.as_object().and_then(|fields| fields.keys().next()) {
                Some(field) if pointer == "/key" => format!("{pointer}/{field}"),
                _ => pointer,
            }
        })
        .map(|pointer| match pointer.rsplit_once("/when") {
            Some((_, rest)) => format!("when/{}", rest.rsplit('/').next().unwrap_or_default()),
            None => pointer,
        })
        .map(|pointer| if pointer == "when/" { "when/when".to_owned() } else { pointer })
        .collect();
    let missed: Vec<&String> = known.iter().filter(|field| !spoilt.contains(field)).collect();
    assert!(known.len() > 60, "{known:?}");
    assert!(missed.is_empty(), "no wrong value for {missed:?}");
}

/// Required fields, one by one, and a field that nobody knows in every object.
#[test]
fn both_refuse_what_is_missing_or_unknown() {
    let validator = validator();
    for pointer in [
        "/api",
        "/versions",
        "/versions/from",
        "/versions/to",
        "/key",
        "/key/header",
        "/guard/max_failure_ratio",
        "/guard/min_requests",
        "/rules/0/name",
        "/rules/0/to",
        "/rules/1/split",
        "/rules/0/when/all/0/attribute",
        "/rules/0/when/all/0/in",
        "/split_buckets/0/version",
        "/split_buckets/0/from",
        "/split_buckets/0/to",
        "/rollout/steps",
        "/rollout/steps/0/percentage",
        "/rollout/steps/0/duration_minutes",
        "/rollout/steps/3/watch_minutes",
        "/rollout/rollback/mode",
        "/rollout/rollback/percentage_per_minute",
        "/rollout/freeze/0/from",
        "/rollout/freeze/0/to",
        "/gate/slo/max_failure_ratio",
        "/deprecation/deprecated_at",
        "/brownouts/0/start",
        "/brownouts/0/minutes",
        "/brownouts/0/percentage",
        // It lays out a split.
        "/split",
    ] {
        check(&validator, &with(pointer, Value::Null), false, false);
    }
    for object in [
        "",
        "/versions",
        "/key",
        "/attributes/plan",
        "/guard",
        "/rules/0",
        "/rules/0/when",
        "/rules/0/when/all/0",
        "/split_buckets/0",
        "/rollout",
        "/rollout/steps/0",
        "/rollout/rollback",
        "/rollout/freeze/0",
        "/gate",
        "/gate/failures",
        "/gate/failures/not_worse",
        "/gate/latency",
        "/gate/slo",
        "/gate/on_missing_data",
        "/deprecation",
        "/brownouts/0",
    ] {
        check(&validator, &with(&format!("{object}/stikcy"), json!(true)), false, false);
        check(&validator, &with(&format!("{object}/x-ours"), json!(true)), true, true);
    }
}

/// What only reading finds, as the schema's own documentation says, and the one thing
/// that only the schema minds. A case that moves to the other side belongs above.
#[test]
fn where_they_differ_is_known() {
    let validator = validator();
    for (pointer, value) in [
        ("/pins/partner-7", json!("v3")),
        ("/split/v3", json!(1)),
        ("/versions/to", json!("v1")),
        ("/rules/1/name", json!("beta")),
        ("/split_buckets/1/from", json!(2000)),
        ("/rollout/steps/1/percentage", json!(0.005)),
        ("/rollout/steps/2/percentage", json!(5)),
        ("/rollout/steps/0/watch_minutes", json!(5)),
        ("/rollout/steps/0/max_minutes", json!(5)),
        ("/rollout/freeze/0/to", json!("2027-02-28")),
        ("/deprecation/sunset_at", json!("2027-02-30")),
        ("/deprecation/sunset_at", json!("2026-01-01")),
        ("/rules/0/when/all/1/any/0/semver", json!(">=x")),
    ] {
        check(&validator, &with(pointer, value), true, false);
    }
    let mut document = full();
    document["rules"] = Value::Null;
    check(&validator, &document, false, true);
}
