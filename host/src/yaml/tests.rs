use serde_json::json;

use super::*;

fn read(text: &str) -> Document {
    parse_document("plan.yaml", text.as_bytes()).expect(text)
}

fn check_value(text: &str, expected: Value) {
    assert_eq!(read(text).value, expected, "{text}");
}

fn check_error(text: impl AsRef<[u8]>, expected: &str) {
    let error = parse_document("plan.yaml", text.as_ref()).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
pins:
  partner.7: v1
  partner: v2
rollout:
  steps:
    - { percentage: 1, duration_minutes: 30 }
    - percentage: 120
      duration_minutes: 60
rules:
- name: beta
  when:
    all: []
";

#[test]
fn scalars_have_the_types_of_yaml_1_2() {
    for (text, expected) in [
        ("v1", json!("v1")),
        ("1.10", json!(1.1)),
        ("1.10.0", json!("1.10.0")),
        ("2027-01-31", json!("2027-01-31")),
        ("2027-06-01T10:00Z", json!("2027-06-01T10:00Z")),
        ("12:30", json!("12:30")),
        ("yes", json!("yes")),
        ("no", json!("no")),
        ("on", json!("on")),
        ("off", json!("off")),
        ("y", json!("y")),
        ("true", json!(true)),
        ("False", json!(false)),
        ("null", Value::Null),
        ("~", Value::Null),
        ("", Value::Null),
        ("''", json!("")),
        ("\"1.10\"", json!("1.10")),
        ("!!str 1.10", json!("1.10")),
        ("! 1.10", json!("1.10")),
        ("!!float 1", json!(1)),
        ("010", json!(10)),
        ("0o10", json!(8)),
        ("0x1F", json!(31)),
        ("0x+1", json!("0x+1")),
        ("+5", json!(5)),
        ("++5", json!("++5")),
        ("-5", json!(-5)),
        ("-", json!([null])),
        (".5", json!(0.5)),
        ("5.", json!(5.0)),
        ("1e3", json!(1000.0)),
        ("1_000", json!("1_000")),
        ("'>=2.4'", json!(">=2.4")),
        ("inf", json!("inf")),
        ("NaN", json!("NaN")),
        ("18446744073709551615", json!(u64::MAX)),
        ("18446744073709551616", json!(18446744073709551616.0)),
        ("-9223372036854775808", json!(i64::MIN)),
    ] {
        // A list item must not be on its key's line, so it goes to the next one.
        let text = if text == "-" { "v:\n-".to_owned() } else { format!("v: {text}") };
        check_value(&text, json!({ "v": expected }));
    }
}

#[test]
fn json_is_read_as_it_is() {
    check_value(
        "{\n\t\"a\": [1,\t2.5, true, null],\n\t\"b\": {\"c\": \"x\\/y\\u0041\\n\"}\r\n}",
        json!({"a": [1, 2.5, true, null], "b": {"c": "x/yA\n"}}),
    );
    check_value(
        r#"{"a":"\ud83d\ude00","b":"\\ud83d\\ude00"}"#,
        json!({"a": "😀", "b": "\\ud83d\\ude00"}),
    );
    let long = "k".repeat(5000);
    check_value(&format!("{{\"{long}\": 1}}"), json!({ long: 1 }));
}

#[test]
fn a_mapping_keeps_its_order_and_keys_stay_text() {
    let document = read("z: 1\na: 2\n1.10: 3\ntrue: 4\n'null': 5\n2027-01-31: 6\n");
    let keys: Vec<_> = document.value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["z", "a", "1.10", "true", "null", "2027-01-31"]);
}

