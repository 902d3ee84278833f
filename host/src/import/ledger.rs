//! What became of each field of the source: nothing can be forgotten, since every leaf
//! is looked up here in the end.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::source::{Field, Resource};
use crate::yaml::Document;

/// Why something was not carried over as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Carried over, and means something else in a plan.
    Changed,
    /// Has no place in a plan, and its author should know.
    Left,
    /// Not known to the importer.
    Unknown,
    /// Stays where it is, with Kubernetes: Crossfade neither has it nor needs it.
    Elsewhere,
}

/// What becomes of a field and all below it.
#[derive(Debug, Clone)]
enum Fate {
    /// To these paths of the plan; none when it only says what the resource is.
    Carried {
        to: Vec<String>,
        changed: Option<String>,
    },
    Left {
        kind: Kind,
        why: String,
    },
}

const UNKNOWN: &str = "is not known to this importer: if it matters to how traffic moves, put it \
                       into the plan by hand";

/// The fates of the fields, by document and path.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    fates: HashMap<(usize, String), Fate>,
}

/// A value of the source and its place, lines and columns from 1.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) value: Value,
}

/// A leaf that the plan has.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Carried {
    pub(super) resource: String,
    #[serde(flatten)]
    pub(super) leaf: Leaf,
    /// Paths in the plan; none for what says which resource this is.
    pub(super) to: Vec<String>,
}

/// Leaves that the plan has not, or has otherwise, and why.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) resource: String,
    pub(super) path: String,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) why: String,
    pub(super) fields: Vec<Leaf>,
}

impl Ledger {
    /// It became this part of the plan; `""` when it only tells what the resource is.
    pub(super) fn carried(&mut self, field: &Field<'_>, to: &str) {
        let fate = self.fates.entry((field.document, field.path.clone()));
        let fate = fate.or_insert(Fate::Carried { to: Vec::new(), changed: None });
        let fresh = Fate::Carried { to: Vec::new(), changed: None };
        if matches!(fate, Fate::Left { .. }) {
            *fate = fresh;
        }
        if let Fate::Carried { to: all, .. } = fate
            && !to.is_empty()
            && !all.iter().any(|known| known == to)
        {
            all.push(to.to_owned());
        }
    }

    /// It became this part of the plan, with a difference that its author should know.
    pub(super) fn changed(&mut self, field: &Field<'_>, to: &str, how: impl Into<String>) {
        self.carried(field, to);
        if let Some(Fate::Carried { changed, .. }) =
            self.fates.get_mut(&(field.document, field.path.clone()))
        {
            *changed = Some(how.into());
        }
    }

    /// It is in no plan, and its author should know.
    pub(super) fn left(&mut self, field: &Field<'_>, why: impl Into<String>) {
        self.leave(field, Kind::Left, why.into());
    }

    /// It stays with Kubernetes.
    pub(super) fn elsewhere(&mut self, field: &Field<'_>, why: impl Into<String>) {
        self.leave(field, Kind::Elsewhere, why.into());
    }

    /// It is not known what it means, though its neighbours are.
    pub(super) fn unknown(&mut self, field: &Field<'_>) {
        self.leave(field, Kind::Unknown, UNKNOWN.to_owned());
    }

    /// What was carried over from two places is carried over.
    fn leave(&mut self, field: &Field<'_>, kind: Kind, why: String) {
        let key = (field.document, field.path.clone());
        self.fates.entry(key).or_insert(Fate::Left { kind, why });
    }

    /// Looks every leaf up.
    pub(super) fn settle(
        &self,
        documents: &[Document],
        resources: &[Resource<'_>],
    ) -> (Vec<Carried>, Vec<Note>) {
        let mut settled = Settled {
            ledger: self,
            documents,
            carried: Vec::new(),
            notes: Vec::new(),
            places: HashMap::new(),
        };
        let titles: HashMap<(usize, &str), &Resource<'_>> = resources
            .iter()
            .map(|resource| ((resource.root.document, resource.root.path.as_str()), resource))
            .collect();
        for (document, Document { value, .. }) in documents.iter().enumerate() {
            let root = Field { document, path: String::new(), value };
            let why = "only holds other resources together".to_owned();
            let fate = Fate::Left { kind: Kind::Elsewhere, why };
            let list = Inherited { path: String::new(), fate };
            settled.walk(&root, "List", &titles, &list);
        }
        (settled.carried, settled.notes)
    }
}

/// Where the nearest fate above a leaf was said, and what it was.
#[derive(Debug, Clone)]
struct Inherited {
    path: String,
    fate: Fate,
}

struct Settled<'a> {
    ledger: &'a Ledger,
    documents: &'a [Document],
    carried: Vec<Carried>,
    notes: Vec<Note>,
    /// Of the notes, by document and path.
    places: HashMap<(usize, String), usize>,
}

impl Settled<'_> {
    fn walk(
        &mut self,
        field: &Field<'_>,
        title: &str,
        titles: &HashMap<(usize, &str), &Resource<'_>>,
        above: &Inherited,
    ) {
        let key = (field.document, field.path.clone());
        let resource = titles.get(&(field.document, field.path.as_str()));
        let own_title = resource.map(|resource| resource.title());
        let title = own_title.as_deref().unwrap_or(title);
        let own = match self.ledger.fates.get(&key) {
            Some(fate) => Some(Inherited { path: field.path.clone(), fate: fate.clone() }),
            None if resource.is_some() => Some(unknown(&field.path)),
            None => None,
        };
        let fate = own.as_ref().unwrap_or(above);
        if field.is_leaf() {
            self.leaf(field, title, fate);
        }
        // One of the two is empty, or both.
        for item in field.items() {
            self.walk(&item, title, titles, fate);
        }
        for (_, inner) in field.fields() {
            self.walk(&inner, title, titles, fate);
        }
    }

    fn leaf(&mut self, field: &Field<'_>, title: &str, Inherited { path, fate }: &Inherited) {
        let position = |path: &str| {
            let document = self.documents.get(field.document);
            document.and_then(|document| document.position(path)).unwrap_or((1, 1))
        };
        let (line, column) = position(&field.path);
        let leaf = Leaf { path: field.path.clone(), line, column, value: field.value.clone() };
        let (kind, path, why) = match fate {
            Fate::Carried { to, changed } => {
                let resource = title.to_owned();
                self.carried.push(Carried { resource, leaf: leaf.clone(), to: to.clone() });
                match changed {
                    Some(how) => (Kind::Changed, path.clone(), how.clone()),
                    None => return,
                }
            }
            // Each unknown field speaks for itself.
            Fate::Left { kind: Kind::Unknown, why } => {
                (Kind::Unknown, field.path.clone(), why.clone())
            }
            Fate::Left { kind, why } => (*kind, path.clone(), why.clone()),
        };
        let next = self.notes.len();
        let place = *self.places.entry((field.document, path.clone())).or_insert(next);
        if let Some(note) = self.notes.get_mut(place) {
            note.fields.push(leaf);
            return;
        }
        let (line, column) = position(&path);
        let resource = title.to_owned();
        self.notes.push(Note { kind, resource, path, line, column, why, fields: vec![leaf] });
    }
}

/// The fate of what nobody looked at.
fn unknown(path: &str) -> Inherited {
    let fate = Fate::Left { kind: Kind::Unknown, why: UNKNOWN.to_owned() };
    Inherited { path: path.to_owned(), fate }
}
