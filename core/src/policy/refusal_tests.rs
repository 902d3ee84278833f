//! Who is refused, when, and with what: brownouts and the sunset, and clients apart.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

/// 2027-06-01T10:00:00Z
const START_MS: u64 = 1_811_844_000_000;

fn policy(extra: Value) -> Policy {
    let mut plan = json!({"api": "users", "versions": {"from": "v1", "to": "v2"},
        "key": {"header": "x-user-id"}});
    plan.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Policy::new(Plan::read(&plan).unwrap(), 1, None)
}

fn at(mut policy: Policy, now_ms: u64) -> Policy {
    policy.observe(now_ms);
    policy
}

fn decide(policy: &Policy, key: &str) -> (u16, Reason) {
    let decision = policy.decide(&Request::of_key(key.as_bytes()), 0);
    (decision.version, decision.reason)
}

fn brownout(percentage: f64) -> Value {
    json!({"brownouts": [{"name": "first", "start": "2027-06-01T10:00Z", "minutes": 60,
        "percentage": percentage, "exempt": ["partner-7"]}]})
}

fn full() -> Value {
    let mut extra = brownout(100.0);
    extra["clients"] = json!({"ready": ["quick"], "blocked": ["slow"], "pinned_back": ["sick"]});
    extra["pins"] = json!({"old": "v1", "new": "v2", "sick": "v2"});
    extra["canary_percentage"] = json!(0);
    extra["deprecation"] = json!({"deprecated_at": "2027-01-31", "sunset_at": "2027-07-31"});
    extra
}

#[test]
fn a_brownout_refuses_in_its_window_and_spares_whom_it_should() {
    let during = at(policy(full()), START_MS);
    for key in ["user123", "old", "quick"] {
        assert_eq!(decide(&during, key), (0, Reason::Brownout), "{key}");
    }
    assert_eq!(decide(&during, ""), (0, Reason::Brownout), "100 % is everybody");
    assert_eq!(decide(&during, "new"), (1, Reason::Pin));
    assert_eq!(decide(&during, "partner-7"), (0, Reason::Canary));
    assert_eq!(decide(&during, "slow"), (0, Reason::Blocked));
    assert_eq!(decide(&during, "sick"), (0, Reason::PinnedBack), "whatever the pin says");
    for now_ms in [0, START_MS - 1, START_MS + HOUR_MS] {
        assert_eq!(decide(&at(policy(full()), now_ms), "user123"), (0, Reason::Canary));
    }
    assert_eq!(decide(&policy(full()), "user123"), (0, Reason::Canary), "never told the time");
    let partly = at(policy(brownout(99.99)), START_MS);
    assert_eq!(decide(&partly, ""), (0, Reason::Stable), "without a key only by 100 %");
}

#[test]
fn nobody_is_refused_into_a_version_that_is_known_to_be_broken() {
    let mut extra = full();
    extra["kill_switch"] = json!(true);
    assert_eq!(decide(&at(policy(extra.clone()), START_MS), "u"), (0, Reason::KillSwitch));
    let guarded = Request { guard_tripped: true, ..Request::of_key(b"u") };
    let reason = |now_ms| at(policy(full()), now_ms).decide(&guarded, 0).reason;
    assert_eq!(reason(START_MS), Reason::Guard);
}

#[test]
fn after_the_sunset_no_emergency_sends_anybody_to_what_is_gone() {
    // 2027-07-31
    let sunset_ms = 1_816_992_000_000;
    let mut extra = full();
    (extra["canary_percentage"], extra["kill_switch"]) = (json!(100), json!(true));
    extra["pins"].as_object_mut().unwrap().remove("sick");
    let killed = |now_ms| at(policy(extra.clone()), now_ms);
    assert_eq!(decide(&killed(sunset_ms - 1), "u"), (0, Reason::KillSwitch));
    assert_eq!(decide(&killed(sunset_ms), "u"), (1, Reason::Canary));
    assert_eq!(decide(&killed(sunset_ms), "sick"), (1, Reason::Canary), "pinned back");
    assert_eq!(decide(&killed(sunset_ms), "old"), (0, Reason::Gone), "a pin is no emergency");
    assert_eq!(decide(&killed(sunset_ms), ""), (0, Reason::Gone), "nor is a missing key");
    let guarded = Request { guard_tripped: true, ..Request::of_key(b"u") };
    let mut trace = Vec::new();
    let decision = killed(sunset_ms).decide_traced(&guarded, 0, &mut trace);
    assert_eq!((decision.version, decision.reason), (1, Reason::Canary));
    assert_eq!(trace[0], ("kill_switch", "on, but v1 is gone: nobody is sent there".to_owned()));
    // Whoever moves the sunset, since the old version still runs, has the brake again.
    extra["deprecation"]["sunset_at"] = json!("2027-09-30");
    assert_eq!(decide(&at(policy(extra), sunset_ms), "u"), (0, Reason::KillSwitch));
}

