//! The commands. A new one is a file here, a variant, and a line in each `match`.

mod audit;
mod brownout;
mod check;
mod clients;
mod completions;
mod data;
mod demo;
mod events;
mod explain;
mod export;
mod gate;
mod import;
mod life;
mod man;
mod node;
mod nodes;
mod policy;
mod replay;
mod rollout;
mod serve;
mod simulate;
mod status;
mod sunset;
mod ui;

use clap::Subcommand;
use tracing::level_filters::LevelFilter;

use crate::exit::{Exit, Failure};
use rollout::Verb;

/// What can be asked of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Node(node::Args),
    Serve(Box<serve::Args>),
    Data(data::Args),
    Demo(demo::Args),
    Replay(Box<replay::Args>),
    Check(check::Args),
    Explain(explain::Args),
    Gate(gate::Args),
    Export(Box<export::Args>),
    Import(import::Args),
    Status(status::Args),
    /// Begin the rollout that the plan describes.
    Start(rollout::Args),
    /// Stop the clock of the step; health is still watched.
    Pause(rollout::Args),
    /// Let the clock run again; a step that timed out has its time once more.
    Resume(rollout::Args),
    /// Begin the next step now, whatever the gate says.
    Promote(rollout::PromoteArgs),
    /// Take the new version back: everything goes to the old one.
    ///
    /// At the pace that the plan has for a rollback; a rollback that is on its way is
    /// finished at once. Says on stderr what it is about to do.
    Abort(rollout::Args),
    /// Begin again at the first step, with the same clients.
    ///
    /// After a rollout was rolled back, aborted or undone.
    Retry(rollout::Args),
    /// Restore the traffic from before the rollout.
    ///
    /// Of a rollout that runs or is completed. Says on stderr what it is about to do.
    Undo(rollout::Args),
    Clients(clients::Args),
    Sunset(sunset::Args),
    Brownout(brownout::Args),
    Life(life::Args),
    Events(events::Args),
    Audit(audit::Args),
    Nodes(nodes::Args),
    Policy(policy::Args),
    Simulate(Box<simulate::Args>),
    Ui(ui::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Command::Node(args) => args.run(),
            Command::Serve(args) => args.run(),
            Command::Data(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Replay(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Gate(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Import(args) => args.run(),
            Command::Status(args) => args.run(),
            Command::Start(args) => args.run(Verb::Start),
            Command::Pause(args) => args.run(Verb::Pause),
            Command::Resume(args) => args.run(Verb::Resume),
            Command::Promote(args) => args.run(),
            Command::Abort(args) => args.run(Verb::Abort),
            Command::Retry(args) => args.run(Verb::Retry),
            Command::Undo(args) => args.run(Verb::Undo),
            Command::Clients(args) => args.run(),
            Command::Sunset(args) => args.run(),
            Command::Brownout(args) => args.run(),
            Command::Life(args) => args.run(),
            Command::Events(args) => args.run(),
            Command::Audit(args) => args.run(),
            Command::Nodes(args) => args.run(),
            Command::Policy(args) => args.run(),
            Command::Simulate(args) => args.run(),
            Command::Ui(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }

    /// What is logged unless `--log-level` says otherwise. A service tells of its start,
    /// its reloads and its events; a command that answers a question, of trouble only.
    pub(crate) fn log_level(&self) -> LevelFilter {
        match self {
            Command::Node(_) | Command::Serve(_) => LevelFilter::INFO,
            Command::Replay(_)
            | Command::Check(_)
            | Command::Explain(_)
            | Command::Gate(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Data(_)
            | Command::Demo(_)
            | Command::Status(_)
            | Command::Start(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Promote(_)
            | Command::Abort(_)
            | Command::Retry(_)
            | Command::Undo(_)
            | Command::Clients(_)
            | Command::Sunset(_)
            | Command::Brownout(_)
            | Command::Life(_)
            | Command::Events(_)
            | Command::Audit(_)
            | Command::Nodes(_)
            | Command::Policy(_)
            | Command::Simulate(_)
            | Command::Ui(_)
            | Command::Completions(_)
            | Command::Man(_) => LevelFilter::WARN,
        }
    }
}
