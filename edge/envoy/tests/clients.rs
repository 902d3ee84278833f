//! Reports of clients: what each did, told once, whatever the control server does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test falls over")]

use crossfade_core::protocol::clients::{ClientsReport, Identity};
use crossfade_core::protocol::limits::CLIENTS_REPORT_BYTES_MAX;
use crossfade_envoy::host::Answer;
use crossfade_envoy::memory::{Instance, MemoryHost};

/// 2027-01-15, and the second of it.
const NOW_NS: u64 = 1_800_000_000_000_000_000;
const NOW_S: u32 = 1_800_000_000;

fn start(host: MemoryHost, plan: &str) -> Instance {
    host.now_ns.set(NOW_NS);
    let configuration = format!(
        r#"{{"policy":{{"api":"users","versions":["v1","v2"],"key":{{"header":"x-user-id"}},"pins":{{"new":"v2"}}{plan}}},
            "revision":1,"control":{{"cluster":"control"}},"node":"edge-1"}}"#
    );
    Instance::start(host, &configuration).unwrap()
}

fn status(status: u16) -> Answer {
    Answer { status: Some(status), etag: None, body: Some(Vec::new()) }
}

/// Reports of clients that were sent, with their tokens.
fn reports(instance: &Instance) -> Vec<(u32, ClientsReport, Vec<u8>)> {
    let sent = instance.host.sent().into_iter();
    sent.filter(|sent| sent.header(":path") == "/v1/client-reports")
        .map(|sent| {
            assert_eq!(sent.header(":method"), "POST");
            assert!(sent.body.len() <= CLIENTS_REPORT_BYTES_MAX);
            (sent.token, ClientsReport::read(&sent.body).unwrap(), sent.body)
        })
        .collect()
}

/// Ticks until there is one.
fn report(instance: &mut Instance) -> (u32, ClientsReport, Vec<u8>) {
    for _ in 0..200 {
        instance.tick_after(200);
        if let Some(report) = reports(instance).pop() {
            return report;
        }
    }
    panic!("no report");
}

#[test]
fn each_client_is_told_with_its_versions_times_and_failures() {
    let mut instance = start(MemoryHost::default(), "");
    instance.exchange(&[("x-user-id", b"ann")], "200");
    instance.exchange(&[("x-user-id", b"new")], "503");
    instance.host.pass_ms(5_000);
    instance.exchange(&[("x-user-id", b"ann")], "404");
    instance.exchange(&[], "200");
    instance.exchange(&[("x-user-id", b"\xff")], "200");
    let (_, report, _) = report(&mut instance);
    assert_eq!((report.node.as_str(), report.sequence, report.revision), ("edge-1/1", 1, 1));
    let rows: Vec<_> =
        report.clients.iter().map(|row| (row.key.as_str(), &row.counts[..])).collect();
    let (first, later) = (NOW_S, NOW_S + 5);
    assert_eq!(
        rows,
        [
            ("ann", &[(0, 2, 0, first, later).into()][..]),
            ("new", &[(1, 1, 1, first, first).into()]),
            ("\u{fffd}", &[(0, 1, 0, later, later).into()]),
        ]
    );
    assert!(report.clients.iter().all(|row| row.identity == Identity::Key && row.agent.is_none()));
}

#[test]
fn a_request_that_got_no_response_is_a_call_and_a_failure_when_envoy_says_so() {
    let mut instance = start(MemoryHost::default(), "");
    let mut left = instance.request(&[("x-user-id", b"left")]);
    instance.end(&mut left);
    let mut reset = instance.request(&[("x-user-id", b"reset")]);
    let code = 503_i64.to_le_bytes().to_vec();
    instance.host.properties.borrow_mut().insert("response.code".to_owned(), code);
    instance.end(&mut reset);
    let (_, report, _) = report(&mut instance);
    let failures: Vec<_> = report.clients.iter().map(|row| row.counts[0].failures).collect();
    assert_eq!(failures, [0, 1]);
}

