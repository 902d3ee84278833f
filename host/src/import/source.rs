//! The resources in a file, and their fields with paths.

use std::fmt::Write as _;

use serde_json::Value;

use crate::replay::text::shown;
use crate::yaml::Document;

/// One Kubernetes resource of a file.
#[derive(Debug, Clone)]
pub(super) struct Resource<'a> {
    /// Its root: the whole document, or an item of a `List`.
    pub(super) root: Field<'a>,
}

impl<'a> Resource<'a> {
    /// Every resource of a file; those inside a `List` as well as those that stand alone.
    pub(super) fn all(documents: &'a [Document]) -> Vec<Resource<'a>> {
        let mut all = Vec::new();
        for (document, Document { value, .. }) in documents.iter().enumerate() {
            let root = Field { document, path: String::new(), value };
            let is_list = root.get("kind").and_then(|kind| kind.text()).is_some_and(is_list);
            match root.get("items") {
                Some(items) if is_list && items.value.is_array() => {
                    all.extend(items.items().into_iter().map(|root| Resource { root }));
                }
                _ => all.push(Resource { root }),
            }
        }
        all
    }

    /// Its kind; empty when it has none.
    pub(super) fn kind(&self) -> &'a str {
        self.root.value["kind"].as_str().unwrap_or_default()
    }

    /// The part of `apiVersion` before the version: `argoproj.io`.
    pub(super) fn group(&self) -> &'a str {
        let version = self.root.value["apiVersion"].as_str().unwrap_or_default();
        version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `metadata.name`; `None` when it has none.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.root.value["metadata"]["name"].as_str()
    }

    /// `Rollout guestbook`, on one line whatever it is called.
    pub(super) fn title(&self) -> String {
        let kind = if self.kind().is_empty() { "something without a kind" } else { self.kind() };
        let title = match self.name() {
            Some(name) => format!("{kind} {name}"),
            None => kind.to_owned(),
        };
        shown(title.as_bytes(), usize::MAX)
    }
}

fn is_list(kind: &str) -> bool {
    kind.ends_with("List")
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Place of the document in the file.
    pub(super) document: usize,
    /// Path in the document.
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl<'a> Field<'a> {
    /// A field of a mapping; `None` when it is absent or `null`.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Field { document: self.document, path: join(&self.path, key), value })
    }

    /// What is found by following the keys.
    pub(super) fn find(&self, keys: &[&str]) -> Option<Field<'a>> {
        keys.iter().try_fold(self.clone(), |field, key| field.get(key))
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> Vec<Field<'a>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let item = |(place, value)| Field {
            document: self.document,
            path: format!("{}[{place}]", self.path),
            value,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The fields of a mapping with their keys; none of anything else.
    pub(super) fn fields(&self) -> Vec<(&'a str, Field<'a>)> {
        let field = |(key, value): (&'a String, &'a Value)| {
            let path = join(&self.path, key);
            (key.as_str(), Field { document: self.document, path, value })
        };
        self.value.as_object().map_or(Vec::new(), |fields| fields.iter().map(field).collect())
    }

    /// The text, when it is text.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The number; text that is one counts, as Kubernetes takes both in many places.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// Whether it is a value by itself: a scalar, or a collection with nothing in it.
    pub(super) fn is_leaf(&self) -> bool {
        match self.value {
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => true,
        }
    }
}

/// A path one key longer; keys that would not read as one are quoted.
fn join(path: &str, key: &str) -> String {
    let mut path = path.to_owned();
    if key.is_empty() || key.contains(['.', '[', ']', '"', ' ']) {
        let _ = write!(path, "[{}]", Value::from(key));
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
    path
}
