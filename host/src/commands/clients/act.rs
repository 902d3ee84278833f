//! What is done about single clients.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Identity, of_this_name, word};
use crate::client::page::{self, Line, Page, Tone};
use crate::client::{AgainArgs, Client, ServerArgs, segment, with_query};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, counted, print, print_json_safely};

/// What all of them take.
#[derive(Debug, clap::Args)]
struct Common {
    /// The client's key. Under hashed privacy its name, which is hashed by the server, or a
    /// hash from the list.
    #[arg(value_name = "KEY")]
    key: String,

    /// Where its name comes from, if several clients have it.
    #[arg(long, value_enum, value_name = "KIND")]
    identity: Option<Identity>,

    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(super) struct RepinArgs {
    /// Where to: old, the version before the newest, whatever the share; or policy (also
    /// none), wherever the policy leads, which lifts a pin.
    #[arg(long, value_name = "old|policy")]
    to: String,

    #[command(flatten)]
    again: AgainArgs,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(super) struct DeclareArgs {
    #[command(flatten)]
    again: AgainArgs,

    #[command(flatten)]
    common: Common,
}

/// Take every trace of a client out of what the server keeps.
///
/// Its row and its history, what was said of it, its pins, and events about it; the store's
/// file is written anew, so that nothing is left in it. The answer says what the server
/// cannot reach, such as backups. It takes the role `admin`. A client that calls again is
/// there again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(super) struct ForgetArgs {
    #[command(flatten)]
    common: Common,
}

/// The reply to all of them.
#[derive(Debug, Deserialize)]
struct Done {
    client: String,
    changed: bool,
    revision: u64,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    not_reached: Vec<String>,
}

impl Common {
    fn path(&self) -> String {
        format!("/v1/clients/{}", segment(&self.key))
    }

    fn post(
        &self,
        verb: &str,
        mut body: Value,
        again: &AgainArgs,
        said: [&str; 2],
    ) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        body["reason"] = self.reason.as_str().into();
        if let Some(identity) = self.identity.as_ref().and_then(word) {
            body["identity"] = identity.into();
        }
        let answer = client.command(&format!("{}/{verb}", self.path()), &body, again)?;
        let human = self.output == Output::Human && self.identity.is_none();
        let names = if human { of_this_name(&client, &self.key) } else { Vec::new() };
        self.tell(&client, answer, said, &names)
    }

    /// Says what was done, or that it was so before. `names` is where clients of this name
    /// are known from, the one in front that was meant.
    fn tell(
        &self,
        client: &Client,
        answer: Value,
        said: [&str; 2],
        names: &[String],
    ) -> Result<Exit, Failure> {
        if self.output == Output::Json {
            print_json_safely(&answer)?;
            return Ok(Exit::Ok);
        }
        let done: Done = client.read(answer)?;
        let mut page = Page::new(page::columns());
        let what = said[usize::from(!done.changed)];
        let line = Line::default().with(Tone::Strong, &done.client).and(format!(" {what}"));
        page.push(line.with(Tone::Faint, format!("  revision {}", done.revision)));
        if let [meant, others @ ..] = names
            && !others.is_empty()
        {
            let text = format!(
                "That is the one known by {meant}. Others of this name are known by {}: \
                 --identity says which is meant.",
                others.join(", ")
            );
            page.paragraph(Line::default(), Tone::Wait, &text);
        }
        if done.rows > 0 {
            let rows = counted(done.rows, "row");
            page.paragraph(
                Line::default(),
                Tone::Plain,
                &format!("{rows} named it and do not any more"),
            );
        }
        if !done.not_reached.is_empty() {
            page.push(Line::default().with(Tone::Wait, "Not reached, where there may be traces:"));
            for place in &done.not_reached {
                page.paragraph(Line::default().and("  - "), Tone::Plain, place);
            }
        }
        print(&page.text(page::color()))?;
        Ok(Exit::Ok)
    }
}

impl RepinArgs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (to, said) = match self.to.as_str() {
            "none" | "policy" => ("policy", ["goes where the policy leads", "was not pinned back"]),
            "old" => ("old", PINNED),
            version => {
                // By its name: the newest is what it is pinned away from.
                let client = self.common.server.client()?;
                let status: crate::client::status::Status =
                    client.get_as(crate::client::watch::STATUS)?;
                let (old, new) = (status.old_version(), status.new_version());
                match version {
                    _ if version == old => ("old", PINNED),
                    _ if version == new => {
                        let text = format!(
                            "--to {version}: nobody is pinned to the newest version: `--to policy` \
                             lifts a pin, `crossfade clients ready` moves a client first"
                        );
                        return Err(Failure::new(Exit::Usage, text));
                    }
                    _ => {
                        let text = format!("--to {version}: `old` ({old}) or `policy` is expected");
                        return Err(Failure::new(Exit::Usage, text));
                    }
                }
            }
        };
        self.common.post("repin", json!({ "to": to }), &self.again, said)
    }
}

const PINNED: [&str; 2] = ["is pinned back to the old version", "was pinned back already"];

impl DeclareArgs {
    pub(super) fn run(self, says: &str) -> Result<Exit, Failure> {
        let said = match says {
            "ready" => ["is declared ready: it is moved first", "was declared ready already"],
            "blocked" => ["is declared blocked: it is moved last", "was declared blocked already"],
            _ => ["has nothing said of it any more", "had nothing said of it"],
        };
        self.common.post("declare", json!({ "says": says }), &self.again, said)
    }
}

impl ForgetArgs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let common = self.common;
        let client = common.server.client()?;
        let query = [
            ("identity", common.identity.as_ref().and_then(word)),
            ("reason", Some(common.reason.clone())),
        ];
        let answer = client.delete(&with_query(&common.path(), &query))?;
        common.tell(&client, answer, ["is forgotten", "was not known"], &[])
    }
}
