//! The commands that speak with a server, against a real one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};
use support::process::{Running, crossfade, run, stderr};
use support::serve::{Server, totals};

/// Three steps, of which the second wants a person.
const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 1, duration_minutes: 30 }
    - { percentage: 10, duration_minutes: 60, approval: manual }
    - { percentage: 100, duration_minutes: 60 }
";

/// A server and the directory that it was started in, where its operator's token is found.
struct World {
    server: Server,
    folder: tempfile::TempDir,
}

impl World {
    fn new(more: &[&str]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        std::fs::write(&plan, PLAN).unwrap();
        let data = folder.path().join("crossfade-data");
        World { server: Server::start(&data, Some(&plan), more), folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        ask(&self.server.url, self.folder.path(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.command(arguments), b"")
    }

    /// What a command says that goes well.
    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.said(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What a command complains of that ends with this code.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        stderr(&output)
    }
}

/// A command for a server, in a directory.
fn ask(server: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = crossfade(arguments);
    command.current_dir(folder).env("CROSSFADE_SERVER", server).env_remove("CROSSFADE_TOKEN");
    command
}

#[track_caller]
fn shows(text: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(text.contains(piece), "no {piece:?} in\n{text}");
    }
}

#[test]
fn without_a_server_it_is_said_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was just free.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for arguments in [&["status"][..], &["status", "-w"], &["pause"], &["events", "-f"]] {
        let output = run(ask(&url, folder.path(), arguments), b"");
        assert_eq!(output.status.code(), Some(69), "{arguments:?}");
        assert_eq!(
            stderr(&output),
            format!(
                "crossfade: no server answers at {url} (connection refused): start one with \
                 `crossfade serve PLAN`, or name another with --server or CROSSFADE_SERVER\n"
            )
        );
    }
    let output = run(ask("nonsense", folder.path(), &["status"]), b"");
    assert_eq!(output.status.code(), Some(64));
    shows(&stderr(&output), &["http://"]);
}

#[test]
fn an_operator_leads_a_rollout_through_its_life() {
    let world = World::new(&["--no-start"]);
    shows(&world.said(&["status"]), &["○ no rollout", "`crossfade start` begins the rollout"]);
    let said = world.said(&["start", "--reason", "it is Monday"]);
    shows(&said, &["● progressing  Step 1 of 3: 1 % to the new version"]);
    shows(&world.said(&["status"]), &["users  v1 → v2  ● progressing", "  ●    1 %  30 min"]);
    shows(&world.said(&["pause"]), &["‖ paused  Step 1 of 3"]);
    let refused = world.fails(&["pause"], 65);
    shows(&refused, &["cannot pause a rollout that is paused: `crossfade resume` lets it go on"]);
    shows(&world.said(&["resume"]), &["● progressing"]);
    shows(&world.said(&["promote"]), &["Step 2 of 3: 10 % to the new version"]);

    let output = world.run(&["promote", "--full", "--reason", "enough"]);
    assert_eq!(
        stderr(&output),
        "crossfade: users: v2 goes from 10 % to 100 % now, whatever the gate says\n"
    );
    shows(&String::from_utf8_lossy(&output.stdout), &["✔ completed  Step 3 of 3: 100 %"]);
    let output = world.run(&["undo"]);
    shows(&stderr(&output), &["users: v2 has 100 %; restoring the traffic from before"]);
    shows(&world.said(&["retry"]), &["Step 1 of 3: 1 %"]);
    let output = world.run(&["abort", "--reason", "lunch"]);
    shows(&stderr(&output), &["users: taking v2 back from 1 %; its clients go to v1"]);
    // What is refused is not announced.
    let refused = world.fails(&["abort"], 65);
    shows(&refused, &["cannot abort a rollout that is aborted", "`crossfade retry`"]);
    assert!(!refused.contains("taking"), "{refused}");

    let audit = world.said(&["audit"]);
    for line in
        ["start by operator", "it is Monday", "promote --full by operator", "enough", "lunch"]
    {
        shows(&audit, &[line]);
    }
    let csv = world.said(&["audit", "--output", "csv"]);
    assert_eq!(csv.lines().next(), Some("id,at,who,what,why,revision"));
    let last = world.json(&["audit"])["audit"].as_array().unwrap().last().unwrap()["id"].clone();
    let after = world.json(&["audit", "--after", &last.to_string()]);
    assert_eq!(after, json!({ "audit": [] }));
    let rollout = world.json(&["retry"]);
    assert_eq!(rollout["phase"], "progressing");
}

