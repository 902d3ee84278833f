//! Commands that come twice: because an answer was lost, because somebody was unsure, or
//! because the server died over the first.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Barrier;

use serde_json::{Value, json};
use support::http::{Answer, ask};
use support::serve::{ROLLOUT, Server};

const TOKENS: &str = "\
alice operate,report secret-of-alice-secret
bob operate secret-of-bob-secret-too
eve admin secret-of-eve-secret-too
";

struct World {
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.yaml"), ROLLOUT).unwrap();
        std::fs::write(folder.path().join("tokens"), TOKENS).unwrap();
        let mut world = World { folder, server: None };
        world.start();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) {
        let (plan, tokens) = (self.path("plan.yaml"), self.path("tokens"));
        let more = ["--tokens", tokens.to_str().unwrap()];
        self.server = Some(Server::start(&self.path("data"), Some(&plan), &more));
    }

    /// `kill -9`, and a start on what it left.
    fn crash(&mut self) {
        self.server.take().unwrap().kill();
        self.start();
    }

    fn url(&self) -> &str {
        &self.server.as_ref().unwrap().url
    }

    fn ask(
        &self,
        who: &str,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        say(self.url(), who, (method, path), more, body)
    }

    /// A command with a key.
    fn command(&self, who: &str, command: &str, key: &str, reason: &str) -> Answer {
        tell(self.url(), who, command, key, reason)
    }

    fn get(&self, path: &str) -> Value {
        let said = self.ask("alice", "GET", path, &[], &Value::Null);
        assert_eq!(said.status, 200, "{said:?}");
        serde_json::from_str(&said.body).unwrap()
    }

    fn step(&self) -> u64 {
        self.get("/v1/rollout")["step"].as_u64().unwrap()
    }

    /// Who did what, as the audit log has it, without what happens by itself.
    fn acts(&self) -> Vec<(String, String)> {
        let rows = self.get("/v1/audit")["audit"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let acts = rows.as_array().unwrap().iter().filter(|row| row["who"] != "crossfade");
        acts.map(|row| (text(&row["who"]), text(&row["what"]))).collect()
    }
}

/// Something that somebody asks of the server there.
fn say(
    url: &str,
    who: &str,
    (method, path): (&str, &str),
    more: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let token = TOKENS.lines().find(|line| line.starts_with(who)).unwrap();
    let token = format!("Bearer {}", token.rsplit(' ').next().unwrap());
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(url, method, path, &[&headers, more].concat(), &body)
}

