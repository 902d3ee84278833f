//! What reaches the HTTP side and is no request: each row of the table in docs/serve.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::http::{Answer, Wire, ask, request};
use support::process::{Running, crossfade};
use support::serve::{PLAN, Server, wait_for};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Nothing is cut before this; everything is a good while before a test gives up.
const CUT_AFTER: Duration = Duration::from_secs(15);

fn start(more: &[&str]) -> (TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let server = Server::start(&directory.path().join("data"), Some(&plan), more);
    (directory, server)
}

fn still_serves(server: &Server) {
    let answer = ask(&server.url, "GET", "/healthz", &[], "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}

#[test]
fn a_wrong_body_is_refused_with_the_field_and_what_would_be_right() {
    let (directory, server) = start(&[]);
    let token = fs::read_to_string(directory.path().join("data/operator.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let post = |path: &str, body: &str| {
        ask(&server.url, "POST", path, &[JSON, ("authorization", &bearer)], body)
    };
    let pause = "/v1/rollout/pause";
    for (path, body, status, words) in [
        (pause, "{", 400, "EOF while parsing"),
        (pause, "{} {}", 400, "trailing characters"),
        (pause, "[1]", 422, "invalid type"),
        (pause, r#"{"resaon":"x"}"#, 422, "unknown field `resaon`, expected `reason` or `full`"),
        (pause, r#"{"reason":7}"#, 422, "reason: invalid type: integer `7`, expected a string"),
        (pause, r#"{"full":true}"#, 422, "full: only `promote` has it"),
        ("/v1/rollout/stop", "{}", 404, "no command `stop`: there are start, pause"),
        ("/v1/outcomes", "{}", 422, "missing field `outcomes`"),
        ("/v1/outcomes", r#"{"outcomes":[{"version":"v9"}]}"#, 422, "unknown version `v9`"),
        ("/v1/totals", "", 400, "no line"),
        ("/v1/totals", "hello\n", 400, "\"code\":12"),
    ] {
        let answer = post(path, body);
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(answer.body.contains(words), "{path} {body}: {answer:?}");
    }
    let query = |path: &str| ask(&server.url, "GET", path, &[], "");
    for (path, words) in [
        ("/v1/policy?wait=61", "wait: 61 is over 60 seconds"),
        ("/v1/policy?wiat=1", "unknown field `wiat`, expected `wait`"),
        ("/v1/audit?after=-1", "after"),
        ("/v1/audit?after=9223372036854775808", "over 2^63 - 1"),
        ("/v1/audit?after=1&before=9", "`after` and `before` are two directions"),
        ("/v1/clients?limit=10001", "limit: 10001 is over 10000"),
        ("/v1/audit?limit=10001", "limit: 10001 is over 10000"),
        ("/v1/policies?limit=1001", "limit: 1001 is over 1000"),
    ] {
        let answer = query(path);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains(words), "{path}: {answer:?}");
    }
    for path in ["/v1/clients?limit=10000", "/v1/audit?limit=10000", "/v1/policies?limit=1000"] {
        assert_eq!(query(path).status, 200, "{path}");
    }
    let newest = query("/v1/audit?before=9007199254740991&limit=1");
    assert!(newest.body.contains("\"id\":1,"), "the first act is the newest: {newest:?}");
    still_serves(&server);
}

#[test]
fn a_body_over_the_limit_is_refused_said_or_sent() {
    let (_directory, server) = start(&[]);
    let over = (4 << 20) + 1;
    // Said: it is not even read.
    let mut wire = Wire::connect(&server.url);
    wire.send(format!(
        "POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ncontent-length: {over}\r\n\r\n"
    ));
    let said = wire.answer().unwrap();
    // Sent, without a word before: it is read up to the limit.
    let mut wire = Wire::connect(&server.url);
    wire.send("POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // The last of them may not be taken any more.
    for _ in 0..=over / 0x10000 {
        wire.send(&chunk);
    }
    let sent = wire.answer().unwrap();
    for answer in [said, sent] {
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.body.contains("over 4 MiB"), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    }
    // At the limit it is read: it is one line that is no totals.
    let whole = ask(&server.url, "POST", "/v1/totals", &[], &"x".repeat(over - 1));
    assert_eq!(whole.status, 400, "{whole:?}");
    still_serves(&server);
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let (_directory, server) = start(&[]);
    let mut wire = Wire::connect(&server.url);
    wire.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: ");
    let part = "x".repeat(1 << 16);
    let taken = (0..160).take_while(|_| wire.send(&part)).count();
    if let Some(answer) = wire.head() {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    assert!(taken < 160, "ten megabytes were read");
    still_serves(&server);
}

#[test]
fn old_and_broken_http_is_answered_or_cut() {
    let (_directory, server) = start(&[]);
    let raw = |text: &str, cut: bool| -> Option<Answer> {
        let mut wire = Wire::connect(&server.url);
        wire.send(text);
        if cut {
            wire.0.shutdown(Shutdown::Write).unwrap();
        }
        let answer = wire.answer();
        // Each of them is the last on its connection.
        let mut rest = Vec::new();
        wire.0.read_to_end(&mut rest).unwrap();
        answer
    };
    let status = |text: &str| raw(text, false).map(|answer| answer.status);
    let cut_off = |text: &str| raw(text, true).map(|answer| answer.status);
    assert_eq!(status("GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n"), Some(200));
    // Without a host nothing says that it is meant for this machine.
    assert_eq!(status("GET /healthz HTTP/1.0\r\n\r\n"), Some(403));
    assert_eq!(status("GET /healthz HTTP/9.9\r\nhost: localhost\r\n\r\n"), Some(400));
    assert_eq!(status("hello\r\n\r\n"), Some(400));
    assert_eq!(status("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n"), Some(400));
    let smuggled = "POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\
                    content-length: 2\r\n\r\nxx";
    assert_eq!(status(smuggled), Some(400));
    // Cut off: in its head, in its body.
    assert_eq!(cut_off("GET /healthz HTTP/1.1\r\nhost: loc"), None);
    let cut = "POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"node\"";
    assert!(matches!(cut_off(cut), Some(400) | None));
    still_serves(&server);
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let (_directory, server) = start(&[]);
    let mut wire = Wire::connect(&server.url);
    let paths = ["/healthz", "/v1/nothing", "/readyz", "/v1/policy"];
    let all: String = paths.iter().map(|path| request("GET", path, &[], "")).collect();
    wire.send(all);
    let statuses = paths.map(|_| wire.answer().unwrap().status);
    assert_eq!(statuses, [200, 404, 200, 200]);
}

/// Whoever sends a head or a body byte by byte, or nothing at all, is not waited for.
#[test]
fn slow_clients_are_cut() {
    let (_directory, server) = start(&[]);
    let cases = [
        ("nothing", "", None),
        ("a head", "GET /healthz HTTP/1.1\r\nx-slow: ", None),
        (
            "a body",
            "POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n",
            Some(408),
        ),
    ];
    let url = &server.url;
    std::thread::scope(|scope| {
        for (what, begin, status) in cases {
            scope.spawn(move || {
                let started = Instant::now();
                let mut wire = Wire::connect(url);
                wire.send(begin);
                let mut dribble = Wire(wire.0.try_clone().unwrap());
                let writer = scope.spawn(move || {
                    // One byte now and then, as long as it is taken.
                    while !begin.is_empty() && dribble.send("x") {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                });
                // Hyper may answer a slow head with 408 before it closes.
                let answer = wire.head().map(|answer| answer.status);
                assert!(answer == status || answer == Some(408), "{what}: {answer:?}");
                assert!(
                    started.elapsed() > CUT_AFTER,
                    "{what} was cut after {:?}",
                    started.elapsed()
                );
                drop(wire.0.shutdown(Shutdown::Both));
                writer.join().unwrap();
            });
        }
        // Others are served meanwhile.
        still_serves(&server);
    });
    still_serves(&server);
}

/// A connection for which there is no place is closed, and places become free again.
#[test]
fn connections_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let data = directory.path().join("data");
    let served = crossfade(&[
        "serve",
        &plan.display().to_string(),
        "--data",
        &data.display().to_string(),
        "--listen",
        "127.0.0.1:0",
    ]);
    // 64 files are kept for other things: there are 32 places.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 96; exec \"$0\" \"$@\""]).arg(served.get_program());
    command.args(served.get_args());
    command.envs(served.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let server = Server::listening(Running::start(command), &data);
    let ask_on = |wire: &mut Wire| {
        wire.send(request("GET", "/healthz", &[], "")).then(|| wire.head()).flatten().is_some()
    };
    let mut wires: Vec<Wire> = (0..40).map(|_| Wire::connect(&server.url)).collect();
    let heard = wires.iter_mut().map(ask_on).filter(|heard| *heard).count();
    assert_eq!(heard, 32);
    drop(wires);
    wait_for("a place is free again", || ask_on(&mut Wire::connect(&server.url)).then_some(()));
    server.kill();
}

fn handshake(url: &str, certificate: &str) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(url.split("://").nth(1).unwrap()).unwrap();
    let mut tls = StreamOwned::new(client, stream);
    let close = request("GET", "/healthz", &[("connection", "close")], "");
    tls.write_all(close.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let shown = tls.conn.peer_certificates().expect("a server shows one");
    Ok(shown[0].clone().into_owned())
}

#[test]
fn tls_is_served_and_a_new_certificate_taken_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let plan = path("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let draw = || {
        let drawn = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("cert.pem"), drawn.cert.pem()).unwrap();
        fs::write(path("key.pem"), drawn.signing_key.serialize_pem()).unwrap();
        drawn.cert.pem()
    };
    let first = draw();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let more = ["--tls-cert", &certificate, "--tls-key", &key];
    let server = Server::start(&path("data"), Some(&plan), &more);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    handshake(&server.url, &first).unwrap();
    let second = draw();
    server.signal(Signal::HUP);
    server.logged("the certificate was read again");
    handshake(&server.url, &second).unwrap();
    handshake(&server.url, &first).unwrap_err();
    // A file that is wrong changes nothing.
    fs::write(&certificate, "nothing").unwrap();
    server.signal(Signal::HUP);
    server.logged("the certificate from before stays");
    handshake(&server.url, &second).unwrap();
    // Whoever does not speak TLS is not answered, and disturbs nobody.
    let mut plain = Wire::connect(&server.url);
    plain.send(request("GET", "/healthz", &[], ""));
    let mut said = Vec::new();
    let _ = plain.0.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    handshake(&server.url, &second).unwrap();
    server.kill();
}

#[test]
fn wrong_tls_files_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml").display().to_string();
    fs::write(&plan, PLAN).unwrap();
    let data = directory.path().join("data").display().to_string();
    let serve = |more: &[&str]| {
        let base = ["serve", &plan, "--data", &data, "--listen", "127.0.0.1:0"];
        let output = crossfade(&[base.as_slice(), more].concat()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = serve(&["--tls-cert", &plan, "--tls-key", &plan]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("no `-----BEGIN CERTIFICATE-----` in it"), "{said}");
    let (code, said) = serve(&["--tls-cert", "/nowhere/cert.pem", "--tls-key", &plan]);
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("cannot read /nowhere/cert.pem"), "{said}");
    let (code, said) = serve(&["--tls-cert", &plan]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--tls-key"), "{said}");
}
