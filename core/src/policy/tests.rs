use super::*;
use crossfade_protocol::plan::ClientPlan;
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy(extra: Value) -> Policy {
    let mut plan = json!({"api": "users", "versions": {"from": "v1", "to": "v2"}, "key": {"header": "x-user-id"}});
    for (name, value) in extra.as_object().unwrap() {
        plan[name] = value.clone();
    }
    Policy::new(Plan::read(&plan).unwrap(), 1, None)
}

/// `expected` is the version and the reason.
fn check(policy: &Policy, key: &str, attributes: &[(&str, &str)], expected: (&str, Reason)) {
    let list: Vec<(String, String)> =
        attributes.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    let request = Request { attributes: &list.as_slice(), ..Request::of_key(key.as_bytes()) };
    let decision = policy.decide(&request, 0);
    assert_eq!((policy.version_name(decision.version), decision.reason), expected, "{key}");
}

#[test]
fn the_order_of_decision_is_kept() {
    let all = json!({
        "pins": {"qa-1": "v2", "partner-7": "v1"},
        "rules": [{"name": "beta", "when": {"attribute": "plan", "equals": "beta"}, "to": "v2"}],
        "canary_percentage": 0,
    });
    let on = policy(all.clone());
    check(&on, "qa-1", &[], ("v2", Reason::Pin));
    check(&on, "partner-7", &[("plan", "beta")], ("v1", Reason::Pin));
    check(&on, "u", &[("plan", "beta")], ("v2", Reason::Rule));
    check(&on, "u", &[], ("v1", Reason::Canary));
    check(&on, "", &[], ("v1", Reason::NoKey));

    let guarded = Request { guard_tripped: true, ..Request::of_key(b"qa-1") };
    assert_eq!(on.decide(&guarded, 0).reason, Reason::Guard);

    let mut off = all;
    off["kill_switch"] = json!(true);
    check(&policy(off), "qa-1", &[], ("v1", Reason::KillSwitch));
    check(&policy(json!({})), "u", &[], ("v1", Reason::Stable));
}

#[test]
fn a_split_inside_a_rule_is_independent_of_the_ramp_outside() {
    let both = policy(json!({
        "canary_percentage": 10,
        "rules": [{"name": "beta", "when": {"attribute": "plan", "equals": "beta"}, "split": {"v1": 90, "v2": 10}}],
    }));
    let attributes = [("plan".to_owned(), "beta".to_owned())];
    let (mut in_both, mut in_rule) = (0, 0);
    for i in 0..20_000 {
        let key = format!("user-{i}");
        let beta =
            Request { attributes: &attributes.as_slice(), ..Request::of_key(key.as_bytes()) };
        let by_rule = both.decide(&beta, 0).version == 1;
        let by_ramp = both.decide(&Request::of_key(key.as_bytes()), 0).version == 1;
        in_rule += u32::from(by_rule);
        in_both += u32::from(by_rule && by_ramp);
    }
    // 2,000 expected in the rule's 10 %, 200 of them also in the ramp's.
    assert!((1_850..2_150).contains(&in_rule), "{in_rule}");
    assert!((150..250).contains(&in_both), "{in_both}");
}

#[test]
fn without_a_key_a_plan_may_ask_for_a_draw() {
    let random = policy(
        json!({"key": {"header": "x", "on_missing_key": "random"}, "canary_percentage": 50}),
    );
    let nobody = Request::of_key(b"");
    assert_eq!(random.decide(&nobody, 0).version, 1);
    assert_eq!(random.decide(&nobody, u32::MAX).version, 0);
    assert_eq!(random.decide(&nobody, 0).reason, Reason::Canary);
}

#[test]
fn a_split_that_is_not_sticky_draws_even_with_a_key() {
    let split = policy(json!({"split": {"v1": 50, "v2": 50}, "sticky": false}));
    assert_eq!(split.decide(&Request::of_key(b"user123"), 0).version, 1);
    assert_eq!(split.decide(&Request::of_key(b"user123"), u32::MAX).version, 0);
}

#[test]
fn traffic_of_one_request_replaces_the_policys_last_stage_only() {
    let pinned = policy(json!({"pins": {"qa-1": "v1"}}));
    let all = Traffic::Canary { share: Share::FULL, sticky: true };
    let request = |key: &'static [u8]| Request { traffic: Some(&all), ..Request::of_key(key) };
    assert_eq!(pinned.decide(&request(b"u"), 0).version, 1);
    assert_eq!(pinned.decide(&request(b"qa-1"), 0).reason, Reason::Pin);
}

