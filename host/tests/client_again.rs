//! Commands whose answers get lost: on the way, or with the server that gave them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};
use support::serve::{ROLLOUT, Server};

/// Stands between a command and its server, and swallows answers to what is no `GET`.
struct Swallowing {
    url: String,
    /// How many more.
    left: Arc<AtomicUsize>,
    /// How many there were.
    passed: Arc<AtomicUsize>,
}

impl Swallowing {
    fn before(server: &str) -> Swallowing {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (left, passed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let to = server.trim_start_matches("http://").to_owned();
        let counts = (left.clone(), passed.clone());
        std::thread::spawn(move || {
            for from in listener.incoming() {
                let (to, (left, passed)) = (to.clone(), counts.clone());
                std::thread::spawn(move || pass_on(from.unwrap(), &to, &left, &passed));
            }
        });
        Swallowing { url, left, passed }
    }
}

/// One request and its answer, or none.
fn pass_on(mut from: TcpStream, to: &str, left: &AtomicUsize, passed: &AtomicUsize) {
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    let whole = |asked: &[u8]| {
        let text = String::from_utf8_lossy(asked).to_ascii_lowercase();
        let end = text.find("\r\n\r\n")?;
        let length = text[..end].split("content-length: ").nth(1)?.lines().next()?;
        Some(asked.len() >= end + 4 + length.parse::<usize>().ok()?)
    };
    loop {
        match from.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(read) => asked.extend_from_slice(&part[..read]),
        }
        let done = asked.ends_with(b"\r\n\r\n") && asked.starts_with(b"GET");
        if done || whole(&asked) == Some(true) {
            break;
        }
    }
    let command = !asked.starts_with(b"GET");
    let text = String::from_utf8(asked).unwrap();
    // One answer to a connection, so that its end is seen.
    let asked = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(to).unwrap();
    server.write_all(asked.as_bytes()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    if command {
        passed.fetch_add(1, SeqCst);
        let swallowed = |left: usize| left.checked_sub(1);
        if left.fetch_update(SeqCst, SeqCst, swallowed).is_ok() {
            return;
        }
    }
    let _ = from.write_all(&answer);
}

struct World {
    server: Server,
    between: Swallowing,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        std::fs::write(&plan, ROLLOUT).unwrap();
        let server = Server::start(&folder.path().join("crossfade-data"), Some(&plan), &[]);
        let between = Swallowing::before(&server.url);
        World { server, between, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = crossfade(arguments);
        command.current_dir(self.folder.path()).env("CROSSFADE_SERVER", &self.between.url);
        command.env_remove("CROSSFADE_TOKEN");
        command
    }

    /// A command of which so many answers are swallowed.
    fn swallowing(&self, answers: usize, arguments: &[&str]) -> Output {
        self.between.left.store(answers, SeqCst);
        self.between.passed.store(0, SeqCst);
        run(self.command(arguments), b"")
    }

    fn step(&self) -> Value {
        self.server.get("/v1/rollout").body["step"].clone()
    }

    fn acts(&self) -> usize {
        let rows = self.server.get("/v1/audit").body["audit"].clone();
        rows.as_array().unwrap().iter().filter(|row| row["who"] == "operator").count()
    }
}

#[test]
fn a_command_whose_answers_get_lost_is_done_once_and_says_how_it_went() {
    let world = World::new();
    let output = world.swallowing(2, &["promote", "--reason", "seen enough"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Step 2 of 4: 10 % to the new version"), "{said}");
    let told = stderr(&output);
    assert!(
        told.ends_with(
            "the connection broke off before its answer was here; asking again, with the same \
             idempotency key\n"
        ),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!((world.step(), world.acts()), (json!(2), 1));
    assert_eq!(world.between.passed.load(SeqCst), 3, "it was sent three times");

    // Two commands are two, whatever they say.
    let output = world.swallowing(1, &["promote", "--reason", "seen enough"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((world.step(), world.acts()), (json!(3), 2));
}

#[test]
fn what_is_not_known_in_the_end_is_said_to_be_unknown() {
    let world = World::new();
    let give_up = ["promote", "--retry-for", "0s", "--idempotency-key", "deploy-42"];
    let output = world.swallowing(1, &give_up);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let told = stderr(&output);
    let advice = "Whether it was done is not known: look with `crossfade status`, or repeat it \
                  with --idempotency-key deploy-42, with which it is not done twice";
    assert!(told.contains(advice), "{told}");
    assert_eq!(world.step(), json!(2), "it was");
    let output = world.swallowing(0, &give_up);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((world.step(), world.acts()), (json!(2), 1));
    // The key is this command's.
    let output = world.swallowing(0, &["pause", "--idempotency-key", "deploy-42"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("was used for something else: nothing was done"));
    let output = world.swallowing(0, &["pause", "--idempotency-key", "a b"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

#[test]
fn a_policy_whose_answer_got_lost_is_not_taken_for_somebody_elses() {
    let world = World::new();
    assert_eq!(world.swallowing(0, &["abort"]).status.code(), Some(0));
    let plan = world.folder.path().join("next.yaml");
    std::fs::write(&plan, ROLLOUT.replace("x-user-id", "x-account-id")).unwrap();
    let output = world.swallowing(1, &["policy", "set", "next.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("next.yaml: revision 4 is in force, in the place of 3"), "{said}");
    assert_eq!(world.acts(), 2);
}
