//! Two plans, line by line.

use std::collections::HashMap;

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::page::{Line, Tone};
use crate::exit::{Exit, Failure};
use crate::policy::Policy;
use crate::question::{EngineArgs, ask_for};
use crate::yaml::write::yaml;

/// Lines around a change.
const CONTEXT: usize = 3;

/// A document as the engine writes it out, with every default in its place.
///
/// # Errors
/// The document has problems; or the engine cannot be started.
pub(crate) fn written_out(policy: &Policy, engine: &EngineArgs) -> Result<Value, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        document: Value,
    }
    let mut plugin = engine.start(0)?;
    let checked = policy.check(&mut plugin).map_err(|error| error.failure(Exit::Data))?;
    if !checked.valid {
        return Err(checked.failure());
    }
    let message = json!({ "type": "configure", "document": policy.value() });
    ask_for::<serde::de::IgnoredAny>(&mut plugin, message, "configure_ok")
        .map_err(|error| error.failure(Exit::Data))?;
    ask_for(&mut plugin, json!({ "type": "get_config" }), "config")
        .map(|Answer { document }| document)
        .map_err(|error| error.failure(Exit::Internal))
}

/// What differs between the plan in force and a file, as `diff -u` writes it; empty when
/// nothing does. A layout of buckets that the file does not ask for is history, and no
/// difference.
pub(crate) fn unified(in_force: &Value, revision: u64, file: &Value, name: &str) -> Vec<Line> {
    let mut in_force = in_force.clone();
    if let Some(fields) = in_force.as_object_mut()
        && file.get("split_buckets").is_none()
        && fields.get("split") == file.get("split")
    {
        fields.shift_remove("split_buckets");
    }
    let none = HashMap::new();
    let (old, new) = (yaml(&in_force, &none), yaml(file, &none));
    let diff = TextDiff::from_lines(&old, &new);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        if lines.is_empty() {
            lines.push(
                Line::default().with(Tone::Strong, format!("--- in force (revision {revision})")),
            );
            lines.push(Line::default().with(Tone::Strong, format!("+++ {name}")));
        }
        lines.push(Line::default().with(Tone::Faint, hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let (mark, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            let text = change.value().trim_end_matches('\n');
            lines.push(Line::default().with(tone, format!("{mark}{text}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Value {
        let policy = Policy::parse("plan.yaml", text.as_bytes()).unwrap();
        let engine = EngineArgs::default();
        written_out(&policy, &engine).unwrap()
    }

    fn diff(in_force: &Value, file: &Value) -> Vec<String> {
        let lines = unified(in_force, 7, file, "plan.yaml");
        lines.iter().map(|line| line.text(usize::MAX, false)).collect()
    }

    const SHORT: &str = "api: users\nversions: [v1, v2]\nkey: { header: x-user-id }\n";

    #[test]
    fn defaults_that_are_written_out_are_no_difference() {
        let long = "\
            versions: { from: v1, to: v2 }\nkey: { header: X-User-Id }\napi: users\n\
            sticky: true\nprivacy: plain\nhash: xxh64/1\ngate: { on_inconclusive: hold }\n";
        assert_eq!(diff(&plan(SHORT), &plan(long)), [""; 0]);
    }

    #[test]
    fn what_differs_is_shown_with_its_surroundings() {
        let lines = diff(&plan(SHORT), &plan(&format!("{SHORT}canary_percentage: 10\n")));
        assert_eq!(lines[..2], ["--- in force (revision 7)", "+++ plan.yaml"]);
        assert!(lines[2].starts_with("@@ "), "{lines:?}");
        let changed: Vec<_> = lines[3..].iter().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(changed, ["+canary_percentage: 10"]);
    }

    #[test]
    fn the_layout_of_a_split_is_history_unless_the_file_has_one() {
        let split = format!("{SHORT}split: {{ v1: 90, v2: 10 }}\n");
        let mut moved = plan(&split);
        moved["split_buckets"] = json!([{ "version": "v1", "from": 0, "to": 9000 },
                                        { "version": "v2", "from": 9000, "to": 10000 }]);
        assert_eq!(diff(&moved, &plan(&split)), [""; 0]);
        assert!(!diff(&moved, &plan(SHORT)).is_empty());
        let laid_out = moved.clone();
        moved.as_object_mut().unwrap().shift_remove("split_buckets");
        assert!(!diff(&moved, &laid_out).is_empty());
    }
}
