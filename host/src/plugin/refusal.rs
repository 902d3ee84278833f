//! The line that takes a guilty line's place: the guest is asked to refuse it, so that
//! the reply is enveloped and numbered as the guest does for every other.

use serde_json::{Map, Value, json};

/// Error code 13: the engine crashed on this line.
pub const CODE_CRASH: u16 = 13;

/// Error code 12: the line is no message.
pub const CODE_MALFORMED: u16 = 12;

/// What can still be read of a line that cannot be served.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addressee {
    src: Option<String>,
    dest: Option<String>,
    msg_id: Option<u64>,
    enveloped: bool,
}

impl Addressee {
    /// Reads a line as leniently as it can be: what does not parse is left out.
    pub fn of(line: &[u8]) -> Addressee {
        let Ok(Value::Object(message)) = serde_json::from_slice(line) else {
            return Addressee::default();
        };
        let text = |name| message.get(name).and_then(Value::as_str).map(str::to_owned);
        let body = message.get("body").and_then(Value::as_object);
        Addressee {
            src: text("src"),
            dest: text("dest"),
            msg_id: body.unwrap_or(&message).get("msg_id").and_then(Value::as_u64),
            enveloped: body.is_some(),
        }
    }

    /// A `refuse` message: whoever serves it answers with this error.
    pub fn refuse_line(&self, code: u16, text: &str) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("type".into(), "refuse".into());
        if let Some(msg_id) = self.msg_id {
            body.insert("msg_id".into(), msg_id.into());
        }
        body.insert("code".into(), code.into());
        body.insert("text".into(), text.into());
        if !self.enveloped {
            return line(Value::Object(body));
        }
        let mut message = Map::new();
        for (name, address) in [("src", &self.src), ("dest", &self.dest)] {
            if let Some(address) = address {
                message.insert(name.into(), address.as_str().into());
            }
        }
        message.insert("body".into(), Value::Object(body));
        line(Value::Object(message))
    }

    /// The error itself, for when no guest can be asked.
    pub fn error_line(&self, code: u16, text: &str) -> Vec<u8> {
        line(match self.msg_id {
            Some(msg_id) => {
                json!({"type": "error", "in_reply_to": msg_id, "code": code, "text": text})
            }
            None => json!({"type": "error", "code": code, "text": text}),
        })
    }
}

fn line(message: Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, refusal: &str) {
        let refused = Addressee::of(line.as_bytes()).refuse_line(13, "why");
        assert_eq!(String::from_utf8(refused).unwrap().trim_end(), refusal, "{line}");
    }

    #[test]
    fn a_refusal_goes_where_the_answer_would_have_gone() {
        check(
            r#"{"src":"c1","dest":"n1","body":{"type":"get_users","msg_id":7},"x":[1]}"#,
            r#"{"src":"c1","dest":"n1","body":{"type":"refuse","msg_id":7,"code":13,"text":"why"}}"#,
        );
        check(
            r#"{"type":"get_users","msg_id":7}"#,
            r#"{"type":"refuse","msg_id":7,"code":13,"text":"why"}"#,
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let bare = r#"{"type":"refuse","code":13,"text":"why"}"#;
        for line in ["", "{", "[1]", "nonsense", r#"{"msg_id":-1}"#, r#"{"msg_id":"1"}"#] {
            check(line, bare);
        }
        check(&"[".repeat(100_000), bare);
        check(
            r#"{"src":5,"body":{"msg_id":18446744073709551616}}"#,
            r#"{"body":{"type":"refuse","code":13,"text":"why"}}"#,
        );
    }
}