#[test]
fn a_path_leads_to_the_value_or_the_nearest_parent() {
    let document = read(PLAN);
    for (path, expected) in [
        ("", (1, 1)),
        ("api", (1, 6)),
        ("versions", (2, 1)),
        ("versions.to", (2, 27)),
        ("versions.missing", (2, 1)),
        ("pins.partner.7", (4, 14)),
        ("pins[\"partner.7\"]", (4, 14)),
        ("pins.partner", (5, 12)),
        ("pins.partner.8", (5, 12)),
        ("rollout", (6, 1)),
        ("rollout.steps", (7, 3)),
        ("rollout.steps[0].percentage", (8, 21)),
        ("rollout.steps[1]", (9, 7)),
        ("rollout.steps[1].percentage", (9, 19)),
        ("rollout.steps[1].max_minutes", (9, 7)),
        ("rollout.steps[7].percentage", (7, 3)),
        ("rollout.steps.percentage", (7, 3)),
        ("rollout[0]", (6, 1)),
        ("rules[0].name", (12, 9)),
        ("rules[0].when.all[3]", (14, 5)),
        ("nowhere.at.all", (1, 1)),
    ] {
        assert_eq!(document.position(path), Some(expected), "{path}");
    }
    for no_path in ["rollout.steps[1", "pins[\"partner.7\"", "pins[\"partner.7", "pins["] {
        assert_eq!(document.position(no_path), None, "{no_path}");
    }
}

#[test]
fn a_number_remembers_how_it_was_written() {
    let document = read("versions: [1.10, v2, '3.0']\n");
    assert_eq!(document.written("versions[0]"), Some("1.10"));
    assert_eq!(document.written("versions[1]"), None);
    assert_eq!(document.written("versions[2]"), None);
    assert_eq!(document.written("versions"), None);
    assert_eq!(document.written("versions[0].x"), None);
}

#[test]
fn positions_count_characters_after_a_byte_order_mark_and_crlf() {
    let document = read("\u{feff}\"é\": 1\r\n# 😀\r\nb: {\"ü\": 2}\r\n");
    assert_eq!(document.position("é"), Some((1, 6)));
    assert_eq!(document.position("b.ü"), Some((3, 10)));
}

#[test]
fn what_would_hide_a_mistake_is_refused() {
    check_error("a: 1\nb: 2\na: 3\n", "plan.yaml:3:1: `a` is given twice, first on line 1");
    check_error("{\"a\":1,\n \"a\":2}", "plan.yaml:2:2: `a` is given twice, first on line 1");
    check_error(
        "a: 1\n---\nb: 2\n",
        "plan.yaml:2:1: a second document starts here: one file, one plan",
    );
    check_error("? [x]\n: 1\n", "plan.yaml:1:3: a key must be text, not a list or mapping");
    check_error(": 1\n", "plan.yaml:1:1: a key is missing before `:`");
    check_error("a: .nan\n", "plan.yaml:1:4: `.nan` is not a number that can be used here");
    check_error("a: 1e400\n", "plan.yaml:1:4: `1e400` is too large a number");
    check_error("a: !!int x\n", "plan.yaml:1:4: `x` is not a whole number");
    check_error(
        "a: !secret x\n",
        "plan.yaml:1:4: the tag `!secret` has no meaning here: leave it out",
    );
    check_error(
        "a: !!set {x}\n",
        "plan.yaml:1:4: the tag `tag:yaml.org,2002:!set` has no meaning here: leave it out",
    );
}

#[test]
fn syntax_errors_say_where_and_what_to_do() {
    check_error(
        "a:\n\tb: 1\n",
        "plan.yaml:2:2: a tab stands where YAML wants spaces: indent with spaces",
    );
    check_error("a: @x\n", "plan.yaml:1:4: a value cannot start with `@`: put it in quotes");
    check_error(
        "semver: >=2.4\n",
        "plan.yaml:1:9: a value cannot start with `>` or `|`: put it in quotes",
    );
    let colon = "a second `:` here: put a value that contains `: ` in quotes, or indent this line like its neighbours";
    check_error("a: b: c\n", &format!("plan.yaml:1:5: {colon}"));
    check_error("a: 1\n b: 2\n", &format!("plan.yaml:2:3: {colon}"));
    check_error(
        "a: \"x\n",
        "plan.yaml:1:4: not YAML: while scanning a quoted scalar, found unexpected end of stream",
    );
}

#[test]
fn a_document_with_nothing_in_it_is_empty() {
    for text in ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "~\n", "\u{feff}"] {
        check_error(text, "plan.yaml: empty: a plan needs at least `api`, `versions` and `key`");
    }
}

