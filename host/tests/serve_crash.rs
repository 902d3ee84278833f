//! A control plane that is killed, again and again, under load.
//!
//! Reporters send cumulative totals, an operator pauses, resumes and retries, each with a
//! reason of its own, and the rollout goes through many short steps. At a random moment the
//! server gets SIGKILL, and is started again on what it left. What anybody was told must
//! still be true then: every acknowledged report and command is there, exactly once; a
//! policy that was seen is never taken back for an older one; and the steps follow each
//! other without a gap or a repetition.
//!
//! `CROSSFADE_TEST_SEED=N` replays the moments (what is under way at each is the machine's
//! doing), `CROSSFADE_TEST_KILLS=N` says how many there are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::serve::{Caller, Server, totals};

/// Steps of half a second, a hundred of them.
fn plan() -> String {
    let step = |place: u32| format!("    - {{ percentage: {place}, duration_minutes: 0.008 }}\n");
    let steps: String = (1..=100).map(step).collect();
    format!(
        "api: users\nversions: {{ from: v1, to: v2 }}\nkey: {{ header: x-user-id }}\n\
         gate: {{ on_inconclusive: advance, on_missing_data: {{ after_minutes: 10, then: advance }} }}\n\
         rollout:\n  steps:\n{steps}"
    )
}

fn seed() -> u64 {
    let given = std::env::var("CROSSFADE_TEST_SEED").ok();
    given.map_or(5, |seed| seed.parse().expect("CROSSFADE_TEST_SEED is a number"))
}

fn kills() -> u64 {
    let given = std::env::var("CROSSFADE_TEST_KILLS").ok();
    given.map_or(200, |kills| kills.parse().expect("CROSSFADE_TEST_KILLS is a number"))
}

/// SplitMix64: moments that can be drawn again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What the clients of the server were told.
#[derive(Default)]
struct Told {
    /// By reporter: the highest sequence that was sent, and the highest acknowledged.
    sent: [AtomicU64; REPORTERS],
    acknowledged: [AtomicU64; REPORTERS],
    /// Reasons of commands that were carried out.
    reasons: Mutex<Vec<String>>,
    next_reason: AtomicU64,
    /// The highest revision that was seen.
    revision: AtomicU64,
    stop: AtomicBool,
}

const REPORTERS: usize = 4;

/// Each report counts so many requests more than the one before.
const EACH: u64 = 10;

fn report(caller: &Caller, told: &Told, place: usize) {
    while !told.stop.load(SeqCst) {
        let sequence = told.sent[place].fetch_add(1, SeqCst) + 1;
        let line = totals(&format!("edge-{place}"), sequence, sequence * EACH, 0);
        match caller.post("/v1/totals", &line.to_string()) {
            Some(said) if said.status == 200 => {
                told.acknowledged[place].fetch_max(sequence, SeqCst);
            }
            Some(said) => assert_eq!(said.status, 503, "{said:?}"),
            None => return,
        }
    }
}

fn operate(caller: &Caller, told: &Told) {
    let commands = ["pause", "resume", "pause", "resume", "pause", "resume", "abort", "retry"];
    for command in commands.iter().cycle() {
        if told.stop.load(SeqCst) {
            return;
        }
        let reason = format!("reason-{}", told.next_reason.fetch_add(1, SeqCst));
        let body = json!({ "reason": reason }).to_string();
        match caller.post(&format!("/v1/rollout/{command}"), &body) {
            Some(said) if said.status == 200 => told.reasons.lock().unwrap().push(reason),
            Some(said) => assert!([409, 503].contains(&said.status), "{said:?}"),
            None => return,
        }
    }
}

fn watch(caller: &Caller, told: &Told) {
    while !told.stop.load(SeqCst) {
        match caller.get("/v1/policy") {
            Some(said) if said.status == 200 => {
                let revision = said.body["revision"].as_u64().unwrap();
                let before = told.revision.fetch_max(revision, SeqCst);
                assert!(revision >= before, "revision {revision} after {before}");
            }
            Some(said) => assert_eq!(said.status, 503, "{said:?}"),
            None => return,
        }
    }
}

