//! `crossfade gate`: counts in, a verdict out, which is also the exit code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::process::{crossfade, run, stderr};

fn gate(arguments: &[&str], input: &str) -> Output {
    run(crossfade(&[&["gate"], arguments].concat()), input.as_bytes())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_verdict_is_the_exit_code() {
    for (canary, verdict, code) in
        [("100000,95", "healthy", 0), ("10000,60", "unhealthy", 1), ("10,0", "inconclusive", 2)]
    {
        let output = gate(&["--control", "100000,100", "--canary", canary], "");
        assert_eq!(output.status.code(), Some(code), "{canary}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with(&format!("{verdict}\n")), "{text}");
        for row in ["evidence: worse ", "proof from 5.30 on (alpha 0.005)", "evidence: not worse "]
        {
            assert!(text.contains(row), "{text}");
        }
        let counts = ["--control", "100000,100", "--canary", canary, "--output", "json"];
        assert_eq!(json(&gate(&counts, ""))["verdict"], verdict);
    }
}

/// To the last digit: as text, since reading a float may change it.
#[test]
fn json_has_the_engines_own_digits_and_the_options() {
    let options = ["--margin", "1.1", "--alpha", "0.01", "--beta", "0.1", "--output", "json"];
    let counts = ["--control", "100000,100", "--canary", "10000,30"];
    let output = gate(&[&counts[..], &options].concat(), "");
    let report = json(&output);
    for (field, expected) in [("margin", 1.1), ("alpha", 0.01), ("beta", 0.1), ("ratio", 3.0)] {
        let found = report[field].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{field}: {found}");
    }
    let (low, high) =
        (report["ratio_low"].as_f64().unwrap(), report["ratio_high"].as_f64().unwrap());
    assert!(low < 3.0 && 3.0 < high, "{low} to {high}");
    let text = String::from_utf8(output.stdout).unwrap();
    for field in ["log_e_worse", "log_e_ok"] {
        let digits = text.lines().find_map(|line| {
            let line = line.trim().strip_prefix(&format!("\"{field}\": "))?;
            Some(line.trim_end_matches(',').to_owned())
        });
        let digits = digits.unwrap_or_else(|| panic!("no {field} in {text}"));
        assert!(digits.len() > 10, "{digits}");
        // The evidence itself is the engine's line as it came.
        assert!(text.contains(&format!("\"{field}\":{digits},")), "{field} {digits}: {text}");
    }
}

const SEGMENTS: &str = r#"
{"canary_requests":1000,"canary_failures":1,"control_requests":99000,"control_failures":99}

{"canary_requests":50000,"canary_failures":500,"control_requests":50000,"control_failures":50}
"#;

#[test]
fn a_file_is_a_segment_a_line() {
    let output = gate(&["--file", "-", "--output", "json"], SEGMENTS);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let evidence = &json(&output)["evidence"];
    assert_eq!(evidence["strata"], 2);
    assert_eq!(evidence["window"]["canary_requests"], 51_000);
    assert_eq!(evidence["step"]["canary_requests"], 50_000);
}

#[test]
fn bad_lines_are_all_named() {
    let lines = "\
{\"canary_requests\":1,\"canary_failures\":2,\"control_requests\":9,\"control_failures\":0}
nonsense

{\"canary_requests\":-1,\"control_requests\":9,\"control_failures\":0.5}
";
    let output = gate(&["--file", "-"], lines);
    assert_eq!(output.status.code(), Some(65));
    let said = stderr(&output);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said[0], "crossfade: standard input has 5 problems:");
    assert_eq!(said[1], "standard input:1: more failures than requests");
    assert!(said[2].starts_with("standard input:2: not JSON"), "{said:?}");
    assert!(said[3].starts_with("standard input:4: canary_requests: -1 is not"), "{said:?}");
    assert_eq!(said[4], "standard input:4: `canary_failures` is missing: a count");
    assert!(said[5].starts_with("standard input:4: control_failures: 0.5 is not"), "{said:?}");
}

#[test]
fn what_cannot_be_judged_is_told() {
    let both = ["--control", "100,1", "--canary", "10,0"];
    for (arguments, code, message) in [
        (&both[..2], 64, "--canary"),
        (&["--control", "1,100", "--canary", "1,0"], 64, "more failures than requests"),
        (&["--control", "100", "--canary", "1,0"], 64, "such as 100000,100"),
        (&["--control", "9223372036854775808,0", "--canary", "1,0"], 64, "control_requests"),
        (&[&both[..], &["--margin", "0.9"]].concat(), 64, "margin: 0.9 is not a margin"),
        (&[&both[..], &["--alpha", "1"]].concat(), 64, "alpha: "),
        (&[&both[..], &["--alpha", "nan"]].concat(), 64, "not a number"),
        (&[&both[..], &["--beta", "0"]].concat(), 64, "beta: "),
        (&[&both[..], &["--file", "-"]].concat(), 64, "cannot be used with"),
        (&["--file", "/nonexistent"], 74, "cannot read /nonexistent: No such file"),
        (&["--file", "-"], 65, "no segments"),
    ] {
        let output = gate(arguments, "\n\n");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(output.stdout, b"");
    }
    let many = SEGMENTS.lines().nth(1).unwrap().to_owned() + "\n";
    let output = gate(&["--file", "-"], &many.repeat(10_001));
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("limit of 10000"), "{}", stderr(&output));
}
