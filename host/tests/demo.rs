//! `crossfade demo` as a whole, with its own endpoint: a broken v2, the record of it, and
//! its end. With an Envoy it is tried in `tests/e2e`.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use support::process::{Running, crossfade, run, stderr};

/// Its files go below `folder`, which is empty at its end.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let common = ["demo", "--through", "own", "--port", "0", "--output", "json", "--seed", "7"];
    let mut command = crossfade(&[&common, arguments].concat());
    command.env("TMPDIR", folder);
    command
}

fn events(said: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(said.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_broken_v2_is_taken_back_and_every_decision_can_be_played_again() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("run.jsonl");
    let path = record.to_str().unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--fault", "errors", "--until", "complete", "--record", path];
    let output = run(demo(temporary.path(), &arguments), b"");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left");
    let events = events(&output.stdout);
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let fault = of("fault").next().expect("v2 was broken");
    assert_eq!(fault["fault"], "errors");
    let told: Vec<&str> =
        of("control").filter_map(|event| event["control"]["event"].as_str()).collect();
    for name in ["step_passed", "rollback_started", "rolled_back"] {
        assert!(told.contains(&name), "{name}: {told:?}");
    }
    let back = of("control").find(|event| event["control"]["event"] == "rollback_started").unwrap();
    assert_eq!(
        (&back["control"]["because"], &back["control"]["from"]),
        (&"unhealthy".into(), &25.into())
    );
    assert!(back["sentence"].as_str().unwrap().contains("v2 fails more than"), "{back}");
    let ended = of("ended").next().unwrap();
    assert_eq!((&ended["same"], &ended["seen"]["lost"]), (&true.into(), &0.into()), "{ended}");
    let count = |path: &str| ended["seen"].pointer(path).and_then(Value::as_u64).unwrap();
    let answered = ["/served/0", "/served/1", "/brownout", "/gone"].map(count).iter().sum::<u64>();

    // The same engine says the same.
    let output = run(crossfade(&["replay", "--output", "json", path]), b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let played: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&played["same"], &played["difference"]), (&true.into(), &Value::Null));
    assert_eq!(played["complete"], true, "{played}");
    // One for each request; on a slow machine the last may still be under way.
    let decisions = played["decisions"].as_u64().unwrap();
    let asked = answered..=count("/sent");
    assert!(asked.contains(&decisions) && asked.end() - answered < 20, "{decisions}: {ended}");

    // Another one would be found out, at the first call.
    let text = fs::read_to_string(&record).unwrap();
    let (line, _) = text.lines().enumerate().find(|(_, line)| line.contains("route_ok")).unwrap();
    let other = text.replacen(
        r#""type":"route_ok","in_reply_to":1,"version":"v1""#,
        r#""type":"route_ok","in_reply_to":1,"version":"v9""#,
        1,
    );
    fs::write(&record, &other).unwrap();
    let output = run(crossfade(&["replay", path]), b"");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("says something else") && said.contains(r#""version":"v9""#), "{said}");
    let first = other.lines().position(|line| line.contains(r#""v9""#)).unwrap();
    assert!(first >= line && said.contains(&format!("line {}:", first + 1)), "{said}");

    // One that breaks off is told from one that differs.
    fs::write(&record, &text.as_bytes()[..text.len() - 9]).unwrap();
    let output = run(crossfade(&["replay", path]), b"");
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("breaks off"), "{}", stderr(&output));
}

/// A demo that goes on with what is there is heard by the control plane, whatever its seed:
/// what has the epoch of a run before is old news there.
#[test]
fn a_second_demo_on_the_same_data_with_the_same_seed_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let temporary = tempfile::tempdir().unwrap();
    // Reports of the node under an epoch that is not the one given.
    let heard_beside = |epoch: &str| -> String {
        let arguments = ["--data", data.to_str().unwrap(), "--rps", "40"];
        let running = Running::start(demo(temporary.path(), &arguments));
        let started: Value = serde_json::from_str(&running.reply().unwrap()).unwrap();
        let page = started["page"].as_str().unwrap().trim_end_matches('/').to_owned();
        let heard = support::serve::wait_for("a report of another epoch", || {
            let mut answer = ureq::get(format!("{page}/v1/nodes")).call().ok()?;
            let text = answer.body_mut().read_to_string().ok()?;
            let nodes: Value = serde_json::from_str(&text).ok()?;
            let mut epochs =
                nodes["nodes"].as_array()?.iter().filter_map(|one| one["epoch"].as_str());
            epochs.find(|found| *found != epoch).map(str::to_owned)
        });
        running.signal(Signal::INT);
        assert_eq!(running.end().code(), Some(130));
        heard
    };
    let first = heard_beside("");
    assert_ne!(heard_beside(&first), first);
}

/// The start of an engine, one decision of it, and the end.
const RECORD: [&str; 3] = [
    r#"{"crossfade_record":1,"crossfade":"0.1.0","seed":0,"at_ms":0,"document":{}}"#,
    r#"{"at_ms":0,"call":"handle","ask":{"type":"get_users","msg_id":1,"user_id":"user123"},"said":[{"type":"users_response","in_reply_to":1,"version":"v1"}]}"#,
    r#"{"end":1}"#,
];

#[test]
fn a_record_says_whether_it_is_whole_and_is_played_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("access.log"), "no line of a log\n").unwrap();
    let replay = |lines: &[&str], arguments: &[&str], stdin: bool| {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        fs::write(folder.path().join("run.jsonl"), &text).unwrap();
        let mut command = crossfade(&[&["replay"], arguments].concat());
        command.current_dir(&folder);
        let output = run(command, if stdin { text.as_bytes() } else { b"" });
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), said + &stderr(&output))
    };
    let check = |lines: &[&str], arguments: &[&str], expected: (i32, &str)| {
        let (code, said) = replay(lines, arguments, arguments.contains(&"-"));
        assert!(code == expected.0 && said.contains(expected.1), "{arguments:?}: {code} {said}");
        said
    };
    let [head, call, end] = RECORD;
    let same = "1 call played again, 0 of them decisions: every byte is the same\n";
    for place in ["run.jsonl", "-"] {
        check(&RECORD, &[place], (0, same));
        check(&RECORD, &["--output", "json", place], (0, r#""complete": true"#));
        check(&[head, call], &[place], (0, "The record has no end"));
        check(&[head, call], &["--output", "json", place], (0, r#""complete": false"#));
        check(&[head], &[place], (65, "a record without any call"));
        check(&[head, r#"{"end":0}"#], &[place], (65, "a record without any call"));
        check(
            &[head, end],
            &[place],
            (65, "line 2: calls that were recorded: 1; calls that are here: 0"),
        );
        check(&[head, call, end, call], &[place], (65, "line 4: there is more after the end"));
        let refused = head.replace("{}", r#"{"policy":{"versions":5}}"#);
        let said = check(&[&refused, call, end], &[place], (65, "refuses to start"));
        assert!(!said.contains("same"), "{said}");
        // What is for logs says nothing of a record.
        let options = ["--top", "3", "--canary=10", place];
        let said = check(&RECORD, &options, (64, "--canary, --top is for logs"));
        assert!(said.contains("--module, and --output human or json"), "{said}");
        check(&RECORD, &["--census", "--output", "csv", place], (64, "--census is for logs"));
        check(&RECORD, &["--output", "csv", place], (64, "--output csv is for logs"));
        for both in [[place, "access.log"], ["access.log", place]] {
            check(
                &RECORD,
                &both,
                (64, "is a record of `crossfade demo`: it is played again by itself"),
            );
        }
    }
    // A log on standard input is still read from its beginning.
    let (code, said) = replay(&["no line of a log"], &["-"], true);
    assert!(code == 65 && said.contains("nothing to replay"), "{code} {said}");
}

/// The folders of demos in here.
fn folders(temporary: &Path) -> Vec<String> {
    let names = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn what_a_demo_that_was_killed_has_left_goes_with_the_next_and_one_that_runs_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let start = || {
        let running = Running::start(demo(temporary.path(), &[]));
        running.reply().unwrap();
        running
    };
    let killed = start();
    let left = folders(temporary.path());
    assert_eq!(left.len(), 1);
    killed.signal(Signal::KILL);
    killed.end();
    assert_eq!(folders(temporary.path()), left);
    // Not a demo's, whatever it is called.
    fs::create_dir(temporary.path().join("crossfade-demo-mine")).unwrap();

    let first = start();
    let there = folders(temporary.path());
    assert!(there.len() == 2 && !there.contains(&left[0]), "{there:?}");
    let second = start();
    assert_eq!(folders(temporary.path()).len(), 3, "each has its own");
    for running in [first, second] {
        running.signal(Signal::INT);
        assert_eq!(running.end().code(), Some(130));
    }
    assert_eq!(folders(temporary.path()), ["crossfade-demo-mine"]);
}

#[test]
fn ctrl_c_ends_all_that_it_started() {
    let temporary = tempfile::tempdir().unwrap();
    let running = Running::start(demo(temporary.path(), &[]));
    let started: Value = serde_json::from_str(&running.reply().unwrap()).unwrap();
    let address = |name: &str| {
        let url = started[name].as_str().unwrap();
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    };
    let addresses = ["page", "traffic", "v1", "v2"].map(address);
    for address in &addresses {
        TcpStream::connect(address).unwrap();
    }
    // The button: breaking it is an event, and a fault that there is not is refused.
    let press = |fault: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.build().new_agent();
        let url = format!("http://{}/fault/{fault}", addresses[3]);
        agent.post(url).send_empty().unwrap().status().as_u16()
    };
    assert_eq!((press("slow"), press("fire")), (200, 404));
    while !running.reply().unwrap().contains(r#""event":"fault""#) {}
    running.signal(Signal::INT);
    assert_eq!(running.end().code(), Some(130));
    for address in &addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} still listens");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_cannot_be_started_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let check = |arguments: &[&str], exit: i32, words: &str| {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = crossfade(&[&["demo"], arguments].concat());
        command.env("TMPDIR", temporary.path());
        let output = run(command, b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{arguments:?}");
    };
    check(&["--port", &port, "--through", "own"], 74, "take another port with --port");
    check(&["--port", "0", "--envoy", "/nowhere/envoy"], 69, "no Envoy: /nowhere/envoy is no file");
    check(&["--port", "0", "--record", "/nowhere/run"], 74, "cannot write the record /nowhere/run");
    if Path::new("/dev/full").exists() {
        check(&["--port", "0", "--record", "/dev/full"], 74, "make room");
    }
    check(&["--through", "envoy", "--record", "r"], 64, "--record goes with --through own");
    check(&["--rps", "5"], 64, "not from 20 to 2000");
}

/// Every command of the quick start is one, with options that there are. What they do is
/// tested where they are; this notices when one is renamed.
#[test]
fn the_quick_start_names_commands_and_options_that_there_are() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quick-start.md");
    let text = fs::read_to_string(page).unwrap();
    // Of all blocks, executed by `docs.rs` or not: what stands between two fences.
    let blocks = text.split("```").skip(1).step_by(2);
    let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
    let commands: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("crossfade ")).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let depth = if words[0] == "export" { 2 } else { 1 };
        let output = run(crossfade(&[&words[..depth], &["--help"]].concat()), b"");
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = String::from_utf8(output.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with('-')) {
            let known = [' ', ',', '\n'].iter().any(|end| help.contains(&format!("{option}{end}")));
            assert!(known, "{command}: no {option} in\n{help}");
        }
        // Values that are a choice.
        for pair in words.windows(2).filter(|pair| ["--fault", "--until"].contains(&pair[0])) {
            assert!(help.contains(&format!("- {}:", pair[1])), "{command}: {help}");
        }
        for file in words.iter().filter(|word| word.starts_with("examples/")) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            assert!(file.exists(), "{command}: no {}", file.display());
        }
    }
}
