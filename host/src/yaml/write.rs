//! A plan as YAML, with a comment behind each value that says where it comes from.

use std::collections::HashMap;

use serde_json::Value;

use crate::replay::text::json_escaped;

/// Writes a value in block style. `comments` are looked up by the path of each scalar;
/// they hold no line breaks.
pub(crate) fn yaml(value: &Value, comments: &HashMap<String, String>) -> String {
    let mut writer = Writer { comments, lines: Vec::new() };
    writer.value(value, "", 0, String::new());
    // Comments stand in one column where lines are short.
    let width = writer.lines.iter().filter(|(_, comment)| !comment.is_empty());
    let width = width.map(|(text, _)| text.chars().count()).max().unwrap_or(0).min(44);
    let mut text = String::new();
    for (line, comment) in writer.lines {
        text += &line;
        if !comment.is_empty() {
            let gap = width.saturating_sub(line.chars().count()) + 2;
            text.extend(std::iter::repeat_n(' ', gap));
            text += "# ";
            text += &comment;
        }
        text.push('\n');
    }
    text
}

struct Writer<'a> {
    comments: &'a HashMap<String, String>,
    /// Lines and what is said behind them.
    lines: Vec<(String, String)>,
}

impl Writer<'_> {
    /// `start` is what stands on the line already: a key, or the dash of a list.
    fn value(&mut self, value: &Value, path: &str, indent: usize, start: String) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let mut start = self.begin(start, path);
                for (key, value) in fields {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let before = start.take().unwrap_or_else(|| " ".repeat(indent));
                    let nested = is_nested(value);
                    let line =
                        format!("{before}{}:{}", scalar_text(key), if nested { "" } else { " " });
                    self.value(value, &inner, indent + 2, line);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let mut start = self.begin(start, path);
                for (place, value) in items.iter().enumerate() {
                    let before = start.take().unwrap_or_else(|| " ".repeat(indent));
                    self.value(
                        value,
                        &format!("{path}[{place}]"),
                        indent + 2,
                        format!("{before}- "),
                    );
                }
            }
            Value::String(text) if is_block(text) => {
                let comment = self.comments.get(path).cloned().unwrap_or_default();
                self.lines.push((start + "|", comment));
                let indent = " ".repeat(indent);
                let line = |line: &str| (format!("{indent}{line}"), String::new());
                self.lines.extend(text.lines().map(line));
            }
            scalar => {
                let text = match scalar {
                    Value::String(text) => scalar_text(text),
                    other => other.to_string(),
                };
                let comment = self.comments.get(path).cloned().unwrap_or_default();
                self.lines.push((start + &text, comment));
            }
        }
    }

    /// A collection goes on behind a dash, and below a key.
    fn begin(&mut self, start: String, path: &str) -> Option<String> {
        if start.is_empty() || start.ends_with("- ") {
            return Some(start);
        }
        let comment = self.comments.get(path).cloned().unwrap_or_default();
        self.lines.push((start, comment));
        None
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// Whether text can stand as it is, line by line. Others are quoted.
fn is_block(text: &str) -> bool {
    let printable = |c: char| matches!(c, '\n' | ' '..='~' | '\u{a1}'..='\u{ff}');
    text.starts_with(|c: char| c.is_ascii_graphic())
        && text.ends_with('\n')
        && !text.ends_with("\n\n")
        && text.chars().all(printable)
}

/// Text without quotes where no YAML parser, of whatever version, takes it for anything
/// else; JSON's quotes are YAML's, and so is how it writes what a terminal would obey.
fn scalar_text(text: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { json_escaped(&Value::from(text).to_string()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "api": "no", "empty": [], "odd key: #": "a: b # c", "zero": "0",
            "list": [1, [2, 3], { "a": { "b": null }, "c": 0.5 }, {}],
            "text": "a\u{7}\n\"b\"", "plain": "x-user.id/1",
            "deep": [{ "lines": "{\n  \"a\": 1\n\n}\n", "after": " a\nb\n" }],
            "lines": "# a\n: b\n", "two": "a\n\n", "odd": "a\u{85}b\n", "return": "a\r\nb\n",
        });
        let comments = HashMap::from([("list[2].c".to_owned(), "half".to_owned())]);
        let text = yaml(&value, &comments);
        let read = crate::yaml::parse_document("test", text.as_bytes()).unwrap();
        assert_eq!(read.value, value, "{text}");
        assert!(text.contains("c: 0.5 "), "{text}");
        assert!(text.contains("  # half\n"), "{text}");
    }
}