#[test]
fn a_new_plan_moves_no_bucket_that_need_not_move() {
    let three = |a: u32, b: u32, c: u32| {
        Plan::read(&json!({"api": "users", "versions": ["v1", "v2", "v3"], "key": "address",
            "split": {"v1": a, "v2": b, "v3": c}}))
        .unwrap()
    };
    let before = Policy::new(three(60, 30, 10), 1, None);
    let after = Policy::new(three(30, 30, 40), 2, Some(&before));
    let moved = (0..20_000).filter(|i| {
        let key = format!("u{i}");
        let request = Request::of_key(key.as_bytes());
        let (a, b) = (before.decide(&request, 0).version, after.decide(&request, 0).version);
        assert!(a == b || (a, b) == (0, 2), "only v1 gives, only v3 takes: {a} -> {b}");
        a != b
    });
    assert!((5_700..6_300).contains(&moved.count()));
    // What get_config answers compiles to the very same table.
    let written = serde_json::to_value(after.plan_in_force()).unwrap();
    let again = Policy::new(Plan::read(&written).unwrap(), 3, None);
    assert_eq!(again.traffic(), after.traffic());
    // And so on for ever.
    assert_eq!(serde_json::to_value(again.plan_in_force()).unwrap(), written);
}

#[test]
fn the_trace_tells_every_stage() {
    let canary = policy(json!({"canary_percentage": 10}));
    let mut trace = Vec::new();
    canary.decide_traced(&Request::of_key(b"user123"), 0, &mut trace);
    let last = trace.last().unwrap();
    assert_eq!(last, &("canary", "bucket 4497 is not below 1000 (10 %)".to_owned()));
    assert_eq!(
        trace.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(),
        ["kill_switch", "pin", "canary"]
    );
    let guarded = policy(json!({"guard": {"max_failure_ratio": 0.2, "min_requests": 200}}));
    let mut trace = Vec::new();
    guarded.decide_traced(&Request::of_key(b"user123"), 0, &mut trace);
    assert_eq!(trace[1], ("guard", "not tripped".to_owned()));
}

#[test]
fn dates_become_headers_of_the_old_version_only() {
    let dated =
        policy(json!({"deprecation": {"deprecated_at": "2027-01-31", "sunset_at": "2027-07-31",
        "link": "https://example.com/migrate"}}));
    let old = dated.headers(0).unwrap();
    assert_eq!(old.deprecation.as_deref(), Some("@1801353600"));
    assert_eq!(old.sunset.as_deref(), Some("Sat, 31 Jul 2027 00:00:00 GMT"));
    assert_eq!(old.link.as_deref(), Some("<https://example.com/migrate>; rel=\"deprecation\""));
    assert_eq!(dated.headers(1).unwrap().deprecation, None);
}

proptest! {
    /// Invariant 2: raising a share never moves a client back, and lowering it never
    /// exposes one.
    #[test]
    fn a_client_moves_only_the_way_the_share_does(
        key in "[a-z0-9-]{1,36}", salt in "[a-z]{0,8}", low in 0u16..=10_000, high in 0u16..=10_000
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let at = |buckets: u16| {
            let share = f64::from(buckets) / 100.0;
            let policy = policy(json!({"canary_percentage": share, "salt": salt}));
            policy.decide(&Request::of_key(key.as_bytes()), 0).version
        };
        prop_assert!(at(low) <= at(high));
    }
}

/// The short way says what the long one does, which tells a trace of it: whatever else a
/// policy has, and once it has it no longer.
#[test]
fn a_decision_in_short_is_the_one_at_length() {
    const NOW_MS: u64 = 1_800_000_000_000;
    let canary = |more: Value| {
        let mut extra = json!({"canary_percentage": 30});
        extra.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut policy = policy(extra);
        policy.observe(NOW_MS);
        policy
    };
    let rules = json!([{"name": "all", "to": "v1"}]);
    let sunset =
        json!({"deprecated_at": "2020-01-01T00:00:00Z", "sunset_at": "2021-01-01T00:00:00Z"});
    let plain = canary(json!({}));
    let policies = [
        plain.clone(),
        canary(json!({"kill_switch": true})),
        canary(json!({"pins": {"user-1": "v1", "user-2": "v2"}})),
        canary(json!({"rules": rules})),
        canary(json!({"clients": {"ready": ["user-3"], "pinned_back": ["user-4"]}})),
        canary(json!({"deprecation": sunset})),
        canary(json!({"sticky": false})),
        plain.with_clients(ClientPlan {
            blocked: vec!["user-5".to_owned()],
            ..ClientPlan::default()
        }),
        plain.with_traffic(Traffic::Stable),
    ];
    assert!(
        plain.traffic_alone && policies[1..7].iter().filter(|it| it.traffic_alone).count() == 1
    );
    let half = Share::from_percent(50.0).unwrap();
    let other = Traffic::Canary { share: half, sticky: true };
    for policy in &policies {
        for key in (0..200).map(|n| format!("user-{n}")).chain([String::new()]) {
            let asked = Request::of_key(key.as_bytes());
            let overridden = Request { traffic: Some(&other), ..asked };
            for request in [asked, overridden, Request { guard_tripped: true, ..asked }] {
                let at_length = policy.decide_traced(&request, 7, &mut Vec::new());
                assert_eq!(policy.decide(&request, 7), at_length, "{key}: {policy:?}");
            }
        }
    }
}
