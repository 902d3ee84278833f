//! The shadow: whose requests are mirrored, what of them, what is compared, and that
//! nothing of it grows or is in the way of a request.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use crossfade_core::bucket::{Seed, bucket_of_key};
use crossfade_core::protocol::totals::{ShadowTotals, Totals};
use crossfade_envoy::host::{Answer, Level};
use crossfade_envoy::memory::{Instance, MemoryHost, Sent};
use crossfade_envoy::shadow::{BODY_BYTES_MAX, FLIGHTS_MAX, QUEUE_MAX};

type Header<'h> = (&'h str, &'h [u8]);

fn policy(shadow: &str) -> String {
    format!(
        r#"{{"api":"users","versions":["v1","v2"],"key":{{"header":"x-user-id"}},"pins":{{"qa":"v2"}},"shadow":{shadow}}}"#
    )
}

fn start(shadow: &str) -> Instance {
    let policy = policy(shadow);
    let configuration = format!(
        r#"{{"policy":{policy},"node":"edge","control":{{"cluster":"control"}},"shadow":{{"clusters":{{"v2":"new"}},"timeout_ms":500}}}}"#
    );
    let host = MemoryHost::default();
    host.now_ns.set(1_800_000_000_000_000_000);
    Instance::start(host, &configuration).unwrap()
}

const USUAL: [Header<'_>; 5] = [
    (":method", b"GET"),
    (":path", b"/users/7?fields=name"),
    (":authority", b"api.example"),
    (":scheme", b"https"),
    ("x-user-id", b"ann"),
];

/// A whole exchange with the old version.
fn exchange(instance: &Instance, more: &[Header<'_>], answer: &[Header<'_>]) {
    let mut headers = USUAL.to_vec();
    for header in more {
        headers.retain(|(name, _)| name != &header.0 || name.starts_with("x-more"));
        headers.push(*header);
    }
    let mut exchange = instance.request(&headers);
    instance.response(&mut exchange, answer);
    instance.end(&mut exchange);
}

