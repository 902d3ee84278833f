//! A JSON line, read without copying what needs no copy.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value that borrows from its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads a line. The error says what is wrong and at which column.
    pub(super) fn read(text: &'a str) -> Result<Json<'a>, String> {
        serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or(&message);
            format!("{what} at column {}", error.column())
        })
    }

    /// The value at `request.headers`: a field of that name, or a field of a field.
    pub(super) fn at(&self, path: &str) -> Option<&Json<'a>> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        // `a.b.c` may be `c` in `a.b` or `b.c` in `a`.
        path.match_indices('.').find_map(|(dot, _)| self.get(&path[..dot])?.at(&path[dot + 1..]))
    }

    /// A field of an object, by its name in any case.
    pub(super) fn get_ignoring_case(&self, name: &str) -> Option<&Json<'a>> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A text, number or boolean as text, the first item of a list; `None` otherwise.
    pub(super) fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Text(text) => Some(Cow::Borrowed(text)),
            Json::Number(number) => Some(number.to_string().into()),
            Json::Bool(flag) => Some(if *flag { "true" } else { "false" }.into()),
            Json::List(items) => items.first().and_then(Json::as_text),
            Json::Null | Json::Object(_) => None,
        }
    }

    fn get(&self, name: &str) -> Option<&Json<'a>> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Name(name), value)) = fields.next_entry()? {
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

/// A key that borrows when it can; serde's own `Cow` always copies.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match JsonVisitor::text(deserializer)? {
            Json::Text(text) => Ok(Name(text)),
            _ => Err(serde::de::Error::custom("a key must be a string")),
        }
    }
}

impl JsonVisitor {
    fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_str(JsonVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_at(line: &str, path: &str) -> Option<String> {
        Json::read(line).unwrap().at(path)?.as_text().map(Cow::into_owned)
    }

    #[test]
    fn paths_lead_through_objects_and_dotted_names() {
        let line = r#"{"a":{"b":1,"c.d":{"e":"x"}},"a.b":2,"l":["first","second"],"t":true}"#;
        assert_eq!(text_at(line, "a.b").as_deref(), Some("2"));
        assert_eq!(text_at(line, "a.c.d.e").as_deref(), Some("x"));
        assert_eq!(text_at(line, "l").as_deref(), Some("first"));
        assert_eq!(text_at(line, "t").as_deref(), Some("true"));
        assert_eq!(text_at(line, "a"), None);
        assert_eq!(text_at(line, "a.x"), None);
        assert_eq!(text_at(line, "."), None);
    }

    #[test]
    fn hostile_lines_are_errors_with_a_column() {
        for (line, expected) in [
            ("{", "EOF while parsing an object at column 1"),
            ("{\"a\":1}x", "trailing characters at column 8"),
            ("{\"a\":1e999}", "number out of range at column 10"),
        ] {
            assert_eq!(Json::read(line).unwrap_err(), expected);
        }
        let deep = Json::read(&"[".repeat(100_000)).unwrap_err();
        assert!(deep.starts_with("recursion limit exceeded"), "{deep}");
    }
}
