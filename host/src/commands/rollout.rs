//! What an operator tells a rollout: `crossfade start`, `pause`, `resume`, `promote`,
//! `abort`, `retry` and `undo`. The words are those of Argo Rollouts.

use serde_json::{Value, json};

use crate::client::page::{self, percent};
use crate::client::status::{Rollout, Status};
use crate::client::watch::{STATUS, say};
use crate::client::{AgainArgs, Client, ServerArgs};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};

/// What all of them take.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(crate) struct Args {
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

/// What `promote` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// Skip the steps that are left: the share of the last one now, and the rollout is over.
    #[arg(long)]
    full: bool,

    #[command(flatten)]
    args: Args,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Pause,
    Resume,
    Promote,
    PromoteFull,
    Abort,
    Retry,
    Undo,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Promote | Verb::PromoteFull => "promote",
            Verb::Abort => "abort",
            Verb::Retry => "retry",
            Verb::Undo => "undo",
        }
    }

    /// What it is about to do, where that moves many clients at once.
    fn announcement(self, status: &Status) -> Option<String> {
        let Status { api, rollout, .. } = status;
        let (old, new) = (status.old_version(), status.new_version());
        let now = percent(rollout.percentage);
        match self {
            Verb::Abort => {
                Some(format!("{api}: taking {new} back from {now}; its clients go to {old}"))
            }
            Verb::Undo => Some(format!(
                "{api}: {new} has {now}; restoring the traffic from before the rollout"
            )),
            Verb::PromoteFull => {
                let last = status.plan.last().filter(|_| status.plan.len() == rollout.steps)?;
                let to = percent(last.percentage);
                Some(format!("{api}: {new} goes from {now} to {to} now, whatever the gate says"))
            }
            Verb::Start | Verb::Pause | Verb::Resume | Verb::Promote | Verb::Retry => None,
        }
    }
}

impl PromoteArgs {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        self.args.run(if self.full { Verb::PromoteFull } else { Verb::Promote })
    }
}

impl Args {
    pub(crate) fn run(self, verb: Verb) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        if matches!(verb, Verb::Abort | Verb::Undo | Verb::PromoteFull) {
            announce(&client, verb)?;
        }
        let mut body = json!({ "reason": self.reason });
        if verb == Verb::PromoteFull {
            body["full"] = Value::Bool(true);
        }
        let answer = client.command(&format!("/v1/rollout/{}", verb.name()), &body, &self.again)?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let rollout: Rollout = client.read(answer)?;
                print(&rollout.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn announce(client: &Client, verb: Verb) -> Result<(), Failure> {
    let status: Status = client.get_as(STATUS)?;
    // Of what the server is going to refuse there is nothing to announce.
    let fits = match verb {
        Verb::Abort | Verb::PromoteFull => status.rollout.phase.is_active(),
        _ => status.rollout.step > 0,
    };
    if let Some(text) = verb.announcement(&status).filter(|_| fits) {
        say(&text);
    }
    Ok(())
}
