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
    Answer { status: Some(status), body: Some(Vec::new()), ..Answer::default() }
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
    instance
        .answer(poll.token, &Answer { status: Some(200), body: Some(body), ..Answer::default() });
    instance.response(&mut under_the_old, &[(":status", b"200")]);
    let (_, report, _) = report(&mut instance);
    assert_eq!(report.versions, ["v0", "v1", "v2"]);
    assert_eq!((report.revision, report.clients[0].on), (2, 2));
}

const CLIENTS: &str = r#","clients":{"identity":[{"header":"x-api-key"},"mtls",{"jwt":"sub"},"address"],"declare":{"header":"x-api-migration"}}"#;

/// A host in whose requests these properties are found.
fn properties(pairs: &[(&str, &[u8])]) -> MemoryHost {
    let host = MemoryHost::default();
    let all = pairs.iter().map(|(path, value)| ((*path).to_owned(), value.to_vec()));
    host.properties.replace(all.collect());
    host
}

const SUBJECT: &str = "connection.subject_peer_certificate";
const URI: &str = "connection.uri_san_peer_certificate";
const CLAIM: &str = "metadata.filter_metadata.envoy.filters.http.jwt_authn.jwt_payload.sub";
const ADDRESS: &str = "source.address";

#[test]
fn a_client_without_a_key_is_known_by_the_first_source_that_it_has() {
    let all = [
        (SUBJECT, &b"CN=partner"[..]),
        (URI, b"spiffe://a/b"),
        (CLAIM, b"alice"),
        (ADDRESS, b"[2001:db8::1]:443"),
    ];
    let known = |properties_of: &[(&str, &[u8])], headers: &[(&str, &[u8])]| {
        let mut instance = start(properties(properties_of), CLIENTS);
        instance.exchange(headers, "200");
        // One that has a key, so that there is a report in any case.
        instance.exchange(&[("x-user-id", b"last")], "200");
        let mut clients = report(&mut instance).1.clients;
        assert_eq!(clients.pop().unwrap().key, "last");
        clients.pop().map(|client| (client.key, client.identity))
    };
    let is = |key: &str, identity| Some((key.to_owned(), identity));
    assert_eq!(
        known(&all, &[("x-user-id", b"ann"), ("x-api-key", b"k")]),
        is("ann", Identity::Key)
    );
    assert_eq!(known(&all, &[("x-api-key", b"k")]), is("k", Identity::ApiKey));
    let twice = [("x-api-key", &b"k"[..]), ("x-api-key", b"l")];
    assert_eq!(known(&all, &twice), is("CN=partner", Identity::Mtls), "two keys are none");
    assert_eq!(known(&all[1..], &[("x-api-key", b"")]), is("spiffe://a/b", Identity::Mtls));
    assert_eq!(known(&all[2..], &[]), is("alice", Identity::Jwt));
    let agent = ("user-agent", &b"curl/8.5 (x)"[..]);
    assert_eq!(known(&all[3..], &[agent]), is("2001:db8::1 curl/8.5", Identity::Address));
    assert_eq!(known(&all[3..], &[]), is("2001:db8::1", Identity::Address));
    assert_eq!(known(&[], &[agent]), None, "nobody");
    let long = [b'x'; 1025];
    assert_eq!(known(&all[2..], &[("x-api-key", &long)]), is("alice", Identity::Jwt));
}

#[test]
fn software_and_what_a_client_declares_are_told_where_the_plan_has_clients() {
    use crossfade_core::protocol::clients::Declared;
    let headers: [(&str, &[u8]); 3] = [
        ("x-user-id", b"ann"),
        ("user-agent", b"okhttp/4.12 (x)"),
        ("x-api-migration", b"blocked: no time\x1b"),
    ];
    let told = |plan: &str| {
        let mut instance = start(MemoryHost::default(), plan);
        instance.exchange(&headers, "200");
        let client = report(&mut instance).1.clients.remove(0);
        (client.agent, client.says)
    };
    let blocked = Declared::Blocked("no time".to_owned());
    assert_eq!(told(CLIENTS), (Some("okhttp/4.12".to_owned()), Some(blocked)));
    assert_eq!(told(""), (None, None));
}

#[test]
fn clients_cost_the_host_calls_that_the_documentation_says() {
    let calls = |plan: &str, headers: &[(&str, &[u8])]| {
        let instance = start(MemoryHost::default(), plan);
        instance.host.host_calls.take();
        instance.request(headers);
        instance.host.host_calls.take()
    };
    let key: (&str, &[u8]) = ("x-user-id", b"ann");
    let four = ["now", "request_header", "set_request_header", "remove_request_header"];
    assert_eq!(calls("", &[key]), four);
    assert_eq!(calls(CLIENTS, &[key]).len(), 6, "user agent and declaration");
    let without_declare = r#","clients":{"identity":["address"]}"#;
    assert_eq!(calls(without_declare, &[key]).len(), 5);
    assert_eq!(calls(without_declare, &[]).len(), 6);
    // API key, subject, URI, claim and address, none of which is there: nobody declares.
    assert_eq!(calls(CLIENTS, &[]).len(), 10);
}

/// What a client may send in a header that is looked at.
#[test]
fn hostile_headers_are_short_or_nothing_and_no_trap() {
    let mut instance = start(MemoryHost::default(), CLIENTS);
    let long = vec![b'x'; 64 << 10];
    let parens = vec![b'('; 64 << 10];
    let values: [&[u8]; 8] = [
        &long,
        &parens,
        b"",
        b"\xff\xfe",
        b"\0\x1b[2J",
        b"a\r\nb: c",
        "\u{202e}".as_bytes(),
        b")))/1",
    ];
    for (n, value) in values.iter().enumerate() {
        let key = n.to_string();
        let headers =
            [("x-user-id", key.as_bytes()), ("user-agent", value), ("x-api-migration", value)];
        instance.exchange(&headers, "200");
        instance.exchange(&[("x-api-key", value), ("x-user-id", value)], "200");
        let blocked = [b"blocked:", *value].concat();
        instance.exchange(&[("x-user-id", key.as_bytes()), ("x-api-migration", &blocked)], "200");
    }
    let (_, report, body) = report(&mut instance);
    assert!(report.check().is_ok());
    assert!(body.iter().all(|byte| *byte >= b' '), "control characters are escaped");
    for client in &report.clients {
        let agent = client.agent.as_deref().unwrap_or_default();
        assert!(agent.len() <= 64 && agent.bytes().all(|byte| byte.is_ascii_graphic()), "{agent}");
    }
}
