//! `docs/protocol.md` is true: every exchange and every row of its table is played, and
//! nothing that can be asked, answered or written in a plan is missing from it.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::fs;

use crossfade::yaml::parse_document;
use crossfade_protocol::reply::{
    Clients, Config, ConfigureOk, Explanation, GateVerdict, InitOk, MigrationStats, PolicyChecked,
    Reply, ReportOutcomesOk, RolloutComplete, RolloutExplanation, RolloutState, RouteOk, Sunset,
    UsersResponse,
};
use crossfade_protocol::request::TYPES;
use crossfade_tests::docs::{Call, Page, Row, fill, protocol_page};
use crossfade_tests::driver::{Driver, Native, Wasm};
use serde_json::{Value, json};

fn text() -> String {
    fs::read_to_string(protocol_page()).unwrap()
}

fn page() -> Page {
    Page::read(&text()).unwrap_or_else(|error| panic!("docs/protocol.md: {error}"))
}

fn builds() -> Vec<Box<dyn Driver>> {
    vec![Box::new(Native::new()), Box::new(Wasm::new().unwrap())]
}

fn type_of(line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let body = message.get("body").unwrap_or(&message);
    Some(body.get("type")?.as_str()?.to_owned())
}

/// Types of requests that were not answered with an error, except `refuse`, which
/// always is; and types of replies.
fn shown(page: &Page) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for step in page.exchanges.iter().flat_map(|exchange| &exchange.steps) {
        let replies: Vec<String> = step.replies.iter().filter_map(|reply| type_of(reply)).collect();
        if let Call::Send(line) = &step.call
            && let Some(kind) = type_of(line)
            && (kind == "refuse" || replies.iter().any(|reply| reply != "error"))
        {
            asked.insert(kind);
        }
        answered.extend(replies);
    }
    (asked, answered)
}

fn missing<'a>(wanted: &[&'a str], there: &BTreeSet<String>) -> Vec<&'a str> {
    wanted.iter().copied().filter(|name| !there.contains(*name)).collect()
}

#[test]
fn every_exchange_and_every_row_is_answered_to_the_byte() {
    let page = page();
    assert!(page.exchanges.len() >= 20, "{} exchanges", page.exchanges.len());
    for mut build in builds() {
        let differences = page.play(build.as_mut()).unwrap();
        let list: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "{} differences\n\n{}", list.len(), list.join("\n\n"));
    }
}

#[test]
fn every_message_has_an_exchange() {
    assert_eq!(missing(&TYPES, &shown(&page()).0), [""; 0]);
}

#[test]
fn every_reply_is_shown() {
    let replies = [
        InitOk::TYPE,
        ReportOutcomesOk::TYPE,
        ConfigureOk::TYPE,
        Config::TYPE,
        UsersResponse::TYPE,
        RouteOk::TYPE,
        Explanation::TYPE,
        PolicyChecked::TYPE,
        MigrationStats::TYPE,
        RolloutComplete::TYPE,
        RolloutState::TYPE,
        RolloutExplanation::TYPE,
        GateVerdict::TYPE,
        Clients::TYPE,
        Sunset::TYPE,
        "error",
        "event",
        "merge_ok",
    ];
    assert_eq!(missing(&replies, &shown(&page()).1), [""; 0]);
}

/// What has to be in the table, by the beginning of its first cell.
const BAD_INPUT: [&str; 31] = [
    "not JSON",
    "truncated",
    "10 MB on one line",
    "100,000 nested brackets",
    "invalid UTF-8",
    "lone surrogates",
    "duplicate keys",
    "`msg_id` missing",
    "`msg_id` negative",
    "`msg_id` a string",
    "`msg_id` 2^64",
    "NaN",
    "1e400",
    "percentage −1",
    "percentage 101",
    "percentage \"10\"",
    "percentage 0.005",
    "weights negative",
    "weights all zero",
    "unknown versions",
    "steps empty",
    "steps decreasing",
    "steps without duration",
    "both `canary_percentage` and `traffic_split`",
    "a rollout while one runs",
    "CRLF",
    "a BOM",
    "an empty line",
    "no newline at the end",
    "stdin closed mid-line",
    "stdout closed",
];

fn rows_missing(rows: &[Row]) -> Vec<&'static str> {
    let there = |what: &&str| rows.iter().any(|row| row.what.starts_with(*what));
    BAD_INPUT.into_iter().filter(|what| !there(what)).collect()
}

#[test]
fn every_kind_of_bad_input_has_a_row() {
    assert_eq!(rows_missing(&page().rows), [""; 0]);
}

#[test]
fn a_row_without_lines_names_a_test_that_is_there() {
    for row in page().rows {
        let Some((file, name)) = row.test else { continue };
        let path = protocol_page().with_file_name(&file);
        let source = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(source.contains(&format!("#[test]\nfn {name}()")), "{file} has no test `{name}`");
    }
}

