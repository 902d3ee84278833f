//! `crossfade clients show`.

use serde::Deserialize;

use super::now_ms;
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

    /// Where its name comes from, if several clients have it: key, sender, api_key, mtls, jwt
    /// or address.
    #[arg(long, value_name = "KIND")]
    identity: Option<String>,

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
        let answer = client.get(&with_query(&path, &[("identity", self.identity)]))?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let Shown { client: shown, audit_name } = client.read(answer)?;
                let page = shown.page(audit_name.as_deref(), page::columns(), now_ms());
                print(&page.text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}
