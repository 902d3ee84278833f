//! `crossfade explain`: a decision, and every step that led to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::process::Output;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};

const PLAN: &str = "\
api: users
versions: [v1, v2]
key: { header: x-user-id }
pins: { partner-7: v1 }
rules:
  - name: beta
    when: { attribute: plan, in: [beta] }
    to: v2
canary_percentage: 10
";

fn explain(arguments: &[&str], input: &str) -> Output {
    run(crossfade(&[&["explain"], arguments].concat()), input.as_bytes())
}

#[track_caller]
fn says(arguments: &[&str], input: &str, expected: &str) {
    let output = explain(arguments, input);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_plan_is_explained_stage_by_stage() {
    says(
        &["-", "--key", "user123", "--attribute", "plan=beta"],
        PLAN,
        "\
version  v2
reason   a rule matches
rule     beta
bucket   4497 of 10000

1  kill_switch  off
2  pin          not among 1 pinned keys
3  rule         `beta` matches: `plan` = \"beta\" is one of beta
",
    );
    says(
        &["-", "--key", "partner-7"],
        PLAN,
        "\
version  v1
reason   the key is pinned
bucket   6645 of 10000

1  kill_switch  off
2  pin          this key is pinned to v1
",
    );
}

#[test]
fn a_share_needs_no_plan() {
    says(
        &["--canary", "44.98", "--key", "user123"],
        "",
        "\
version  v2
reason   inside the canary's share
bucket   4497 of 10000

1  kill_switch  off
2  pin          not among 0 pinned keys
3  canary       bucket 4497 is below 4498 (44.98 %)
",
    );
    says(
        &["--split", "old=1,new=0", "--sticky", "--key", "user123"],
        "",
        "\
version  old
reason   the weights of the split
bucket   4497 of 10000

1  kill_switch  off
2  pin          not among 0 pinned keys
3  split        bucket 4497 (of the key) belongs to old
",
    );
}

#[test]
fn an_option_takes_the_place_of_the_plans_share() {
    for (percentage, canary) in [("44.97", false), ("44.98", true)] {
        let arguments = ["-", "--key", "user123", "--canary", percentage, "--output", "json"];
        let output = explain(&arguments, PLAN);
        let decision: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(decision["canary"], canary, "{percentage}");
        assert_eq!(decision["reason"], "canary");
        assert_eq!(decision["bucket"], 4497);
        assert_eq!(decision["stages"][0], json!({ "stage": "kill_switch", "outcome": "off" }));
    }
}

#[test]
fn a_seed_draws_the_same_bucket_again() {
    let drawn = |seed: &str| {
        let arguments = ["--split", "v1=1,v2=1", "--seed", seed, "--output", "json"];
        let decision: Value = serde_json::from_slice(&explain(&arguments, "").stdout).unwrap();
        decision["bucket"].as_u64().unwrap()
    };
    assert_eq!(drawn("7"), drawn("7"));
    assert!(["8", "9", "10"].iter().any(|seed| drawn(seed) != drawn("7")));
}

#[test]
fn what_is_wrong_is_told_as_check_tells_it() {
    let broken = PLAN.replace("canary_percentage: 10", "canary_percentage: 101\nstikcy: true");
    let output = explain(&["-", "--key", "a"], &broken);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(
        stderr(&output),
        "\
crossfade: standard input has 2 problems:
standard input:9:20: canary_percentage: 101 is not a percentage: 0 to 100 in steps of 0.01
standard input:10:9: stikcy: unknown field; did you mean `sticky`?
"
    );
    assert_eq!(output.stdout, b"");
    for (arguments, code, message) in [
        (&["/nonexistent"][..], 74, "cannot read policy /nonexistent: No such file"),
        (&["--key", "a"], 64, "required arguments"),
        (&["--canary", "101"], 64, "not a percentage"),
        (&["--canary", "1", "--split", "v1=1,v2=1"], 64, "cannot be used with"),
        (&["--canary", "1", "--attribute", "plan"], 64, "NAME=VALUE"),
        (&["--canary", "1", "--attribute", "a=1", "--attribute", "a=2"], 64, "given twice"),
        (&["-", "--split", "v1=1,v9=1"], 64, "unknown version `v9`"),
    ] {
        let output = explain(arguments, PLAN);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
}
