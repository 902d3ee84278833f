//! `crossfade clients show`.

use serde::Deserialize;

use super::{Identity, now_ms, of_this_name, word};
use crate::client::page::{Line, Tone};
use crate::client::{ServerArgs, page, segment, with_query};
use crate::clients::ClientView;
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};

/// Show one client: its calls to each version, its rhythm, and what was said of it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(super) struct Args {
    /// Its key. Under hashed privacy its name, which is hashed by the server, or a hash from
    /// the list.
    #[arg(value_name = "KEY")]
    key: String,

    /// Where its name comes from, if several clients have it.
    #[arg(long, value_enum, value_name = "KIND")]
    identity: Option<Identity>,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Shown {
    client: ClientView,
    #[serde(default)]
    audit_name: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let path = format!("/v1/clients/{}", segment(&self.key));
        let answer = client
            .get(&with_query(&path, &[("identity", self.identity.as_ref().and_then(word))]))?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let Shown { client: shown, audit_name } = client.read(answer)?;
                let others: Vec<String> = match self.identity {
                    Some(_) => Vec::new(),
                    None => of_this_name(&client, &self.key),
                };
                let others = others.into_iter().filter(|other| *other != shown.identity);
                let others: Vec<String> = others.collect();
                let mut page = shown.page(audit_name.as_deref(), page::columns(), now_ms());
                if !others.is_empty() {
                    let text = format!(
                        "Others of this name are known by {}: --identity shows them.",
                        others.join(", ")
                    );
                    page.paragraph(Line::default(), Tone::Wait, &text);
                }
                print(&page.text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}