#[test]
fn whoever_has_no_token_is_told_where_one_is() {
    let world = World::new(&["--no-start"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let away = |arguments: &[&str]| ask(&world.server.url, elsewhere.path(), arguments);
    assert_eq!(run(away(&["status"]), b"").status.code(), Some(0));
    let output = run(away(&["start"]), b"");
    assert_eq!(output.status.code(), Some(77));
    let data = world.folder.path().join("crossfade-data");
    let token = data.join("operator.token");
    shows(
        &stderr(&output),
        &[
            "wants a token with the role `operate`",
            &format!("the operator's is in {}", token.display()),
            "--token-file FILE or in CROSSFADE_TOKEN",
            "./crossfade-data/operator.token",
        ],
    );
    let mut wrong = away(&["start"]);
    wrong.env("CROSSFADE_TOKEN", "not-the-right-one");
    let output = run(wrong, b"");
    assert_eq!(output.status.code(), Some(77));
    shows(&stderr(&output), &["does not know the token from CROSSFADE_TOKEN"]);
    assert!(!stderr(&output).contains("not-the-right-one"));

    let path = token.display().to_string();
    let with_file = run(away(&["start", "--token-file", &path]), b"");
    assert_eq!(with_file.status.code(), Some(0), "{}", stderr(&with_file));
    let mut with_variable = away(&["pause"]);
    with_variable.env("CROSSFADE_TOKEN", std::fs::read_to_string(&token).unwrap());
    assert_eq!(run(with_variable, b"").status.code(), Some(0));
    let missing = run(away(&["start", "--token-file", "nowhere"]), b"");
    assert_eq!(missing.status.code(), Some(74));
    shows(&stderr(&missing), &["cannot read the token in nowhere"]);
}

#[test]
fn roles_are_named_where_a_token_lacks_one() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "grafana read aaaaaaaaaaaaaaaaaaaaaaaa\n").unwrap();
    let plan = folder.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).unwrap();
    let tokens = tokens.display().to_string();
    let server = Server::start(&folder.path().join("data"), Some(&plan), &["--tokens", &tokens]);
    let try_with = |token: Option<&str>, verb: &str| {
        let mut command = ask(&server.url, folder.path(), &[verb]);
        if let Some(token) = token {
            command.env("CROSSFADE_TOKEN", token);
        }
        run(command, b"")
    };
    let reader = Some("aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(try_with(reader, "status").status.code(), Some(0));
    let output = try_with(reader, "pause");
    assert_eq!(output.status.code(), Some(77));
    shows(
        &stderr(&output),
        &["does not allow this with the token from CROSSFADE_TOKEN", "the role `operate`"],
    );
    let output = try_with(None, "status");
    assert_eq!(output.status.code(), Some(77));
    shows(&stderr(&output), &["wants a token with the role `read`"]);
}

#[test]
fn waiting_ends_as_the_rollout_does() {
    let world = World::new(&["--no-start"]);
    let waited = |more: &[&str]| world.run(&[&["status", "--wait"], more].concat());
    // Nobody has begun it.
    assert_eq!(waited(&[]).status.code(), Some(2));
    world.said(&["start"]);
    let output = waited(&["--timeout", "100ms"]);
    assert_eq!(output.status.code(), Some(2));
    shows(&stderr(&output), &["not over after 100ms"]);
    // A person is needed.
    world.said(&["pause"]);
    assert_eq!(waited(&[]).status.code(), Some(2));
    world.said(&["resume"]);

    let waiting = Running::start(world.command(&["status", "--wait"]));
    shows(&waiting.reply().unwrap(), &["progressing: Step 1 of 3: 1 % to v2"]);
    world.said(&["promote", "--full"]);
    let last = std::iter::from_fn(|| waiting.reply()).last().unwrap();
    shows(&last, &["completed: Step 3 of 3: 100 % to v2"]);
    assert_eq!(waiting.end().code(), Some(0));
    world.said(&["undo"]);
    assert_eq!(waited(&[]).status.code(), Some(1));
    shows(&world.fails(&["status", "--timeout", "1s"], 64), &["--wait"]);
}