#[test]
fn time_is_taken_up_at_each_boundary_and_may_go_back() {
    let mut policy = policy(full());
    assert!(policy.is_due(0));
    assert!(policy.observe(START_MS - HOUR_MS), "announced");
    let turn = policy.turn();
    assert!(!policy.is_due(START_MS - 1));
    assert!(policy.is_due(START_MS) && policy.observe(START_MS));
    assert_eq!(policy.turn(), turn + 1);
    assert_eq!(policy.running_brownouts().count(), 1);
    assert!(!policy.observe(START_MS + HOUR_MS - 1));
    assert!(policy.observe(START_MS + HOUR_MS));
    assert!(policy.observe(START_MS), "a clock that goes back");
    assert_eq!(decide(&policy, "u"), (0, Reason::Brownout));
    assert!(policy.observe(u64::MAX) && policy.is_gone());
    assert!(!policy.observe(u64::MAX));
}

#[test]
fn lists_and_brownouts_change_under_the_next_revision_and_leave_the_traffic() {
    let before = at(policy(full()), START_MS).with_traffic(Traffic::Stable);
    let mut clients = before.plan().clients.clone();
    clients.blocked.push("user123".to_owned());
    let listed = before.with_clients(clients);
    assert_eq!(listed.revision(), before.revision() + 1);
    assert_eq!(listed.traffic(), before.traffic());
    assert_eq!(decide(&listed, "user123"), (0, Reason::Blocked));
    let mut brownouts = before.plan().brownouts.clone();
    brownouts[0].stopped_at = Some(plan::Instant::of_ms(START_MS));
    let stopped = before.with_brownouts(brownouts);
    assert_eq!(stopped.revision(), before.revision() + 1);
    assert_eq!(decide(&stopped, "user123"), (0, Reason::Stable));
    assert_eq!(stopped.headers(0).unwrap().brownout, None);
    // What get_config answers says so, too.
    let written = serde_json::to_value(stopped.plan_in_force()).unwrap();
    assert_eq!(written["brownouts"][0]["stopped_at"], "2027-06-01T10:00:00Z");
    assert_eq!(Plan::read(&written).unwrap(), stopped.plan_in_force());
}

#[test]
fn listed_clients_say_nothing_of_the_share() {
    let policy = policy(json!({"clients": {"ready": ["quick"]}, "canary_percentage": 5}));
    assert!(policy.is_randomised(b"user123") && !policy.is_randomised(b"quick"));
    assert_eq!(decide(&policy, "quick"), (1, Reason::Ready));
}

#[test]
fn overlapping_brownouts_hit_each_on_their_own() {
    let two = policy(json!({"brownouts": [
        {"name": "a", "start": "2027-06-01T10:00Z", "minutes": 60, "percentage": 10},
        {"name": "b", "start": "2027-06-01T10:30Z", "minutes": 60, "percentage": 10},
    ]}));
    let hit = |now_ms| {
        let policy = at(two.clone(), now_ms);
        (0..10_000).filter(|i| decide(&policy, &format!("u{i}")).1 == Reason::Brownout).count()
    };
    assert!((900..1100).contains(&hit(START_MS)));
    // 19 % of 10,000, with four standard deviations on either side.
    assert!((1740..2060).contains(&hit(START_MS + HOUR_MS / 2)));
}

#[test]
fn a_brownouts_answer_says_until_when() {
    let mut extra = full();
    extra["deprecation"]["successor"] = json!("https://api.example.com");
    let policy = at(policy(extra), START_MS + 30_500);
    let decision = policy.decide(&Request::of_key(b"u"), 0);
    let refusal = policy.refusal(&decision, START_MS + 30_500).unwrap();
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.header("retry-after"), Some("3570"));
    assert_eq!(refusal.header("cache-control"), Some("no-store"));
    assert_eq!(refusal.header("content-type"), Some("application/problem+json"));
    let body: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!(
        body,
        json!({"type": "about:blank", "title": "Service Unavailable", "status": 503,
            "detail": "v1 of users refuses this call on purpose, in a brownout until \
                2027-06-01T11:00:00Z: it is switched off on 2027-07-31T00:00:00Z. Use v2 at \
                https://api.example.com.",
            "reason": "brownout", "brownout": "first", "until": "2027-06-01T11:00:00Z",
            "sunset": "2027-07-31T00:00:00Z", "successor": "https://api.example.com"})
    );
    let served = policy.decide(&Request::of_key(b"new"), 0);
    assert_eq!(policy.refusal(&served, START_MS), None);
}

