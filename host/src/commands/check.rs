//! `crossfade check`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::exit::{self, Exit, Failure};
use crate::output::{Output, counted, print, print_json, print_json_safely};
use crate::plugin::Plugin;
use crate::policy::{Checked, Policy};
use crate::question::EngineArgs;
use crate::rehearse::{Assumptions, Foresight, RehearseError};
use crate::signals;

/// List everything that is wrong with plan documents, by line and column.
///
/// The engine reads each document as it would to run it, and names all problems at once.
/// Warnings tell what is allowed but probably not meant; they do not make a document
/// invalid.
///
/// With --rps and --error-rate each step of the plan is tried in a simulated world, with
/// the real gate: which regressions it would catch in its time, how long it takes until a
/// good version is proven healthy, and what a bad one costs before it is taken back.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXITS}\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Plan documents, YAML or JSON; `-` is standard input.
    #[arg(value_name = "POLICY", required_unless_present = "schema")]
    policies: Vec<PathBuf>,

    /// Print the JSON Schema of plan documents instead, for editors.
    #[arg(long, conflicts_with_all = ["policies", "output", "module", "rps"])]
    schema: bool,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    assumptions: Assumptions,
}

const EXAMPLES: &str = "\
Examples:
  Can this plan be used?
    crossfade check plan.yaml

  What would it see of 40 requests a second, of which 0.2 % fail today?
    crossfade check plan.yaml --rps 40 --error-rate 0.2%

  All plans of a repository, in its pipeline:
    crossfade check plans/*.yaml

  Completion and checks while typing, in an editor that knows JSON Schema:
    crossfade check --schema > plan.schema.json
  and as the first line of the plan:
    # yaml-language-server: $schema=plan.schema.json";

const EXITS: &str = "\
A file with problems ends the command with 65. One that cannot be read ends it with 74,
whatever the others are: the answer is incomplete then. All files are looked at first.
";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.schema {
            print_json(&crossfade_protocol::plan::schema())?;
            return Ok(Exit::Ok);
        }
        if self.policies.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
            let text = "standard input can be read once only: give `-` once";
            return Err(Failure::new(Exit::Usage, text));
        }
        if self.assumptions.are_given() && self.policies.len() != 1 {
            let text = "--rps tries one plan at a time: give one file";
            return Err(Failure::new(Exit::Usage, text));
        }
        let mut plugin = self.engine.start(0)?;
        let mut report = Report::default();
        for path in &self.policies {
            let checked = match Policy::read(path) {
                Ok(policy) => {
                    let checked = look(&policy, &mut plugin)?;
                    if checked.valid && self.assumptions.are_given() {
                        report.foresight = Some(self.foresee(&policy)?);
                    }
                    checked
                }
                Err(error) => match Checked::of_error(path, &error) {
                    Some(checked) => checked,
                    None => {
                        report.unreadable(crate::policy::name(path), error.to_string());
                        continue;
                    }
                },
            };
            report.files.push(Ok(checked));
        }
        match self.output {
            Output::Human => print(&report.text())?,
            Output::Json => print_json_safely(&report.json())?,
        }
        Ok(report.exit())
    }

    /// Tries a plan.
    fn foresee(&self, policy: &Policy) -> Result<Foresight, Failure> {
        signals::watch(|| std::process::exit(Exit::Terminated as i32))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        let foresight = self.assumptions.try_plan(policy.value(), &self.engine.module()?);
        foresight.map_err(|error| {
            let exit = match &error {
                RehearseError::NoSteps | RehearseError::Plan => Exit::Data,
                RehearseError::NoLatency | RehearseError::Traffic(_) => Exit::Usage,
                RehearseError::Engine(_) | RehearseError::Refused(_) => Exit::Internal,
            };
            Failure::new(exit, format!("{}: {error}", policy.name()))
        })
    }
}

fn look(policy: &Policy, plugin: &mut Plugin) -> Result<Checked, Failure> {
    policy.check(plugin).map_err(|error| {
        let failure = error.failure(Exit::Data);
        Failure { message: format!("{}: {failure}", policy.name()), ..failure }
    })
}

/// What was found in each file, in the order given.
#[derive(Debug, Default)]
struct Report {
    files: Vec<Result<Checked, Unreadable>>,
    /// What the one plan can see, when that was asked.
    foresight: Option<Foresight>,
}

#[derive(Debug)]
struct Unreadable {
    file: String,
    error: String,
}

impl Report {
    /// Said at once on stderr, so that it is seen also beside JSON.
    fn unreadable(&mut self, file: String, error: String) {
        let _ = writeln!(io::stderr(), "crossfade: cannot read {error}");
        self.files.push(Err(Unreadable { file, error }));
    }

    fn exit(&self) -> Exit {
        if self.files.iter().any(Result::is_err) {
            Exit::Io
        } else if self.checked().any(|checked| !checked.valid) {
            Exit::Data
        } else {
            Exit::Ok
        }
    }

    fn checked(&self) -> impl Iterator<Item = &Checked> {
        self.files.iter().flatten()
    }

    fn text(&self) -> String {
        let mut text: String = self.checked().map(Checked::to_string).collect();
        match self.files.as_slice() {
            [Ok(checked)] => text += &checked.summary(),
            // Said already.
            [Err(_)] => return text,
            files => {
                let valid = self.checked().filter(|checked| checked.valid).count();
                let invalid = self.checked().count() - valid;
                let problems: u64 = self.checked().map(Checked::problem_count).sum();
                let warnings: usize = self.checked().map(|checked| checked.warnings.len()).sum();
                let _ = write!(text, "{} files: {valid} valid", files.len());
                if warnings > 0 {
                    let _ = write!(text, " ({})", counted(warnings as u64, "warning"));
                }
                if invalid > 0 {
                    let _ = write!(text, ", {invalid} with {}", counted(problems, "problem"));
                }
                if files.len() > valid + invalid {
                    let _ = write!(text, ", {} unreadable", files.len() - valid - invalid);
                }
            }
        }
        text += "\n";
        if let Some(foresight) = &self.foresight {
            text += "\n";
            text += &foresight.text();
            for (place, warning) in foresight.warnings.iter().enumerate() {
                let gap = if place == 0 { "\n" } else { "" };
                let _ = writeln!(text, "{gap}warning: {}: {}", warning.path, warning.message);
            }
        }
        text
    }

    fn json(&self) -> Value {
        let file = |file: &Result<Checked, Unreadable>| match file {
            Ok(checked) => json!(checked),
            Err(Unreadable { file, error }) => {
                json!({ "file": file, "valid": false, "error": error })
            }
        };
        let files: Vec<Value> = self.files.iter().map(file).collect();
        let mut report = json!({ "valid": self.exit() == Exit::Ok, "files": files });
        if let Some(foresight) = &self.foresight {
            report["foresight"] = json!(foresight);
        }
        report
    }
}
