//! `crossfade check --rps`: what a plan can see, by simulation with the built module.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::process::{crossfade, run, stderr};

/// A plan with these steps, in YAML's flow style.
fn plan(steps: &str) -> String {
    format!(
        "api: users\nversions: [v1, v2]\nkey: {{ header: a }}\nrollout: {{ steps: [{steps}] }}\n"
    )
}

const HOUR: &str = "{ percentage: 10, duration_minutes: 60 }";

fn check(options: &str, plan: &str) -> Output {
    let options: Vec<&str> = options.split_whitespace().collect();
    run(crossfade(&[&["check", "-"], options.as_slice()].concat()), plan.as_bytes())
}

fn foresee(options: &str, plan: &str) -> Value {
    let output = check(&format!("--runs 50 --output json {options}"), plan);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no progress where nobody looks");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], true);
    report["foresight"].clone()
}

fn regression(step: &Value, ratio: f64) -> &Value {
    step["regressions"].as_array().unwrap().iter().find(|one| one["ratio"] == ratio).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn refused(options: &str, plan: &str, exit: i32, expected: &str) {
    let output = check(options, plan);
    assert_eq!(output.status.code(), Some(exit));
    let said = stderr(&output) + std::str::from_utf8(&output.stdout).unwrap();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let plan = plan(HOUR);
    let options = "--rps 20 --error-rate 1% --runs 50";
    let first = check(options, &plan);
    let text = String::from_utf8(first.stdout.clone()).unwrap();
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(check(options, &plan).stdout, first.stdout);
    assert!(text.contains(
        "20 requests a second of 6,000 clients, 1 % fail: 50 simulated rollouts for each number, \
         seed 1\n"
    ));
    assert!(text.contains("What each step sees of v2, against v1\n"), "{text}");
    assert!(!text.contains("\nwarning"), "{text}");
    let other = check("--rps 20 --error-rate 1% --runs 50 --seed 2", &plan);
    assert_ne!(other.stdout, first.stdout);
}

#[test]
fn more_traffic_sees_smaller_regressions_sooner() {
    let plan = plan(HOUR);
    let thin = foresee("--rps 4 --error-rate 1%", &plan);
    let thick = foresee("--rps 80 --error-rate 1%", &plan);
    let (thin, thick) = (&thin["steps"][0], &thick["steps"][0]);
    let smallest = |step: &Value| number(&step["smallest_caught"]["ratio"]);
    assert!(smallest(thick) < smallest(thin), "{} {}", smallest(thick), smallest(thin));
    let healthy = |step: &Value| number(&step["healthy_minutes"]["median"]["value"]);
    assert!(healthy(thick) < healthy(thin), "{} {}", healthy(thick), healthy(thin));
    for step in [thin, thick] {
        let (twice, tenfold) = (regression(step, 2.0), regression(step, 10.0));
        let caught = |one: &Value| number(&one["caught"]["ratio"]);
        assert!(caught(tenfold) >= caught(twice) && caught(tenfold) == 1.0);
        assert!(number(&tenfold["minutes"]["median"]) < 60.0);
        for one in [twice, tenfold] {
            assert_eq!(one["runs"], 50);
            for quantile in ["median", "p90"] {
                let clients = number(&one["clients"][quantile]);
                assert!(clients <= number(&one["failed_requests"][quantile]));
            }
        }
        // The interval holds what it is about.
        let caught = &step["smallest_caught"];
        assert!(number(&caught["low"]) <= smallest(step));
        // A healthy version is left alone.
        assert!(number(&step["false_rollback"]["ratio"]) <= 0.02);
    }
}

/// Long ticks are a short cut: they must not change the answer by more than chance does.
#[test]
fn long_ticks_give_the_answer_that_ticks_of_5_s_give() {
    let plan = plan("{ percentage: 20, duration_minutes: 120 }");
    let short_cut = foresee("--rps 3 --error-rate 2%", &plan);
    let every = foresee("--rps 3 --error-rate 2% --every-tick", &plan);
    let (short_cut, every) = (&short_cut["steps"][0], &every["steps"][0]);
    assert_ne!(short_cut, every, "the ticks are the same");
    // No end: further than was looked.
    let end = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
    let interval = |value: &Value| (number(&value["low"]), end(&value["high"]));
    for path in ["/smallest_caught", "/healthy_minutes/median", "/healthy_minutes/p90"] {
        let (low, high) = interval(short_cut.pointer(path).unwrap());
        let (fine_low, fine_high) = interval(every.pointer(path).unwrap());
        assert!(low <= fine_high && fine_low <= high, "{path}: {short_cut} {every}");
    }
}

#[test]
fn a_step_that_can_never_conclude_is_warned_of() {
    let steps = format!("{{ percentage: 1, duration_minutes: 30, max_minutes: 240 }}, {HOUR}");
    let foresight = foresee("--rps 0.0167 --error-rate 0.5%", &plan(&steps));
    let step = &foresight["steps"][0];
    assert_eq!(step["healthy_minutes"]["median"]["value"], Value::Null);
    assert_eq!(step["timed_out"]["ratio"], 1.0);
    assert_eq!(step["smallest_caught"]["ratio"], Value::Null);
    let warnings = foresight["warnings"].as_array().unwrap();
    let of = |path: &str| {
        let of = warnings.iter().filter(|warning| warning["path"] == path);
        of.map(|warning| warning["message"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    let first = of("rollout.steps[0]");
    assert!(
        first.contains("can never conclude: proof that v2 is healthy does not come"),
        "{first}"
    );
    assert!(first.contains("cannot see a v2 that fails 50 times as often in its 4 h"), "{first}");
    assert!(of("rollout.steps[1]").contains("cannot see"), "{warnings:?}");
}

#[test]
fn a_step_at_100_percent_is_played_after_the_one_before() {
    let steps = "{ percentage: 50, duration_minutes: 20 }, { percentage: 100, watch_minutes: 60 }";
    let foresight = foresee("--rps 20 --error-rate 2%", &plan(steps));
    let last = &foresight["steps"][1];
    assert_eq!(last["percentage"], 100.0);
    assert!(number(&last["healthy_minutes"]["median"]["value"]) < 60.0);
    assert_eq!(regression(last, 10.0)["caught"]["ratio"], 1.0);
    // Alone, there is nothing to compare it with.
    let alone =
        foresee("--rps 20 --error-rate 2%", &plan("{ percentage: 100, watch_minutes: 60 }"));
    assert_eq!(alone["steps"].as_array().unwrap().len(), 0);
    let message = alone["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("nothing is left to compare it with"), "{message}");
}

#[test]
fn a_healthy_version_is_proven_as_fast_as_the_old_one() {
    let gate = "gate: { latency: {} }\n";
    let plan = format!("{}{gate}", plan("{ percentage: 50, duration_minutes: 60 }"));
    for median in ["100", "40", "7.4"] {
        let options = format!("--rps 40 --error-rate 1% --latency-ms {median}");
        let foresight = foresee(&options, &plan);
        let step = &foresight["steps"][0];
        let proven = &step["healthy_minutes"]["proven"]["ratio"];
        assert!(number(proven) >= 0.9, "{median} ms: {step}");
        assert!(number(&step["false_rollback"]["ratio"]) <= 0.02, "{median} ms: {step}");
    }
}

#[test]
fn latency_is_asked_for_where_the_gate_looks_at_it() {
    let gate = "gate: { latency: { slo_ms: 200 } }\n";
    let plan = plan("{ percentage: 50, duration_minutes: 15 }") + gate;
    refused("--rps 10 --error-rate 1%", &plan, 64, "say what it is today with --latency-ms");
    // A version whose slowest 1 % take 320 ms breaks its own bound.
    let foresight = foresee("--rps 20 --error-rate 1% --latency-ms 100", &plan);
    assert!(number(&foresight["steps"][0]["false_rollback"]["ratio"]) > 0.9);
    let message = foresight["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("v1 itself breaks a bound of the gate"), "{message}");
}

#[test]
fn numbers_that_make_no_sense_are_answered_at_once() {
    let plan = plan(HOUR);
    for (options, expected) in [
        ("--rps 0 --error-rate 1%", "without requests nothing can be seen"),
        ("--rps -3 --error-rate 1%", "unexpected argument '-3'"),
        ("--rps nan --error-rate 1%", "not a number of requests a second"),
        ("--rps 10 --error-rate 150%", "not a share of requests above 0% and below 100%"),
        ("--rps 10 --error-rate 0.2", "percent, or a share of 1? Write 0.2%, or 20%"),
        ("--rps 10 --error-rate 0%", "such as 0.01%"),
        ("--rps 10 --error-rate lots", "a percentage ends in %: 0.2%"),
        ("--rps 10", "--error-rate"),
        ("--error-rate 1%", "--rps"),
        ("--clients 5", "--rps"),
        ("--rps 10 --error-rate 1% --clients 0", "0 is not in 1.."),
        ("--rps 10 --error-rate 1% --runs 5", "5 is not in 50..=10000"),
        ("--rps 10 --error-rate 1% --latency-ms 0", "not milliseconds above 0"),
    ] {
        refused(options, &plan, 64, expected);
    }
    let twice = run(crossfade(&["check", "/a", "/b", "--rps", "1", "--error-rate", "1%"]), b"");
    assert_eq!(twice.status.code(), Some(64));
}

#[test]
fn a_plan_without_steps_and_one_with_problems_are_not_tried() {
    let bare = "api: users\nversions: [v1, v2]\nkey: { header: a }\n";
    refused("--rps 10 --error-rate 1%", bare, 65, "has no `rollout`: there are no steps to try");
    let broken = plan("{ percentage: 101, duration_minutes: 1 }");
    let output = check("--rps 10 --error-rate 1%", &broken);
    assert_eq!(output.status.code(), Some(65));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("standard input has 1 problem\n"), "{text}");
}
