//! `crossfade policy`: the plan in force.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::diff::{unified, written_out};
use crate::client::page::{self, Line, Page, Tone};
use crate::client::{AgainArgs, Client, ServerArgs, Trouble, with_query};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};
use crate::policy::{Policy, read};
use crate::question::EngineArgs;
use crate::replay::{text, time};
use crate::yaml::write::yaml;

/// Show, replace and compare the plan that a server runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Change the plan in an editor, look at the difference, put it in force unless somebody
  else was faster:
    crossfade policy get > plan.yaml
    $EDITOR plan.yaml
    crossfade policy diff plan.yaml
    crossfade policy set plan.yaml --revision 12 --reason 'pin partner-7'";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the plan in force, as YAML.
    Get(GetArgs),
    /// Put a plan in force.
    ///
    /// Not while a rollout runs, and only in the place of the revision that was looked at:
    /// of two people who do this at once, the second is refused.
    Set(SetArgs),
    /// Show what a file would change, as `diff -u` does.
    ///
    /// Defaults that are written out are no difference. The exit code is 0 when there is
    /// none, and 1 when there is.
    Diff(DiffArgs),
    /// List the policies that were in force, newest first.
    History(HistoryArgs),
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    /// For whom it is printed: JSON has the revision beside the document.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// A plan document, YAML or JSON; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Only in the place of this revision [default: the one in force when this is asked].
    #[arg(long, value_name = "N")]
    revision: Option<u64>,

    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    again: AgainArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// A plan document, YAML or JSON; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct HistoryArgs {
    /// How many are listed, at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(..=1_000))]
    limit: u64,

    /// For whom the answer is printed: JSON has the documents as well.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

const POLICY: &str = "/v1/policy";

#[derive(Debug, Deserialize)]
struct InForce {
    revision: u64,
    document: Value,
}

#[derive(Debug, Deserialize)]
struct History {
    policies: Vec<Past>,
}

#[derive(Debug, Deserialize)]
struct Past {
    revision: u64,
    at_ms: u64,
    who: String,
    #[serde(default)]
    why: String,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Get(args) => args.run(),
            Command::Set(args) => args.run(),
            Command::Diff(args) => args.run(),
            Command::History(args) => args.run(),
        }
    }
}

impl GetArgs {
    fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let answer = client.get(POLICY)?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let InForce { revision, document } = client.read(answer)?;
                let plan = yaml(&document, &HashMap::new());
                print(&format!("# revision {revision}\n{plan}"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl SetArgs {
    fn run(self) -> Result<Exit, Failure> {
        let policy = read(&self.file)?;
        let client = self.server.client()?;
        let revision = match self.revision {
            Some(revision) => revision,
            None => client.get_as::<InForce>(POLICY)?.revision,
        };
        let body = json!({ "document": policy.value(), "reason": self.reason });
        let answer = client
            .replace(POLICY, revision, &body, &self.again)
            .map_err(|trouble| refused(trouble, &policy))?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let InForce { revision: now, .. } = client.read(answer)?;
                print(&format!(
                    "{}: revision {now} is in force, in the place of {revision}\n",
                    policy.name()
                ))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Problems that a server names by path, by line of the file.
fn refused(trouble: Trouble, policy: &Policy) -> Failure {
    match trouble {
        Trouble::Refused { mut problems, .. } if !problems.is_empty() => {
            for problem in &mut problems {
                let path = problem.path.strip_prefix("document").unwrap_or(&problem.path);
                problem.path = path.strip_prefix('.').unwrap_or(path).to_owned();
            }
            policy.refused(problems).failure()
        }
        trouble => trouble.into(),
    }
}

impl DiffArgs {
    fn run(self) -> Result<Exit, Failure> {
        let policy = read(&self.file)?;
        let file = written_out(&policy, &self.engine)?;
        let client: Client = self.server.client()?;
        let InForce { revision, document } = client.get_as(POLICY)?;
        let lines = unified(&document, revision, &file, policy.name());
        let color = page::color();
        let text: String = lines.iter().map(|line| line.text(usize::MAX, color) + "\n").collect();
        print(&text)?;
        Ok(if lines.is_empty() { Exit::Ok } else { Exit::Unhealthy })
    }
}

impl HistoryArgs {
    fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let query = [("limit", Some(self.limit.to_string()))];
        let answer = client.get(&with_query("/v1/policies", &query))?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let history: History = client.read(answer)?;
                print(&history.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl History {
    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        for Past { revision, at_ms, who, why } in &self.policies {
            let at = time::shown(*at_ms);
            let line = Line::default().with(Tone::Faint, format!("{at}  "));
            let line = line.with(Tone::Strong, format!("{revision:>5}"));
            let head = line.and(format!("  {:<12}  ", text::shown(who.as_bytes(), 24)));
            page.paragraph(head, Tone::Plain, why);
        }
        page
    }
}