#[test]
fn a_refusals_title_is_its_statuss_phrase() {
    let title = |status: u16| {
        let mut extra = full();
        extra["brownouts"][0]["status"] = json!(status);
        let policy = at(policy(extra), START_MS);
        let decision = policy.decide(&Request::of_key(b"u"), 0);
        let refusal = policy.refusal(&decision, START_MS).unwrap();
        let body: Value = serde_json::from_str(&refusal.body).unwrap();
        assert_eq!((refusal.status, body["status"].as_u64()), (status, Some(status.into())));
        body["title"].as_str().unwrap().to_owned()
    };
    for (status, phrase) in [
        (400, "Bad Request"),
        (409, "Conflict"),
        (423, "Locked"),
        (451, "Unavailable For Legal Reasons"),
        (418, "Client Error"),
        (499, "Client Error"),
        (503, "Service Unavailable"),
        (511, "Network Authentication Required"),
        (555, "Server Error"),
    ] {
        assert_eq!(title(status), phrase, "{status}");
    }
}

#[test]
fn a_brownout_has_no_status_that_must_come_with_a_header_of_its_own() {
    for (status, header) in
        [(401, "www-authenticate"), (405, "allow"), (407, "proxy-authenticate"), (426, "upgrade")]
    {
        let plan = json!({"api": "users", "versions": ["v1", "v2"], "key": {"address": true},
            "brownouts": [{"start": "2027-06-01T10:00Z", "minutes": 60, "percentage": 5,
                "status": status}]});
        let problems = Plan::read(&plan).unwrap_err();
        let [problem] = problems.list.as_slice() else { panic!("{problems:?}") };
        assert_eq!(problem.path, "brownouts[0].status");
        let message = format!(
            "{status} is a status that must come with the header `{header}`, for which a refusal \
             has no value; 403, 404, 410, 429 and 503 need none"
        );
        assert_eq!(problem.message, message);
    }
}

#[test]
fn after_the_sunset_there_is_a_problem_or_a_redirect() {
    let gone = |deprecation: Value| {
        let policy = at(policy(json!({"deprecation": deprecation})), u64::MAX);
        let decision = policy.decide(&Request::of_key(b"u"), 0);
        assert_eq!((decision.version, decision.reason), (0, Reason::Gone));
        policy.refusal(&decision, u64::MAX).unwrap()
    };
    let dates = json!({"deprecated_at": "2027-01-31", "sunset_at": "2027-07-31",
        "link": "https://example.com/migrate"});
    let refusal = gone(dates.clone());
    assert_eq!((refusal.status, refusal.location("/users")), (410, None));
    assert_eq!(refusal.header("cache-control"), Some("no-store"), "a sunset may be put off");
    let body: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!(
        body,
        json!({"type": "about:blank", "title": "Gone", "status": 410,
            "detail": "v1 of users was switched off on 2027-07-31T00:00:00Z. Use v2: see \
                https://example.com/migrate.",
            "reason": "gone", "sunset": "2027-07-31T00:00:00Z"})
    );
    let redirect = |successor: &str| {
        let mut dates = dates.clone();
        dates["after"] = json!("redirect");
        dates["successor"] = json!(successor);
        gone(dates)
    };
    let origin = redirect("https://api.example.com:8443/");
    assert_eq!((origin.status, origin.body.as_str()), (308, ""));
    assert_eq!(origin.header("cache-control"), Some("no-store"));
    let location = |refusal: &plan::Refusal, path: &str| refusal.location(path).unwrap();
    assert_eq!(location(&origin, "/u/7?a=1"), "https://api.example.com:8443/u/7?a=1");
    assert_eq!(location(&origin, "*"), "https://api.example.com:8443");
    let address = redirect("https://example.com/moved?v=2");
    assert_eq!(location(&address, "/u/7?a=1"), "https://example.com/moved?v=2");
}

#[test]
fn the_trace_tells_of_the_ends_with_numbers() {
    let told = |now_ms, key: &str| {
        let mut trace = Vec::new();
        let mut extra = full();
        extra["brownouts"][0]["percentage"] = json!(5);
        at(policy(extra), now_ms).decide_traced(&Request::of_key(key.as_bytes()), 0, &mut trace);
        let ends = trace.into_iter().filter(|(s, _)| ["gone", "brownout"].contains(s));
        ends.map(|(_, outcome)| outcome).collect::<Vec<_>>()
    };
    let to_come = "the sunset of 2027-07-31T00:00:00Z is to come".to_owned();
    assert_eq!(told(0, "u"), [to_come.clone(), "none of 1 is running".to_owned()]);
    let bucket = bucket_of_key(b"user123", Seed::of_salt("/brownouts/first"));
    let is = if bucket < 500 { "is" } else { "is not" };
    let hit = format!("`first` is running: its bucket {bucket} {is} below 500 (5 %)");
    assert_eq!(told(START_MS, "user123")[1], hit);
    assert_eq!(told(START_MS, "partner-7")[1], "`first` is running: this key is exempt");
    assert_eq!(told(START_MS, "slow")[1], "spared: this client is blocked");
    assert_eq!(told(START_MS, "")[1], "`first` is running, for 5 %: no key, spared");
    assert_eq!(told(u64::MAX, "u"), ["the sunset of 2027-07-31T00:00:00Z has passed"]);
    assert_eq!(told(0, "new"), [""; 0], "not asked for the newest version");
}

