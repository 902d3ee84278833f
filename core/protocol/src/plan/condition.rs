//! When a rule matches: tests of attributes, combined by all, any and not.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

use super::semver::Requirement;
use crate::limits::{ATTRIBUTE_BYTES_MAX, CONDITION_VALUES_MAX, CONDITIONS_MAX};
use crate::read::Node;

/// A condition on a request's attributes.
///
/// Attributes are compared as text: the number `5` and the string `"5"` are equal, as
/// a header cannot tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Every one holds; true when empty.
    All(Vec<Condition>),
    /// At least one holds; false when empty.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// An attribute passes a test. An absent attribute passes only `present: false`.
    Attribute {
        /// Its name.
        name: String,
        /// What it must be.
        test: Test,
    },
}

/// What an attribute must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Exactly this text.
    Equals(String),
    /// One of these texts.
    In(Vec<String>),
    /// Text that begins so.
    Prefix(String),
    /// There (true) or not there (false).
    Present(bool),
    /// A semantic version that satisfies this. Text that is no version does not.
    Semver(Requirement),
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Condition::All(list) => map.serialize_entry("all", list)?,
            Condition::Any(list) => map.serialize_entry("any", list)?,
            Condition::Not(condition) => map.serialize_entry("not", condition)?,
            Condition::Attribute { name, test } => {
                map.serialize_entry("attribute", name)?;
                match test {
                    Test::Equals(text) => map.serialize_entry("equals", text)?,
                    Test::In(list) => map.serialize_entry("in", list)?,
                    Test::Prefix(text) => map.serialize_entry("prefix", text)?,
                    Test::Present(there) => map.serialize_entry("present", there)?,
                    Test::Semver(requirement) => map.serialize_entry("semver", requirement)?,
                }
            }
        }
        map.end()
    }
}

/// A rule's condition, of at most [`CONDITIONS_MAX`] parts.
pub(super) fn read_condition(node: &Node<'_, '_>) -> Option<Condition> {
    let mut parts = 0;
    let condition = read_part(node, &mut parts);
    if parts > CONDITIONS_MAX {
        return node.note(format!("{parts} conditions are over the limit of {CONDITIONS_MAX}"));
    }
    condition
}

fn read_part(node: &Node<'_, '_>, parts: &mut usize) -> Option<Condition> {
    *parts += 1;
    let fields = node.object()?;
    let all = fields.get("all");
    let any = fields.get("any");
    let not = fields.get("not");
    let attribute = fields.get("attribute");
    let mut list = |node: Node<'_, '_>| -> Option<Vec<Condition>> {
        let items = node.list(CONDITIONS_MAX)?;
        let read: Vec<_> = items.iter().map(|item| read_part(item, parts)).collect();
        read.into_iter().collect()
    };
    let condition = match (all, any, not, attribute) {
        (Some(node), None, None, None) => Condition::All(list(node)?),
        (None, Some(node), None, None) => Condition::Any(list(node)?),
        (None, None, Some(node), None) => Condition::Not(Box::new(read_part(&node, parts)?)),
        (None, None, None, Some(name)) => {
            let name = name.name().map(str::to_owned);
            let test = read_test(node);
            return Some(Condition::Attribute { name: name?, test: test? });
        }
        _ => return node.note("exactly one of `all`, `any`, `not` or `attribute` is needed"),
    };
    fields.refuse_unknown();
    Some(condition)
}

fn read_test(node: &Node<'_, '_>) -> Option<Test> {
    let fields = node.object()?;
    fields.get("attribute");
    let equals = fields.get("equals").map(|node| read_text(&node).map(Test::Equals));
    let within = fields.get("in").map(|node| {
        let items = node.list(CONDITION_VALUES_MAX)?;
        let texts: Vec<_> = items.iter().map(read_text).collect();
        texts.into_iter().collect::<Option<Vec<_>>>().map(Test::In)
    });
    let prefix = fields.get("prefix").map(|node| read_text(&node).map(Test::Prefix));
    let present = fields.get("present").map(|node| node.flag().map(Test::Present));
    let semver = fields.get("semver").map(|node| {
        let text = node.text(ATTRIBUTE_BYTES_MAX)?;
        text.parse().map(Test::Semver).or_else(|why: String| node.note(why).ok_or(())).ok()
    });
    fields.refuse_unknown();
    let mut tests = [equals, within, prefix, present, semver].into_iter().flatten();
    match (tests.next(), tests.next()) {
        (Some(test), None) => test,
        _ => node.note("exactly one of `equals`, `in`, `prefix`, `present` or `semver` is needed"),
    }
}

fn read_text(node: &Node<'_, '_>) -> Option<String> {
    attribute_text(node.value).filter(|text| text.len() <= ATTRIBUTE_BYTES_MAX).or_else(|| {
        node.wrong(&format!(
            "not a string, number or boolean of at most {ATTRIBUTE_BYTES_MAX} bytes"
        ))
    })
}

/// An attribute's value as the text it is compared by, or `None` for lists, objects
/// and null.
pub(crate) fn attribute_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
