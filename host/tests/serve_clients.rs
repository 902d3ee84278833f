//! What the control plane keeps of clients: reported, told, hashed and forgotten, by a real
//! process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

#[path = "serve_clients/forget.rs"]
mod forget;
mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};
use support::serve::{PLAN, Server};

struct World {
    server: Server,
    folder: tempfile::TempDir,
}

impl World {
    fn new(plan: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.yaml");
        std::fs::write(&file, plan).unwrap();
        let data = folder.path().join("crossfade-data");
        World { server: Server::start(&data, Some(&file), &[]), folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("crossfade-data")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = crossfade(arguments);
        let url = &self.server.url;
        command.current_dir(&self.folder).env("CROSSFADE_SERVER", url);
        run(command.env_remove("CROSSFADE_TOKEN").env_remove("COLUMNS").command_of(), b"")
    }

    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn report(&self, sequence: u64, keys: &[String]) {
        let said = self.server.caller().post_bytes("/v1/client-reports", &report(sequence, keys));
        let said = said.unwrap();
        assert_eq!(said.status, 200, "{said:?}");
    }
}

trait IntoCommand {
    fn command_of(&mut self) -> std::process::Command;
}

impl IntoCommand for std::process::Command {
    fn command_of(&mut self) -> std::process::Command {
        std::mem::replace(self, std::process::Command::new("true"))
    }
}

/// A second call to v1 of each, at a time that has passed.
fn report(sequence: u64, keys: &[String]) -> Vec<u8> {
    let row = |key: &String| {
        json!({ "key": key, "agent": "billing/2.1", "on": 0,
                "counts": [[0, 3, 1, 1_760_000_000, 1_760_000_060]] })
    };
    let rows: Vec<Value> = keys.iter().map(row).collect();
    let report = json!({
        "node": "edge-1", "epoch": "00000000000000e1", "sequence": sequence, "revision": 1,
        "versions": ["v1", "v2"], "clients": rows,
    });
    report.to_string().into_bytes()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Files of the data directory that have this text in them.
fn files_with(data: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(data).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_report_counts_once_however_often_it_comes_and_survives_a_kill() {
    let world = World::new(PLAN);
    for _ in 0..3 {
        world.report(1, &names(&["ann", "bob"]));
    }
    let seen = |server: &Server| server.get("/v1/clients/ann").body["client"]["requests"].clone();
    assert_eq!(seen(&world.server), 3);
    let World { server, folder } = world;
    server.kill();
    let server = Server::start(&folder.path().join("crossfade-data"), None, &[]);
    assert_eq!(seen(&server), 3, "what was acknowledged is there");
    let again = server.caller().post_bytes("/v1/client-reports", &report(1, &names(&["ann"])));
    assert_eq!(again.unwrap().status, 200);
    assert_eq!(seen(&server), 3, "and counts once");
    let wrong = server.caller().post_bytes("/v1/client-reports", b"{}\n").unwrap();
    assert_eq!(wrong.status, 400, "{wrong:?}");
}

#[test]
fn ten_thousand_clients_come_in_pages_and_all_at_once() {
    let world = World::new(PLAN);
    let keys: Vec<String> = (0..10_050).map(|place| format!("c{place:05}")).collect();
    for (place, keys) in keys.chunks(400).enumerate() {
        world.report(place as u64 + 1, keys);
    }
    let page = world.server.get("/v1/clients?sort=client&offset=10000&limit=10000").body;
    assert_eq!((&page["total"], page["clients"].as_array().unwrap().len()), (&json!(10_050), 50));
    let csv = world.said(&["clients", "--all", "--sort", "client", "--output", "csv"]);
    let listed: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(listed, keys);
    let few = world.said(&["clients", "--match", "c0000", "--state", "gone", "--limit", "3"]);
    assert!(few.contains("clients"), "{few}");
}

#[test]
fn what_is_told_of_a_client_needs_a_reason_and_is_in_the_audit_by_a_hash() {
    let world = World::new(PLAN);
    world.report(1, &names(&["ann", "=evil\u{1b}[31m"]));
    let without = world.server.post("/v1/clients/ann/repin", &json!({ "to": "old" }));
    assert_eq!(without.status, 422, "{without:?}");
    let said = world.said(&["clients", "repin", "ann", "--to", "v1", "--reason", "orders fail"]);
    assert!(said.starts_with("ann is pinned back"), "{said}");
    let shown = world.said(&["clients", "show", "ann"]);
    assert!(shown.contains("pinned back") && shown.contains("billing/2.1"), "{shown}");
    let name = world.server.get("/v1/clients/ann").body["audit_name"].clone();
    let name = name.as_str().unwrap();
    let audit = world.said(&["audit"]);
    assert!(audit.contains(&format!("{name}: orders fail")), "{audit}");
    world.said(&["clients", "repin", "ann", "--to", "none", "--reason", "fixed"]);
    world.said(&["clients", "blocked", "ann", "--reason", "contract"]);
    assert!(world.said(&["clients", "--state", "blocked"]).contains("ann"));
    for output in ["csv", "json", "table"] {
        let said = world.said(&["clients", "--output", output]);
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    assert!(world.said(&["clients", "--output", "csv"]).contains("'=evil\\x1b[31m,"));
    assert_eq!(world.server.get("/v1/clients/nobody").status, 404);
}

#[test]
fn whoever_is_forgotten_is_in_no_byte_of_the_store() {
    const WHO: &str = "erasure-subject-4711";
    let world = World::new(PLAN);
    world.report(1, &names(&[WHO, "bob"]));
    world.said(&["clients", "blocked", WHO, "--reason", "contract"]);
    assert!(!files_with(&world.data(), WHO).is_empty(), "it was there");
    let said = world.said(&["clients", "forget", WHO, "--reason", "asked to"]);
    assert!(said.contains("is forgotten") && said.contains("backups"), "{said}");
    assert_eq!(files_with(&world.data(), WHO), [""; 0]);
    assert_eq!(world.server.get(&format!("/v1/clients/{WHO}")).status, 404);
    assert_eq!(world.server.get("/v1/clients/bob").body["client"]["requests"], 3);
}

#[test]
fn under_hashed_privacy_no_name_is_kept_and_a_new_key_still_finds_who_was_there() {
    const WHO: &str = "hashed-subject-4711";
    let world = World::new(&format!("{PLAN}privacy: hashed\n"));
    world.report(1, &names(&[WHO]));
    let listed = world.said(&["clients", "--output", "json"]);
    assert!(listed.contains("\"h:") && !listed.contains(WHO), "{listed}");
    assert!(world.said(&["clients", "show", WHO]).contains("billing/2.1"));
    assert_eq!(files_with(&world.data(), WHO), [""; 0]);
    let pinned = world.run(&["clients", "repin", WHO, "--to", "old", "--reason", "x"]);
    assert!(stderr(&pinned).contains("privacy: hashed"), "{pinned:?}");
    assert!(stderr(&pinned).contains("clients.pinned_back"), "what to do instead: {pinned:?}");
    let World { server, folder } = world;
    server.end();
    let data = folder.path().join("crossfade-data");
    let rotated = run(crossfade(&["data", "rotate-key", data.to_str().unwrap()]), b"");
    assert_eq!(rotated.status.code(), Some(0), "{}", stderr(&rotated));
    let world = World { server: Server::start(&data, None, &[]), folder };
    assert!(world.said(&["clients", "show", WHO]).contains("billing/2.1"), "by the key before");
    world.said(&["clients", "forget", WHO, "--reason", "asked to"]);
    assert_eq!(world.server.get("/v1/clients").body["total"], 0);
}

/// As an operator meets it: one begins, an edge tells whom it hit, it is stopped, and what
/// became of them is told; the life of the migration follows and lets nobody jump.
#[test]
fn a_brownout_is_started_measured_and_stopped_and_the_life_follows() {
    let deprecated = "deprecation: { deprecated_at: 2025-01-01, sunset_at: 2099-01-01 }\n";
    let world = World::new(&format!("{PLAN}{deprecated}"));
    let start = ["brownout", "start", "--minutes", "30", "--percent", "100", "--name", "try"];
    world.said(&[&start[..], &["--reason", "first notice"]].concat());
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now_s = now_s.as_secs() as u32;
    let row = |key: &str, on: u8, refused: u32, at_s: u32| json!({ "key": key, "on": on, "refused": refused, "counts": [[on, 4, 0, at_s, at_s]] });
    let report = |sequence: u64, rows: Vec<Value>| {
        let report = json!({ "node": "edge-1", "epoch": "e1", "sequence": sequence, "revision": 2,
            "versions": ["v1", "v2"], "clients": rows });
        let bytes = report.to_string().into_bytes();
        let said = world.server.caller().post_bytes("/v1/client-reports", &bytes).unwrap();
        assert_eq!(said.status, 200, "{said:?}");
    };
    report(1, vec![row("ann", 0, 4, now_s), row("bob", 0, 4, now_s)]);
    let running = world.said(&["brownout", "report"]);
    assert!(running.contains("hit 2 clients, refused 8 calls"), "{running}");
    let policy = world.server.get("/v1/policy").body;
    assert_eq!(policy["document"]["brownouts"][0]["name"], "try", "edges know of it: {policy}");
    let again = world.run(&[&start[..], &["--reason", "again"]].concat());
    assert_ne!(again.status.code(), Some(0));
    assert!(stderr(&again).contains("give this one another name"), "{}", stderr(&again));
    world.said(&["brownout", "stop", "try", "--reason", "a partner called"]);
    let stopped = world.said(&["brownout", "report"]);
    assert!(stopped.contains("stopped"), "{stopped}");
    let audit = world.said(&["audit"]);
    assert!(audit.contains("a partner called"), "{audit}");
    let life = world.said(&["life"]);
    assert!(life.contains("canary"), "{life}");
    let jump = world.run(&["life", "advance", "gone", "--reason", "impatience", "--force"]);
    assert_ne!(jump.status.code(), Some(0));
    assert!(stderr(&jump).contains("`sunset` has to come between"), "{}", stderr(&jump));
}

/// Of plans, of the one that runs and of one in a file: who would be hit follows from the
/// keys of the clients that the server knows.
#[test]
fn what_a_brownout_would_do_is_told_before_it_does() {
    let brownouts = "deprecation: { deprecated_at: 2025-01-01 }\nbrownouts:\n  \
         - { name: half, start: 2099-01-10T10:00:00, time_zone: Europe/Berlin, minutes: 30, percentage: 50,\n      \
             exempt: [c0], announce_minutes: 1440 }\n  \
         - { name: all, start: 2099-01-10T09:10:00Z, minutes: 5, percentage: 100, status: 429 }\n";
    // Nobody is on v2: then all of them are on the old version.
    let plan = PLAN.replace("percentage: 10", "percentage: 0");
    let world = World::new(&format!("{plan}{brownouts}"));
    let keys: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
    world.report(1, &keys);
    let foreseen = |arguments: &[&str]| -> Value {
        let said = world.said(&[&["brownout", "plan", "--output", "json"], arguments].concat());
        serde_json::from_str(&said).unwrap()
    };
    let ours = foreseen(&[]);
    let [half, all] = [&ours["brownouts"][0], &ours["brownouts"][1]];
    assert_eq!((&half["known_clients"], &all["hit_clients"]), (&json!(200), &json!(200)));
    let hit = half["hit_clients"].as_u64().unwrap();
    assert!((60..140).contains(&hit), "the other one runs at the same time: {half}");
    assert_eq!(half["start_ms"], 4_071_718_800_000_u64, "ten o'clock in Berlin");
    assert_eq!(half["announced_ms"], 4_071_718_800_000_u64 - 86_400_000);
    let text = world.said(&["brownout", "plan"]);
    let told = format!("50 % of keys get 503; hits {hit} of 200 known clients on an old version");
    assert!(text.contains(&told) && text.contains("spares c0"), "{text}");
    assert!(text.contains("100 % of keys get 429"), "{text}");

    let file =
        |name: &str, text: &str| std::fs::write(world.folder.path().join(name), text).unwrap();
    let one = "deprecation: { deprecated_at: 2025-01-01 }\nbrownouts:\n  \
         - { name: one, start: 2099-01-10T10:00:00Z, minutes: 30, percentage: PERCENT }\n";
    file("all.yaml", &format!("{plan}{}", one.replace("PERCENT", "100")));
    assert_eq!(foreseen(&["all.yaml"])["brownouts"][0]["hit_clients"], 200);
    let rule = "attributes: { plan: { header: x-plan } }\nrules:\n  \
         - { name: beta, when: { all: [{ attribute: plan, in: [beta] }] }, to: v2 }\n";
    file("rule.yaml", &format!("{plan}{rule}{}", one.replace("PERCENT", "10")));
    let text = world.said(&["brownout", "plan", "rule.yaml"]);
    assert!(text.contains("hits about 20 of 200"), "{text}");
    assert!(text.contains("the plan's rules look at more than their keys"), "{text}");
    file("none.yaml", &plan);
    assert_eq!(world.said(&["brownout", "plan", "none.yaml"]), "the plan has no brownout\n");

    file("wrong.yaml", &format!("{plan}{}", one.replace("PERCENT", "150")));
    let wrong = world.run(&["brownout", "plan", "wrong.yaml"]);
    assert_eq!(wrong.status.code(), Some(65), "{wrong:?}");
    let lines = PLAN.lines().count() + 3;
    assert!(stderr(&wrong).contains(&format!("wrong.yaml:{lines}:")), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("brownouts[0].percentage: 150"), "{}", stderr(&wrong));
    let missing = world.run(&["brownout", "plan", "nowhere.yaml"]);
    assert!(stderr(&missing).contains("nowhere.yaml"), "{}", stderr(&missing));
    assert_ne!(missing.status.code(), Some(0));
}

/// With more clients than places a sample is kept: every number says so, wherever it is told.
#[test]
fn a_sample_is_never_shown_as_everybody() {
    let brownout = "clients: { limit: 1000 }\ndeprecation: { deprecated_at: 2025-01-01 }\nbrownouts:\n  \
         - { name: half, start: 2099-01-10T10:00:00Z, minutes: 30, percentage: 50 }\n";
    let plan = PLAN.replace("percentage: 10", "percentage: 0");
    let world = World::new(&format!("{plan}{brownout}"));
    let keys: Vec<String> = (0..8_000).map(|place| format!("c{place:05}")).collect();
    for (place, keys) in keys.chunks(400).enumerate() {
        world.report(place as u64 + 1, keys);
    }
    let all = world.run(&["clients", "--all", "--output", "csv"]);
    let rows = String::from_utf8(all.stdout.clone()).unwrap().lines().count() - 1;
    assert!((1..=1_000).contains(&rows), "{rows}");
    let warned = stderr(&all);
    assert!(
        warned.contains("warning: a sample: ") && warned.contains(" there are about "),
        "{warned}"
    );
    let last = |arguments: &[&str]| {
        world.said(&[&["clients"], arguments].concat()).lines().last().unwrap().to_owned()
    };
    let some = last(&["--limit", "100"]);
    assert!(some.starts_with("100 of about ") && some.contains("not all are kept"), "{some}");
    assert!(some.ends_with(": --limit or --all lists more"), "{some}");
    let kept = last(&["--all"]);
    assert!(kept.ends_with(", of whom not all are kept"), "{kept}");
    let none = last(&["--state", "blocked"]);
    assert!(none.starts_with("at most "), "{none}");

    let foreseen = world.said(&["brownout", "plan", "--output", "json"]);
    let foreseen: Value = serde_json::from_str(&foreseen).unwrap();
    let half = &foreseen["brownouts"][0];
    let number = |field: &str| half.pointer(field).and_then(Value::as_u64).unwrap();
    let (known, hit) = (number("/known_clients"), number("/hit_clients"));
    assert_eq!(half["exact"], false, "{half}");
    assert!((6_000..10_000).contains(&known) && (3_000..5_000).contains(&hit), "{half}");
    assert!(number("/known_range/0") <= 8_000 && 8_000 <= number("/known_range/1"), "{half}");
    assert!(number("/hit_range/0") < hit && hit < number("/hit_range/1"), "{half}");
    let text = world.said(&["brownout", "plan"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("hits about ") && text.contains("the server keeps "), "{text}");
}

/// Whoever calls the old version most is in front, also when its last call was to the new.
#[test]
fn the_top_is_by_calls_to_the_old_version_and_names_say_where_they_are_from() {
    let world = World::new(PLAN);
    let (first, last) = (1_760_000_000, 1_760_000_060);
    let report = json!({
        "node": "edge-1", "epoch": "00000000000000e1", "sequence": 1, "revision": 1,
        "versions": ["v1", "v2"], "clients": [
            { "key": "busy", "on": 1, "counts": [[1, 900, 0, first, last]] },
            { "key": "both", "on": 1, "counts": [[0, 500, 0, first, first], [1, 1, 0, last, last]] },
            { "key": "ann", "on": 0, "counts": [[0, 30, 0, first, last]] },
            { "key": "ann", "on": 0, "identity": "jwt", "counts": [[0, 20, 0, first, last]] },
        ],
    });
    let taken =
        world.server.caller().post_bytes("/v1/client-reports", report.to_string().as_bytes());
    assert_eq!(taken.unwrap().status, 200);
    let top = world.said(&["clients", "top", "3", "--output", "csv"]);
    let names: Vec<&str> = top.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(names, ["both", "ann", "ann"], "{top}");
    let top = world.said(&["clients", "top", "3"]);
    assert!(top.contains(" ann (jwt) "), "{top}");
    assert!(top.ends_with("3 of 4 clients: `crossfade clients top N` lists more\n"), "{top}");
    let by = world.server.get("/v1/clients?sort=old_requests&reverse=true&limit=1").body;
    assert_eq!(by["clients"][0]["client"], "busy", "{by}");

    let shown = world.said(&["clients", "show", "ann"]);
    assert!(shown.contains("Others of this name are known by jwt: --identity shows"), "{shown}");
    let shown = world.said(&["clients", "show", "ann", "--identity", "jwt"]);
    assert!(shown.starts_with("ann  known by jwt") && !shown.contains("Others"), "{shown}");
    assert!(!world.said(&["clients", "show", "busy"]).contains("Others"));
    let pin = ["clients", "repin", "ann", "--to", "old", "--reason", "orders fail"];
    let pinned = world.said(&pin);
    let pinned = pinned.split_whitespace().collect::<Vec<_>>().join(" ");
    let others = "That is the one known by key. Others of this name are known by jwt:";
    assert!(pinned.contains(others), "{pinned}");
}

/// What the program knows itself is refused before a server is asked, and with what is right.
#[test]
fn words_and_numbers_that_cannot_be_are_usage_errors() {
    let brownout = ["brownout", "start", "--reason", "x"];
    let start = |more: &[&'static str]| [&brownout[..], more].concat();
    for (arguments, says) in [
        (vec!["clients", "show", "ann", "--identity", "foo"], "possible values: key, sender"),
        (
            vec!["clients", "ready", "ann", "--identity", "api", "--reason", "x"],
            "possible values: key, sender",
        ),
        (vec!["life", "advance", "foo", "--reason", "x"], "possible values: shadow, canary"),
        (start(&["--minutes", "nan", "--percent", "5"]), "`nan` is not a length above 0"),
        (start(&["--minutes", "-1", "--percent", "5"]), "`-1` is not a length above 0"),
        (start(&["--minutes", "0", "--percent", "5"]), "`0` is not a length above 0"),
        (start(&["--minutes", "5", "--percent", "-5"]), "`-5` is not a percentage"),
        (start(&["--minutes", "5", "--percent", "5", "--status", "99"]), "400..=599"),
        (start(&["--minutes", "5", "--percent", "5", "--status", "-1"]), "'-1'"),
        (vec!["audit", "--limit", "10001"], "10000"),
        (vec!["policy", "history", "--limit", "1001"], "1000"),
    ] {
        let output = run(crossfade(&arguments), b"");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}