/// Keys, some of which are in the lists below.
fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z0-9-]{1,20}",
        4 => prop::sample::select(vec!["quick", "slow", "sick", "partner-7", "old", "new"])
            .prop_map(str::to_owned),
    ]
}

fn with_share(share: u16, percentage: u16, salt: &str) -> Policy {
    let mut extra = full();
    extra["canary_percentage"] = json!(f64::from(share) / 100.0);
    extra["brownouts"][0]["percentage"] = json!(f64::from(percentage) / 100.0);
    extra["salt"] = json!(salt);
    policy(extra)
}

proptest! {
    /// Lists and brownouts included: raising the share never moves a client back.
    #[test]
    fn a_client_moves_only_the_way_the_share_does(
        key in any_key(), salt in "[a-z]{0,4}", low in 0u16..=10_000, high in 0u16..=10_000,
        percentage in 0u16..=10_000, late in any::<bool>(),
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let now_ms = if late { START_MS } else { 0 };
        let version = |share| decide(&at(with_share(share, percentage, &salt), now_ms), &key);
        let (before, after) = (version(low), version(high));
        prop_assert!(before.0 <= after.0);
        // And who has moved is refused no longer.
        prop_assert!(after.0 == 0 || !after.1.refuses());
    }

    /// A client is hit for the whole window or not at all, whatever else it or others do;
    /// and a larger share of the same brownout hits everyone whom a smaller one does.
    #[test]
    fn a_brownout_hits_a_client_wholly(
        key in any_key(), percentage in 0u16..=10_000, more in 0u16..=10_000,
        times in prop::collection::vec(0u64..HOUR_MS, 1..8), draw in any::<u32>(),
    ) {
        let hit = |percentage, time, draw| {
            let policy = at(with_share(0, percentage, ""), START_MS + time);
            policy.decide(&Request::of_key(key.as_bytes()), draw).reason == Reason::Brownout
        };
        let first = hit(percentage, 0, 0);
        for time in times {
            prop_assert_eq!(hit(percentage, time, draw), first);
        }
        prop_assert!(!first || hit(percentage.max(more), 0, draw));
        if ["slow", "sick", "partner-7", "new"].contains(&key.as_str()) {
            prop_assert!(!first, "{} is spared", key);
        }
    }

    /// After the sunset an old version serves nobody.
    #[test]
    fn after_the_sunset_every_old_call_is_refused(
        key in any_key(), share in 0u16..=10_000, guard_tripped in any::<bool>(),
        kill_switch in any::<bool>(), after_ms in 0u64..1_000_000_000_000,
    ) {
        let mut extra = full();
        extra["canary_percentage"] = json!(f64::from(share) / 100.0);
        extra["kill_switch"] = json!(kill_switch);
        // 2027-07-31
        let policy = at(policy(extra), 1_816_992_000_000 + after_ms);
        let request = Request { guard_tripped, ..Request::of_key(key.as_bytes()) };
        let decision = policy.decide(&request, 0);
        prop_assert_eq!(decision.version == 0, decision.reason == Reason::Gone);
        prop_assert_eq!(policy.refusal(&decision, 0).is_some(), decision.version == 0);
    }
}

/// 20,000 keys: the share of clients hit is the one asked for, and is the same inside and
/// outside a canary's share, so that a brownout says nothing of who moves next.
#[test]
fn the_right_share_is_hit_independently_of_the_canary() {
    for percentage in [100u16, 500, 2500, 5000] {
        let policy = at(with_share(0, percentage, "spring"), START_MS);
        let (mut hit, mut hit_low) = (0u32, 0u32);
        for i in 0..20_000 {
            let key = format!("user-{i}");
            let is_hit = decide(&policy, &key).1 == Reason::Brownout;
            hit += u32::from(is_hit);
            hit_low += u32::from(is_hit && policy.bucket(key.as_bytes()) < 5000);
        }
        let share = f64::from(percentage) / 10_000.0;
        let near = |count: u32, of: f64| {
            let (mean, sd) = (of * share, (of * share * (1.0 - share)).sqrt());
            (f64::from(count) - mean).abs() < 4.5 * sd
        };
        assert!(near(hit, 20_000.0), "{hit} at {percentage}");
        assert!(near(hit_low, 10_000.0), "{hit_low} at {percentage}");
    }
}
