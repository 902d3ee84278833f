//! `crossfade replay --census` as a user runs it: who is still on which version, from the
//! real log of `examples/`, in order and out of order, and from one that is not well.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::process::{crossfade, run, stderr};

/// Everything but the blog is the new version.
const VERSIONS: [&str; 2] = ["--version-of", "/blog/=v1,/=v2"];

fn real_log() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/access.log");
    fs::read_to_string(path).unwrap()
}

/// Runs it on a log of these lines.
fn census(log: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("access.log"), log).unwrap();
    let mut command = crossfade(&["replay", "--census", "access.log"]);
    command.args(arguments).current_dir(&folder).env_remove("COLUMNS");
    run(command, b"")
}

fn said(log: &str, arguments: &[&str]) -> String {
    let output = census(log, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers were counted apart from this, in a script of ten lines.
#[test]
fn the_real_log_gives_exactly_these_numbers() {
    let log = real_log();
    let json = said(&log, &[&VERSIONS[..], &["--output", "json"]].concat());
    let report: Value = serde_json::from_str(&json).unwrap();
    let of = |version: usize, field: &str| report["versions"][version][field].as_u64().unwrap();
    assert_eq!((of(0, "requests"), of(1, "requests")), (1_959, 8_041));
    assert_eq!(of(0, "clients") + of(1, "clients"), 1_862);
    assert_eq!(
        (&report["versions"][0]["exact"], &report["late_requests"]),
        (&true.into(), &0.into())
    );
    assert!(report["sunset"]["statement"].as_str().unwrap().starts_with("At 95 % confidence"));
    assert_eq!(report["sunset"]["ready"], false);
    let busiest = &report["clients"]["clients"][0];
    assert_eq!(busiest["version"], "v1");

    let csv = said(&log, &[&VERSIONS[..], &["--output", "csv"]].concat());
    let mut rows = csv.lines();
    let header: Vec<&str> = rows.next().unwrap().split(',').collect();
    assert_eq!(header[0], "client", "{header:?}");
    assert_eq!(rows.count() as u64, 1_862, "a line for each client, and one header");
    let by_address =
        said(&log, &[&VERSIONS[..], &["--key", "address", "--output", "csv"]].concat());
    assert_eq!(by_address.lines().count(), 1 + 1_753);

    let text = said(&log, &VERSIONS);
    assert!(text.contains("Busiest on v1"), "{text}");
    assert!(text.contains("The old version cannot be switched off yet"), "{text}");
    // There is no server here that `crossfade clients` could ask.
    assert!(text.contains("The likeliest 10; `--top 20` shows more"), "{text}");
    assert!(!text.contains("crossfade clients"), "{text}");
    let more = said(&log, &[&VERSIONS[..], &["--top", "20"]].concat());
    assert!(!more.contains("shows more"), "{more}");
}

/// Every seventh line comes hours late, and then the whole log backwards: nothing is another.
#[test]
fn a_log_that_is_out_of_order_by_hours_gives_the_same() {
    let log = real_log();
    let arguments = [&VERSIONS[..], &["--output", "csv"]].concat();
    let expected = said(&log, &arguments);
    let lines: Vec<&str> = log.lines().collect();
    let late = |block: &[&str]| {
        let (late, in_time): (Vec<_>, Vec<_>) =
            block.iter().enumerate().partition(|(n, _)| n % 7 == 0);
        in_time.into_iter().chain(late).map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let late: String = lines.chunks(1_000).map(late).collect();
    assert_eq!(said(&late, &arguments), expected);
    let backwards: String = lines.iter().rev().map(|line| format!("{line}\n")).collect();
    assert_eq!(said(&backwards, &arguments), expected);
}

/// What a client calls itself cannot reach the terminal, a spreadsheet or a program.
#[test]
fn control_characters_in_agents_are_escaped_in_every_output() {
    let line = |address: &str, path: &str, agent: &str| {
        format!(
            "{address} - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 5 \"-\" \"{agent}\"\n"
        )
    };
    let log = [
        line("10.0.0.1", "/v1/a", "evil\u{1b}[31m/1.0\u{7}"),
        line("10.0.0.2", "/v1/b", "tab\there/2.0 \u{9b}2J"),
        line("10.0.0.3", "/v2/a", "=cmd|'/c calc'!A0"),
        line("10.0.0.\u{1b}4", "/v1/a\u{1b}", "fine/1.0"),
        "no line at all \u{1b}[2J\n".to_owned(),
    ]
    .concat();
    for output in ["human", "json", "csv"] {
        let output = census(&log, &["--output", output]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(text.clone()).unwrap();
            let wild = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(wild, None, "{text:?}");
        }
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("10.0.0.1"), "{text}");
        // No cell begins a formula.
        assert!(
            !text.lines().any(|line| line.split(',').any(|cell| cell.starts_with('='))),
            "{text}"
        );
    }
}

#[test]
fn a_pattern_without_a_version_is_a_usage_error() {
    let wrong = census(&real_log(), &["--version-of", "/v1/"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    assert!(stderr(&wrong).contains("--version-of"), "{}", stderr(&wrong));
}

/// A log of `days`: each day ten clients call `path`, at noon of that day of 2026.
fn days(path: &str, days: std::ops::Range<i8>) -> String {
    let start = jiff::civil::date(2026, 1, 1);
    let day = |day: i8| {
        let date = start.saturating_add(jiff::Span::new().days(i64::from(day)));
        let date = date.strftime("%d/%b/%Y").to_string();
        (0..10).map(move |client| {
            format!(
                "10.0.0.{client} - - [{date}:12:00:00 +0000] \"GET {path} HTTP/1.1\" 200 5 \"-\" \"job/1.0\"\n"
            )
        })
    };
    days.flat_map(day).collect()
}

/// Ten days of v1, then 110 days of v2: the old version can go, and nothing says otherwise.
#[test]
fn a_log_in_which_the_old_version_was_left_long_ago_says_that_it_can_go() {
    let log = days("/v1/x", 0..10) + &days("/v2/x", 10..120);
    let json = said(&log, &["--output", "json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    let sunset = &report["sunset"];
    assert_eq!(sunset["ready"], true, "{sunset:#}");
    let checks = sunset["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert!(names.contains(&"quiet") && names.contains(&"clients"), "{names:?}");
    // Of a policy nothing is known.
    assert!(!names.contains(&"share") && !names.contains(&"rollout"), "{names:?}");
    let text = said(&log, &[]);
    assert!(text.contains("✔ The old version can be switched off."), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("last called 110 days before the logs end, 14 days are"), "{text}");
    // Of nobody who may call again an interval is known.
    assert!(
        words.contains("30 days, and the plan allows 0") && !words.contains("interval"),
        "{text}"
    );

    let one = "10.0.0.1 - - [01/Jan/2026:12:00:00 +0000] \"GET /about HTTP/1.1\" 200 5\n";
    let text = said(&(one.to_owned() + &log), &[]);
    assert!(text.contains("- Of no version: 1 request, such as /about; see"), "{text}");

    let text = said(&(days("/v1/x", 0..10) + &days("/v2/x", 10..20)), &[]);
    assert!(text.contains("✘ The old version cannot be switched off yet."), "{text}");
    assert!(text.contains("✘ quiet     an older version was last called 10 days before"), "{text}");
}

/// With a policy its share and its days are asked for, and the quiet is still the logs'.
#[test]
fn a_policy_says_how_long_is_quiet_and_what_its_share_is() {
    let log = days("/v1/x", 0..10) + &days("/v2/x", 10..120);
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.json");
    let checks = |percentage: u32, quiet_days: u32| {
        let document = serde_json::json!({
            "api": "shop", "versions": { "from": "v1", "to": "v2" }, "key": { "attribute": "client", "on_missing_key": "random" },
            "canary_percentage": percentage, "sunset": { "quiet_days": quiet_days },
        });
        fs::write(&policy, document.to_string()).unwrap();
        let json = said(&log, &["--policy", policy.to_str().unwrap(), "--output", "json"]);
        let report: Value = serde_json::from_str(&json).unwrap();
        let sunset = &report["sunset"];
        let ok = |name: &str| {
            let checks = sunset["checks"].as_array().unwrap();
            checks.iter().find(|check| check["check"] == name).unwrap()["ok"] == true
        };
        (sunset["ready"] == true, ok("share"), ok("quiet"))
    };
    assert_eq!(checks(100, 110), (true, true, true));
    assert_eq!(checks(100, 111), (false, true, false));
    assert_eq!(checks(50, 110), (false, false, true));
}
