use super::*;
use crossfade_protocol::plan::Plan;
use crossfade_protocol::request::{Message, Override, Request};
use proptest::prelude::*;

/// Sender, message id, user and canary share, where a line has them.
type Scanned = (Option<String>, Option<u64>, Option<String>, Option<Share>);

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
    check(
        r#" { "body" : { "user_id" : "é" , "type" : "get_users" } , "canary_percentage" : 10 } "#,
        true,
    );
    check(r#"{"body":{"type":"get_users","msg_id":0,"canary_percentage":100}}"#, true);
    for long in [
        r#"{"type":"get_users","msg_id":1}"#,
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
        for line in [&line, &wrapped] {
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
