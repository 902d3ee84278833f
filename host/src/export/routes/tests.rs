//! What becomes of plans. That a real Envoy then decides as the engine does is shown in
//! `tests/edge`.

use super::super::tests::plan;
use super::*;

fn options() -> RouteOptions {
    RouteOptions {
        clusters: BTreeMap::from([("v2".to_owned(), "users-v2".to_owned())]),
        name: "crossfade".to_owned(),
        domains: vec!["*".to_owned()],
        prefix: "/".to_owned(),
        version_header: "x-api-version".to_owned(),
    }
}

fn routes(more: Value) -> Vec<Value> {
    let exported = envoy(&plan(more), &options()).unwrap();
    exported.document["resources"][0]["virtual_hosts"][0]["routes"].as_array().unwrap().clone()
}

fn names(more: Value) -> Vec<String> {
    routes(more).iter().map(|route| route["name"].as_str().unwrap().to_owned()).collect()
}

fn refused(more: Value) -> Vec<String> {
    envoy(&plan(more), &options()).unwrap_err().into_iter().map(|problem| problem.path).collect()
}

#[test]
fn a_canary_is_two_routes_and_10_000_buckets() {
    let routes = routes(json!({ "canary_percentage": 10 }));
    assert_eq!(routes[0]["route"]["cluster"], "v1", "without a key");
    let action = &routes[1]["route"];
    assert_eq!(action["hash_policy"], json!([{ "header": { "header_name": "x-user-id" } }]));
    let split = &action["weighted_clusters"];
    assert_eq!(split["use_hash_policy"], true);
    let clusters = split["clusters"].as_array().unwrap();
    let shown: Vec<_> = clusters.iter().map(|c| (c["name"].clone(), c["weight"].clone())).collect();
    assert_eq!(shown, [(json!("users-v2"), json!(1000)), (json!("v1"), json!(9000))]);
    assert_eq!(clusters[0]["request_headers_to_add"][0]["header"]["value"], "v2");
}

#[test]
fn the_order_is_that_of_a_decision() {
    let plan = json!({
        "canary_percentage": 10,
        "pins": { "qa-1": "v2", "partner-7": "v1" },
        "attributes": { "plan": { "header": "x-plan" } },
        "rules": [{ "name": "beta", "when": { "attribute": "plan", "in": ["beta", "internal"] }, "to": "v2" }],
    });
    let expected = ["pin partner-7", "pin qa-1", "rule beta", "rule beta", "no key", "canary 10 %"];
    assert_eq!(names(plan.clone()), expected);
    let mut killed = plan;
    killed["kill_switch"] = json!(true);
    assert_eq!(names(killed), ["kill switch"]);
}

#[test]
fn a_draw_needs_no_key_and_a_stable_plan_no_weights() {
    let drawn = routes(json!({ "canary_percentage": 10, "sticky": false, "salt": "s" }));
    assert_eq!(drawn.len(), 1);
    assert!(drawn[0]["route"]["hash_policy"].is_null());
    assert_eq!(routes(json!({}))[0]["route"], json!({ "cluster": "v1" }));
}

#[test]
fn where_one_version_has_it_all_nothing_is_hashed() {
    assert_eq!(names(json!({ "canary_percentage": 0 })), ["everything"]);
    assert_eq!(refused(json!({ "canary_percentage": 0, "salt": "s" })), ["salt"]);
    // Without a key: the stable version.
    assert_eq!(names(json!({ "canary_percentage": 100 })), ["no key", "canary 100 %"]);
    let random = json!({ "header": "x-user-id", "on_missing_key": "random" });
    assert_eq!(names(json!({ "canary_percentage": 100, "key": random })), ["everything"]);
}

#[test]
fn each_route_says_which_field_it_is_from() {
    let plan = plan(json!({
        "canary_percentage": 10,
        "pins": { "a.b": "v2" },
        "attributes": { "plan": { "header": "x-plan" } },
        "rules": [{ "name": "beta", "when": { "attribute": "plan", "equals": "beta" }, "to": "v2" }],
    }));
    let exported = envoy(&plan, &options()).unwrap();
    let fields: Vec<_> = exported.origins.iter().map(|(_, field)| field.as_str()).collect();
    assert_eq!(fields, ["pins[\"a.b\"]", "rules[0]", "key", "canary_percentage"]);
    let notes: Vec<_> = exported.notes.iter().map(|note| note.path.as_str()).collect();
    assert_eq!(notes, ["attributes.plan", "key"]);
}

#[test]
fn a_cookie_with_a_long_name_cannot_be_matched() {
    let named = |bytes| json!({ "canary_percentage": 10, "key": { "cookie": "c".repeat(bytes) } });
    assert_eq!(routes(named(64)).len(), 2);
    assert_eq!(refused(named(65)), ["key"]);
}

#[test]
fn without_a_key_chance_decides_only_where_the_plan_says_so() {
    let random = json!({ "header": "x-user-id", "on_missing_key": "random" });
    let expected = ["no key, by chance", "canary 10 %"];
    assert_eq!(names(json!({ "canary_percentage": 10, "key": random })), expected);
    let cookie = json!({ "cookie": "uid" });
    assert_eq!(names(json!({ "canary_percentage": 10, "key": cookie })), ["no key", "canary 10 %"]);
    assert_eq!(names(json!({ "canary_percentage": 10, "key": "address" })), ["canary 10 %"]);
}

#[test]
fn the_old_version_says_when_it_goes() {
    let dates = json!({ "deprecated_at": "2027-01-31", "link": "https://example.com/100%25" });
    let routes = routes(json!({ "canary_percentage": 10, "deprecation": dates }));
    let clusters = &routes[1]["route"]["weighted_clusters"]["clusters"];
    assert!(clusters[0]["response_headers_to_add"].is_null());
    let old = &clusters[1]["response_headers_to_add"];
    assert_eq!(old[0]["header"], json!({ "key": "deprecation", "value": "@1801353600" }));
    let link = old[1]["header"]["value"].as_str().unwrap();
    assert!(link.contains("100%%25"), "{link}");
}

#[test]
fn everything_that_cannot_be_said_is_said_at_once() {
    let plan = json!({
        "canary_percentage": 10,
        "salt": "s",
        "key": { "cookie": "uid" },
        "pins": { "a": "v1" },
        "attributes": { "sdk": { "header": "x-sdk" } },
        "rules": [
            { "name": "sdk", "when": { "attribute": "sdk", "semver": ">=2" }, "to": "v2" },
            { "name": "ramp", "split": { "v1": 1, "v2": 1 } },
        ],
    });
    assert_eq!(refused(plan), ["pins", "rules[0].when", "rules[1].split", "salt"]);
    assert_eq!(
        refused(json!({ "canary_percentage": 1, "key": { "attribute": "user" } })),
        ["key.attribute"]
    );
}

#[test]
fn what_is_lost_without_changing_a_decision_is_noted() {
    let plan = plan(json!({
        "canary_percentage": 10,
        "guard": { "max_failure_ratio": 0.2, "min_requests": 10 },
        "rollout": { "steps": [{ "percentage": 50, "duration_minutes": 1 }] },
    }));
    let notes = envoy(&plan, &options()).unwrap().notes;
    let paths: Vec<_> = notes.iter().map(|note| note.path.as_str()).collect();
    assert_eq!(paths, ["key", "guard", "rollout"]);
}
