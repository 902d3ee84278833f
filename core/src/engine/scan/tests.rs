use super::get_users as first_line;
use super::*;
use crossfade_protocol::limits::LINE_BYTES_MAX;
use crossfade_protocol::plan::Plan;
use crossfade_protocol::request::{Message, Override, Request};
use proptest::prelude::*;

/// Sender, message id, user and canary share, where a line has them.
type Scanned = (Option<String>, Option<u64>, Option<String>, Option<Share>);

/// What the scanner makes of a text that is one line.
fn get_users(line: &str) -> Option<GetUsers<'_>> {
    first_line(line).filter(|(_, len)| *len == line.len()).map(|(message, _)| message)
}

/// What the long way makes of a line, in the scanner's terms.
fn long_way(line: &str) -> Option<Scanned> {
    let message = Message::read(line, &Plan::bare().versions).ok()?;
    match message.request {
        Request::GetUsers { user_id, traffic } => {
            let canary = match traffic {
                Some(Override::Canary(share)) => Some(share),
                None => None,
                Some(Override::Split { .. }) => panic!("the scanner knows no splits"),
            };
            Some((message.src, message.msg_id, user_id, canary))
        }
        _ => None,
    }
}

fn check(line: &str, taken: bool) {
    let scanned = get_users(line);
    assert_eq!(scanned.is_some(), taken, "{line}");
    if let Some(m) = scanned {
        let key = m.user_id.filter(|key| !key.is_empty());
        let short = (m.src.map(str::to_owned), m.msg_id, key.map(str::to_owned), m.canary);
        assert_eq!(Some(short), long_way(line), "{line}");
    }
}