/// The engine names the fields it knows when it meets one that it does not.
fn known_fields(document: Value) -> Vec<String> {
    let line = json!({"type": "check_policy", "msg_id": 1, "document": document}).to_string();
    let reply = Native::new().handle(line.as_bytes(), 0).unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    let problems = reply["problems"].as_array().unwrap();
    let messages = problems.iter().filter_map(|problem| problem["message"].as_str());
    let lists: Vec<_> =
        messages.filter_map(|text| text.strip_prefix("unknown field; known here: ")).collect();
    assert_eq!(lists.len(), 1, "{document}: {reply}");
    lists[0].split(", ").map(str::to_owned).collect()
}

/// A name that is near none, so that the engine lists them all.
const NOBODYS_FIELD: &str = "zzzzzzzzzzzzzzzzzzzz";

/// Where objects of the plan lie: their path in the table, and a document with
/// [`NOBODYS_FIELD`] in one.
fn objects() -> Vec<(&'static str, Value)> {
    let plan = |name: &str, value: Value| {
        let mut plan = json!({"api": "a", "versions": ["v1", "v2"], "key": "address"});
        plan[name] = value;
        plan
    };
    let rule = |when: Value| plan("rules", json!([{"name": "r", "to": "v2", "when": when}]));
    let rollout = |name: &str, value: Value| {
        let mut rollout = json!({"steps": [{"percentage": 1, "duration_minutes": 1}]});
        rollout[name] = value;
        plan("rollout", rollout)
    };
    let odd = || json!({NOBODYS_FIELD: 1});
    vec![
        ("", plan(NOBODYS_FIELD, json!(1))),
        ("versions.", plan("versions", odd())),
        ("key.", plan("key", odd())),
        ("guard.", plan("guard", odd())),
        ("rules[].", plan("rules", json!([odd()]))),
        ("rules[].when.", rule(json!({"all": [], NOBODYS_FIELD: 1}))),
        ("rules[].when.", rule(json!({"attribute": "a", "present": true, NOBODYS_FIELD: 1}))),
        ("split_buckets[].", plan("split_buckets", json!([odd()]))),
        ("rollout.", plan("rollout", odd())),
        ("rollout.steps[].", rollout("steps", json!([odd()]))),
        ("rollout.rollback.", rollout("rollback", odd())),
        ("rollout.freeze[].", rollout("freeze", json!([odd()]))),
        ("gate.", plan("gate", odd())),
        ("gate.failures.", plan("gate", json!({"failures": odd()}))),
        ("gate.failures.not_worse.", plan("gate", json!({"failures": {"not_worse": odd()}}))),
        ("gate.latency.", plan("gate", json!({"latency": odd()}))),
        ("gate.slo.", plan("gate", json!({"slo": odd()}))),
        ("gate.on_missing_data.", plan("gate", json!({"on_missing_data": odd()}))),
        ("deprecation.", plan("deprecation", odd())),
        ("brownouts[].", plan("brownouts", json!([odd()]))),
    ]
}

#[test]
fn every_field_of_the_plan_is_in_the_table() {
    let text = text();
    let mut rows: BTreeSet<&str> = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let first = row.split(" | ").next().unwrap_or_default();
        rows.extend(first.split('`').skip(1).step_by(2));
    }
    let mut wanted = 0;
    for (path, document) in objects() {
        for field in known_fields(document) {
            let field = format!("{path}{field}");
            assert!(rows.contains(field.as_str()), "`{field}` is in no row of the table");
            wanted += 1;
        }
    }
    assert!(wanted > 60, "only {wanted} fields were looked for");
}

/// The commented plan, in YAML, is a plan, and means what it says.
#[test]
fn the_example_of_a_plan_is_valid() {
    let text = text();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let document = parse_document("the example", yaml.as_bytes()).unwrap().value;
    let line = json!({"type": "check_policy", "document": document}).to_string();
    let reply = Native::new().handle(line.as_bytes(), 0).unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(
        reply,
        json!({"type": "policy_checked", "valid": true, "problems": [], "more": 0, "warnings": []})
    );
    // Nothing of the table's first level is left out, but what excludes something shown.
    for field in known_fields(objects().swap_remove(0).1) {
        let excluded = ["canary_percentage", "split_buckets"].contains(&field.as_str());
        assert!(excluded || document.get(&field).is_some(), "the example lacks `{field}`");
    }
}

mod would_notice {
    use super::*;

    const GOOD: &str = "```exchange\n> {\"type\":\"get_users\",\"msg_id\":1}\n< {\"type\":\"users_response\",\"in_reply_to\":1,\"version\":\"v1\"}\n```\n";

