//! `crossfade serve`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::exit::{self, Exit, Failure};
use crate::plugin::PluginOptions;
use crate::serve::{self, FleetOptions, ServeOptions, fleet};

/// Run a migration: hold the policy, judge what edges report, remember everything.
///
/// With a plan and an empty data directory a new migration begins, and its rollout with
/// it. With a data directory that holds one, it goes on where it was, and the plan is not
/// needed. Edges and nodes fetch the policy from it and report to it, over HTTP.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// The plan to begin with, YAML or JSON; `-` is standard input.
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,

    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = "crossfade-data")]
    data: PathBuf,

    /// Where to listen; port 0 takes a free one. An address that others can reach needs
    /// --tokens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,

    /// Who may do what: lines of NAME ROLE,… TOKEN, with the roles read, report,
    /// report:NODE, operate and admin. CROSSFADE_TOKENS may hold the same.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// Serve HTTPS with this certificate chain, PEM. SIGHUP reads it again.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Requests a second that one caller may send, by token or else by address. By default
    /// 1000, and any number from this machine.
    #[arg(long, value_name = "N")]
    rate_limit: Option<NonZeroU32>,

    /// Print the OpenAPI description of the HTTP API, and do nothing else.
    #[arg(long)]
    openapi: bool,
    /// Keep everything on NATS, for a fleet: any number of these stand by for each other.
    /// `nats://HOST:PORT[,HOST:PORT…]`, or `tls://`; nats-server 2.12 or later.
    #[arg(long, value_name = "ADDRESS", help_heading = FLEET)]
    store: Option<String>,

    /// Which migration, when no plan is named.
    #[arg(long, value_name = "NAME", requires = "store", help_heading = FLEET)]
    api: Option<String>,

    /// Where the others reach this server: they send operators to whoever leads
    /// [default: http:// and the address of --listen].
    #[arg(long, value_name = "URL", requires = "store", help_heading = FLEET)]
    advertise: Option<String>,

    /// Who we are to NATS: a `.creds` file, or one line USER:PASSWORD.
    /// CROSSFADE_STORE_CREDS may hold the same.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = FLEET)]
    store_creds: Option<PathBuf>,

    /// Trust servers whose certificates these sign (PEM), beside those the system trusts.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = FLEET)]
    store_ca: Option<PathBuf>,

    /// Run this module in place of the built-in engine.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,

    /// Wait with the rollout until `crossfade start`.
    #[arg(long)]
    no_start: bool,
}

const FLEET: &str = "A fleet (docs/operations.md)";

const EXAMPLES: &str = "Examples:
  Begin a migration, or go on with it:
    crossfade serve migration.yaml

  See how it goes, and step in:
    crossfade status -w
    crossfade pause --reason 'database maintenance'

  One of several for a fleet:
    crossfade serve migration.yaml --store nats://n1:4222,n2:4222,n3:4222 --store-creds serve.creds";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.openapi {
            crate::output::print(&serve::description())?;
            return Ok(Exit::Ok);
        }
        let fleet = match &self.store {
            None => None,
            Some(address) => {
                let (creds, ca) = (self.store_creds.as_deref(), self.store_ca.as_deref());
                let access = fleet::access("--store", address, creds, ca)?;
                Some(FleetOptions { access, api: self.api, advertise: self.advertise })
            }
        };
        serve::run(ServeOptions {
            plan: self.plan,
            data: self.data,
            listen: self.listen,
            fleet,
            tokens: self.tokens,
            tls: self.tls_cert.zip(self.tls_key),
            rate: self.rate_limit,
            module: self.module,
            start_rollout: !self.no_start,
            plugin: PluginOptions::default(),
        })
    }
}