#[test]
fn a_report_is_repeated_as_it_is_until_it_is_taken() {
    let mut instance = start(MemoryHost::default(), "");
    instance.exchange(&[("x-user-id", b"ann")], "200");
    let (token, _, first) = report(&mut instance);
    instance.exchange(&[("x-user-id", b"bob")], "200");
    for answer in [status(503), status(500), status(401), Answer::default(), status(504)] {
        let (token, _, again) = match answer.status {
            Some(503) => (token, (), first.clone()),
            _ => {
                let (token, _, body) = report(&mut instance);
                (token, (), body)
            }
        };
        assert_eq!(again, first);
        instance.answer(token, &answer);
    }
    // One that is never answered.
    let (old, _, again) = report(&mut instance);
    assert_eq!(again, first);
    let (token, _, again) = report(&mut instance);
    assert_eq!(again, first);
    instance.answer(old, &status(200));
    instance.answer(token, &status(200));
    let (token, second, _) = report(&mut instance);
    assert_eq!((second.sequence, second.clients[0].key.as_str()), (2, "bob"));
    instance.answer(token, &status(200));
    instance.tick_after(30_000);
    assert_eq!(reports(&instance), []);
    assert_eq!(instance.host.metric("crossfade_client_reports"), 2);
}

#[test]
fn a_report_that_will_never_be_taken_is_left_out_and_said_so() {
    let mut instance = start(MemoryHost::default(), "");
    instance.exchange(&[("x-user-id", b"ann")], "200");
    let (token, _, _) = report(&mut instance);
    instance.answer(token, &status(400));
    instance.exchange(&[("x-user-id", b"bob")], "200");
    let (_, second, _) = report(&mut instance);
    assert_eq!((second.sequence, second.dropped, second.clients.len()), (2, 1, 1));
    assert_eq!(instance.host.metric("crossfade_client_reports_refused"), 1);
    assert_eq!(instance.host.metric("crossfade_client_requests_dropped"), 1);
}

#[test]
fn a_server_that_knows_no_such_reports_is_asked_every_half_minute() {
    let mut instance = start(MemoryHost::default(), "");
    instance.exchange(&[("x-user-id", b"ann")], "200");
    let (token, _, _) = report(&mut instance);
    instance.answer(token, &status(404));
    for _ in 0..145 {
        instance.tick_after(200);
        assert_eq!(reports(&instance), []);
    }
    let (token, _, _) = report(&mut instance);
    instance.answer(token, &status(200));
}

#[test]
fn what_does_not_fit_comes_at_once() {
    let mut instance = start(MemoryHost::default(), "");
    let clients = 3_000;
    for n in 0..clients {
        instance.exchange(&[("x-user-id", format!("client {n}").as_bytes())], "200");
    }
    let (mut token, mut next, _) = report(&mut instance);
    let mut found = next.clients.len();
    while next.more {
        instance.answer(token, &status(200));
        (token, next, _) = reports(&instance).pop().expect("the next one, without a tick");
        found += next.clients.len();
    }
    assert_eq!(found, clients);
    instance.answer(token, &status(200));
    assert_eq!(reports(&instance), [], "nothing more");
}

#[test]
fn workers_report_apart() {
    let mut first = start(MemoryHost::default(), "");
    let mut second = start(first.host.beside(), "");
    for instance in [&mut first, &mut second] {
        instance.exchange(&[("x-user-id", b"ann")], "200");
    }
    let (first, second) = (report(&mut first).1, report(&mut second).1);
    assert_eq!((first.node.as_str(), second.node.as_str()), ("edge-1/1", "edge-1/2"));
    assert_ne!(first.epoch, second.epoch);
    assert_eq!(first.clients, second.clients);
}

#[test]
fn a_client_counts_for_the_version_it_was_sent_to_also_when_the_policy_has_changed() {
    let mut instance = start(MemoryHost::default(), "");
    let mut under_the_old = instance.request(&[("x-user-id", b"new")]);
    let document = r#"{"api":"users","versions":["v0","v1","v2"],"key":{"header":"x-user-id"}}"#;
    let body = format!(r#"{{"revision":2,"document":{document}}}"#).into_bytes();
    instance.tick_after(200);
    let sent = instance.host.sent();
    let poll = sent.iter().find(|sent| sent.header(":method") == "GET").unwrap();
    instance.answer(poll.token, &Answer { status: Some(200), etag: None, body: Some(body) });
    instance.response(&mut under_the_old, &[(":status", b"200")]);
    let (_, report, _) = report(&mut instance);
    assert_eq!(report.versions, ["v0", "v1", "v2"]);
    assert_eq!((report.revision, report.clients[0].on), (2, 2));
}