#[test]
fn takes_the_usual_shapes_and_nothing_else() {
    check(r#"{"src":"c","dest":"n","body":{"type":"get_users","msg_id":1,"user_id":"u"}}"#, true);
    check(r#"{"body": {"user_id": "é", "type": "get_users"}, "canary_percentage": 10}"#, true);
    check(r#"{"body":{"type":"get_users","msg_id":0,"canary_percentage":100}}"#, true);
    check(r#"{"type":"get_users","msg_id":1}"#, true);
    check(r#"{"src":"c","user_id":"u","canary_percentage":5,"type":"get_users"}"#, true);
    for long in [
        r#"{"body": {"user_id":  "é", "type": "get_users"}}"#,
        r#"{ "type":"get_users"}"#,
        r#"{"type":"get_users" }"#,
        r#"{"type" :"get_users"}"#,
        r#" {"type":"get_users"}"#,
        r#"{"type":"get_users","msg_id":1 }"#,
        r#"{"body":{"type":"get_users","msg_id":01}}"#,
        r#"{"body":{"type":"get_users","msg_id":-1}}"#,
        r#"{"body":{"type":"get_users","msg_id":1.0}}"#,
        r#"{"body":{"type":"get_users","msg_id":18446744073709551615}}"#,
        r#"{"body":{"type":"get_users","canary_percentage":10.5}}"#,
        r#"{"body":{"type":"get_users","canary_percentage":101}}"#,
        r#"{"body":{"type":"get_users","canary_percentage":1},"canary_percentage":1}"#,
        r#"{"canary_percentage":1,"body":{"type":"get_users","canary_percentage":1}}"#,
        r#"{"body":{"type":"get_users","user_id":"a\n"}}"#,
        r#"{"body":{"type":"get_users","user_id":"a","user_id":"b"}}"#,
        r#"{"body":{"type":"get_users"},"body":{"type":"get_users"}}"#,
        r#"{"body":{"type":"get_users"},"src":"a","src":"a"}"#,
        r#"{"body":{"type":"get_users"}} x"#,
        r#"{"body":{"type":"get_users"},"msg_id":1}"#,
        r#"{"type":"get_users","body":{"type":"get_users"}}"#,
        r#"{"body":{"type":"get_users","body":{}}}"#,
        r#"{"body":{"type":"get_users","src":"a"}}"#,
        r#"{"type":"get_users","type":"get_users"}"#,
        r#"{"type":"get_users_"}"#,
        "{\"type\":\"get_users\"\n}",
        r#"{"msg_id":1}"#,
        r#"{"type":"get_users","msg_id":1"#,
        r#"{"body":{"type":"get_users"}"#,
        r#"{"body":{"type":"get_users",}}"#,
        r#"{"body":{"type":"get_users"},}"#,
        r#"{"body":{"type":"route"}}"#,
        r#"{"src":"c"}"#,
        "{}",
        "",
        "[]",
    ] {
        check(long, false);
    }
}

#[test]
fn finds_the_end_of_its_line() {
    let line = r#"{"type":"get_users","msg_id":1}"#;
    for (after, len) in [("", 0), ("\n", 0), ("\r\nx", 1), ("\n\n", 0)] {
        let text = format!("{line}{after}");
        assert_eq!(first_line(&text).map(|(_, len)| len), Some(line.len() + len), "{text:?}");
    }
    for after in ["x", "x\n", " \n", "\r\r\n", "\u{b}\n", "\0"] {
        assert_eq!(first_line(&format!("{line}{after}")), None);
    }
}

#[test]
fn a_name_over_the_limit_takes_the_long_way() {
    // The longest line it could take has every field, each as long as it may be.
    let key = "k".repeat(KEY_BYTES_MAX);
    let line = format!(
        r#"{{"src": "{key}", "dest": "{key}", "body": {{"type": "get_users", "user_id": "{key}"}}}}"#
    );
    assert_eq!(first_line(&line).map(|(_, len)| len), Some(line.len()));
    assert!(first_line(&line.replacen("src\": \"", "src\": \"k", 1)).is_none());
    const { assert!(3 * KEY_BYTES_MAX + 200 < LINE_BYTES_MAX) };
}

#[test]
fn every_byte_that_ends_a_plain_string_is_seen_in_every_place() {
    for byte in 0..=u8::MAX {
        let ends = byte == b'"' || byte == b'\\' || byte < 0x20;
        for place in 0..8 {
            for filler in [b'a', 0x21, 0x23, 0x5d, 0x7f, 0x80, 0xff] {
                let mut bytes = [filler; 8];
                bytes[place] = byte;
                let found = stops(u64::from_le_bytes(bytes)).trailing_zeros() / 8;
                assert_eq!(found, if ends { place as u32 } else { 8 }, "{bytes:?}");
            }
        }
    }
}

#[test]
fn numbers_of_up_to_18_digits_are_read() {
    for digits in 1..=20 {
        for text in ["1234567890".repeat(2), "9".repeat(20), format!("1{}", "0".repeat(19))] {
            let number = &text[..digits];
            for end in ["}", ",\"user_id\":\"u\"}"] {
                let line = format!(r#"{{"type":"get_users","msg_id":{number}{end}"#);
                let read = get_users(&line).map(|message| message.msg_id);
                assert_eq!(read, (digits <= 18).then(|| number.parse().ok()), "{line}");
            }
        }
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        ":",
        ",",
        " ",
        "\"src\"",
        "\"dest\"",
        "\"body\"",
        "\"type\"",
        "\"get_users\"",
        "\"msg_id\"",
        "\"user_id\"",
        "\"canary_percentage\"",
        "0",
        "1",
        "10",
        "100",
        "101",
        "-1",
        "1.5",
        "1e2",
        "\"u\"",
        "\"\"",
        "\"é\"",
        "\"\\u0061\"",
        "null",
        "\"traffic_split\"",
        "{\"v1\":1}",
        "{\"type\":\"get_users\",\"msg_id\":7}",
        "\"body\":{\"type\":\"get_users\"}",
    ])
}

proptest! {
    /// Whatever the scanner takes, the long way reads in the same way.
    #[test]
    fn the_scanner_never_disagrees(tokens in prop::collection::vec(token(), 0..24)) {
        let line: String = tokens.concat();
        let wrapped = format!("{{\"body\":{{\"type\":\"get_users\",{line}}}}}");
        let bare = format!("{{\"type\":\"get_users\",{line}}}");
        for line in [&line, &wrapped, &bare] {
            if let Some(m) = get_users(line) {
                let key = m.user_id.filter(|key| !key.is_empty());
                let short = (m.src.map(str::to_owned), m.msg_id, key.map(str::to_owned), m.canary);
                prop_assert_eq!(Some(short), long_way(line), "{}", line);
            }
        }
    }

    /// Well-formed messages in any field order, most of them taken.
    #[test]
    fn well_formed_messages_agree(
        user in prop::option::of("[ -~é]{0,12}"), msg_id in prop::option::of(any::<u64>()),
        canary in prop::option::of(0u32..=101), src in prop::option::of("[a-z\"\\\\]{1,4}"), inside: bool,
    ) {
        let mut body = serde_json::Map::new();
        body.insert("type".into(), "get_users".into());
        if let Some(user) = user { body.insert("user_id".into(), user.into()); }
        if let Some(msg_id) = msg_id { body.insert("msg_id".into(), msg_id.into()); }
        let mut outer = serde_json::Map::new();
        if let Some(src) = src { outer.insert("src".into(), src.into()); }
        if let Some(canary) = canary {
            let target = if inside { &mut body } else { &mut outer };
            target.insert("canary_percentage".into(), canary.into());
        }
        outer.insert("body".into(), body.into());
        let line = serde_json::Value::Object(outer).to_string();
        if let Some(m) = get_users(&line) {
            let key = m.user_id.filter(|key| !key.is_empty());
            let short = (m.src.map(str::to_owned), m.msg_id, key.map(str::to_owned), m.canary);
            prop_assert_eq!(Some(short), long_way(&line), "{}", line);
        }
    }
}
