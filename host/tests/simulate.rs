//! `crossfade simulate`: scripts played with the built module, and the page's server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

#[path = "../../web/src/linked.rs"]
mod linked;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Output;

use crossfade_core::guest::Guest;
use crossfade_sim::{Asking, Demand, Phase, Play, START_MS, Script, init_document, scenarios};
use linked::Linked;
use serde_json::{Value, json};
use support::process::{Running, crossfade, run, stderr};

fn plan() -> Value {
    json!({
        "api": "users", "versions": {"from": "v1", "to": "v2"}, "key": {"header": "x-user-id"},
        "gate": {"latency": {}},
        "rollout": {"steps": [
            {"percentage": 10, "duration_minutes": 5},
            {"percentage": 50, "duration_minutes": 5},
        ]},
    })
}

fn simulate(options: &str, plan: &Value) -> Output {
    let options: Vec<&str> = options.split_whitespace().collect();
    let command = crossfade(&[&["simulate", "-"], options.as_slice()].concat());
    run(command, plan.to_string().as_bytes())
}

fn document(options: &str) -> Value {
    let output = simulate(&format!("--output json {options}"), &plan());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no progress where nobody looks");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The module in wasmtime and the engine linked in say the same, to the byte.
#[test]
fn a_run_has_the_digest_of_the_native_one() {
    for name in ["bad-canary", "slow-v2", "bursts", "broken-segment"] {
        let told = document(&format!("--scenario {name} --seed 11 --rps 120 --clients 900"));
        let named = scenarios().into_iter().find(|named| named.name == name).unwrap();
        let traffic = Demand { rps: 120.0, clients: 900, ..Demand::default() };
        let script =
            Script { plan: plan(), seed: 11, traffic, faults: named.faults, commands: Vec::new() };
        let document = init_document(&script);
        let mut engine = Linked(Guest::init(document.as_bytes(), START_MS, 11, &mut Vec::new()));
        let mut play = Play::new(&script, Asking::Always);
        while play.phase() == Phase::Running {
            play.step(&script, &mut engine, false).unwrap();
        }
        assert_eq!(told["digest"], play.digest(), "{name}");
        assert_eq!(told["outcome"]["harmed_clients"], play.outcome().harmed_clients, "{name}");
    }
}

#[test]
fn one_run_tells_what_happened_when() {
    let output = simulate("--scenario bad-canary --seed 3", &plan());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0:00:00  Step 1 began: 10 % to the new version."), "{text}");
    assert!(text.contains("v2 fails more often than v1"), "{text}");
    assert!(text.contains("\nRolled back after "), "{text}");
    assert!(text.contains("until v2 was taken back.\nseed 3, digest "), "{text}");
}

#[test]
fn a_run_that_is_told_in_time_is_the_same_run() {
    let fast = simulate("--speed max", &plan());
    let started = std::time::Instant::now();
    // Ten simulated minutes at least.
    let slow = simulate("--speed 600x", &plan());
    assert!(started.elapsed() >= std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(String::from_utf8_lossy(&slow.stdout), String::from_utf8_lossy(&fast.stdout));
    for wrong in ["0", "fast", "1e7", "NaN"] {
        let output = simulate(&format!("--speed {wrong}"), &plan());
        assert!(output.status.code() == Some(64) && stderr(&output).contains("a speed is `max`"));
    }
}

#[test]
fn many_runs_tell_what_to_expect() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("found.svg");
    let options = format!("--scenario bad-canary --runs 12 --plot {}", picture.display());
    let told = document(&options);
    assert_eq!(told["healthy"]["completed"], 1.0, "{told}");
    assert!(told["worse"]["rolled_back"].as_f64() > Some(0.5), "{told}");
    assert_eq!(told["regression"], "the scenario's fault");
    let after = &told["worse"]["found_after_ms"];
    assert!(after["median"].as_u64() <= after["p90"].as_u64() && after["median"].is_u64());
    assert!(std::fs::read_to_string(picture).unwrap().contains("How soon v2 is taken back"));
    assert_eq!(told, document(&options), "the same seed, the same answer");
    let text = String::from_utf8(simulate("--runs 4", &plan()).stdout).unwrap();
    assert!(text.starts_with("Rolls back a healthy v2 in 0.0 % of runs"), "{text}");
    assert!(text.contains("finds a doubled error rate in "), "{text}");
}

#[test]
fn what_is_wrong_is_named() {
    let failed = |options: &str, plan: &Value| {
        let output = simulate(options, plan);
        (output.status.code(), stderr(&output))
    };
    let (code, said) = failed("--scenario bad", &plan());
    assert_eq!(code, Some(64));
    assert!(said.contains("no scenario `bad`: there are healthy, bad-canary"), "{said}");
    let (code, said) = failed("--clients 5", &plan());
    assert_eq!(code, Some(65));
    assert!(said.contains("traffic.clients: 5 is not a number from 10 to 20000"), "{said}");
    let mut without = plan();
    without.as_object_mut().unwrap().remove("rollout");
    let (code, said) = failed("", &without);
    assert_eq!(code, Some(65));
    assert!(said.contains("plan.rollout: is missing"), "{said}");
    let mut wrong = plan();
    wrong["rollout"]["steps"][0]["percentage"] = json!(101);
    let (code, said) = failed("", &wrong);
    assert_eq!(code, Some(65));
    assert!(said.contains("rollout.steps[0].percentage: 101 is not a percentage"), "{said}");
}

/// Asks for a file as a browser does, and gives the head and the body of the answer.
fn get(address: &str, path: &str, more: &str) -> (String, String) {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn the_page_is_served_on_loopback_and_loads_nothing_from_elsewhere() {
    let ui = Running::start(crossfade(&["ui", "--port", "0"]));
    let address = ui.reply().unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let (head, body) = get(&address, "/", "");
    assert!(head.starts_with("http/1.1 200") && body.contains("<title>Crossfade"), "{head}");
    assert!(head.contains("content-type: text/html") && head.contains("cache-control: no-cache"));
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let (head, body) = get(&address, "/", &format!("if-none-match: {tag}\r\n"));
    assert!(head.starts_with("http/1.1 304") && body.is_empty(), "{head}");
    for path in ["/nothing", "/assets/nothing.js", "/assets/..%2findex.html", "/../Cargo.toml"] {
        assert!(get(&address, path, "").0.starts_with("http/1.1 404"), "{path}");
    }
    let port = address.rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let taken = run(crossfade(&["ui", "--port", &port]), b"");
    assert_eq!(taken.status.code(), Some(74));
    assert!(stderr(&taken).contains("take another port with --port"), "{}", stderr(&taken));
    ui.signal(rustix::process::Signal::INT);
    assert_eq!(ui.end().code(), Some(130));
}
