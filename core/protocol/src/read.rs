//! Reading typed fields out of a JSON value, noting *every* problem on the way.
//!
//! serde stops at the first thing it dislikes; a person who mends a plan wants them
//! all. A [`Node`] is a value and where it stands; its methods give the typed value,
//! or note a problem that names path, value and what would be right, and give `None`.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::error::Problems;
use crate::json::{shown, shown_value};
use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::share::{Minutes, NOT_A_PERCENTAGE, Share, Weight};

/// Reads `value` with `read`, and gives the result or all problems noted.
///
/// # Errors
/// The problems, when there was at least one.
pub fn read<'v, T>(
    value: &'v Value,
    read: impl FnOnce(Node<'v, '_>) -> Option<T>,
) -> Result<T, Problems> {
    let problems = RefCell::new(Problems::default());
    let out = read(Node { value, path: String::new(), problems: &problems });
    problems.into_inner().into_result(out)
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node<'v, 'p> {
    /// The value itself.
    pub value: &'v Value,
    path: String,
    problems: &'p RefCell<Problems>,
}

impl<'v, 'p> Node<'v, 'p> {
    /// Notes that this value is wrong: `message` follows the value shown.
    pub fn wrong<T>(&self, message: &str) -> Option<T> {
        self.push_wrong(message);
        None
    }

    /// Notes a problem here, in whole words.
    pub fn note<T>(&self, message: impl Into<String>) -> Option<T> {
        self.push(message.into());
        None
    }

    // Apart from what they are generic over, these two are the same for all: once in the
    // module, not once for each type.

    #[inline(never)]
    fn push_wrong(&self, message: &str) {
        self.push(format!("{} is {message}", shown_value(self.value)));
    }

    #[inline(never)]
    fn push(&self, message: String) {
        self.problems.borrow_mut().push(self.path.clone(), message);
    }

    /// Where this value stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The fields of an object.
    pub fn object(&self) -> Option<Fields<'v, 'p>> {
        match self.value {
            Value::Object(map) => {
                Some(Fields { map, node: self.clone(), known: RefCell::default() })
            }
            _ => self.wrong("not an object"),
        }
    }

    /// The items of a list of at most `max`.
    pub fn list(&self, max: usize) -> Option<Vec<Node<'v, 'p>>> {
        let Value::Array(items) = self.value else { return self.wrong("not a list") };
        if items.len() > max {
            return self.note(format!("{} items are over the limit of {max}", items.len()));
        }
        Some(
            items
                .iter()
                .enumerate()
                .map(|(i, value)| self.child(value, &format!("[{i}]")))
                .collect(),
        )
    }

    /// The entries of an object used as a map of at most `max` entries.
    pub fn entries(&self, max: usize) -> Option<Vec<(&'v str, Node<'v, 'p>)>> {
        let Value::Object(map) = self.value else { return self.wrong("not an object") };
        if map.len() > max {
            return self.note(format!("{} entries are over the limit of {max}", map.len()));
        }
        let entry = |(key, value): (&'v String, &'v Value)| {
            (key.as_str(), self.child(value, &format!(".{}", shown(key))))
        };
        Some(map.iter().map(entry).collect())
    }

    fn child(&self, value: &'v Value, step: &str) -> Node<'v, 'p> {
        let path = format!("{}{step}", self.path);
        Node { value, path: path.trim_start_matches('.').to_owned(), problems: self.problems }
    }

    /// A string of at most `max` bytes.
    pub fn text(&self, max: usize) -> Option<&'v str> {
        match self.value {
            Value::String(text) if text.len() <= max => Some(text),
            Value::String(text) => {
                self.note(format!("{} bytes are over the limit of {max}", text.len()))
            }
            _ => self.wrong("not a string"),
        }
    }

    /// A name: a string of 1 to [`NAME_BYTES_MAX`] bytes without control characters.
    pub fn name(&self) -> Option<&'v str> {
        let text = self.text(NAME_BYTES_MAX)?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return self
                .wrong("not a name: at least one character, none of them a control character");
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("not true or false"))
    }

    /// A whole number from 0 to `max`.
    pub fn whole(&self, max: u64) -> Option<u64> {
        match self.value.as_u64() {
            Some(number) if number <= max => Some(number),
            _ => self.wrong(&format!("not a whole number from 0 to {max}")),
        }
    }

    /// A finite number for which `fits` holds; `else_` says what would.
    pub fn number(&self, fits: impl FnOnce(f64) -> bool, else_: &str) -> Option<f64> {
        match self.value.as_f64() {
            Some(number) if fits(number) => Some(number),
            _ => self.wrong(else_),
        }
    }

    /// A percentage.
    pub fn share(&self) -> Option<Share> {
        self.value.as_f64().and_then(Share::from_percent).or_else(|| self.wrong(NOT_A_PERCENTAGE))
    }

    /// A weight.
    pub fn weight(&self) -> Option<Weight> {
        let weight = self.value.as_f64().and_then(Weight::from_number);
        weight.or_else(|| self.wrong("not a weight: 0 to 1000000 in steps of 0.01"))
    }

    /// A length of time in minutes.
    pub fn minutes(&self) -> Option<Minutes> {
        let minutes = self.value.as_f64().and_then(Minutes::from_number);
        minutes.or_else(|| self.wrong("not a number of minutes from 0 to 5270400 (ten years)"))
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found =
            self.value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            self.not_one_of(&mut words.iter().map(|(word, _)| *word));
        }
        found.map(|(_, value)| *value)
    }

    #[inline(never)]
    fn not_one_of(&self, words: &mut dyn Iterator<Item = &str>) {
        let words: Vec<&str> = words.collect();
        self.push_wrong(&format!("not one of {}", words.join(", ")));
    }
}

