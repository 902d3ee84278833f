//! What a scalar means: YAML 1.2's core schema, as far as JSON can hold it.

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// The value of a scalar, or why it has none.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let kind = match tag {
        None => None,
        Some(tag) if tag.is_yaml_core_schema() => Some(tag.suffix.as_str()),
        // `!` alone means "text, whatever it looks like".
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Some("str"),
        Some(tag) => return Err(unknown_tag(tag)),
    };
    let plain = || {
        let word = || word(text);
        word().or_else(|| integer(text)).map_or_else(|| float(text), |value| Ok(Some(value)))
    };
    let mismatch = |kind: &str| format!("`{}` is not a {kind}", text.escape_debug());
    match kind {
        None if style != ScalarStyle::Plain => Ok(text.into()),
        None => Ok(plain()?.unwrap_or_else(|| text.into())),
        Some("str") => Ok(text.into()),
        Some("null" | "bool") => word(text).ok_or_else(|| mismatch("null or bool")),
        Some("int") => integer(text).ok_or_else(|| mismatch("whole number")),
        Some("float") => plain()?.filter(Value::is_number).ok_or_else(|| mismatch("number")),
        Some(other) => Err(format!("the tag `!!{}` has no meaning here", other.escape_debug())),
    }
}

pub(super) fn unknown_tag(tag: &Tag) -> String {
    format!("the tag `{}` has no meaning here: leave it out", tag.to_string().escape_debug())
}

fn word(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Whole numbers that fit 64 bits; larger ones become floats, as in JSON.
fn integer(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix| {
        let digits = digits.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(digits)?;
        u64::from_str_radix(digits, radix).ok()
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16).map(Value::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8).map(Value::from);
    }
    let number = |text: &str| text.parse::<u64>().map(Value::from).ok();
    match text.strip_prefix('+') {
        // `++1` is text; `parse` alone would take a second sign.
        Some(digits) => digits.starts_with(|c: char| c.is_ascii_digit()).then(|| number(digits))?,
        None => number(text).or_else(|| text.parse::<i64>().map(Value::from).ok()),
    }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`: what Rust's
/// parser takes, without its words for infinity and NaN. `Ok(None)` for anything else.
fn float(text: &str) -> Result<Option<Value>, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!("`{text}` is not a number that can be used here"));
    }
    if !unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
        return Ok(None);
    }
    let Ok(number) = text.parse::<f64>() else { return Ok(None) };
    match Number::from_f64(number) {
        Some(number) => Ok(Some(Value::Number(number))),
        None => Err(format!("`{}` is too large a number", text.escape_debug())),
    }
}

/// JSON writes a character beyond U+FFFF as two escapes (`\ud83d\ude00`), YAML as one
/// (`\U0001f600`). Rewrites the former if the text is JSON, else gives `None`.
pub(super) fn join_surrogates(text: &str) -> Option<String> {
    let has_surrogate = text.contains("\\ud") || text.contains("\\uD");
    if !has_surrogate || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return None;
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        joined.push_str(before);
        let unit = |at: usize| {
            let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let pair = unit(0).zip(unit(6)).and_then(|(high, low)| {
            char::decode_utf16([high, low]).next()?.ok().filter(|c| *c > '\u{ffff}')
        });
        // Any other escape is two bytes at least, and the second may be a backslash.
        let taken = if pair.is_some() { 12 } else { 2 };
        match pair {
            Some(character) => joined.push_str(&format!("\\U{:08x}", u32::from(character))),
            None => joined.push_str(escape.get(..2)?),
        }
        rest = escape.get(taken..)?;
    }
    joined.push_str(rest);
    Some(joined)
}
