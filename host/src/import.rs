//! Plans from what other tools were given: an Argo `Rollout`, a Flagger `Canary`.
//!
//! *Does:* find the resource in a file, make a plan of it, and say of every field of the
//! file what became of it.
//!
//! *Does not:* judge the plan (the engine does), read a cluster, or guess: what is not
//! plainly the same thing in a plan is named, and left out.

mod argo;
mod condition;
mod draft;
mod duration;
mod flagger;
mod ledger;
mod report;
mod source;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::yaml::{Document, DocumentError, parse_documents};

use draft::{Added, Names};
use ledger::{Carried, Ledger, Note};
use source::{Field, Resource};

/// Whose resource is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// A Rollout of Argo Rollouts, with its AnalysisTemplates beside it
    ArgoRollout,
    /// A Canary of Flagger
    Flagger,
}

/// What no resource says, as far as its user does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Which resource, when there are several.
    pub(crate) name: Option<String>,
    /// The API's name.
    pub(crate) api: Option<String>,
    /// The plan's `key`.
    pub(crate) key: Option<Value>,
    /// The old version.
    pub(crate) from: Option<String>,
    /// The new version.
    pub(crate) to: Option<String>,
}

/// A plan and what became of each field of its source.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The file's name.
    pub(crate) file: String,
    /// `Rollout guestbook`.
    title: String,
    /// The plan document.
    pub(crate) plan: Value,
    added: Vec<Added>,
    carried: Vec<Carried>,
    notes: Vec<Note>,
}

/// Why there is no plan. Each message tells what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("{file}: holds no resource: {wanted} is expected")]
    Empty { file: String, wanted: &'static str },
    #[error("{file}: no {wanted} in it, but {found}{hint}")]
    WrongKind { file: String, wanted: &'static str, found: String, hint: String },
    #[error("{file}: no {wanted} is named `{name}`: there is {known}")]
    NoSuchName { file: String, wanted: &'static str, name: String, known: String },
    #[error("{file}: more than one {wanted}: choose with --name: {known}")]
    Several { file: String, wanted: &'static str, known: String },
    #[error(
        "{resource} is a blue-green release (`{field}`): it moves everybody at once, and a plan \
         moves a share first. To have one, write its steps: `crossfade check --schema` knows all \
         fields"
    )]
    BlueGreen { resource: String, field: &'static str },
    #[error("{resource} has no `spec.strategy.canary`: there are no steps to carry over")]
    NoStrategy { resource: String },
    #[error("{resource} has no `spec.analysis`: there are no steps to carry over")]
    NoAnalysis { resource: String },
    #[error(
        "{resource} has no {field} above 0: no traffic is shifted by weight, so there is nothing for a rollout to do"
    )]
    NoSteps { resource: String, field: &'static str },
    #[error("{path}: {value} is {problem}")]
    Value { document: usize, path: String, value: String, problem: String },
    #[error("{file}:{line}:{column}: {message}")]
    Placed { file: String, line: u32, column: u32, message: String },
}

impl ImportError {
    /// A value that the other tool would refuse too.
    fn value(field: &Field<'_>, problem: impl Into<String>) -> ImportError {
        ImportError::Value {
            document: field.document,
            path: field.path.clone(),
            value: field.value.to_string(),
            problem: problem.into(),
        }
    }

    /// The same, with the place where it is.
    fn placed(self, file: &str, resource: &Resource<'_>, documents: &[Document]) -> ImportError {
        let (document, path) = match &self {
            ImportError::Value { document, path, .. } => (*document, path.clone()),
            ImportError::BlueGreen { field, .. } => (resource.root.document, (*field).to_owned()),
            ImportError::NoStrategy { .. }
            | ImportError::NoAnalysis { .. }
            | ImportError::NoSteps { .. } => {
                (resource.root.document, format!("{}spec", prefix(&resource.root.path)))
            }
            _ => return self,
        };
        let place = documents.get(document).and_then(|document| document.position(&path));
        let (line, column) = place.unwrap_or((1, 1));
        let message = self.to_string();
        ImportError::Placed { file: file.to_owned(), line, column, message }
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}.") }
}

impl Tool {
    fn group(self) -> &'static str {
        match self {
            Tool::ArgoRollout => "argoproj.io",
            Tool::Flagger => "flagger.app",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Tool::ArgoRollout => "Rollout",
            Tool::Flagger => "Canary",
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Tool::ArgoRollout => "Rollout of argoproj.io",
            Tool::Flagger => "Canary of flagger.app",
        }
    }

    fn is_kind_of(self, resource: &Resource<'_>) -> bool {
        resource.group() == self.group() && resource.kind() == self.kind()
    }
}