const OK: [Header<'_>; 2] = [(":status", b"200"), ("content-type", b"application/json")];

/// What was sent to the newest version by the next tick.
fn mirrored(instance: &mut Instance) -> Vec<Sent> {
    instance.tick_after(200);
    instance.host.sent().into_iter().filter(|sent| sent.cluster == "new").collect()
}

fn answer(status: u16, media: &str) -> Answer {
    let content_type = (!media.is_empty()).then(|| media.as_bytes().to_vec());
    Answer { status: Some(status), content_type, ..Answer::default() }
}

fn seen(instance: &Instance) -> ShadowTotals {
    let totals = instance.root.node().borrow().totals();
    assert_eq!(totals[0].shadow, ShadowTotals::default(), "only the newest version is compared");
    totals[1].shadow
}

fn counts(compared: u64, differed: u64, failures: u64, dropped: u64) -> ShadowTotals {
    ShadowTotals { compared, differed, failures, dropped }
}

#[test]
fn a_request_is_mirrored_when_its_exchange_is_over_and_by_a_tick() {
    let mut instance = start(r#"{"percentage":100}"#);
    let more: [Header<'_>; 9] = [
        ("authorization", b"Bearer secret"),
        ("cookie", b"a=b"),
        ("connection", b"keep-alive"),
        ("te", b"trailers"),
        ("proxy-authorization", b"Basic x"),
        // Of a client's own, that Envoy holds for internal.
        ("x-envoy-original-path", b"/users/8"),
        ("x-envoy-expected-rq-timeout-ms", b"15000"),
        ("content-length", b"0"),
        ("x-api-version", b"v9"),
    ];
    let mut headers = USUAL.to_vec();
    headers.extend(more);
    let mut exchange = instance.request(&headers);
    // The route rewrites it.
    instance.host.request.borrow_mut().retain(|(name, _)| name != ":path");
    instance.host.request.borrow_mut().insert(1, (":path".to_owned(), b"/old/7".to_vec()));
    instance.response(&mut exchange, &OK);
    instance.end(&mut exchange);
    assert_eq!(instance.host.sent(), [], "nothing is sent while a request is at hand");
    let sent = mirrored(&mut instance);
    let [sent] = sent.as_slice() else { panic!("{sent:?}") };
    let headers: Vec<_> = sent.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(
        headers,
        [
            ":method: GET",
            ":path: /users/7?fields=name",
            ":authority: api.example",
            ":scheme: https",
            "x-user-id: ann",
            "authorization: Bearer secret",
            "cookie: a=b",
            "x-api-version: v2",
            "x-crossfade-shadow: 1",
        ]
    );
    assert_eq!(sent.body, b"");
}

#[test]
fn what_is_compared() {
    // The old version's answer, the newest's, and what that counts as.
    let json = "application/json";
    let cases: [(&[Header<'_>], Answer, ShadowTotals); 10] = [
        (&OK, answer(200, "application/json; charset=utf-8"), counts(1, 0, 0, 0)),
        (&OK, answer(200, "text/html"), counts(1, 1, 0, 0)),
        (&OK, answer(200, ""), counts(1, 1, 0, 0)),
        (&OK, answer(201, json), counts(1, 1, 0, 0)),
        (&OK, answer(304, ""), counts(1, 0, 0, 0)),
        (&[(":status", b"304")], answer(200, json), counts(1, 0, 0, 0)),
        (&[(":status", b"404")], answer(404, ""), counts(1, 0, 0, 0)),
        (&[(":status", b"404")], answer(304, ""), counts(1, 1, 0, 0)),
        (&OK, answer(500, json), counts(1, 1, 1, 0)),
        (&OK, Answer::default(), counts(1, 1, 1, 0)),
    ];
    for (old, new, expected) in cases {
        let mut instance = start(r#"{"percentage":100}"#);
        exchange(&instance, &[], old);
        let sent = mirrored(&mut instance).remove(0);
        assert!(instance.root.is_shadow(sent.token));
        instance.answer(sent.token, &new);
        assert_eq!(seen(&instance), expected, "{old:?} {new:?}");
        assert!(!instance.root.is_shadow(sent.token));
    }
    let mut instance = start(r#"{"percentage":100,"content_type":false}"#);
    exchange(&instance, &[], &OK);
    let sent = mirrored(&mut instance).remove(0);
    instance.answer(sent.token, &answer(200, "text/html"));
    assert_eq!(seen(&instance), counts(1, 0, 0, 0), "only the status was asked for");
}

#[test]
fn what_is_not_mirrored() {
    let never: [(&str, &[Header<'_>], &[Header<'_>]); 8] = [
        ("changes something", &[(":method", b"POST")], &OK),
        ("is not asked for", &[(":method", b"HEAD")], &OK),
        ("becomes something else", &[("upgrade", b"websocket")], &OK),
        ("is mirrored already", &[("x-crossfade-shadow", b"1")], &OK),
        ("the old version failed", &[], &[(":status", b"503")]),
        ("never ends", &[], &[(":status", b"200"), ("content-type", b"text/event-stream")]),
        ("the newest version serves it", &[("x-user-id", b"qa")], &OK),
        ("without a status there was no answer", &[], &[]),
    ];
    for (why, request, response) in never {
        let mut instance = start(r#"{"percentage":100,"methods":["GET"]}"#);
        exchange(&instance, request, response);
        assert_eq!(mirrored(&mut instance), [], "{why}");
        assert_eq!(seen(&instance), counts(0, 0, 0, 0), "{why}");
    }
    // In HTTP/2 no header says that there is a body.
    let mut instance = start(r#"{"percentage":100}"#);
    let mut exchange = instance.request_of(&USUAL, false);
    instance.response(&mut exchange, &OK);
    instance.end(&mut exchange);
    assert_eq!(mirrored(&mut instance), [], "has a body");
    assert_eq!(seen(&instance), counts(0, 0, 0, 0));
    // Without a response there is nothing to compare with.
    let mut instance = start(r#"{"percentage":100}"#);
    let mut exchange = instance.request(&USUAL);
    instance.end(&mut exchange);
    assert_eq!(mirrored(&mut instance), []);
}

#[test]
fn the_same_clients_everywhere_and_others_than_a_canary_has_first() {
    let mut instance = start(r#"{"percentage":10}"#);
    let keys: Vec<_> = (0..400).map(|i| format!("user{i}")).collect();
    let (seed, canary) = (Seed::of_shadow(""), Seed::of_salt(""));
    let mut both = 0;
    for key in &keys {
        exchange(&instance, &[("x-user-id", key.as_bytes())], &OK);
        let chosen = bucket_of_key(key.as_bytes(), seed) < 1000;
        both += usize::from(chosen && bucket_of_key(key.as_bytes(), canary) < 1000);
        assert_eq!(mirrored(&mut instance).len(), usize::from(chosen), "{key}");
        // So that there is always room.
        instance.tick_after(10_000);
    }
    assert!(both < 20, "{both} of 40: the shadow must not be those whom a canary has first");
}

#[test]
fn a_request_without_a_key_is_drawn() {
    let instance = start(r#"{"percentage":50}"#);
    let keyless: Vec<Header<'_>> = USUAL[..4].to_vec();
    for _ in 0..200 {
        let mut exchange = instance.request(&keyless);
        instance.response(&mut exchange, &OK);
        instance.end(&mut exchange);
    }
    let mut instance = instance;
    let mut open = mirrored(&mut instance);
    while let Some(sent) = open.pop() {
        instance.answer(sent.token, &answer(200, "application/json"));
        open.extend(instance.host.sent().into_iter().filter(|sent| sent.cluster == "new"));
    }
    let ShadowTotals { compared, dropped, .. } = seen(&instance);
    assert!((50..150).contains(&compared), "{compared} of 200 at 50 %");
    assert_eq!(dropped, 0);
}

#[test]
fn what_waits_and_what_is_under_way_is_bounded_and_the_rest_is_counted() {
    let mut instance = start(r#"{"percentage":100}"#);
    for _ in 0..QUEUE_MAX + 30 {
        exchange(&instance, &[], &OK);
    }
    assert_eq!(seen(&instance), counts(0, 0, 0, 30));
    let mut sent = mirrored(&mut instance);
    assert_eq!(sent.len(), FLIGHTS_MAX);
    // Each answer makes room for one more.
    let first = sent.remove(0);
    instance.answer(first.token, &answer(200, "application/json"));
    let more = instance.host.sent();
    assert_eq!(more.iter().filter(|sent| sent.cluster == "new").count(), 1);
    assert_eq!(seen(&instance), counts(1, 0, 0, 30));
    // Envoy answers always; were it not to, what is under way is given up.
    instance.tick_after(1900);
    assert_eq!(seen(&instance), counts(1, 0, 0, 30));
    instance.tick_after(200);
    assert_eq!(seen(&instance).failures, FLIGHTS_MAX as u64);
    let late = seen(&instance);
    instance.answer(sent[0].token, &answer(200, "application/json"));
    assert_eq!(seen(&instance), late, "too late");
}

#[test]
fn headers_that_wait_are_bounded_in_bytes() {
    let instance = start(r#"{"percentage":100}"#);
    let long = vec![b'x'; 50_000];
    for _ in 0..30 {
        exchange(&instance, &[("x-long", &long)], &OK);
    }
    assert_eq!(seen(&instance).dropped, 10, "1 MiB is 20 of them");
}

#[test]
fn what_cannot_be_mirrored_truly_is_counted() {
    let instance = start(r#"{"percentage":100}"#);
    exchange(&instance, &[("x-latin", b"caf\xe9")], &OK);
    assert_eq!(seen(&instance), counts(0, 0, 0, 1));
    let size = |bytes: u64| bytes.to_le_bytes().to_vec();
    let properties = &instance.host.properties;
    properties.borrow_mut().insert("response.size".into(), size(BODY_BYTES_MAX));
    exchange(&instance, &[], &OK);
    assert_eq!(seen(&instance).dropped, 1);
    properties.borrow_mut().insert("response.size".into(), size(BODY_BYTES_MAX + 1));
    exchange(&instance, &[], &OK);
    assert_eq!(seen(&instance).dropped, 2);
}

#[test]
fn a_version_that_cannot_be_reached_has_failed() {
    let mut instance = start(r#"{"percentage":100}"#);
    exchange(&instance, &[], &OK);
    instance.host.unreachable.set(true);
    assert_eq!(mirrored(&mut instance), []);
    assert_eq!(seen(&instance), counts(1, 1, 1, 0));
}

#[test]
fn a_policy_that_has_left_the_shadow_stops_it_at_once() {
    let mut instance = start(r#"{"percentage":100}"#);
    for _ in 0..FLIGHTS_MAX + 5 {
        exchange(&instance, &[], &OK);
    }
    let sent = mirrored(&mut instance);
    let mut open = instance.request(&USUAL);
    for _ in 0..100 {
        instance.tick_after(200);
        let asked = instance.host.sent();
        let Some(asked) = asked.iter().find(|sent| sent.header(":path") == "/v1/policy") else {
            continue;
        };
        let stopped = policy(r#"{"percentage":100,"stopped":true}"#);
        let body = format!(r#"{{"revision":5,"document":{stopped}}}"#);
        let body = Some(body.into_bytes());
        instance.answer(asked.token, &Answer { status: Some(200), body, ..Answer::default() });
        break;
    }
    assert_eq!(instance.root.node().borrow().revision(), Some(5));
    let failed = seen(&instance);
    for sent in &sent {
        instance.answer(sent.token, &answer(200, "application/json"));
    }
    exchange(&instance, &[], &OK);
    instance.response(&mut open, &OK);
    instance.end(&mut open);
    assert_eq!(mirrored(&mut instance), [], "neither what waited, nor what was open, nor new ones");
    assert_eq!(seen(&instance).dropped, failed.dropped);
}

#[test]
fn counts_are_reported_with_the_totals_and_shown_in_the_statistics() {
    let mut instance = start(r#"{"percentage":100}"#);
    exchange(&instance, &[], &OK);
    let sent = mirrored(&mut instance).remove(0);
    instance.answer(sent.token, &answer(418, "application/json"));
    // The report before is given up.
    instance.tick_after(4000);
    let sent = instance.host.sent();
    let report = sent.iter().rfind(|sent| sent.header(":path") == "/v1/totals");
    let report = report.or_else(|| panic!("{sent:?}")).unwrap();
    let totals = Totals::read(&report.body).unwrap();
    assert_eq!(totals.versions[1].shadow, counts(1, 1, 0, 0));
    for (what, count) in [("compared", 1), ("differed", 1), ("failures", 0), ("dropped", 0)] {
        assert_eq!(instance.host.metric(&format!("crossfade_shadow_{what}")), count, "{what}");
    }
    let log = instance.host.log.borrow();
    let line = "crossfade: shadow: GET /users/7: 200 application/json by the old version, \
                418 application/json by v2";
    assert!(log.contains(&(Level::Warn, line.to_owned())), "{log:?}");
}

#[test]
fn where_the_newest_version_has_a_share_the_shadow_is_over() {
    let shadow = r#"{"percentage":100},"canary_percentage":1"#;
    let mut instance = start(shadow);
    exchange(&instance, &[], &OK);
    assert_eq!(mirrored(&mut instance), []);
    assert_eq!(seen(&instance), counts(0, 0, 0, 0));
}

#[test]
fn a_shadow_without_a_cluster_is_said_once() {
    let policy = policy(r#"{"percentage":100}"#);
    for shadow in ["", r#","shadow":{"clusters":{"v3":"x"}}"#] {
        let configuration = format!(r#"{{"policy":{policy}{shadow}}}"#);
        let mut instance = Instance::start(MemoryHost::default(), &configuration).unwrap();
        exchange(&instance, &[], &OK);
        instance.tick_after(200);
        instance.tick_after(200);
        let log = instance.host.log.take();
        let [(Level::Warn, line)] = log.as_slice() else { panic!("{log:?}") };
        assert!(line.ends_with("`shadow.clusters` names no cluster for v2"), "{line}");
        assert_eq!(seen(&instance), counts(0, 0, 0, 0));
    }
}

#[test]
fn no_version_takes_a_client_for_a_copy() {
    let mark = "x-crossfade-shadow";
    let shadow = r#"{"percentage":100}"#;
    let more = r#"{"percentage":100,"stopped":true},"deprecation":{"deprecated_at":"2020-01-01"}"#;
    for (shadow, key) in [(shadow, "ann"), (shadow, "qa"), (more, "ann")] {
        let instance = start(shadow);
        let forged: [Header<'_>; 3] = [("x-user-id", key.as_bytes()), (mark, b"1"), (mark, b"")];
        instance.request(&forged);
        let request = instance.host.request.borrow();
        assert!(request.iter().all(|(name, _)| name != mark), "{request:?}");
    }
}

#[test]
fn a_mirrored_request_takes_the_host_calls_that_the_documentation_says() {
    let instance = start(r#"{"percentage":100}"#);
    instance.host.host_calls.take();
    let mut exchange = instance.request(&USUAL);
    let calls = instance.host.host_calls.take();
    let two = ["set_request_header", "remove_request_header"];
    assert_eq!(calls[..2], ["now", "request_header"]);
    assert_eq!(calls[2..4], ["request_header"; 2], "is it a copy, and its path");
    assert_eq!(calls[4..], two);
    instance.response(&mut exchange, &OK);
    assert_eq!(instance.host.host_calls.take(), ["response_header", "now"]);
    instance.end(&mut exchange);
    let calls = instance.host.host_calls.take();
    assert_eq!(calls, ["request_headers", "response_header", "property"]);
}