/// The fields of an object, remembering which were asked for.
#[derive(Debug)]
pub struct Fields<'v, 'p> {
    map: &'v Map<String, Value>,
    node: Node<'v, 'p>,
    known: RefCell<Vec<&'static str>>,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// The field, unless it is absent or `null`.
    pub fn get(&self, name: &'static str) -> Option<Node<'v, 'p>> {
        self.known.borrow_mut().push(name);
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(self.node.child(value, &format!(".{name}")))
    }

    /// The field, noting a problem when it is absent or `null`.
    pub fn require(&self, name: &'static str, what: &str) -> Option<Node<'v, 'p>> {
        self.get(name).or_else(|| self.node.note(format!("`{name}` is missing: {what}")))
    }

    /// A whole number in this range, or what is usual where the field is absent.
    #[inline(never)]
    pub fn whole_or(&self, name: &'static str, range: (u64, u64), usual: u64) -> Option<u64> {
        let Some(node) = self.get(name) else { return Some(usual) };
        match node.value.as_u64() {
            Some(number) if (range.0..=range.1).contains(&number) => Some(number),
            _ => node.wrong(&format!("not a whole number from {} to {}", range.0, range.1)),
        }
    }

    /// A number from `least` to below `end`, or what is usual where the field is absent. A
    /// least number of 0 is excluded where `or_zero` is false.
    #[inline(never)]
    pub fn ratio_or(
        &self,
        name: &'static str,
        (least, or_zero): (f64, bool),
        usual: f64,
    ) -> Option<f64> {
        let Some(node) = self.get(name) else { return Some(usual) };
        let from = if or_zero || least > 0.0 { "from" } else { "above" };
        node.number(
            |number| number >= least && number < 1.0 && (or_zero || number > 0.0),
            &format!("not a number {from} {least} to below 1"),
        )
    }

    /// A name of the caller's own, where there is one.
    #[inline(never)]
    pub fn name_or_none(&self, name: &'static str) -> Option<Option<String>> {
        match self.get(name) {
            None => Some(None),
            Some(node) => node.name().map(|text| Some(text.to_owned())),
        }
    }

    /// A list of keys, empty where the field is absent, each of 1 to [`KEY_BYTES_MAX`] bytes.
    #[inline(never)]
    pub fn keys_or_none(&self, name: &'static str, max: usize) -> Option<Vec<String>> {
        let Some(node) = self.get(name) else { return Some(Vec::new()) };
        let items = node.list(max)?;
        let mut keys = Vec::with_capacity(items.len());
        for item in &items {
            match item.text(KEY_BYTES_MAX) {
                Some("") => drop(item.wrong::<()>("not a key: it is empty")),
                Some(key) => keys.push(key.to_owned()),
                None => {}
            }
        }
        (keys.len() == items.len()).then_some(keys)
    }

    /// The object these are the fields of.
    pub fn node(&self) -> &Node<'v, 'p> {
        &self.node
    }

    /// Notes every field that was never asked for, with the nearest name that was.
    /// Fields that begin with `x-` are left to whoever put them there.
    pub fn refuse_unknown(&self) {
        let known = self.known.borrow();
        for (name, value) in self.map {
            if known.contains(&name.as_str()) || name.starts_with("x-") {
                continue;
            }
            let nearest = known.iter().min_by_key(|k| distance(k, name));
            let hint = match nearest.filter(|k| distance(k, name) <= 1 + name.len() / 4) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let child = self.node.child(value, &format!(".{}", shown(name)));
            child.note::<()>(format!("unknown field; {hint}"));
        }
    }
}

/// Edits (insert, delete, replace, swap of neighbours counted as two) between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_problems_are_noted_with_their_paths() {
        let value = json!({"a": {"share": 101, "name": ""}, "list": [1, "x"], "stikcy": true});
        let problems = read(&value, |node| {
            let fields = node.object()?;
            let a = fields.require("a", "an object")?.object()?;
            a.get("share")?.share();
            a.get("name")?.name();
            for item in fields.get("list")?.list(10)? {
                item.whole(10);
            }
            fields.get("sticky");
            fields.require("api", "the name of the API");
            fields.refuse_unknown();
            Some(())
        })
        .unwrap_err();
        let text: Vec<String> = problems.list.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "a.share: 101 is not a percentage: 0 to 100 in steps of 0.01",
                "a.name: \"\" is not a name: at least one character, none of them a control character",
                "list[1]: \"x\" is not a whole number from 0 to 10",
                "`api` is missing: the name of the API",
                "stikcy: unknown field; did you mean `sticky`?",
            ]
        );
    }

    #[test]
    fn a_percentage_in_quotes_is_no_percentage() {
        let problems = read(&json!("10"), |node| node.share()).unwrap_err();
        assert_eq!(problems.to_string(), "\"10\" is not a percentage: 0 to 100 in steps of 0.01");
    }
}