/// Makes a plan of the resource in a text; `file` is what it is called in messages.
///
/// # Errors
/// The text is not YAML, holds no such resource or several, or one that no plan can
/// follow.
pub(crate) fn import(
    tool: Tool,
    file: &str,
    text: &[u8],
    options: &Options,
) -> Result<Imported, ImportError> {
    let documents = parse_documents(file, text)?;
    let all = Resource::all(&documents);
    let resource = choose(tool, file, &all, options.name.as_deref())?;
    let mut ledger = Ledger::default();
    let from = options.from.clone().unwrap_or_else(|| "v1".to_owned());
    let to = options.to.clone().unwrap_or_else(|| "v2".to_owned());
    head(&resource, options, &mut ledger);
    let draft = match tool {
        Tool::ArgoRollout => argo::import(&resource, &all, &to, &mut ledger),
        Tool::Flagger => flagger::import(&resource, &to, &mut ledger),
    };
    let mut draft = draft.map_err(|error| error.placed(file, &resource, &documents))?;
    let mut placeholder = |path: &str, why: &str| {
        draft.added.push(Added { path: path.into(), is_placeholder: true, why: why.into() });
    };
    let api = options.api.clone().or_else(|| resource.name().map(str::to_owned));
    if api.is_none() {
        placeholder("api", "the resource has no name: the API's (--api)");
    }
    if options.key.is_none() {
        placeholder("key", "where the key that tells clients apart is in a request (--key)");
    }
    if options.from.is_none() || options.to.is_none() {
        let why = "what the two versions of the API are called (--from, --to)";
        placeholder("versions", why);
    }
    draft.add(
        "gate.on_inconclusive",
        "waits for proof of health; `advance` goes on when time is over, as the source does",
    );
    for other in &all {
        let is_other =
            other.root.document != resource.root.document || other.root.path != resource.root.path;
        if is_other {
            ledger.elsewhere(&other.root, "a plan has no part of it");
        }
    }
    let key = options.key.clone().unwrap_or_else(|| json!({ "header": "x-user-id" }));
    let names = Names { api: api.unwrap_or_else(|| "api".to_owned()), key, from, to };
    let (carried, notes) = ledger.settle(&documents, &all);
    Ok(Imported {
        file: file.to_owned(),
        title: resource.title(),
        plan: draft.plan(&names),
        added: draft.added,
        carried,
        notes,
    })
}

/// What every resource has: what it is, how it is called, and what was last seen of it.
fn head(resource: &Resource<'_>, options: &Options, ledger: &mut Ledger) {
    for key in ["apiVersion", "kind"] {
        if let Some(field) = resource.root.get(key) {
            ledger.carried(&field, "");
        }
    }
    if let Some(metadata) = resource.root.get("metadata") {
        ledger.elsewhere(&metadata, "belongs to Kubernetes' record of the resource");
        if let Some(name) = metadata.get("name") {
            match &options.api {
                None => ledger.carried(&name, "api"),
                Some(api) => ledger.left(&name, format!("the API is called {api}, as asked")),
            }
        }
    }
    if let Some(status) = resource.root.get("status") {
        ledger.elsewhere(&status, "what a controller last saw");
    }
}

/// The one resource that is asked for.
fn choose<'a>(
    tool: Tool,
    file: &str,
    all: &[Resource<'a>],
    name: Option<&str>,
) -> Result<Resource<'a>, ImportError> {
    let file = file.to_owned();
    let wanted = tool.wanted();
    let of_kind: Vec<&Resource<'a>> = all.iter().filter(|one| tool.is_kind_of(one)).collect();
    let known = || {
        let names = of_kind.iter().map(|one| one.name().unwrap_or("one without a name"));
        names.collect::<Vec<_>>().join(", ")
    };
    if all.is_empty() {
        return Err(ImportError::Empty { file, wanted });
    }
    let chosen: Vec<&&Resource<'a>> =
        of_kind.iter().filter(|one| name.is_none() || one.name() == name).collect();
    match (chosen.as_slice(), name) {
        ([one], _) => Ok((**one).clone()),
        ([], Some(name)) if !of_kind.is_empty() => {
            let name = name.to_owned();
            Err(ImportError::NoSuchName { file, wanted, name, known: known() })
        }
        ([], _) => {
            let found: Vec<String> = all.iter().take(5).map(Resource::title).collect();
            let other = [Tool::ArgoRollout, Tool::Flagger]
                .into_iter()
                .find(|other| all.iter().any(|one| other.is_kind_of(one)));
            let hint = match other {
                Some(Tool::ArgoRollout) => ": that is read with `crossfade import argo-rollout`",
                Some(Tool::Flagger) => ": that is read with `crossfade import flagger`",
                None => "",
            };
            let more = if all.len() > 5 { ", …" } else { "" };
            let found = found.join(", ") + more;
            Err(ImportError::WrongKind { file, wanted, found, hint: hint.to_owned() })
        }
        _ => Err(ImportError::Several { file, wanted, known: known() }),
    }
}
