//! The control server: who asks it, what is taken from it, and what it is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test falls over")]

use crossfade_core::protocol::totals::Totals;
use crossfade_envoy::host::{Answer, Host, Level, When};
use crossfade_envoy::memory::{Instance, MemoryHost, Sent};

const LIVE: &str = r#"{"control":{"cluster":"control","token":"secret"},"node":"edge-1"}"#;

/// A configuration with an inline policy of this share and revision beside the control
/// server.
fn inline(percentage: u8, revision: u64) -> String {
    let policy = document(percentage);
    format!(
        r#"{{"policy":{policy},"revision":{revision},"control":{{"cluster":"control"}},"node":"edge-1"}}"#
    )
}

fn document(percentage: u8) -> String {
    format!(
        r#"{{"api":"users","versions":{{"from":"v1","to":"v2"}},"key":{{"header":"x-user-id"}},"canary_percentage":{percentage},"guard":{{"max_failure_ratio":0.5,"min_requests":4}}}}"#
    )
}

fn policy(revision: u64, percentage: u8) -> Answer {
    let body = format!(r#"{{"revision":{revision},"document":{}}}"#, document(percentage));
    let etag = Some(format!("\"{revision}\"").into_bytes());
    Answer { status: Some(200), etag, body: Some(body.into_bytes()), ..Answer::default() }
}

fn status(status: u16) -> Answer {
    Answer { status: Some(status), body: Some(Vec::new()), ..Answer::default() }
}

fn start(host: MemoryHost, configuration: &str) -> Instance {
    // A wall clock is never near zero.
    host.now_ns.set(1_800_000_000_000_000_000.max(host.now_ns.get()));
    Instance::start(host, configuration).unwrap()
}

/// The one request for the policy among these.
fn question(sent: &[Sent]) -> &Sent {
    let [question] = sent else { panic!("{sent:?}") };
    assert_eq!(question.header(":method"), "GET");
    question
}

/// Ticks until the instance asks for the policy, and answers.
fn ask(instance: &mut Instance, answer: &Answer) -> Sent {
    for _ in 0..100 {
        instance.tick_after(200);
        let sent = instance.host.sent();
        if let Some(question) = sent.iter().find(|sent| sent.header(":method") == "GET") {
            instance.answer(question.token, answer);
            return question.clone();
        }
    }
    panic!("it never asked");
}

fn revision(instance: &Instance) -> Option<u64> {
    instance.root.node().borrow().revision()
}

fn errors(instance: &mut Instance, kind: &str) -> u64 {
    instance.tick_after(0);
    instance.host.metric(&format!("crossfade_control_errors;kind={kind}"))
}

#[test]
fn the_first_question_and_what_it_leads_to() {
    let mut instance = start(MemoryHost::default(), LIVE);
    let sent = ask(&mut instance, &policy(7, 100));
    assert_eq!(sent.cluster, "control");
    let headers: Vec<_> = sent.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(
        headers,
        [
            ":method: GET",
            ":path: /v1/policy",
            ":authority: crossfade",
            "authorization: Bearer secret",
            "accept: application/json"
        ]
    );
    assert_eq!(revision(&instance), Some(7));
    assert_eq!(instance.host.metric("crossfade_policy_revision"), 7);
    assert_eq!(instance.exchange(&[("x-user-id", b"user123")], "200").as_deref(), Some("v2"));
    // From now on it tells what it has.
    let sent = ask(&mut instance, &status(304));
    assert_eq!(sent.header("if-none-match"), "\"7\"");
    assert_eq!(errors(&mut instance, "status"), 0);
}

#[test]
fn only_a_newer_policy_is_taken() {
    let mut instance = start(MemoryHost::default(), &inline(0, 5));
    assert_eq!(revision(&instance), Some(5));
    ask(&mut instance, &policy(5, 100));
    assert_eq!(instance.exchange(&[("x-user-id", b"a")], "200").as_deref(), Some("v1"));
    assert_eq!(errors(&mut instance, "invalid"), 0, "the same revision is no error");
    ask(&mut instance, &policy(4, 100));
    assert_eq!(revision(&instance), Some(5));
    assert_eq!(errors(&mut instance, "invalid"), 1, "an older one is");
    ask(&mut instance, &policy(6, 100));
    assert_eq!(instance.exchange(&[("x-user-id", b"a")], "200").as_deref(), Some("v2"));
}

#[test]
fn an_instance_without_a_policy_takes_any_revision() {
    let mut instance = start(MemoryHost::default(), LIVE);
    ask(&mut instance, &policy(0, 100));
    assert_eq!(revision(&instance), Some(0));
}

#[test]
fn one_instance_asks_and_all_have_the_policy_by_their_next_tick() {
    let mut asks = start(MemoryHost::default(), &inline(0, 1));
    let mut waits = start(asks.host.beside(), &inline(0, 1));
    for _ in 0..50 {
        asks.tick_after(200);
        waits.tick_after(200);
        for sent in asks.host.sent() {
            asks.answer(sent.token, &status(304));
        }
        assert_eq!(waits.host.sent(), [], "the other has the lease");
    }
    ask(&mut asks, &policy(2, 100));
    assert_eq!(revision(&waits), Some(1));
    waits.tick_after(200);
    assert_eq!(revision(&waits), Some(2));
    // It would tell the server what it has.
    waits.tick_after(60_000);
    assert_eq!(question(&waits.host.sent()).header("if-none-match"), "\"2\"");
}

#[test]
fn a_lease_whose_holder_is_gone_goes_to_another() {
    let mut gone = start(MemoryHost::default(), LIVE);
    let mut takes_over = start(gone.host.beside(), LIVE);
    gone.tick_after(200);
    assert_eq!(gone.host.sent().len(), 1);
    drop(gone);
    let mut waited_ms = 0;
    while takes_over.host.sent().is_empty() {
        takes_over.tick_after(200);
        waited_ms += 200;
    }
    // Two polls of a second and a time-out, and its own next look.
    assert!((3000..=4200).contains(&waited_ms), "{waited_ms} ms");
}

#[test]
fn a_clock_that_went_back_delays_no_question() {
    let mut instance = start(MemoryHost::default(), LIVE);
    ask(&mut instance, &policy(1, 0));
    let other = start(instance.host.beside(), LIVE);
    instance.host.now_ns.set(1_500_000_000_000_000_000);
    ask(&mut instance, &policy(2, 0));
    assert_eq!(revision(&instance), Some(2));
    // Nor does a lease that seems to last for years keep another from asking.
    let mut other = other;
    other.host.now_ns.set(1_200_000_000_000_000_000);
    ask(&mut other, &policy(3, 0));
    assert_eq!(revision(&other), Some(3));
}

#[test]
fn an_instance_reborn_begins_with_the_live_policy_and_writes_nothing() {
    let mut first = start(MemoryHost::default(), &inline(0, 1));
    ask(&mut first, &policy(9, 100));
    let shared = first.host.shared_values();
    let reborn = start(first.host.beside(), &inline(0, 1));
    assert_eq!(revision(&reborn), Some(9), "before any tick");
    let older = start(first.host.beside(), &inline(0, 10));
    assert_eq!(revision(&older), Some(10), "the inline one is newer");
    let alone = inline(0, 1).replace(r#""control":{"cluster":"control"},"#, "");
    assert_eq!(revision(&start(first.host.beside(), &alone)), Some(1), "no control server");
    let elsewhere = inline(0, 1).replace(r#""control""#, r#""control","#);
    assert!(Instance::start(first.host.beside(), &elsewhere).is_err());
    let elsewhere = inline(0, 1).replace(r#""cluster":"control""#, r#""cluster":"other""#);
    assert_eq!(revision(&start(first.host.beside(), &elsewhere)), Some(1), "another server");
    assert_eq!(first.host.shared_values(), shared);
    let calls = reborn.host.host_calls.take();
    assert!(
        !calls.iter().any(|call| ["set_shared", "define", "set", "call", "log"].contains(call))
    );
}

#[test]
fn damaged_shared_data_changes_nothing() {
    let mut instance = start(MemoryHost::default(), &inline(0, 5));
    ask(&mut instance, &policy(6, 100));
    let good = instance.host.shared_values();
    let whole = good.iter().find(|(key, _)| key.ends_with("/policy")).unwrap().1;
    // The record says 9, and its body 6.
    let mut other = whole.clone();
    other[0] = 9;
    let half = &whole[..whole.len() / 2];
    for damage in [&b""[..], b"\xff", &[0xff; 10], &[0xff; 64], half, &other] {
        for key in good.keys() {
            let (_, stamp) = instance.host.shared(key).unwrap();
            assert!(instance.host.set_shared(key, damage, When::Unchanged(stamp)));
        }
        instance.tick_after(60_000);
        assert_eq!(revision(&instance), Some(6));
        assert_eq!(instance.exchange(&[("x-user-id", b"a")], "200").as_deref(), Some("v2"));
        let reborn = start(instance.host.beside(), &inline(0, 5));
        assert_eq!(revision(&reborn), Some(5));
    }
}

#[test]
fn garbage_changes_nothing_and_is_counted_by_kind() {
    let body = |text: &str| Answer { body: Some(text.as_bytes().to_vec()), ..status(200) };
    let valid = document(100);
    let deep = format!(r#"{{"revision":9,"document":{}}}"#, "[".repeat(100_000));
    let cases: Vec<(Answer, &str)> = vec![
        (Answer::default(), "unreachable"),
        (status(503), "unreachable"),
        (status(504), "timeout"),
        (status(500), "status"),
        (status(401), "status"),
        (status(204), "status"),
        (status(302), "status"),
        (body(""), "malformed"),
        (body("hello"), "malformed"),
        (body("[]"), "malformed"),
        (body("{}"), "malformed"),
        (body("\u{0}\u{1}"), "malformed"),
        (body(&deep), "malformed"),
        (body(&format!(r#"{{"document":{valid}}}"#)), "malformed"),
        (body(&format!(r#"{{"revision":"9","document":{valid}}}"#)), "malformed"),
        (body(&format!(r#"{{"revision":-1,"document":{valid}}}"#)), "malformed"),
        (body(&format!(r#"{{"revision":9,"revision":9,"document":{valid}}}"#)), "malformed"),
        (body(r#"{"revision":9}"#), "malformed"),
        (body(r#"{"revision":9,"document":null}"#), "invalid"),
        (body(r#"{"revision":9,"document":{"api":"users"}}"#), "invalid"),
        (body(&format!(r#"{{"revision":3,"document":{valid}}}"#)), "invalid"),
        (Answer { body: None, ..status(200) }, "malformed"),
        (Answer { body: Some(b"\xff".to_vec()), ..status(200) }, "malformed"),
        (Answer { body: Some(vec![b' '; (4 << 20) + 1]), ..status(200) }, "malformed"),
    ];
    for (answer, kind) in cases {
        let mut instance = start(MemoryHost::default(), &inline(0, 5));
        ask(&mut instance, &answer);
        let shown = format!("{:?}", answer.body.map(|body| body.len().min(200)));
        assert_eq!(errors(&mut instance, kind), 1, "{kind} {shown}");
        assert_eq!(revision(&instance), Some(5), "{kind} {shown}");
        assert_eq!(instance.exchange(&[("x-user-id", b"a")], "200").as_deref(), Some("v1"));
        // And the next good one is taken.
        ask(&mut instance, &policy(6, 100));
        assert_eq!(revision(&instance), Some(6));
    }
}

#[test]
fn a_304_without_a_question_that_allows_it_is_an_error() {
    let mut instance = start(MemoryHost::default(), LIVE);
    ask(&mut instance, &status(304));
    assert_eq!(errors(&mut instance, "status"), 1);
}

#[test]
fn an_error_is_logged_once_and_so_is_its_end() {
    let mut instance = start(MemoryHost::default(), LIVE);
    for _ in 0..5 {
        ask(&mut instance, &Answer { body: Some(b"no such thing".to_vec()), ..status(404) });
    }
    ask(&mut instance, &status(500));
    ask(&mut instance, &policy(1, 0));
    ask(&mut instance, &status(304));
    let log: Vec<_> = instance.host.log.take();
    let expected = [
        (
            Level::Warn,
            "crossfade: policy from the control server: status: status 404: no such thing",
        ),
        (Level::Warn, "crossfade: policy from the control server: status: status 500: "),
        (Level::Info, "crossfade: policy revision 1 is in force"),
        (Level::Info, "crossfade: policy from the control server: answers again"),
    ];
    assert_eq!(log, expected.map(|(level, line)| (level, line.to_owned())));
    assert_eq!(errors(&mut instance, "status"), 6);
}

#[test]
fn a_cluster_that_cannot_be_called_is_unreachable() {
    let mut instance = start(MemoryHost::default(), LIVE);
    instance.host.unreachable.set(true);
    instance.tick_after(200);
    assert_eq!(errors(&mut instance, "unreachable"), 1);
    instance.tick_after(200);
    assert_eq!(errors(&mut instance, "unreachable"), 1, "not again before the next poll");
}

#[test]
fn a_question_that_is_never_answered_is_asked_again() {
    let mut instance = start(MemoryHost::default(), LIVE);
    instance.tick_after(200);
    let old = question(&instance.host.sent()).token;
    for _ in 0..15 {
        instance.tick_after(200);
        assert_eq!(instance.host.sent(), []);
    }
    ask(&mut instance, &policy(2, 0));
    instance.answer(old, &policy(3, 0));
    assert_eq!(revision(&instance), Some(2), "an answer to nothing we ask");
}

/// Reports that were sent, read as the control server reads them.
fn reports(instance: &mut Instance) -> Vec<(u32, Totals)> {
    let sent = instance.host.sent();
    let posts = sent.iter().filter(|sent| sent.header(":path") == "/v1/totals");
    posts
        .map(|sent| {
            assert_eq!(sent.header(":method"), "POST");
            assert_eq!(sent.body.iter().filter(|byte| **byte == b'\n').count(), 1);
            (sent.token, Totals::read(&sent.body).unwrap())
        })
        .collect()
}

#[test]
fn totals_are_absolute_and_repeated_until_they_are_taken() {
    let mut instance = start(MemoryHost::default(), &inline(100, 1));
    instance.tick_after(200);
    assert_eq!(reports(&mut instance), [], "it has counted nothing");
    instance.exchange(&[("x-user-id", b"a")], "200");
    instance.tick_after(200);
    let first = reports(&mut instance).remove(0);
    assert_eq!(first.1.node, "edge-1/1");
    assert_eq!((first.1.sequence, first.1.revision), (1, 1));
    assert_eq!(first.1.versions[1].requests, 1);

    instance.exchange(&[("x-user-id", b"a")], "500");
    instance.answer(first.0, &status(503));
    instance.tick_after(1000);
    let second = reports(&mut instance).remove(0);
    assert_eq!((second.1.epoch, second.1.sequence), (first.1.epoch, 2));
    assert_eq!((second.1.versions[1].requests, second.1.versions[1].failures), (2, 1));
    assert_eq!(errors(&mut instance, "unreachable"), 1);

    instance.answer(second.0, &status(200));
    for _ in 0..29 {
        instance.tick_after(1000);
        assert_eq!(reports(&mut instance), [], "nothing new");
    }
    instance.tick_after(1000);
    let again = reports(&mut instance).remove(0).1;
    assert_eq!(again.sequence, 3, "repeated, for a server that has lost its memory");
    assert_eq!(again.versions, second.1.versions);
}

#[test]
fn instances_have_names_and_epochs_of_their_own() {
    let mut first = start(MemoryHost::default(), &inline(0, 1));
    let mut second = start(first.host.beside(), &inline(0, 1));
    let report = |instance: &mut Instance| {
        instance.exchange(&[("x-user-id", b"a")], "200");
        instance.tick_after(200);
        reports(instance).remove(0).1
    };
    let (first, second) = (report(&mut first), report(&mut second));
    assert_eq!((first.node.as_str(), second.node.as_str()), ("edge-1/1", "edge-1/2"));
    assert_ne!(first.epoch, second.epoch);
}

#[test]
fn without_a_name_of_its_own_a_node_has_the_proxys() {
    let name = |path: &str, id: &[u8]| {
        let host = MemoryHost::default();
        let properties = Some((path.to_owned(), id.to_vec()));
        host.properties.replace(properties.into_iter().collect());
        let mut instance = start(host, &inline(0, 1).replace(r#","node":"edge-1""#, ""));
        instance.exchange(&[("x-user-id", b"a")], "200");
        instance.tick_after(200);
        reports(&mut instance).remove(0).1.node
    };
    assert_eq!(name("xds.node.id", b"pod-7"), "pod-7/1");
    assert_eq!(name("node.id", b"pod-7"), "pod-7/1");
    assert_eq!(name("xds.node.id", b""), "envoy/1");
    assert_eq!(name("xds.node.id", b"\xff"), "envoy/1");
    assert_eq!(name("none.of.them", b"pod-7"), "envoy/1");
    assert_eq!(name("xds.node.id", "é".repeat(200).as_bytes()), format!("{}/1", "é".repeat(50)));
}

#[test]
fn counts_stay_with_a_versions_name_when_the_policy_changes() {
    let mut instance = start(MemoryHost::default(), &inline(100, 1));
    instance.exchange(&[("x-user-id", b"a")], "200");
    let mut open = instance.request(&[("x-user-id", b"a")]);
    let next = |revision: u64, versions: &str| {
        let document = document(0).replace(r#"{"from":"v1","to":"v2"}"#, versions);
        let body = format!(r#"{{"revision":{revision},"document":{document}}}"#);
        Answer { body: Some(body.into_bytes()), ..status(200) }
    };
    let totals = |instance: &Instance| {
        let totals = instance.root.node().borrow().totals();
        totals.into_iter().map(|v| (v.version, v.routed, v.requests)).collect::<Vec<_>>()
    };
    let counted = |name: &str, routed, requests| (name.to_owned(), routed, requests);

    ask(&mut instance, &next(2, r#"["v2","v3"]"#));
    // It began under the policy before, and counts for the version that served it.
    instance.response(&mut open, &[(":status", b"200")]);
    instance.exchange(&[("x-user-id", b"a")], "200");
    assert_eq!(totals(&instance), [counted("v2", 3, 3), counted("v3", 0, 0)]);

    ask(&mut instance, &next(3, r#"["v1","v3"]"#));
    instance.exchange(&[("x-user-id", b"a")], "200");
    assert_eq!(totals(&instance), [counted("v1", 1, 1), counted("v3", 0, 0)]);
    ask(&mut instance, &next(4, r#"["v1","v2"]"#));
    assert_eq!(totals(&instance), [counted("v1", 1, 1), counted("v2", 3, 3)]);
}

#[test]
fn the_guard_trips_on_this_instances_counts_until_a_newer_policy_comes() {
    let mut instance = start(MemoryHost::default(), &inline(100, 1));
    let mut other = start(instance.host.beside(), &inline(100, 1));
    let send = |instance: &Instance, status: &str| {
        instance.exchange(&[("x-user-id", b"a")], status).unwrap()
    };
    for status in ["200", "500", "500", "500"] {
        assert_eq!(send(&instance, status), "v2");
    }
    assert_eq!(send(&instance, "200"), "v1");
    assert_eq!(send(&other, "200"), "v2", "another instance has counts of its own");
    let log = instance.host.log.take();
    assert_eq!(
        log,
        [(
            Level::Warn,
            "crossfade: guard tripped: 3 of 4 requests of v2 failed, over the policy's \
             max_failure_ratio of 0.5; everything goes to v1 until a policy newer than \
             revision 1 comes"
                .to_owned()
        )]
    );
    instance.tick_after(200);
    other.tick_after(200);
    assert_eq!(instance.host.metric("crossfade_decisions;version=v1;reason=guard"), 1);
    instance.tick_after(200);
    assert_eq!(instance.host.metric("crossfade_guard_tripped"), 1, "whoever ticked in between");

    ask(&mut instance, &policy(1, 100));
    assert_eq!(send(&instance, "200"), "v1", "the same revision does not arm it");
    ask(&mut instance, &policy(2, 100));
    assert_eq!(instance.host.metric("crossfade_guard_tripped"), 0);
    for status in ["500", "500", "500"] {
        assert_eq!(send(&instance, status), "v2", "only what comes from now on counts");
    }
    send(&instance, "500");
    assert_eq!(send(&instance, "200"), "v1");
}

#[test]
fn a_tick_that_has_nothing_to_do_reads_one_shared_value_and_the_clock() {
    let mut instance = start(MemoryHost::default(), LIVE);
    ask(&mut instance, &policy(1, 0));
    instance.tick_after(200);
    instance.host.host_calls.take();
    instance.tick_after(200);
    assert_eq!(instance.host.host_calls.take(), ["now", "shared"]);
}
