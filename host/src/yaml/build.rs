//! Values and positions, built together from the parser's events.

use std::borrow::Cow;
use std::mem;

use saphyr_parser::{Event, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::{DOCUMENT_DEPTH_MAX, DOCUMENT_NODES_MAX, Place, Problem, scalar};

pub(super) const ALIAS: &str =
    "aliases (`*name`) are not supported: write the value out where it is used";

pub(super) fn too_deep() -> String {
    format!("lists and mappings go deeper than {DOCUMENT_DEPTH_MAX}")
}

/// One value's place and, for collections, the places of what is in it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where a scalar stands, or the key of a collection; an item of a list itself.
    pub(super) place: Place,
    /// A plain number as written.
    pub(super) written: Option<Box<str>>,
    pub(super) children: Children,
}

#[derive(Debug, Clone)]
pub(super) enum Children {
    None,
    Items(Vec<Node>),
    Fields(Vec<(String, Node)>),
}

/// Takes events one at a time; holds the collections that are still open.
#[derive(Debug)]
pub(super) struct Builder {
    open: Vec<Frame>,
    nodes: usize,
    documents_max: usize,
    documents: usize,
    roots: Vec<(Value, Node)>,
}

#[derive(Debug)]
enum Frame {
    List {
        place: Place,
        values: Vec<Value>,
        nodes: Vec<Node>,
    },
    Mapping {
        place: Place,
        values: Map<String, Value>,
        nodes: Vec<(String, Node)>,
        key: Option<Key>,
    },
}

#[derive(Debug)]
struct Key {
    text: String,
    place: Place,
}

impl Builder {
    /// For a text of at most this many documents.
    pub(super) fn new(documents_max: usize) -> Builder {
        Builder { open: Vec::new(), nodes: 0, documents_max, documents: 0, roots: Vec::new() }
    }

    /// Takes the next event in.
    pub(super) fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Problem> {
        let problem = |text: String| Err(Problem { place, text });
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                match self.documents_max {
                    max if self.documents <= max => Ok(()),
                    1 => problem("a second document starts here: one file, one plan".into()),
                    max => problem(format!("more than {max} documents in one file")),
                }
            }
            Event::Alias(_) => problem(ALIAS.into()),
            Event::Scalar(text, style, _, tag) => {
                self.count(place)?;
                self.scalar(text, style, tag.as_deref(), place)
            }
            Event::SequenceStart(_, tag) => {
                let place = self.open(place, tag.as_deref())?;
                self.open.push(Frame::List { place, values: Vec::new(), nodes: Vec::new() });
                Ok(())
            }
            Event::MappingStart(_, tag) => {
                let place = self.open(place, tag.as_deref())?;
                self.open.push(Frame::Mapping {
                    place,
                    values: Map::new(),
                    nodes: Vec::new(),
                    key: None,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Frame::List { place, values, nodes }) => {
                    let node = Node { place, written: None, children: Children::Items(nodes) };
                    self.put(Value::Array(values), node)
                }
                Some(Frame::Mapping { place, values, nodes, .. }) => {
                    let node = Node { place, written: None, children: Children::Fields(nodes) };
                    self.put(Value::Object(values), node)
                }
                None => Ok(()),
            },
        }
    }

    /// The documents, also those with nothing in them.
    pub(super) fn finish(self) -> Vec<(Value, Node)> {
        self.roots
    }

    fn count(&mut self, place: Place) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > DOCUMENT_NODES_MAX {
            let text = format!("more than {DOCUMENT_NODES_MAX} values in one document");
            return Err(Problem { place, text });
        }
        Ok(())
    }

    /// Checks a collection that starts here and says where it is to be found.
    fn open(&mut self, place: Place, tag: Option<&Tag>) -> Result<Place, Problem> {
        self.count(place)?;
        if let Some(tag) = tag {
            let core = tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "seq" | "map");
            if !core {
                return Err(Problem { place, text: scalar::unknown_tag(tag) });
            }
        }
        if self.open.len() == DOCUMENT_DEPTH_MAX {
            return Err(Problem { place, text: too_deep() });
        }
        match self.open.last() {
            Some(Frame::Mapping { key: Some(key), .. }) => Ok(key.place),
            Some(Frame::Mapping { key: None, .. }) => {
                Err(Problem { place, text: "a key must be text, not a list or mapping".into() })
            }
            Some(Frame::List { .. }) | None => Ok(place),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), Problem> {
        if let Some(Frame::Mapping { key: key @ None, values, nodes, .. }) = self.open.last_mut() {
            if style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null") {
                return Err(Problem { place, text: "a key is missing before `:`".into() });
            }
            if values.contains_key(&*text) {
                let first = nodes.iter().find(|(name, _)| *name == *text);
                let line = first.map_or(0, |(_, node)| node.place.line);
                let text =
                    format!("`{}` is given twice, first on line {line}", text.escape_debug());
                return Err(Problem { place, text });
            }
            *key = Some(Key { text: text.into_owned(), place });
            return Ok(());
        }
        let value = scalar::resolve(&text, style, tag).map_err(|text| Problem { place, text })?;
        let written = value.is_number().then(|| text.into());
        self.put(value, Node { place, written, children: Children::None })
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value, node: Node) -> Result<(), Problem> {
        match self.open.last_mut() {
            None => self.roots.push((value, node)),
            Some(Frame::List { values, nodes, .. }) => {
                values.push(value);
                nodes.push(node);
            }
            Some(Frame::Mapping { values, nodes, key, .. }) => {
                // `open` and `scalar` set the key before any value can come.
                if let Some(Key { text, .. }) = mem::take(key) {
                    values.insert(text.clone(), value);
                    nodes.push((text, node));
                }
            }
        }
        Ok(())
    }
}
