//! `crossfade node` as a process: pipes, signals, files that come and go.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use support::process::{Running, crossfade, run, stderr};
use support::{guest, lines};

const REQUEST: &str = "{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"u\"}\n";
const POISON: &str = "{\"type\":\"get_users\",\"msg_id\":2,\"user_id\":\"poison\"}\n";

/// `crossfade node` with a guest of `tests/guests`.
fn node(name: &str, more: &[&str]) -> std::process::Command {
    let module = guest(name);
    let arguments = ["node", "--module", module.to_str().unwrap()];
    crossfade(&[&arguments, more].concat())
}

fn counted(n: usize) -> String {
    format!("{{\"type\":\"counted\",\"n\":{n},\"now_ms\":0}}")
}

#[test]
fn each_line_is_answered_before_the_next_is_sent() {
    let mut node = Running::start(node("guest_counts", &[]));
    for n in 1..=100 {
        node.send(REQUEST);
        assert_eq!(node.reply(), Some(counted(n)));
    }
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn the_built_in_engine_answers_every_line_that_is_not_blank() {
    let output = run(crossfade(&["node"]), format!("{REQUEST}\n \t\r\nnonsense\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(lines(&output.stdout).len(), 2);
}

#[test]
fn a_last_line_without_its_newline_is_served() {
    let output = run(node("guest_counts", &[]), REQUEST.trim_end().as_bytes());
    assert_eq!(lines(&output.stdout), [counted(1)]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_poisoned_line_costs_one_reply() {
    let input = format!("{REQUEST}{POISON}{REQUEST}");
    let output = run(node("guest_stumbles", &[]), input.as_bytes());
    let refused = "{\"type\":\"refused\",\"n\":2,\"now_ms\":0}".to_owned();
    assert_eq!(lines(&output.stdout), [counted(1), refused, counted(3)]);
    assert_eq!(output.status.code(), Some(0));
    let log = stderr(&output);
    assert!(log.contains("the engine failed and is replaced: panicked at"), "{log}");
}

#[test]
fn a_line_over_the_limit_is_refused_and_the_next_one_served() {
    let mut input = vec![b'x'; 10 << 20];
    input.push(b'\n');
    input.extend_from_slice(REQUEST.as_bytes());
    let output = run(node("guest_counts", &[]), &input);
    let refused = "{\"type\":\"refused\",\"n\":1,\"now_ms\":0}".to_owned();
    assert_eq!(lines(&output.stdout), [refused, counted(2)]);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut command = node("guest_counts", &["--log-level", "warn"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // The pipe to it breaks when it has ended; until then there is always more.
    while stdin.write_all(REQUEST.as_bytes()).is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let mut command = node("guest_counts", &["--log-level", "warn"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(
        stderr(&output),
        "crossfade: cannot write to stdout: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_full_disk_under_stderr_is_no_matter() {
    let mut command = node("guest_stumbles", &[]);
    command.stderr(File::options().write(true).open("/dev/full").unwrap());
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{POISON}{REQUEST}").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines(&output.stdout).len(), 2);
}

#[test]
fn a_stdin_that_cannot_be_read_is_an_error() {
    let mut command = node("guest_counts", &[]);
    let output = command.stdin(File::open("/").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(stderr(&output).contains("cannot read stdin: Is a directory"), "{}", stderr(&output));
}

#[test]
fn signals_end_it_at_once_with_their_codes() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut node = Running::start(node("guest_counts", &[]));
        node.send(REQUEST);
        assert_eq!(node.reply(), Some(counted(1)));
        node.signal(signal);
        assert_eq!(node.child.wait().unwrap().code(), Some(code));
    }
}

/// An engine that never answers must not keep Ctrl-C waiting.
#[test]
fn ctrl_c_ends_a_guest_that_loops() {
    let mut node = Running::start(node("guest_loops", &["--deadline", "1h"]));
    node.send(REQUEST);
    assert!(node.reply().unwrap().contains("users_response"));
    node.send(POISON);
    node.signal(Signal::INT);
    assert_eq!(node.child.wait().unwrap().code(), Some(130));
}

/// Lines stream in while the module is loaded again, three times, and replaced by
/// garbage once. The engine numbers its lines: none is lost, none served twice.
#[test]
fn a_reload_under_traffic_drops_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("guest.wasm");
    let wasm = fs::read(guest("guest_counts")).unwrap();
    fs::write(&module, &wasm).unwrap();
    let mut node = Running::start(crossfade(&["node", "--module", module.to_str().unwrap()]));

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut stdin = node.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let mut sent = 0;
        while !stopped.load(Ordering::Relaxed) {
            stdin.write_all(REQUEST.repeat(100).as_bytes()).unwrap();
            sent += 100;
        }
        sent
    });
    // The first reply shows that the signal handler is in place.
    assert_eq!(node.reply(), Some(counted(1)));
    for _ in 0..3 {
        node.signal(Signal::HUP);
        node.logged("is loaded, the state carried over");
    }
    fs::write(&module, "garbage").unwrap();
    node.signal(Signal::HUP);
    node.logged(
        "is not a WebAssembly module: it does not begin with \\0asm; the running engine serves on",
    );

    stop.store(true, Ordering::Relaxed);
    let sent = writer.join().unwrap();
    for n in 2..=sent {
        assert_eq!(node.reply(), Some(counted(n)));
    }
    assert_eq!(node.reply(), None);
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn a_watched_module_is_loaded_when_its_file_changes() {
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("guest.wasm");
    fs::copy(guest("guest_counts"), &module).unwrap();
    let mut node =
        Running::start(crossfade(&["node", "--watch", "--module", module.to_str().unwrap()]));
    node.send(POISON);
    assert_eq!(node.reply(), Some(counted(1)), "to the first module this line is like any other");

    let next = dir.path().join("next.wasm");
    fs::copy(guest("guest_stumbles"), &next).unwrap();
    fs::rename(&next, &module).unwrap();
    node.logged("is loaded, the state carried over");
    node.send(POISON);
    assert_eq!(node.reply().as_deref(), Some("{\"type\":\"refused\",\"n\":2,\"now_ms\":0}"));
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn on_the_wall_clock_time_acts_by_itself_and_events_are_logged() {
    let mut node = Running::start(node("guest_counts", &["--clock", "wall"]));
    // This guest has a late reply at its fifth tick, and an event at every tenth.
    assert_eq!(node.reply().as_deref(), Some("{\"type\":\"late_reply\"}"));
    let event = node.logged("\"event\":\"ten\"");
    assert!(event.contains("INFO"), "{event}");
    node.send(REQUEST);
    let reply = node.reply().unwrap();
    let now_ms: u64 = reply
        .split_once("\"now_ms\":")
        .and_then(|(_, rest)| rest.trim_end_matches('}').parse().ok())
        .unwrap();
    assert!(now_ms > 1_700_000_000_000, "{reply}");
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn the_seed_is_said_and_taken() {
    let output = run(crossfade(&["node", "--seed", "1234"]), b"");
    assert!(stderr(&output).contains("seed 1234 (repeat with --seed 1234)"), "{}", stderr(&output));
    let seeds = [(); 2].map(|()| {
        let log = stderr(&run(crossfade(&["node"]), b""));
        let (_, seed) = log.split_once("--seed ").unwrap_or_else(|| panic!("no seed in {log}"));
        seed.trim().trim_end_matches(')').parse::<u64>().unwrap()
    });
    assert_ne!(seeds[0], seeds[1], "a drawn seed is never the same");
}

/// Whoever mistypes a fleet's address is told what is wrong with it, never its password.
#[test]
fn a_fleet_that_cannot_be_joined_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let creds = dir.path().join("eu-1.creds");
    fs::write(&creds, "secret without a user").unwrap();
    let creds = creds.to_str().unwrap();
    let fleet = ["--api", "users", "--join", "nats://127.0.0.1:4222"];
    let join = |address: &'static str| ["--api", "users", "--join", address];
    for (arguments, code, message) in [
        (&join("http://h")[..], 64, "--join: it does not begin with `nats://` or `tls://`"),
        (&join("nats://eu-1:secret@h:99999"), 64, "`h:99999` is no `HOST:PORT`"),
        (&join("nats://eu-1:secret@h?replica=1"), 64, "`replica=1` is no option of it"),
        (&["--join", "nats://h"], 64, "--api"),
        (&["--api", "users"], 64, "--join"),
        (&[&fleet[..], &["--clock", "virtual"]].concat(), 64, "goes with --clock wall"),
        (&[&fleet[..], &["--store-creds", creds]].concat(), 65, "neither one line `USER:PASSWORD`"),
        (
            &[&fleet[..], &["--store-creds", "/nonexistent"]].concat(),
            74,
            "cannot read /nonexistent",
        ),
        (&[&fleet[..], &["--store-ca", "/nonexistent"]].concat(), 74, "there is no such file"),
    ] {
        let output = run(crossfade(&[&["node"], arguments].concat()), b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(message) && !said.contains("secret"), "{arguments:?}: {said}");
    }
}

/// Each wrong start has its exit code, and one line that says why.
#[test]
fn a_start_that_cannot_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = file("text.wasm", b"hello");
    let cut = file("cut.wasm", &fs::read(guest("guest_counts")).unwrap()[..2000]);
    let plan = file("plan.json", b"{");
    let refused = file("plan.yaml", b"api: users\nversions: [v1, v2]\nkey: { headr: a }\n");
    let at_line_3 = format!("plan.yaml has 2 problems:\n{refused}:3:1: key: exactly one of");
    for (arguments, code, message) in [
        (
            ["--module", "/nonexistent"],
            74,
            "crossfade: cannot read module /nonexistent: No such file",
        ),
        (["--module", &text], 65, "does not begin with \\0asm"),
        (["--module", &cut], 65, "is truncated, damaged"),
        (
            ["--policy", "/nonexistent"],
            74,
            "crossfade: cannot read policy /nonexistent: No such file",
        ),
        (["--policy", &plan], 65, "plan.json:"),
        (["--policy", &refused], 65, &at_line_3),
        (["--policy", "-"], 64, "standard input holds the requests"),
        (["--seed", "x"], 64, "invalid digit"),
        (["--memory-limit", "1KiB"], 64, "2MiB at least"),
        (["--deadline", "2h"], 64, "an hour is the most"),
        (["--clock", "sundial"], 64, "invalid value 'sundial'"),
    ] {
        let output = run(crossfade(&[&["node"], arguments.as_slice()].concat()), b"");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(lines(&output.stdout), [""; 0]);
    }
    for (arguments, code) in
        [(&["--help"][..], 0), (&["--version"], 0), (&[], 64), (&["node", "--watch"], 64)]
    {
        assert_eq!(run(crossfade(arguments), b"").status.code(), Some(code), "{arguments:?}");
    }
}
