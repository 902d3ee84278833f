//! `crossfade replay` as a user runs it: the real program, the built-in engine, the real
//! log of `examples/`, and logs that are not well.
//!
//! The expected totals of the real log were computed apart from the engine: xxHash64 of
//! each address, modulo 10,000, counted in a script of thirty lines.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};

const CLF: &str = r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /users/7 HTTP/1.1" 200 5"#;

fn access_log() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/access.log")
}

/// Runs `crossfade replay` in a directory of its own.
struct Replay {
    directory: tempfile::TempDir,
}

impl Replay {
    fn new() -> Replay {
        Replay { directory: tempfile::tempdir().unwrap() }
    }

    /// Adds a file.
    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Replay {
        fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    /// Runs it with these arguments, words apart by spaces.
    fn output(&self, arguments: &str) -> Output {
        self.output_of(arguments, b"")
    }

    fn output_of(&self, arguments: &str, stdin: &[u8]) -> Output {
        let mut command = crossfade(&["replay"]);
        command.args(arguments.split(' ')).current_dir(self.directory.path());
        run(command, stdin)
    }

    /// Its report, when it succeeds.
    fn report(&self, arguments: &str) -> Value {
        let output = self.output(&format!("--output json {arguments}"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Checks the exit code, and what is said on stderr.
    fn check_said(&self, arguments: &str, exit: i32, said: &str) {
        let output = self.output(arguments);
        assert_eq!(stderr(&output), said, "{arguments}");
        assert_eq!(output.status.code(), Some(exit), "{arguments}");
    }
}

fn real_log(arguments: &str) -> Value {
    Replay::new().report(&format!("{arguments} {}", access_log().display()))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_real_log_gives_exactly_these_totals() {
    let report = real_log("--canary 10");
    assert_eq!(report["requests"], 10_000);
    assert_eq!(report["clients"], 1753);
    assert_eq!(
        report["versions"],
        json!([
            {"version": "v1", "requests": 9339, "request_percent": 93.39, "clients": 1582,
             "client_percent": 90.25, "outcomes": 9339, "failures": 2, "failure_percent": 0.02},
            {"version": "v2", "requests": 661, "request_percent": 6.61, "clients": 171,
             "client_percent": 9.75, "outcomes": 661, "failures": 1, "failure_percent": 0.15},
        ])
    );
    let ramp =
        |step: usize, fields: [&str; 5]| fields.map(|field| report["ramp"][step][field].clone());
    let fields = ["percentage", "clients_moved", "requests_moved", "clients", "requests"];
    assert_eq!(ramp(0, fields), [json!(1.0), json!(8), json!(43), json!(8), json!(43)]);
    assert_eq!(ramp(1, fields), [json!(5.0), json!(64), json!(269), json!(72), json!(312)]);
    assert_eq!(ramp(2, fields), [json!(25.0), json!(364), json!(1741), json!(436), json!(2053)]);
    assert_eq!(
        ramp(3, fields),
        [json!(100.0), json!(1317), json!(7947), json!(1753), json!(10_000)]
    );
    assert_eq!(
        report["reasons"],
        json!([{"reason": "canary", "requests": 10_000, "percent": 100.0}])
    );
    assert_eq!(
        report["top"][0],
        json!({"client": "66.249.73.135", "version": "v1", "versions": ["v1"], "requests": 482,
               "percent": 4.82, "failures": 2})
    );
    let input = &report["input"];
    assert_eq!(
        [
            &input["lines"],
            &input["bad"],
            &input["blank"],
            &input["out_of_order"],
            &input["without_key"]
        ],
        [&json!(10_000), &json!(0), &json!(0), &json!(4915), &json!(0)]
    );
    assert_eq!(input["first"], "2015-05-17T10:05:00Z");
    assert_eq!(input["last"], "2015-05-20T21:05:59Z");
    assert_eq!(input["span_ms"], 298_859_000);
}

#[test]
fn the_tables_look_like_this() {
    let mut command = crossfade(&["replay", "access.log"]);
    command.current_dir(access_log().parent().unwrap());
    let output = run(command, b"");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), include_str!("replay/access-log.txt"));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_same_input_and_seed_give_the_same_bytes() {
    let run = |arguments: &str| {
        let log = access_log();
        Replay::new().output(&format!("{arguments} --split v1=50,v2=50 {}", log.display())).stdout
    };
    assert_eq!(run("--seed 7"), run("--seed 7"));
    assert_ne!(run("--seed 7"), run("--seed 8"));
}

/// Three ways to the same numbers: calls without JSON after a client's first request;
/// messages, since requests have attributes; one batch an instant with an outcome for
/// each request, since the policy has a guard.
#[test]
fn every_way_through_the_engine_gives_the_same_numbers() {
    let plan = |guard: &str| {
        format!(
            "api: a\nversions: {{from: v1, to: v2}}\nkey: address\ncanary_percentage: 10\n{guard}"
        )
    };
    let replay = Replay::new()
        .file("plain.yaml", plan(""))
        .file("guard.yaml", plan("guard: {max_failure_ratio: 0.9, min_requests: 1000}\n"));
    let log = access_log();
    let numbers = |arguments: &str| {
        let mut report = replay.report(&format!("{arguments} {}", log.display()));
        report.as_object_mut().unwrap().remove("policy");
        report
    };
    let short = numbers("--policy plain.yaml");
    assert_eq!(short["versions"][1]["requests"], 661);
    assert_eq!(short, numbers("--policy plain.yaml --attribute verb=method"));
    assert_eq!(short, numbers("--policy guard.yaml"));
}

#[test]
fn splits_go_by_request_or_by_client() {
    let mixed = |report: &Value| {
        let rows = report["top"].as_array().unwrap();
        rows.iter().filter(|row| row["versions"].as_array().unwrap().len() > 1).count()
    };
    let by_request = real_log("--split v1=50,v2=50");
    assert_eq!(by_request["reasons"][0]["reason"], "split");
    assert_eq!(mixed(&by_request), 10);
    let share = by_request["versions"][0]["request_percent"].as_f64().unwrap();
    assert!((48.0..52.0).contains(&share), "{share}");
    assert_eq!(mixed(&real_log("--split v1=50,v2=50 --sticky")), 0);
}

#[test]
fn a_plan_decides_by_its_rules() {
    let replay = Replay::new()
        .file(
            "plan.yaml",
            "api: a\nversions: {from: v1, to: v2}\nkey: {header: x-user-id}\npins: {u-1: v1}\n\
             rules:\n- name: beta\n  when: {attribute: plan, in: [beta]}\n  to: v2\n",
        )
        .file(
            "app.jsonl",
            [("u-1", "beta"), ("u-2", "beta"), ("u-3", "free"), ("u-2", "free")]
                .map(|(user, plan)| {
                    format!(
                        r#"{{"time":"2015-05-17T10:05:03Z","status":200,"headers":{{"X-User-Id":["{user}"]}},"user":{{"plan":"{plan}"}}}}"#
                    )
                })
                .join("\n"),
        );
    let arguments =
        "--policy plan.yaml --key header:x-user-id --attribute plan=field:user.plan app.jsonl";
    let report = replay.report(arguments);
    let reasons: Vec<_> =
        report["reasons"].as_array().unwrap().iter().map(|r| &r["reason"]).collect();
    assert_eq!(reasons, ["stable", "pin", "rule"]);
    assert_eq!(report["top"][0]["client"], "u-2");
    assert_eq!(report["top"][0]["versions"], json!(["v1", "v2"]));
    assert_eq!(report["top"][0]["version"], "v1");
    let notes = report["notes"].to_string();
    assert!(notes.contains("The ramp leaves the policy's pins and rules aside."), "{notes}");
    assert!(!notes.contains("--key"), "{notes}");

    let notes = replay.report("--policy plan.yaml app.jsonl")["notes"].to_string();
    assert!(
        notes.contains(
            "tells clients apart by {\\\"header\\\":\\\"x-user-id\\\"}, this replay by address"
        ),
        "{notes}"
    );
    assert!(notes.contains("give them with --attribute"), "{notes}");
}

#[test]
fn the_example_plan_decides_the_example_log() {
    let examples = access_log().parent().unwrap().to_owned();
    let mut command = crossfade(&["replay", "--output", "json"]);
    command.args(["--policy", "plan.yaml", "--key", "header:x-user-id"]);
    command.args(["--attribute", "plan=field:user.plan", "--attribute", "sdk=field:user.sdk"]);
    let output = run(
        {
            command.arg("app.jsonl").current_dir(examples);
            command
        },
        b"",
    );
    assert_eq!(stderr(&output), "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reasons: Vec<(String, u64)> = report["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["reason"].as_str().unwrap().to_owned(), row["requests"].as_u64().unwrap()))
        .collect();
    let reasons: Vec<(&str, u64)> = reasons.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(reasons, [("canary", 7), ("pin", 2), ("rule", 2), ("no_key", 1)]);
}

#[test]
fn problems_of_a_plan_are_named_by_line() {
    let replay = Replay::new().file("a.log", CLF).file(
        "plan.yaml",
        "api: a\nversions: {from: v1, to: v2}\nkey: address\ncanary_percentage: 120\nsalz: x\n",
    );
    let output = replay.output("--policy plan.yaml a.log");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("plan.yaml:4:20: canary_percentage: "), "{said}");
    assert!(said.contains("plan.yaml:5:7: salz: "), "{said}");
    let output = replay.output("--policy a.log a.log");
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).starts_with("crossfade: a.log:1:1: "), "{}", stderr(&output));
    let replay = replay.file("tab.yaml", "api: a\nkey:\n\theader: x\n");
    replay.check_said(
        "--policy tab.yaml a.log",
        65,
        "crossfade: tab.yaml:3:2: a tab stands where YAML wants spaces: indent with spaces\n",
    );
}

