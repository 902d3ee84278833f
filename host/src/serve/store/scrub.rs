//! Documents without any trace of somebody.

use crossfade_protocol::names::{FORGOTTEN, without};
use serde_json::value::RawValue;
use serde_json::{Value, json};

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

/// The fields in which these documents differ.
pub(crate) fn changed<'d>(document: &'d Value, other: &Value) -> Vec<&'d str> {
    let fields = document.as_object().into_iter().flatten();
    fields.filter(|(name, value)| other[*name] != **value).map(|(name, _)| name.as_str()).collect()
}

/// An event without a client; `None` when it does not name that one. Of one that is about
/// it only its kind and its time stay, since events are counted; from others the name goes.
pub(crate) fn event(body: &str, names: &[String]) -> Option<Box<RawValue>> {
    let mut event: Value = serde_json::from_str(body).ok()?;
    if event["client"].as_str().is_some_and(|client| is_named(client, names)) {
        let mut scrubbed =
            json!({ "client": FORGOTTEN, "sentence": "About a client since forgotten." });
        for field in ["type", "event", "at_ms", "revision"] {
            if let Some(value) = event.get(field) {
                scrubbed[field] = value.clone();
            }
        }
        return RawValue::from_string(scrubbed.to_string()).ok();
    }
    // Others tell in words of ours alone: `1` is in "Step 1 began", and nobody's name.
    if ["client", "name", "reason"].iter().all(|field| event[*field].is_null()) {
        return None;
    }
    let mut is_changed = false;
    for field in ["name", "reason", "sentence"] {
        if let Some(text) = event[field].as_str().and_then(|text| sentence(text, names)) {
            event[field] = text.into();
            is_changed = true;
        }
    }
    is_changed.then(|| RawValue::from_string(event.to_string()).ok())?
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

/// A sentence without names in it, as [`without`] has it; `None` when none was there.
pub(crate) fn sentence(text: &str, names: &[String]) -> Option<String> {
    names.iter().fold(None, |scrubbed, name| {
        without(scrubbed.as_deref().unwrap_or(text), name).or(scrubbed)
    })
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
        let of_bob = body.replace("ann", "bob");
        assert!(event(&of_bob, &names()).is_none());
    }

    #[test]
    fn an_event_about_others_loses_the_name_alone() {
        let body = r#"{"event":"brownout_stopped","name":"zz","reason":"ann called","sentence":"Brownout zz was stopped: ann called"}"#;
        let expected = r#"{"event":"brownout_stopped","name":"zz","reason":"(forgotten) called","sentence":"Brownout zz was stopped: (forgotten) called"}"#;
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let scrubbed = event(body, &names()).unwrap();
        assert_eq!(read(scrubbed.get()), read(expected));
        assert!(event(expected, &names()).is_none());
        let ours = r#"{"event":"step_started","step":1,"sentence":"Step 1 began."}"#;
        assert!(event(ours, &["1".to_owned()]).is_none());
    }

    #[test]
    fn all_names_go_from_a_sentence() {
        let said = sentence("ann, that is h:1, called", &names());
        assert_eq!(said.as_deref(), Some("(forgotten), that is (forgotten), called"));
        assert_eq!(sentence("planned", &names()), None);
        assert_eq!(in_json("a\"b\u{1}"), "a\\\"b\\u0001");
        let (one, other) = (json!({ "a": 1, "b": 2 }), json!({ "a": 1 }));
        assert_eq!(changed(&one, &other), ["b"]);
    }
}
