//! `crossfade import`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::exit::{self, Exit, Failure};
use crate::import::{ImportError, Imported, Options, Tool, import};
use crate::output::{Output, print, print_json_safely};
use crate::policy::{Finding, Policy};
use crate::question::EngineArgs;
use crate::yaml::{DocumentError, read_bytes};

/// Make a plan of an Argo Rollout or a Flagger Canary.
///
/// The plan goes to standard output. What became of each field of the file is told on
/// standard error: none is left out in silence. Kubernetes has a name for the API, but no
/// word for who a client is and what the versions are called: give --key, --from and --to,
/// or fill them in.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Whose resource it is.
    #[arg(value_enum)]
    tool: Tool,

    /// YAML or JSON, of one resource or of several; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which resource, when the file has several.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The API's name [default: the resource's].
    #[arg(long, value_name = "NAME")]
    api: Option<String>,

    /// Where a request's key is: header:NAME, cookie:NAME, attribute:NAME or address.
    #[arg(long, value_name = "WHERE", value_parser = key)]
    key: Option<Value>,

    /// The old version's name [default: v1, to be filled in].
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,

    /// The new version's name [default: v2, to be filled in].
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,

    /// For whom the answer is printed; json has the plan and the notes in one document.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    engine: EngineArgs,
}

const EXAMPLES: &str = "\
Examples:
  A plan from a Rollout; the notes appear on the terminal:
    crossfade import argo-rollout rollout.yaml > plan.yaml

  With the conditions of its analysis, which are in a file of their own:
    cat rollout.yaml analysis.yaml | crossfade import argo-rollout - > plan.yaml

  From a cluster, with everything that the plan needs:
    kubectl get canary podinfo -o yaml |
        crossfade import flagger - --key header:x-user-id --from v1 --to v2 > plan.yaml";

/// Reads the plan's `key`.
fn key(text: &str) -> Result<Value, String> {
    match text.split_once(':') {
        None if text == "address" => Ok(json!("address")),
        Some((place @ ("header" | "cookie" | "attribute"), name)) if !name.is_empty() => {
            Ok(json!({ place: name }))
        }
        _ => Err("known are header:NAME, cookie:NAME, attribute:NAME and address".to_owned()),
    }
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let Args { tool, file, name, api, key, from, to, output, engine } = self;
        let options = Options { name, api, key, from, to };
        let imported = read_bytes(&file)
            .map_err(ImportError::from)
            .and_then(|(name, text)| import(tool, &name, &text, &options))
            .map_err(failure)?;
        let warnings = check(&imported, &engine)?;
        match output {
            Output::Human => {
                let mut said = imported.notes();
                for warning in &warnings {
                    said += &format!("warning: {}: {}\n", warning.path, warning.message);
                }
                // Not `eprint!`: that panics when stderr is closed.
                let _ = io::stderr().write_all(said.as_bytes());
                print(&imported.yaml())?;
            }
            Output::Json => print_json_safely(&imported.json(&warnings))?,
        }
        Ok(Exit::Ok)
    }
}

fn failure(error: ImportError) -> Failure {
    match &error {
        ImportError::Document(DocumentError::Io { .. }) => {
            Failure::new(Exit::Io, format!("cannot read {error}"))
        }
        _ => Failure::new(Exit::Data, error),
    }
}

/// Has the engine check the plan as it would any other; gives its warnings.
fn check(imported: &Imported, engine: &EngineArgs) -> Result<Vec<Finding>, Failure> {
    let internal = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Internal, format!("the plan that came out is no document: {error}"))
    };
    let text = imported.yaml();
    let policy = Policy::parse(&imported.file, text.as_bytes()).map_err(|e| internal(&e))?;
    if policy.value() != &imported.plan {
        return Err(internal(&"it reads otherwise than it was meant"));
    }
    let checked = policy.check(&mut engine.start(0)?).map_err(|error| error.failure(Exit::Data))?;
    if checked.valid {
        return Ok(checked.warnings);
    }
    let mut text = format!("{}: no valid plan comes out of it:", imported.file);
    for Finding { path, message, .. } in &checked.problems {
        text += &match imported.origin(path) {
            Some(origin) => format!("\n{origin}: as {path} of the plan: {message}"),
            None => format!("\n{path} of the plan: {message}"),
        };
    }
    Err(Failure::new(Exit::Data, text))
}
