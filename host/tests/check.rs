//! `crossfade check`: every problem at once, each by its line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::process::{crossfade, run, stderr};

const BROKEN: &str = "\
api: users
versions: { from: v1, to: v2 }
split:
  v1: 90
  v3: 10
rollout:
  steps:
    - { percentage: 50, duration_minutes: 60 }
    - percentage: \"100\"
      watch_minutes: 5
key: { header: x-user-id }
stikcy: true
";

const LISTING: &str = "\
FILE:5:7: split.v3: unknown version `v3`: known are v1, v2
FILE:9:19: rollout.steps[1].percentage: \"100\" is not a percentage: 0 to 100 in steps of 0.01
FILE:12:9: stikcy: unknown field; did you mean `sticky`?
";

const WARNED: &str = "api: users\nversions: [v1, v2]\nkey: { header: a }\nkill_switch: true\n";

fn check(arguments: &[&str], input: &str) -> Output {
    run(crossfade(&[&["check"], arguments].concat()), input.as_bytes())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

struct Plans(tempfile::TempDir);

impl Plans {
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn plans() -> Plans {
    Plans(tempfile::tempdir().unwrap())
}

#[test]
fn all_problems_are_listed_by_line_and_column() {
    let file = plans();
    let broken = file.write("broken.yaml", BROKEN);
    let output = check(&[&broken], "");
    assert_eq!(output.status.code(), Some(65));
    let expected = LISTING.replace("FILE", &broken) + &format!("{broken} has 3 problems\n");
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
}

/// `ESC [ 2 J` clears a terminal, U+009B begins the same in one character, and U+202E turns
/// a line around.
#[test]
fn what_a_plan_says_cannot_reach_the_terminal() {
    let plan = "{\"api\":\"a\",\"versions\":[\"v1\",\"v2\"],\"key\":\"address\",\
                \"p\\u001b[2J\u{9b}1m\":1,\"pins\":{\"\u{202e}\":\"v\\u001b9\"}}";
    for arguments in [&["-"][..], &["-", "--output", "json"]] {
        let output = check(arguments, plan);
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        let said = stdout(&output).to_owned() + &stderr(&output);
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(obeyed), "{said:?}");
        assert!(said.contains("unknown field"), "{said}");
    }
}

/// Two brownouts by the clock of a city, one of them in the hour that clocks leave out.
#[test]
fn a_start_is_read_with_its_time_zone() {
    let plan = |start: &str, zone: &str| {
        format!(
            "api: users\nversions: [v1, v2]\nkey: {{ header: a }}\n\
             deprecation: {{ deprecated_at: 2027-01-31 }}\nbrownouts:\n  \
             - {{ start: {start}, time_zone: {zone}, minutes: 60, percentage: 5 }}\n"
        )
    };
    let file = plans();
    let good = file.write("good.yaml", &plan("2027-06-01T10:00", "Europe/Berlin"));
    let output = check(&[&good], "");
    assert_eq!(stdout(&output), format!("{good} is valid\n"), "{}", stderr(&output));
    let left_out = file.write("left-out.yaml", &plan("2027-03-28T02:30", "Europe/Berlin"));
    let output = check(&[&left_out], "");
    assert_eq!(
        stdout(&output),
        format!(
            "{left_out}:6:14: brownouts[0].start: 2027-03-28T02:30:00 does not exist there, since \
             clocks are put forward: write 2027-03-28T01:30:00+01:00 or 2027-03-28T03:30:00+02:00\n{left_out} has 1 problem\n"
        )
    );
    let nowhere = file.write("nowhere.yaml", &plan("2027-03-28T02:30", "Mars/Olympus"));
    let output = check(&[&nowhere], "");
    assert_eq!(
        stdout(&output),
        format!(
            "{nowhere}:6:43: brownouts[0].time_zone: \"Mars/Olympus\" is no time zone: IANA names \
             are like Europe/Berlin\n{nowhere} has 1 problem\n"
        )
    );
}

#[test]
fn standard_input_is_a_file_like_others_but_only_once() {
    let output = check(&["-"], BROKEN);
    assert_eq!(output.status.code(), Some(65));
    assert!(stdout(&output).starts_with(&LISTING.replace("FILE", "standard input")));
    assert_eq!(check(&["-", "-"], BROKEN).status.code(), Some(64));
}

#[test]
fn a_warning_is_marked_and_makes_nothing_invalid() {
    let output = check(&["-"], WARNED);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        "standard input:4:14: warning: kill_switch: is on: every request goes to v1, whatever \
         else is written\nstandard input is valid, with 1 warning\n"
    );
}