#[test]
fn a_bad_line_is_named_and_the_rest_is_read() {
    let mut log = format!("{CLF}\nnonsense\n\n\x1b[31mred\x07 \n").into_bytes();
    log.extend_from_slice(b"\xff\xfe\n{\"time\":\"soon\"}\n{\"status\":200}\n{\n");
    log.extend_from_slice(br#"{"time":1431857103,"status":"ok"}"#);
    log.extend_from_slice(format!("\n{CLF}").as_bytes());
    let replay = Replay::new().file("a.log", log);
    let output = replay.output("--bad-lines 20 --output json a.log");
    assert_eq!(
        stderr(&output),
        "a.log:2: no client address at the start: nonsense\n\
         a.log:4: no user: \\x1b[31mred\\x07 \n\
         a.log:5: no client address at the start: \\xff\\xfe\n\
         a.log:6: `soon` is not a time: {\"time\":\"soon\"}\n\
         a.log:7: no time: name its field with --json-fields time=NAME: {\"status\":200}\n\
         a.log:8: not JSON: EOF while parsing an object at column 1: {\n\
         a.log:9: `ok` is not an HTTP status: {\"time\":1431857103,\"status\":\"ok\"}\n"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["requests"], 2);
    assert_eq!((&report["input"]["bad"], &report["input"]["blank"]), (&json!(7), &json!(1)));
    assert_eq!(report["bad_lines"][1]["line"], 4);
    assert_eq!(report["bad_lines"][1]["text"], "\\x1b[31mred\\x07 ");

    let output = replay.output("--bad-lines 2 a.log");
    assert_eq!(stderr(&output).lines().last(), Some("5 more bad lines"));
    assert_eq!(stderr(&replay.output("--bad-lines 0 a.log")), "");
}

#[test]
fn lines_and_keys_over_a_limit_are_bad_lines() {
    let key = |bytes: usize| format!(r#"{{"time":1431857103,"user":"{}"}}"#, "u".repeat(bytes));
    let log = [key(1023), key(1024), key(1025), key(10_000_000), key(1)].join("\n");
    let replay = Replay::new().file("a.jsonl", log);
    let report = replay.report("--key field:user a.jsonl");
    assert_eq!((&report["requests"], &report["clients"]), (&json!(3), &json!(3)));
    let why: Vec<_> =
        report["bad_lines"].as_array().unwrap().iter().map(|row| &row["why"]).collect();
    assert_eq!(
        why,
        [
            "its client key of 1025 bytes is over the limit of 1024",
            "10000030 bytes are over the limit of 1048576",
        ]
    );
}

#[test]
fn what_a_log_says_cannot_reach_the_terminal() {
    let line = r#"{"time":1431857103,"user":"\u001b[31m\u009b\u202ex"}"#;
    let replay = Replay::new().file("a.jsonl", line);
    for output in ["human", "json"] {
        let output = replay.output(&format!("--key field:user --output {output} a.jsonl"));
        let text = String::from_utf8(output.stdout).unwrap();
        let unsafe_char = text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(unsafe_char, None, "{text}");
    }
    let report = replay.report("--key field:user a.jsonl");
    assert_eq!(report["top"][0]["client"], "\u{1b}[31m\u{9b}\u{202e}x");
}

#[test]
fn logs_that_cannot_be_read_are_named_and_the_others_are_read() {
    let log = format!("{CLF}\n").repeat(1000);
    let zipped = gzip(log.as_bytes());
    let replay = Replay::new()
        .file("good.log", CLF)
        .file("empty.log", "")
        .file("zipped", &zipped)
        .file("cut.gz", &zipped[..zipped.len() / 2])
        .file("broken.gz", [&zipped[..20], &[0xAA; 40]].concat())
        .file("a.zst", b"\x28\xB5\x2F\xFD....");
    fs::create_dir(replay.directory.path().join("logs")).unwrap();

    assert_eq!(replay.report("zipped")["requests"], 1000);
    let nothing =
        |name: &str| format!("crossfade: nothing to replay: no line of {name} is a request\n");
    replay.check_said("empty.log", 65, &nothing("empty.log"));
    replay.check_said(
        "logs",
        65,
        &format!("logs: is a directory: name the log files in it\n{}", nothing("logs")),
    );
    replay.check_said(
        "a.zst",
        65,
        &format!(
            "a.zst: is compressed with zstd: unpack it first, `zstd -dc a.zst | crossfade replay -`\n{}",
            nothing("a.zst")
        ),
    );
    let output = replay.output("--output json missing good.log cut.gz broken.gz");
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    let said: Vec<&str> = said.lines().collect();
    assert!(said[0].starts_with("missing: No such file or directory"), "{said:?}");
    assert!(said[1].starts_with("cut.gz: cannot be read beyond line "), "{said:?}");
    assert!(said[1].ends_with(": its gzip data ends early; what was before was used"), "{said:?}");
    assert!(said[2].starts_with("broken.gz: cannot be read beyond line 0: "), "{said:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = &report["input"]["files"];
    assert_eq!(files[0]["error"], said[0]);
    assert_eq!(files[1], json!({"name": "good.log", "lines": 1, "requests": 1, "bad": 0}));
    assert!(files[2]["requests"].as_u64().unwrap() < 1000);
}

#[test]
fn standard_input_is_a_log_too_zipped_or_not() {
    let replay = Replay::new();
    for input in [CLF.as_bytes().to_vec(), gzip(CLF.as_bytes())] {
        let output = replay.output_of("--output json -", &input);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["requests"], 1);
        assert_eq!(report["input"]["files"][0]["name"], "standard input");
    }
    let output = replay.output_of("-", b"");
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn options_that_cannot_be_are_usage_errors() {
    let replay = Replay::new().file("a.log", CLF);
    for arguments in [
        "",
        "--canary 101 a.log",
        "--canary 0.005 a.log",
        "--canary 5 --split v1=1,v2=1 a.log",
        "--canary 5 --policy p a.log",
        "--split v1=1 a.log",
        "--sticky a.log",
        "--ramp 5,1 a.log",
        "--key user a.log",
        "--key path:[ a.log",
        "--attribute plan a.log",
        "--format apache a.log",
        "--json-fields time a.log",
        "--failure-status 5xx a.log",
        "--top -1 a.log",
        "--output yaml a.log",
    ] {
        let output = replay.output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments}: {}", stderr(&output));
        assert_eq!(output.stdout, b"", "{arguments}");
    }
    // What only the engine can judge.
    let output = replay.output(&format!("--salt {} a.log", "x".repeat(2000)));
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("crossfade: salt: "), "{}", stderr(&output));
}

#[test]
fn failures_are_the_statuses_asked_for() {
    let failures = |arguments: &str| {
        let report = real_log(arguments);
        let rows = report["versions"].as_array().unwrap();
        rows.iter().map(|row| row["failures"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(failures("--failure-status 500-599"), 3);
    assert_eq!(failures("--failure-status 500-599,404"), 216);
}

#[test]
fn a_log_without_keys_goes_to_the_stable_version() {
    let line = r#"{"time":1431857103,"status":"-"}"#;
    let report = Replay::new().file("a.jsonl", line).report("--canary 100 a.jsonl");
    assert_eq!(report["versions"][0]["requests"], 1);
    assert_eq!(report["reasons"][0]["reason"], "no_key");
    assert_eq!(report["clients"], 0);
    assert_eq!(report["input"]["without_key"], 1);
    assert_eq!(report["input"]["without_status"], 1);
    assert_eq!(report["versions"][0]["outcomes"], 0);
}

#[test]
fn logs_named_newest_first_are_pointed_out() {
    let line = |day: u32| CLF.replace("17/May", &format!("{day}/May"));
    let replay = Replay::new().file("new.log", line(18)).file("old.log", line(17));
    let notes = |arguments: &str| replay.report(arguments)["notes"].to_string();
    assert!(notes("new.log old.log").contains("old.log begins before the log in front of it ends"));
    assert!(!notes("old.log new.log").contains("begins before"));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let mut command = crossfade(&["replay", "-"]);
    command.stdin(fs::File::open(access_log()).unwrap());
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(
        stderr(&output).starts_with("crossfade: cannot write the report: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_log_that_names_no_version_is_the_old_ones() {
    let replay = Replay::new()
        .file("access.log", fs::read(access_log()).unwrap())
        .file("v1.log", CLF.replace("/users", "/v1/users"));
    let requests = |arguments: &str| {
        let report = replay.report(&format!("--census {arguments}"));
        let versions = report["versions"].as_array().unwrap().clone();
        let requests: Vec<u64> =
            versions.iter().map(|version| version["requests"].as_u64().unwrap()).collect();
        (requests, report["other_requests"].as_u64().unwrap(), report["notes"].to_string())
    };
    let (counted, other, notes) = requests("access.log");
    assert_eq!((counted, other), (vec![10_000, 0], 0));
    assert!(notes.contains("all 10,000 are taken for v1's"), "{notes}");
    // One that does name a version shows that the others belong to none.
    let (counted, other, notes) = requests("access.log v1.log");
    assert_eq!((counted, other), (vec![1, 0], 10_000));
    assert!(notes.contains("Of no version: 10,000 requests"), "{notes}");
    // And what was asked for is not second-guessed.
    let (counted, other, _) = requests("--version-of /a/=v1,/b/=v2 access.log");
    assert_eq!((counted, other), (vec![0, 0], 10_000));
}
