//! What is told of an import: the plan with comments, notes for people, and both as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Imported;
use super::ledger::{Carried, Kind, Leaf, Note};
use crate::output::counted;
use crate::policy::Finding;
use crate::replay::text::shown_lines;

/// Characters of a value that are shown beside its path; JSON has all of them.
const VALUE_CHARS_MAX: usize = 60;

/// Columns of text.
const WIDTH: usize = 96;

impl Imported {
    /// The plan in YAML: where each value is from behind it, and what is missing on top.
    pub(crate) fn yaml(&self) -> String {
        let mut text = format!("# {} of {}, as a plan of Crossfade.\n", self.title, self.file);
        let mut list = |title: &str, items: Vec<String>| {
            if !items.is_empty() {
                let _ = writeln!(text, "#\n# {title}");
                for paragraph in items.iter().flat_map(|item| item.split('\n')) {
                    let first = if paragraph.starts_with("= ") { "#     " } else { "#   " };
                    text += &fill(paragraph, first, "#       ");
                }
            }
        };
        list("To be filled in:", self.placeholders());
        for (kind, title) in [
            (Kind::Changed, "Carried over, with a difference:"),
            (Kind::Left, "Not carried over:"),
            (Kind::Unknown, "Not carried over, since it is not known here:"),
        ] {
            list(title, self.by_reason(kind).iter().map(|notes| brief(notes)).collect());
        }
        let elsewhere: usize = self.of(Kind::Elsewhere).map(|note| note.fields.len()).sum();
        if elsewhere > 0 {
            let fields = counted(elsewhere as u64, "field");
            let item = format!("{fields} of Kubernetes' own, which the import named on stderr");
            list("Not part of a plan:", vec![item]);
        }
        // Names and values of the file are in it.
        shown_lines(&text) + &crate::yaml::write::yaml(&self.plan, &self.comments())
    }

    /// All of it for programs.
    pub(crate) fn json(&self, warnings: &[Finding]) -> Value {
        let (placeholders, added): (Vec<_>, Vec<_>) =
            self.added.iter().partition(|added| added.is_placeholder);
        let item = |added: &&super::Added| json!({ "path": added.path, "why": added.why });
        json!({
            "file": self.file,
            "resource": self.title,
            "plan": self.plan,
            "placeholders": placeholders.iter().map(item).collect::<Vec<_>>(),
            "added": added.iter().map(item).collect::<Vec<_>>(),
            "carried": self.carried,
            "notes": self.notes,
            "warnings": warnings,
        })
    }

    /// What a person should read before using the plan; every field that is not in it.
    pub(crate) fn notes(&self) -> String {
        let mut text = String::new();
        let groups = [
            (Kind::Elsewhere, "Not part of a plan"),
            (Kind::Changed, "Carried over, with a difference"),
            (Kind::Left, "Not carried over"),
            (Kind::Unknown, "Not carried over, since it is not known here"),
        ];
        for (kind, title) in groups {
            if self.of(kind).next().is_none() {
                continue;
            }
            let _ = writeln!(text, "{title}:");
            for notes in self.by_reason(kind) {
                for note in &notes {
                    text += &self.note(note);
                }
                let why = notes.first().map(|note| note.why.as_str()).unwrap_or_default();
                text += &fill(&format!("= {why}"), "    ", "      ");
            }
            text.push('\n');
        }
        if !self.placeholders().is_empty() {
            text += "To be filled in:\n";
            for item in self.placeholders() {
                text += &fill(&item, "  ", "      ");
            }
            text.push('\n');
        }
        shown_lines(&(text + &self.summary()))
    }