#[test]
fn a_watch_survives_the_server_it_watches() {
    let world = World::new(&[]);
    let watching = Running::start(world.command(&["status", "-w"]));
    let until = |text: &str| {
        while !watching.reply().expect("it watches on").contains(text) {}
    };
    until("● progressing");
    world.said(&["pause"]);
    until("‖ paused");
    let World { server, folder } = world;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    server.kill();
    watching.logged("connection lost (");
    let data = folder.path().join("crossfade-data");
    let data = data.display().to_string();
    let again = Running::start(crossfade(&["serve", "--data", &data, "--listen", &address]));
    again.logged("listening on");
    watching.logged("connected again");
    let resumed = ask(&format!("http://{address}"), folder.path(), &["resume"]);
    assert_eq!(run(resumed, b"").status.code(), Some(0));
    until("● progressing");
}

#[test]
fn events_go_on_without_a_gap_after_a_crash() {
    let world = World::new(&[]);
    let url = world.server.url.clone();
    let arguments = ["events", "--follow", "--after", "0", "--output", "json"];
    let following = Running::start(world.command(&arguments));
    let seen = |event: &str| loop {
        let line = following.reply().expect("it follows on");
        let happened: Value = serde_json::from_str(&line).unwrap();
        if happened["event"] == event {
            return happened["id"].as_u64().unwrap();
        }
    };
    let begun = seen("step_started");
    world.said(&["pause"]);
    assert_eq!(seen("paused"), begun + 1);
    let World { server, folder } = world;
    server.kill();
    following.logged("connection lost");
    let data = folder.path().join("crossfade-data").display().to_string();
    let address = url.strip_prefix("http://").unwrap();
    let again = Running::start(crossfade(&["serve", "--data", &data, "--listen", address]));
    again.logged("listening on");
    for verb in ["resume", "pause"] {
        assert_eq!(run(ask(&url, folder.path(), &[verb]), b"").status.code(), Some(0));
    }
    let resumed = seen("resumed");
    assert!(resumed > begun + 1, "nothing comes twice");
    assert_eq!(seen("paused"), resumed + 1);

    // Without following it ends where the present begins.
    let output = run(ask(&url, folder.path(), &["events"]), b"");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    shows(
        &text,
        &["step_started     Step 1 began: 1 % to the new version.", "Paused by an operator."],
    );
    let output =
        run(ask(&url, folder.path(), &["events", "--after", &(resumed + 1).to_string()]), b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn a_policy_is_looked_at_compared_and_replaced() {
    let world = World::new(&["--no-start"]);
    let plan = world.said(&["policy", "get"]);
    shows(&plan, &["# revision 1\n", "api: users\n", "    - percentage: 1\n"]);
    // What was printed is what is in force; and so is what was written by hand.
    world.file("same.yaml", &plan);
    assert_eq!(world.said(&["policy", "diff", "same.yaml"]), "");
    assert_eq!(world.said(&["policy", "diff", "plan.yaml"]), "");

    world.file("new.yaml", &PLAN.replace("api: users", "api: users\npins: { partner-7: v1 }"));
    let output = world.run(&["policy", "diff", "new.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    shows(&text, &["--- in force (revision 1)\n+++ new.yaml\n@@ ", "\n+pins:\n+  partner-7: v1\n"]);

    let set = ["policy", "set", "new.yaml", "--revision", "1", "--reason", "partner-7 asked"];
    assert_eq!(world.said(&set), "new.yaml: revision 2 is in force, in the place of 1\n");
    // Somebody else was faster.
    let refused = world.fails(&set, 65);
    shows(&refused, &["1", "2"]);
    assert_eq!(world.json(&["policy", "set", "plan.yaml"])["revision"], 3);
    let history = world.said(&["policy", "history"]);
    shows(&history, &["partner-7 asked", "operator"]);

    let broken = "api: users\nversions: [v1, v2]\nkey: { header: a }\nsplit: { v1: 90, v3: 10 }\n";
    world.file("broken.yaml", broken);
    for verb in ["set", "diff"] {
        assert_eq!(
            world.fails(&["policy", verb, "broken.yaml"], 65),
            "crossfade: broken.yaml has 1 problem:\n\
             broken.yaml:4:22: split.v3: unknown version `v3`: known are v1, v2\n"
        );
    }
    world.said(&["start"]);
    let refused = world.fails(&["policy", "set", "new.yaml"], 65);
    shows(&refused, &["a rollout is running"]);
    assert_eq!(world.fails(&["policy", "set", "nowhere.yaml"], 74).lines().count(), 1);
}

#[test]
fn who_reports_and_who_is_there_is_listed() {
    let world = World::new(&[]);
    assert_eq!(world.said(&["nodes"]), "no node has reported\n");
    let sent = world.server.post("/v1/totals", &totals("edge-\u{1b}[31m1", 1, 40, 1));
    assert_eq!(sent.status, 200, "{sent:?}");
    let nodes = world.said(&["nodes"]);
    shows(&nodes, &["edge-\\x1b[31m1", "00000000000000e1"]);
    assert!(!nodes.contains('\u{1b}'));
    shows(&world.said(&["status"]), &["1 of 1 reporting"]);
    let listed = world.said(&["nodes", "--output", "json"]);
    assert!(!listed.contains('\u{1b}'));
    assert_eq!(world.json(&["nodes"])["nodes"][0]["node"], "edge-\u{1b}[31m1");

    let csv = world.said(&["clients", "--output", "csv"]);
    let columns = "client,identity,version,last_seen,requests,software,old_requests,";
    assert!(csv.starts_with(columns) && csv.lines().count() == 1, "{csv}");
    assert_eq!(world.json(&["clients", "--limit", "5"])["total"], 0);
    shows(&world.fails(&["clients", "--version", "v 9"], 65), &["no version `v 9`"]);
    let sunset = world.run(&["sunset"]);
    assert_eq!(sunset.status.code(), Some(1), "not yet: {sunset:?}");
    shows(
        &String::from_utf8_lossy(&sunset.stdout),
        &["✘ The old version cannot be switched off yet.", "✘ share     the policy sends"],
    );
    let sunset = world.run(&["sunset", "--output", "json"]);
    assert_eq!(sunset.status.code(), Some(1));
    let sunset: Value = serde_json::from_slice(&sunset.stdout).unwrap();
    assert_eq!(sunset["ready"], false);
    assert_eq!(world.json(&["status"])["api"], "users");
}

/// Answers every request with a redirect to the same thing on another server.
fn standby(leader: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let leader = leader.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or("/");
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {leader}{path}\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_standby_leads_on_to_the_leader_with_the_token() {
    let world = World::new(&[]);
    let standby = standby(&world.server.url);
    let through = |arguments: &[&str]| {
        let output = run(ask(&standby, world.folder.path(), arguments), b"");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    shows(&through(&["pause", "--reason", "by way of a standby"]), &["‖ paused"]);
    shows(&through(&["status"]), &["‖ paused"]);
    shows(&through(&["events"]), &["Paused by an operator."]);
    shows(&through(&["audit"]), &["by way of a standby"]);
}

/// Runs a command on a terminal, types a key once the text is there, and prints all that it
/// said.
const ON_A_TERMINAL: &str = "
import os, pty, sys
text, key, command = sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
said, typed = b'', False
while True:
    try:
        more = os.read(terminal, 65536)
    except OSError:
        break
    if not more:
        break
    said += more
    if text in said and not typed:
        os.write(terminal, key)
        typed = True
sys.stdout.buffer.write(said)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn a_page_that_is_always_new_leaves_the_terminal_as_it_was() {
    let world = World::new(&[]);
    // Python, which the tests need anyway, knows how to be a terminal.
    for (key, code) in [("q", 0), ("\u{3}", 130)] {
        let inner = world.command(&["status", "-w"]);
        let mut command = Command::new("python3");
        command.args(["-c", ON_A_TERMINAL, "● progressing", key]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.current_dir(world.folder.path()).env("NO_COLOR", "1").env("TERM", "xterm");
        command.env("CROSSFADE_SERVER", &world.server.url).env_remove("CROSSFADE_TOKEN");
        let output = run(command, b"");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        // Another screen without a cursor, and back.
        let (page, left) = text.split_once("\u{1b}[?1049l").expect("it goes back");
        shows(page, &["\u{1b}[?1049h", "\u{1b}[?25l", "\u{1b}[?25h", "q quit"]);
        // The last page stays.
        assert!(left.contains("● progressing") && !left.contains('\u{1b}'), "{left:?}");
    }
}