#[test]
fn other_encodings_are_named() {
    check_error(
        b"a: 1\nb: \xFF\n",
        "plan.yaml:2:4: byte 0xff is not UTF-8: save the file as UTF-8",
    );
    check_error(
        b"\xC3\xA9: caf\xE9\n",
        "plan.yaml:1:7: byte 0xe9 is not UTF-8: save the file as UTF-8",
    );
    check_error(b"\xFF\xFEa\0", "plan.yaml:1:1: this is UTF-16: save the file as UTF-8");
}

#[test]
fn aliases_are_refused_and_anchors_are_harmless() {
    check_value("a: &x 1\n", json!({"a": 1}));
    check_error("a: &x 1\nb: *x\n", &format!("plan.yaml:2:4: {}", build::ALIAS));
    check_error("b: *x\n", &format!("plan.yaml:1:4: {}", build::ALIAS));
    let mut bomb = String::from("a0: &a0 [x]\n");
    for level in 1..30 {
        bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
    }
    check_error(bomb, &format!("plan.yaml:2:10: {}", build::ALIAS));
}

#[test]
fn limits_hold_just_below_at_and_above() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [DOCUMENT_DEPTH_MAX - 1, DOCUMENT_DEPTH_MAX] {
        assert!(parse_document("p", nested(depth).as_bytes()).is_ok(), "{depth}");
    }
    check_error(nested(DOCUMENT_DEPTH_MAX + 1), &format!("plan.yaml:1:65: {}", build::too_deep()));
    check_error(nested(100_000), &format!("plan.yaml:1:256: {}", build::too_deep()));
    check_error("- ".repeat(100_000), &format!("plan.yaml:1:129: {}", build::too_deep()));

    // The list itself is a node too.
    let items = |count: usize| "- 1\n".repeat(count);
    for count in [DOCUMENT_NODES_MAX - 2, DOCUMENT_NODES_MAX - 1] {
        assert!(parse_document("p", items(count).as_bytes()).is_ok(), "{count}");
    }
    check_error(
        items(DOCUMENT_NODES_MAX),
        "plan.yaml:200000:3: more than 200000 values in one document",
    );

    let text = |bytes: usize| format!("a: {}", "x".repeat(bytes - 3));
    for bytes in [DOCUMENT_BYTES_MAX - 1, DOCUMENT_BYTES_MAX] {
        assert!(parse_document("p", text(bytes).as_bytes()).is_ok(), "{bytes}");
    }
    check_error(
        text(DOCUMENT_BYTES_MAX + 1),
        "plan.yaml: longer than 4194304 bytes: is this a plan?",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = read_document(directory.path()).unwrap_err();
    assert!(matches!(&error, DocumentError::Io { .. }), "{error}");
    let missing = directory.path().join("plan.yaml");
    let error = read_document(&missing).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: No such file", missing.display())), "{error}");
    std::fs::write(&missing, "api: users\n").unwrap();
    assert_eq!(read_document(&missing).unwrap().value, json!({"api": "users"}));
}

/// Whatever a file holds, reading it ends in a document or an error with a place.
#[test]
fn no_text_breaks_the_reader() {
    // Xorshift; the seed makes a failure come back.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut read = 0;
    for round in 0..5_000 {
        let mut text = PLAN.as_bytes().to_vec();
        for _ in 0..=random(3) {
            let at = random(text.len());
            match random(3) {
                0 => text[at] = random(256) as u8,
                1 => _ = text.remove(at),
                _ => text.insert(at, b" \t\n:-?&*!|>'\"%@`{}[],#"[random(22)]),
            }
        }
        match parse_document("plan.yaml", &text) {
            Ok(document) => {
                read += 1;
                assert!(document.position("rollout.steps[1].percentage").is_some(), "{round}");
            }
            Err(DocumentError::Syntax { line, column, .. }) => {
                assert!(line >= 1 && column >= 1, "{round}");
            }
            Err(other) => panic!("{round}: {other}"),
        }
    }
    assert!(read > 500, "{read}");
}