    fn differences(text: &str) -> usize {
        Page::read(text).unwrap().play(&mut Native::new()).unwrap().len()
    }

    fn refused(text: &str, why: &str) {
        let error = Page::read(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    fn table(row: &str) -> String {
        format!("## Bad input\n\n| what | lines | answers |\n|---|---|---|\n{row}\n")
    }

    #[test]
    fn a_reply_that_differs_by_a_byte() {
        assert_eq!(differences(GOOD), 0);
        assert_eq!(differences(&GOOD.replace("\"v1\"", "\"v2\"")), 1);
        assert_eq!(differences(&GOOD.replace("1,\"version\"", "1, \"version\"")), 1);
    }

    #[test]
    fn a_reply_too_few_and_one_too_many() {
        let reply = GOOD.lines().nth(2).unwrap();
        assert_eq!(differences(&GOOD.replace(&format!("{reply}\n"), "")), 1);
        assert_eq!(differences(&GOOD.replace(reply, &format!("{reply}\n{reply}"))), 1);
    }

    #[test]
    fn a_row_that_differs_by_a_byte() {
        let row = |answer: &str| table(&format!("| x | `[]` | `{answer}` |"));
        let answer =
            r#"{"type":"error","code":12,"text":"line 1: a list is not a message: an object is"}"#;
        assert_eq!(differences(&row(answer)), 0);
        assert_eq!(differences(&row(&answer.replace("12", "13"))), 1);
        assert_eq!(differences(&table("| x | `[]` | nothing |")), 1);
    }

    #[test]
    fn a_message_that_no_exchange_shows() {
        let (asked, answered) = shown(&Page::read(GOOD).unwrap());
        assert_eq!(missing(&["get_users", "route"], &asked), ["route"]);
        assert_eq!(missing(&["users_response", "route_ok"], &answered), ["route_ok"]);
        let refused = GOOD.replace("users_response", "error");
        assert_eq!(
            missing(&["get_users"], &shown(&Page::read(&refused).unwrap()).0),
            ["get_users"]
        );
    }

    #[test]
    fn a_row_that_is_gone() {
        let rows = Page::read(&table("| not JSON | `x` | `?` |")).unwrap().rows;
        assert_eq!(rows_missing(&rows), BAD_INPUT[1..]);
    }

    #[test]
    fn a_block_that_is_malformed() {
        for (text, why) in [
            ("```exchange\n> {}\n", "line 1: this block is never closed"),
            ("```exchange\n```\n", "line 1: an exchange without a call"),
            ("```exchange\n< {}\n> {}\n```\n", "line 2: a reply without a call"),
            ("```exchange\n> {}\n{}\n```\n", "line 3: not `> LINE`"),
            ("```exchange\n> {}\n\n< {}\n```\n", "line 3: not `> LINE`"),
            ("```exchange\n> {}\n<\n```\n", "line 3: not `> LINE`"),
            ("```exchange\ntick soon\n```\n", "line 2: not `> LINE`"),
            ("```exchange\n> {}\ninit {}\n```\n", "line 3: `init` begins a block"),
            ("```exchange continued\n> {}\n```\n", "line 1: there is no block before"),
            ("```exchanges\n> {}\n```\n", "line 1: a block is `exchange`"),
            ("```\n> {}\n```\n", "line 1: a block is `exchange`"),
        ] {
            refused(text, why);
        }
        let continued = GOOD.replace("```exchange", "```exchange continued\ninit {}");
        refused(&format!("{GOOD}{continued}"), "`init` begins a block");
    }

    #[test]
    fn a_row_that_is_malformed() {
        for (row, why) in [
            ("| x | `[]` |", "line 5: a row has three cells"),
            ("| x | `[] | `?` |", "line 5: a code span is never closed"),
            ("| x | `⟨zz⟩` | `?` |", "line 5: `⟨zz⟩` has a mark"),
            ("| x | `[]` |  |", "line 5: no answer"),
            ("| x | none | told elsewhere |", "line 5: neither lines to send, nor a link"),
        ] {
            refused(&table(row), why);
        }
        refused("## Bad input\n\nNo table.\n", "line 1: no table");
    }

    #[test]
    fn filling_in_makes_it_right() {
        let wrong = format!(
            "# A page\n\n{}\n{}",
            GOOD.replace("\"v1\"", "\"v9\""),
            table("| x | `[]` `{\"type\":1}` | `?` |")
        );
        assert!(differences(&wrong) == 2);
        let right = fill(&wrong, &mut Native::new()).unwrap();
        assert_eq!(differences(&right), 0);
        assert_eq!(fill(&right, &mut Native::new()).unwrap(), right);
        assert_eq!(right.lines().count(), wrong.lines().count());
    }
}