#[test]
fn the_examples_are_valid() {
    for name in ["plan.yaml", "migration.yaml"] {
        let example = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let output = check(&[&example], "");
        assert_eq!(stdout(&output), format!("{example} is valid\n"));
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn each_of_several_files_is_looked_at_whatever_the_others_are() {
    let file = plans();
    let syntax = file.write("syntax.yaml", "api: users\nkey: [\n");
    let empty = file.write("empty.yaml", "# nothing\n");
    let broken = file.write("broken.yaml", BROKEN);
    let warned = file.write("warned.yaml", WARNED);
    let files = [syntax.as_str(), "/nonexistent", &empty, &broken, &warned];
    let output = check(&files, "");
    assert_eq!(output.status.code(), Some(74));
    assert!(stderr(&output).contains("cannot read /nonexistent: No such file"));
    let text = stdout(&output);
    assert!(text.starts_with(&format!("{syntax}:3:1: not YAML")), "{text}");
    assert!(text.contains(&format!("{empty}: empty: ")), "{text}");
    assert!(text.contains(&LISTING.replace("FILE", &broken)), "{text}");
    let summary = "5 files: 1 valid (1 warning), 3 with 5 problems, 1 unreadable\n";
    assert!(text.ends_with(summary), "{text}");
    // Without the one that cannot be read, it is the problems that count.
    assert_eq!(check(&[&warned, &broken], "").status.code(), Some(65));
}

#[test]
fn programs_get_the_same_as_json() {
    let file = plans();
    let broken = file.write("broken.yaml", BROKEN);
    let output = check(&["--output", "json", &broken, "/nonexistent", "-"], WARNED);
    assert_eq!(output.status.code(), Some(74));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    let [broken, missing, warned] = report["files"].as_array().unwrap().as_slice() else {
        panic!("{report}");
    };
    assert_eq!(broken["problems"].as_array().unwrap().len(), 3);
    assert_eq!(
        broken["problems"][0],
        serde_json::json!({ "line": 5, "column": 7, "path": "split.v3",
                            "message": "unknown version `v3`: known are v1, v2" })
    );
    assert_eq!((&broken["more"], &broken["valid"]), (&0.into(), &false.into()));
    assert!(missing["error"].as_str().unwrap().contains("No such file"));
    assert_eq!(warned["valid"], true);
    assert_eq!(warned["warnings"][0]["line"], 4);
}

#[test]
fn more_problems_than_are_listed_are_counted() {
    let pins: String = (0..150).map(|n| format!("  k{n}: v9\n")).collect();
    let plan = format!("api: users\nversions: [v1, v2]\nkey: {{ header: a }}\npins:\n{pins}");
    let output = check(&["-"], &plan);
    assert!(
        stdout(&output)
            .ends_with("standard input: and 50 problems more\nstandard input has 150 problems\n")
    );
    assert_eq!(stdout(&output).lines().count(), 102);
}

#[test]
fn the_schema_is_the_one_checked_in() {
    let output = check(&["--schema"], "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), include_str!("../../docs/plan.schema.json"));
    assert_eq!(check(&["--schema", "plan.yaml"], "").status.code(), Some(64));
    assert_eq!(check(&[], "").status.code(), Some(64));
}