fn tell(url: &str, who: &str, command: &str, key: &str, reason: &str) -> Answer {
    let path = format!("/v1/rollout/{command}");
    say(url, who, ("POST", &path), &[("idempotency-key", key)], &json!({ "reason": reason }))
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[track_caller]
fn acts(world: &World, expected: &[(&str, &str)]) {
    let acts = world.acts();
    let acts: Vec<(&str, &str)> = acts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(acts, expected);
}

#[test]
fn a_command_that_comes_again_gets_the_first_answer_and_is_not_done_again() {
    let mut world = World::new();
    let first = world.command("alice", "promote", "\"k-1\"", "seen enough");
    assert_eq!((first.status, world.step(), replayed(&first)), (200, 2, false), "{first:?}");
    // In quotes or without, it is one key.
    for key in ["k-1", "\"k-1\""] {
        let again = world.command("alice", "promote", key, "seen enough");
        assert_eq!((again.status, world.step(), replayed(&again)), (200, 2, true), "{again:?}");
        assert_eq!(again.body, first.body);
    }
    // Another key is another command, and so is another's key.
    assert_eq!(world.command("alice", "promote", "k-2", "seen enough").status, 200);
    let bobs = world.command("bob", "promote", "k-1", "seen enough");
    assert_eq!((bobs.status, world.step(), replayed(&bobs)), (200, 4, false), "{bobs:?}");

    // Nobody remembers this but the store.
    world.crash();
    let again = world.command("alice", "promote", "k-1", "seen enough");
    assert_eq!((again.status, world.step(), replayed(&again)), (200, 4, true), "{again:?}");
    assert_eq!(again.body, first.body, "the first answer, to the byte");
    // A clean end writes a checkpoint, and it is still there.
    world.server.take().unwrap().end();
    world.start();
    let again = world.command("alice", "promote", "k-1", "seen enough");
    assert_eq!((again.body, world.step()), (first.body, 4));
    let promoted = ["alice", "alice", "bob"].map(|who| (who, "promote"));
    acts(&world, &promoted);
}

#[test]
fn a_key_of_something_else_is_refused_and_says_so() {
    let world = World::new();
    assert_eq!(world.command("alice", "pause", "k", "lunch").status, 200);
    for (command, reason) in [("pause", "dinner"), ("resume", "lunch"), ("abort", "lunch")] {
        let said = world.command("alice", command, "k", reason);
        assert_eq!(said.status, 422, "{said:?}");
        assert_eq!(said.header("content-type"), Some("application/problem+json"));
        assert!(said.body.contains("idempotency-key `k` was used for something else: nothing was"));
    }
    for (key, why) in [("", "it is empty"), ("a b", "' ' is in it"), ("\"a", "missing at its end")]
    {
        let said = world.command("alice", "resume", key, "");
        assert_eq!(said.status, 400, "{said:?}");
        assert!(said.body.contains(why), "{said:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let said = world.ask("alice", "POST", "/v1/rollout/resume", &twice, &json!({}));
    assert_eq!(said.status, 400, "{said:?}");
    acts(&world, &[("alice", "pause")]);
}

/// What was refused has changed nothing, and is judged anew when it comes again.
#[test]
fn what_was_refused_may_be_done_when_it_comes_again() {
    let world = World::new();
    assert_eq!(world.command("alice", "resume", "k", "").status, 409);
    assert_eq!(world.command("bob", "pause", "p", "").status, 200);
    let said = world.command("alice", "resume", "k", "");
    assert_eq!((said.status, replayed(&said)), (200, false), "{said:?}");
    acts(&world, &[("bob", "pause"), ("alice", "resume")]);
}

#[test]
fn of_many_that_come_at_once_one_is_done_and_all_are_answered_alike() {
    const AT_ONCE: usize = 32;
    let world = World::new();
    let together = Barrier::new(AT_ONCE);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let url = world.url();
        let ask = || {
            together.wait();
            tell(url, "alice", "promote", "k", "all at once")
        };
        let asking: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(world.step(), 2);
    assert!(answers.iter().all(|one| (one.status, &one.body) == (200, &answers[0].body)));
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    acts(&world, &[("alice", "promote")]);
}

#[test]
fn everything_an_operator_may_do_has_keys() {
    let mut world = World::new();
    let clients = json!({
        "node": "edge-1", "epoch": "00000000000000e1", "sequence": 1, "revision": 1,
        "versions": ["v1", "v2"],
        "clients": [{ "key": "ann", "on": 0, "counts": [[0, 3, 1, 1_760_000_000, 1_760_000_060]] }],
    });
    assert_eq!(world.ask("alice", "POST", "/v1/client-reports", &[], &clients).status, 200);
    let there = world.get("/v1/policy");
    let mut document = there["document"].clone();
    document["clients"] = json!({ "blocked": ["zoe"] });
    assert_eq!(world.command("alice", "abort", "k-abort", "").status, 200);
    let etag = format!("\"{}\"", world.get("/v1/policy")["revision"]);
    let policy = json!({ "document": document, "reason": "a list" });
    let brownout = json!({ "name": "b", "minutes": 5, "percentage": 1, "reason": "a try" });
    let stop = json!({ "reason": "enough" });
    let commands = [
        ("PUT", "/v1/policy", &policy),
        ("POST", "/v1/clients/ann/declare", &json!({ "says": "ready", "reason": "asked" })),
        ("POST", "/v1/clients/ann/repin", &json!({ "to": "old", "reason": "asked" })),
        ("POST", "/v1/brownouts", &brownout),
        ("POST", "/v1/brownouts/b/stop", &stop),
    ];
    let mut firsts = Vec::new();
    for (place, (method, path, body)) in commands.iter().enumerate() {
        let key = format!("k-{place}");
        let more = [("idempotency-key", key.as_str()), ("if-match", etag.as_str())];
        let first = world.ask("alice", method, path, &more, body);
        assert_eq!((first.status, replayed(&first)), (200, false), "{path}: {first:?}");
        firsts.push(first);
    }
    let before = world.acts();
    world.crash();
    for (place, (method, path, body)) in commands.iter().enumerate() {
        let key = format!("k-{place}");
        let more = [("idempotency-key", key.as_str()), ("if-match", etag.as_str())];
        let again = world.ask("alice", method, path, &more, body);
        assert_eq!((again.status, replayed(&again)), (200, true), "{path}: {again:?}");
        assert_eq!(again.body, firsts[place].body, "{path}");
        assert_eq!(again.header("etag"), firsts[place].header("etag"), "{path}");
    }
    assert_eq!(world.acts(), before, "nothing was done again");

    // Whoever is forgotten is in no receipt, nor in the file that holds them.
    let said = world.ask("eve", "DELETE", "/v1/clients/ann?reason=asked", &[], &Value::Null);
    assert_eq!(said.status, 200, "{said:?}");
    let more = [("idempotency-key", "k-1"), ("if-match", etag.as_str())];
    let (method, path, body) = commands[1];
    let again = world.ask("alice", method, path, &more, body);
    assert!(replayed(&again) && !again.body.contains("\"ann\""), "{again:?}");
    world.server.take().unwrap().end();
    let bytes = std::fs::read(world.path("data").join("crossfade.db")).unwrap();
    assert!(!bytes.windows(5).any(|part| part == b"\"ann\""), "the file names somebody");
}

/// A key that is carried to another machine is still one.
#[test]
fn receipts_are_exported_and_imported() {
    let mut world = World::new();
    let first = world.command("alice", "promote", "k", "seen enough");
    world.server.take().unwrap().end();
    let data = |name: &Path| name.to_str().unwrap().to_owned();
    let export = support::process::crossfade(&["data", "export", &data(&world.path("data"))]);
    let exported = support::process::run(export, b"");
    assert!(exported.status.success(), "{exported:?}");
    std::fs::rename(world.path("data"), world.path("before")).unwrap();
    let import = support::process::crossfade(&["data", "import", &data(&world.path("data"))]);
    let imported = support::process::run(import, &exported.stdout);
    assert!(imported.status.success(), "{imported:?}");
    world.start();
    let again = world.command("alice", "promote", "k", "seen enough");
    assert_eq!((again.status, &again.body, world.step()), (200, &first.body, 2), "{again:?}");
}

#[test]
fn the_history_of_policies_names_who_changed_each() {
    let world = World::new();
    assert_eq!(world.command("alice", "promote", "k", "seen enough").status, 200);
    // Repeated by her, and by somebody else under the same key: one act each.
    assert!(replayed(&world.command("alice", "promote", "k", "seen enough")));
    assert_eq!(world.command("bob", "promote", "k", "me too").status, 200);
    assert!(replayed(&world.command("bob", "promote", "k", "me too")));
    assert!(replayed(&world.command("alice", "promote", "k", "seen enough")));
    assert_eq!(world.command("alice", "pause", "p", "lunch").status, 200);
    let rows = world.get("/v1/policies")["policies"].clone();
    let of = |row: &Value| {
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        (text("who"), text("why"), row["document"]["canary_percentage"].as_u64().unwrap())
    };
    let rows: Vec<(String, String, u64)> = rows.as_array().unwrap().iter().map(of).collect();
    println!("{rows:?}");
    assert_eq!(rows[0], ("bob".to_owned(), "me too".to_owned(), 20));
    assert_eq!(rows[1], ("alice".to_owned(), "seen enough".to_owned(), 10));
}