/// Everything that must be true of a server that has just been started.
fn check(server: &Server, told: &Told) {
    let revision = server.get("/v1/policy").body["revision"].as_u64().unwrap();
    let seen = told.revision.load(SeqCst);
    assert!(revision >= seen, "revision {revision} is in force, and {seen} was seen");

    let stats = server.get("/v1/status").body["migration"].clone();
    let counted = stats["outcomes"]["v1"]["requests"].as_u64().unwrap();
    let sum = |counts: &[AtomicU64]| counts.iter().map(|n| n.load(SeqCst) * EACH).sum::<u64>();
    let (least, most) = (sum(&told.acknowledged), sum(&told.sent));
    assert!((least..=most).contains(&counted), "{counted} counted, {least} to {most} reported");

    let audit = all(server, "audit");
    let reasons: Vec<&str> = audit
        .iter()
        .filter(|row| row["who"] == "operator")
        .map(|row| row["why"].as_str().unwrap())
        .collect();
    let distinct: BTreeSet<&str> = reasons.iter().copied().collect();
    assert_eq!(distinct.len(), reasons.len(), "a command is there twice");
    for reason in told.reasons.lock().unwrap().iter() {
        assert!(distinct.contains(reason.as_str()), "{reason} was carried out and is forgotten");
    }
    let ids: Vec<u64> = audit.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "ids have no gaps: {ids:?}");
    steps_follow_each_other(&audit);
}

/// Of a paged list, all.
fn all(server: &Server, name: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row["id"].as_u64().unwrap());
        let said = server.get(&format!("/v1/{name}?after={after}&limit=10000"));
        let page = said.body[name].as_array().unwrap_or_else(|| panic!("{said:?}")).clone();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

fn steps_follow_each_other(audit: &[Value]) {
    let mut last = 0;
    for row in audit {
        match row["what"].as_str().unwrap() {
            "retry" | "start" => last = 0,
            "step_started" => {
                let why = row["why"].as_str().unwrap();
                let step: u64 = why.split_whitespace().nth(1).unwrap().parse().unwrap();
                assert_eq!(step, last + 1, "after step {last}: {why}");
                last = step;
            }
            _ => {}
        }
    }
}

#[test]
fn killed_at_random_moments_it_forgets_nothing_that_it_acknowledged() {
    let (seed, kills) = (seed(), kills());
    println!("seed {seed}, {kills} kills; replay with CROSSFADE_TEST_SEED={seed}");
    let mut chance = Chance(seed);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = directory.path().join("plan.yaml");
    std::fs::write(&file, plan()).unwrap();
    let told = Arc::new(Told::default());
    for _ in 0..kills {
        let server = Server::start(&data, Some(&file), &["--log-level", "info"]);
        check(&server, &told);
        let mut threads = Vec::new();
        for place in 0..REPORTERS {
            let (caller, told) = (server.caller(), Arc::clone(&told));
            threads.push(thread::spawn(move || report(&caller, &told, place)));
        }
        for act in [operate, watch] {
            let (caller, told) = (server.caller(), Arc::clone(&told));
            threads.push(thread::spawn(move || act(&caller, &told)));
        }
        // The moment is the subject here: nothing is waited for.
        thread::sleep(Duration::from_micros(chance.next() % 400_000));
        server.kill();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    let server = Server::start(&data, None, &[]);
    check(&server, &told);
    let acknowledged: u64 = told.acknowledged.iter().map(|n| n.load(SeqCst)).sum();
    let commands = told.reasons.lock().unwrap().len();
    println!("{acknowledged} reports and {commands} commands were acknowledged");
    assert!(acknowledged > kills && commands as u64 > kills / 4, "there was hardly any load");
    assert!(server.end().code() == Some(143));
}
