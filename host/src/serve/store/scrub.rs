//! Documents without any trace of somebody.

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What stands where a name stood.
const FORGOTTEN: &str = "(forgotten)";

/// How a name stands in a JSON text, without its quotes: for a first look.
pub(crate) fn in_json(name: &str) -> String {
    let text = Value::from(name).to_string();
    text[1..text.len() - 1].to_owned()
}

/// A policy without a client: it is taken out of lists of keys and of pins. `None` when it
/// was in none.
pub(crate) fn policy(document: &Value, names: &[String]) -> Option<Value> {
    let mut scrubbed = document.clone();
    if let Some(Value::Object(pins)) = scrubbed.get_mut("pins") {
        pins.retain(|key, _| !names.contains(key));
    }
    let named = |value: &Value| value.as_str().is_some_and(|text| is_named(text, names));
    for list in ["ready", "blocked", "pinned_back"] {
        if let Some(Value::Array(keys)) = scrubbed.pointer_mut(&format!("/clients/{list}")) {
            keys.retain(|key| !named(key) && !key.get("client").is_some_and(named));
        }
        if let Some(Value::Object(keys)) = scrubbed.pointer_mut(&format!("/clients/{list}")) {
            keys.retain(|key, _| !names.contains(key));
        }
    }
    let brownouts = scrubbed.get_mut("brownouts").and_then(Value::as_array_mut);
    for brownout in brownouts.into_iter().flatten() {
        if let Some(Value::Array(keys)) = brownout.get_mut("exempt") {
            keys.retain(|key| !named(key));
        }
    }
    (scrubbed != *document).then_some(scrubbed)
}

/// An event without a client; `None` when it is not about that one. Its kind and its time
/// stay, since events are counted.
pub(crate) fn event(body: &str, names: &[String]) -> Option<Box<RawValue>> {
    let event: Value = serde_json::from_str(body).ok()?;
    let named = event.get("client").and_then(Value::as_str).is_some_and(|n| is_named(n, names));
    if !named {
        return None;
    }
    let mut scrubbed =
        json!({ "client": FORGOTTEN, "sentence": "About a client since forgotten." });
    for field in ["type", "event", "at_ms", "revision"] {
        if let Some(value) = event.get(field) {
            scrubbed[field] = value.clone();
        }
    }
    RawValue::from_string(scrubbed.to_string()).ok()
}

/// An answer without a name in any text of it; `None` when it was in none.
pub(crate) fn answer(text: &str, names: &[String]) -> Option<String> {
    fn texts(value: &mut Value, names: &[String]) -> bool {
        match value {
            Value::String(text) => match sentence(text, names) {
                Some(scrubbed) => {
                    *text = scrubbed;
                    true
                }
                None => false,
            },
            // Each of them, so no short cut.
            Value::Array(list) => list.iter_mut().fold(false, |any, part| texts(part, names) | any),
            Value::Object(fields) => {
                fields.values_mut().fold(false, |any, part| texts(part, names) | any)
            }
            _ => false,
        }
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    texts(&mut value, names).then(|| value.to_string())
}

/// A sentence of the audit log without a name in it; `None` when it was not there. Only
/// whole words count: `ann` is not in `planned`.
pub(crate) fn sentence(text: &str, names: &[String]) -> Option<String> {
    let mut scrubbed = text.to_owned();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let mut from = 0;
        while let Some(found) = scrubbed[from..].find(name.as_str()) {
            let (start, end) = (from + found, from + found + name.len());
            let part = |c: char| c.is_alphanumeric() || c == '_';
            let whole = !scrubbed[..start].chars().next_back().is_some_and(part)
                && !scrubbed[end..].chars().next().is_some_and(part);
            if whole {
                scrubbed.replace_range(start..end, FORGOTTEN);
                from = start + FORGOTTEN.len();
            } else {
                from = end;
            }
        }
    }
    (scrubbed != text).then_some(scrubbed)
}

fn is_named(text: &str, names: &[String]) -> bool {
    names.iter().any(|name| name == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["ann".to_owned(), "h:1".to_owned()]
    }

    #[test]
    fn a_client_goes_from_lists_of_keys_and_from_nowhere_else() {
        let document = json!({
            "api": "ann",
            "pins": { "ann": "v1", "anna": "v2" },
            "clients": { "ready": ["ann"], "blocked": ["bob", "h:1"], "declare": { "header": "ann" } },
            "brownouts": [{ "name": "ann", "exempt": ["ann", "cal"] }],
        });
        let expected = json!({
            "api": "ann",
            "pins": { "anna": "v2" },
            "clients": { "ready": [], "blocked": ["bob"], "declare": { "header": "ann" } },
            "brownouts": [{ "name": "ann", "exempt": ["cal"] }],
        });
        assert_eq!(policy(&document, &names()), Some(expected.clone()));
        assert_eq!(policy(&expected, &names()), None);
        assert_eq!(policy(&json!({}), &names()), None);
    }

    #[test]
    fn an_event_about_somebody_keeps_its_kind_and_time_alone() {
        let body = r#"{"type":"event","event":"client_sick","at_ms":7,"client":"ann","sentence":"ann fails","failures":3}"#;
        let scrubbed = event(body, &names()).unwrap();
        assert!(!scrubbed.get().contains("ann") && !scrubbed.get().contains("failures"));
        let read: Value = serde_json::from_str(scrubbed.get()).unwrap();
        assert_eq!((&read["event"], &read["at_ms"]), (&json!("client_sick"), &json!(7)));
        assert!(
            event(&body.replace("\"client\":\"ann\"", "\"client\":\"bob\""), &names()).is_none()
        );
    }

    #[test]
    fn only_whole_words_are_taken_out_of_a_sentence() {
        let said = |text: &str| sentence(text, &names());
        assert_eq!(
            said("ann fails, and `ann` stays; planned anna ann"),
            Some("(forgotten) fails, and `(forgotten)` stays; planned anna (forgotten)".to_owned())
        );
        assert_eq!(said("planned"), None);
        assert_eq!(in_json("a\"b\u{1}"), "a\\\"b\\u0001");
    }
}
