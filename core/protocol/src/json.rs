//! JSON as this protocol takes it: no duplicate keys, bounded depth.
//!
//! Duplicate keys are refused because parsers disagree on which one counts: a proxy
//! in front that reads the first and an engine that reads the last would see two
//! different requests.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits::JSON_DEPTH_MAX;

/// Reads one JSON value.
///
/// # Errors
/// What is wrong and at which column (bytes, from 1), as text for an error reply.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let depth = Cell::new(0);
    let value = Strict { depth: &depth }.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|e| {
        let message = e.to_string();
        let what = message.split(" at line ").next().unwrap_or(&message);
        format!("not JSON: {what} at column {}", e.column())
    })
}

/// Reads JSON of a known form.
///
/// # Errors
/// What is wrong, and where.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    // Always by way of text: serde_json's reader of bytes is a second reader, which would
    // be a tenth of the page's module.
    let text =
        std::str::from_utf8(json).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

#[derive(Clone, Copy)]
struct Strict<'d> {
    depth: &'d Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<(), E> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > JSON_DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON text cannot spell a number that is not finite.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self)? {
            list.push(value);
        }
        self.depth.set(self.depth.get() - 1);
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{}`", shown(&key))));
            }
            let value = access.next_value_seed(self)?;
            map.insert(key, value);
        }
        self.depth.set(self.depth.get() - 1);
        Ok(Value::Object(map))
    }
}

/// Text from outside, fit for a message: control characters escaped, cut to 80
/// characters.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == 80 {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A value from outside, fit for a message: `"ten"`, `101`, `a list`.
pub fn shown_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text =
            r#"{"a":[1,-2,2.5,1e3,true,null,"é\n😀"],"b":{"c":{}},"18446744073709551616":1}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn refuses_duplicate_keys_at_any_depth() {
        fails(r#"{"a":1,"a":1}"#, "duplicate key `a` at column 10");
        fails(r#"{"x":[{"a":1,"b":2,"\u0061":3}]}"#, "duplicate key `a`");
    }

    #[test]
    fn depth_is_bounded_just_at_the_limit() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(JSON_DEPTH_MAX)).is_ok());
        fails(&nested(JSON_DEPTH_MAX + 1), "nested deeper than 64 levels");
        fails(&"[".repeat(100_000), "nested deeper");
        // Depth counts nesting, not the number of containers.
        assert!(parse(&format!("[{}[]]", "[],".repeat(200))).is_ok());
    }

    #[test]
    fn names_the_column() {
        fails("{\"a\":}", "at column 6");
        fails("{\"a\":1} x", "trailing characters at column 9");
        fails("", "EOF");
        fails(r#""\ud800 ""#, "hex escape");
        fails("NaN", "not JSON");
        fails("1e400", "number out of range");
    }

    #[test]
    fn shown_text_is_one_safe_line() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }
}