    /// The source's place of what an engine's problem with the plan is about.
    pub(crate) fn origin(&self, path: &str) -> Option<String> {
        let exact = |carried: &&Carried| carried.to.iter().any(|to| to == path);
        let around = |carried: &&Carried| {
            carried.to.iter().any(|to| path.starts_with(to.as_str()) || to.starts_with(path))
        };
        let carried = self.carried.iter().find(exact);
        let carried = carried.or_else(|| self.carried.iter().find(around))?;
        let Leaf { line, column, path, .. } = &carried.leaf;
        Some(format!("{}:{line}:{column}: {path}", self.file))
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| note.kind == kind)
    }

    /// Notes that say the same stand together, in the order of the first of them.
    fn by_reason(&self, kind: Kind) -> Vec<Vec<&Note>> {
        let mut groups: Vec<Vec<&Note>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for note in self.of(kind) {
            let place = *places.entry(&note.why).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(note),
                None => groups.push(vec![note]),
            }
        }
        groups
    }

    fn placeholders(&self) -> Vec<String> {
        let placeholders = self.added.iter().filter(|added| added.is_placeholder);
        placeholders.map(|added| format!("{}: {}", added.path, added.why)).collect()
    }

    /// One note for the terminal, with its fields.
    fn note(&self, note: &Note) -> String {
        let place = format!("{}:{}:{}", self.file, note.line, note.column);
        let is_whole = matches!(note.fields.as_slice(), [leaf] if leaf.path == note.path);
        let head = match note.fields.as_slice() {
            [leaf] if is_whole => format!("{place}: {}: {}", note.path, shown(&leaf.value)),
            _ if note.path.is_empty() => format!("{place}: {}", note.resource),
            _ => format!("{place}: {}", note.path),
        };
        let mut text = format!("  {head}\n");
        if is_whole {
            return text;
        }
        let below = |path: &str| {
            let rest = path.strip_prefix(note.path.as_str()).unwrap_or(path);
            rest.strip_prefix('.').unwrap_or(rest).to_owned()
        };
        if note.kind == Kind::Elsewhere {
            let fields = note.fields.iter();
            let fields: Vec<String> = fields
                .map(|leaf| format!("{}: {}", below(&leaf.path), shown(&leaf.value)))
                .collect();
            text += &fill(&fields.join(", "), "      ", "      ");
        } else {
            for leaf in &note.fields {
                let (line, column) = (leaf.line, leaf.column);
                let path = below(&leaf.path);
                let _ = writeln!(text, "      {line}:{column}: {path}: {}", shown(&leaf.value));
            }
        }
        text
    }

    fn summary(&self) -> String {
        let count = |kind| self.of(kind).map(|note| note.fields.len() as u64).sum::<u64>();
        let changed = count(Kind::Changed);
        let with_difference = match changed {
            0 => String::new(),
            some => format!(" ({some} with a difference)"),
        };
        format!(
            "{} of {}: {} carried over{with_difference}, {} not, {} not part of a plan\n",
            self.title,
            self.file,
            counted(self.carried.len() as u64, "field"),
            count(Kind::Left) + count(Kind::Unknown),
            count(Kind::Elsewhere),
        )
    }

    /// What stands behind each value of the plan.
    fn comments(&self) -> HashMap<String, String> {
        let mut comments: HashMap<String, Vec<String>> = HashMap::new();
        for Carried { leaf, to, .. } in &self.carried {
            for path in to {
                let name = leaf.path.rsplit('.').next().unwrap_or(&leaf.path);
                let said = format!("line {}: {name}: {}", leaf.line, shown(&leaf.value));
                comments.entry(path.clone()).or_default().push(said);
            }
        }
        for added in &self.added {
            let said = match added.is_placeholder {
                true => "TO BE FILLED IN".to_owned(),
                false => format!("added: {}", added.why),
            };
            comments.entry(added.path.clone()).or_default().push(said);
        }
        comments.into_iter().map(|(path, said)| (path, shown_lines(&short_list(&said)))).collect()
    }
}

/// The first three, and how many more.
fn short_list(said: &[String]) -> String {
    let shown = said.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
    match said.len() {
        0..=3 => shown,
        more => format!("{shown}; and {} more", more - 3),
    }
}

/// Notes of one reason in the plan's head: what, and then why.
fn brief(notes: &[&Note]) -> String {
    let mut text = String::new();
    for note in notes {
        text += &match note.fields.as_slice() {
            [leaf] => format!("line {}: {}: {}", leaf.line, leaf.path, shown(&leaf.value)),
            fields => {
                let count = counted(fields.len() as u64, "field");
                let what = if note.path.is_empty() { &note.resource } else { &note.path };
                format!("line {}: {what} ({count})", note.line)
            }
        };
        text.push('\n');
    }
    text + "= " + notes.first().map(|note| note.why.as_str()).unwrap_or_default()
}

/// A value on one line, and not too much of it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => {
            text.clone()
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Text in lines of [`WIDTH`] columns, where words allow.
fn fill(text: &str, first: &str, rest: &str) -> String {
    let mut filled = String::new();
    let mut line = first.to_owned();
    let mut is_begun = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            filled += &line;
            filled.push('\n');
            line = rest.to_owned();
        } else if is_begun {
            line.push(' ');
        }
        line += word;
        is_begun = true;
    }
    filled + &line + "\n"
}
