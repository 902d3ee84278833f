//! A file that says it is a plan, YAML or JSON, or a resource of Argo or Flagger to make
//! one of.

use std::collections::HashMap;

use crossfade_core::Engine;
use crossfade_core::guest::Guest;
use serde_json::{Value, json};

use crate::import::{Options, Tool, import};
use crate::yaml::{Document, parse_document, write};
use crate::zones;

/// Reads it as each of them: it is one, or is refused, and what is told of an import is fit
/// for a terminal. A document says the same when it is written as JSON or as YAML, what the engine finds
/// wrong with it has a line, and what it finds valid it takes.
///
/// # Panics
/// Something does not hold.
pub fn run(bytes: &[u8]) {
    match parse_document("plan", bytes) {
        Ok(document) => judge(document),
        // The command line sees to what a terminal is shown of it.
        Err(error) => drop(error.to_string()),
    }
    for tool in [Tool::ArgoRollout, Tool::Flagger] {
        match import(tool, "file", bytes, &Options::default()) {
            Ok(imported) => {
                let plan = imported.yaml();
                same(&imported.plan, &plan);
                let told = plan + &imported.notes();
                let is_control = |found: char| found.is_control() && found != '\n';
                assert!(!told.contains(is_control), "not fit for a terminal: {told:?}");
                drop(imported.json(&[]));
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

fn judge(mut document: Document) {
    same(&document.value, &document.value.to_string());
    same(&document.value, &write::yaml(&document.value, &HashMap::new()));
    for problem in zones::resolve(&mut document.value) {
        placed(&document, &problem.path);
    }
    let message = json!({ "type": "check_policy", "document": document.value });
    let checked = ask(&message);
    let list = |name: &str| checked[name].as_array().cloned().unwrap_or_default();
    for problem in list("problems").iter().chain(&list("warnings")) {
        placed(&document, problem["path"].as_str().expect("a problem has a path"));
    }
    if checked["valid"] == true {
        let message = json!({ "type": "configure", "document": document.value });
        assert_eq!(ask(&message)["type"], "configure_ok", "valid, and not taken");
    }
}

/// Where it is in the file, somebody can be shown.
fn placed(document: &Document, path: &str) {
    let place = document.position(path);
    assert!(place.is_some_and(|(line, column)| line > 0 && column > 0), "`{path}` is nowhere");
}

/// YAML has no longer keys before a `:` on the same line.
const KEY_CHARS_MAX: usize = 1024;

/// It is read as what was meant.
fn same(meant: &Value, written: &str) {
    if has_long_key(meant) {
        return;
    }
    match parse_document("written", written.as_bytes()) {
        Ok(read) => assert_eq!(&read.value, meant, "{written}"),
        Err(error) => assert!(!written.is_empty() && meant.is_null(), "{error}: {written}"),
    }
}

fn has_long_key(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_long_key),
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            Value::from(key.as_str()).to_string().chars().count() > KEY_CHARS_MAX
                || has_long_key(value)
        }),
        _ => false,
    }
}

fn ask(message: &Value) -> Value {
    let (mut said, mut out) = (Vec::new(), Vec::new());
    let mut engine = Engine::init(b"", 0, 7, &mut said);
    engine.handle(format!("{message}\n").as_bytes(), 0, &mut out);
    serde_json::from_slice(&out).expect("an answer is a line of JSON")
}
