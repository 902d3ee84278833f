//! `crossfade node`.

use std::path::PathBuf;
use std::time::Duration;

use crate::exit::{self, Exit, Failure};
use crate::node::fleet::Join;
use crate::node::{self, Clock, NodeOptions};
use crate::plugin::PluginOptions;
use crate::serve::fleet;
use crate::units::{parse_bytes, parse_duration};

/// Serve JSON lines: requests on stdin, replies on stdout, logs on stderr.
///
/// Each line gets its reply at once, so another program can hold a conversation; a file
/// or a fast pipe is served in blocks. Nothing that a line says ends the program: what
/// cannot be served is answered with an error.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Start with this plan document, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Run this module in place of the built-in engine. It must speak the ABI of
    /// docs/abi.md. SIGHUP loads it again, with the state carried over.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,

    /// Load the module again whenever its file changes.
    #[arg(long, requires = "module")]
    watch: bool,

    /// `virtual`: a rollout is played at once on simulated time.
    /// `wall`: it takes its real minutes [default: virtual; wall with --join].
    #[arg(long, value_enum, hide_possible_values = true)]
    clock: Option<Clock>,

    /// Seed of all chance: the same seed and input give the same output [default: drawn,
    /// and logged].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// What this node is called among others [default: the host's name].
    #[arg(long, value_name = "NAME")]
    node_id: Option<String>,

    /// Take part in a fleet: hear the policy from NATS, and tell it each second what was
    /// counted. `nats://HOST:PORT[,HOST:PORT…]`, or `tls://`.
    #[arg(long, value_name = "ADDRESS", requires = "api", help_heading = FLEET)]
    join: Option<String>,

    /// The API of the fleet's plan.
    #[arg(long, value_name = "NAME", requires = "join", help_heading = FLEET)]
    api: Option<String>,

    /// Who we are to NATS: a `.creds` file, or one line USER:PASSWORD.
    /// CROSSFADE_STORE_CREDS may hold the same.
    #[arg(long, value_name = "FILE", requires = "join", help_heading = FLEET)]
    store_creds: Option<PathBuf>,

    /// Trust servers whose certificates these sign (PEM), beside those the system trusts.
    #[arg(long, value_name = "FILE", requires = "join", help_heading = FLEET)]
    store_ca: Option<PathBuf>,

    /// Memory that the engine may take, 2MiB to 4GiB.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = memory_limit)]
    memory_limit: usize,

    /// Time that the engine may take over one batch of lines, 10ms to 1h. A line that
    /// takes longer is answered with error 13.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = deadline)]
    deadline: Duration,
}

const FLEET: &str = "A fleet (docs/operations.md)";

const EXAMPLES: &str = r#"Examples:
  Where does user123 go with a canary of 10 %?
    echo '{"type":"get_users","msg_id":1,"user_id":"user123","canary_percentage":10}' | crossfade node

  A file of requests, the same way each time:
    crossfade node --seed 1 < requests.jsonl > replies.jsonl

  A rollout in real time, under a plan:
    crossfade node --clock wall --policy plan.yaml

  A node of a fleet:
    crossfade node --join nats://n1:4222,n2:4222 --api users --node-id eu-1 --store-creds eu-1.creds

  An engine under development, loaded again at each build:
    crossfade node --module target/wasm32-unknown-unknown/wasm/crossfade.wasm --watch"#;

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.policy.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            let text = "standard input holds the requests: give the policy as a file";
            return Err(Failure::new(Exit::Usage, text));
        }
        let join = self.join()?;
        let clock = match (self.clock, &join) {
            (Some(Clock::Virtual), Some(_)) => {
                let text = "a fleet lives in real time: --join goes with --clock wall";
                return Err(Failure::new(Exit::Usage, text));
            }
            (None, Some(_)) => Clock::Wall,
            (clock, _) => clock.unwrap_or_default(),
        };
        node::run(NodeOptions {
            module: self.module,
            watch: self.watch,
            policy: self.policy,
            clock,
            seed: self.seed,
            node_id: self.node_id,
            join,
            plugin: PluginOptions {
                memory_bytes_max: self.memory_limit,
                call_deadline: self.deadline,
            },
        })
    }

    fn join(&self) -> Result<Option<Join>, Failure> {
        let (Some(address), Some(api)) = (&self.join, &self.api) else { return Ok(None) };
        let access = fleet::access(
            "--join",
            address,
            self.store_creds.as_deref(),
            self.store_ca.as_deref(),
        )?;
        Ok(Some(Join { access, api: api.clone() }))
    }
}

fn memory_limit(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    match usize::try_from(bytes) {
        Ok(limit) if (2 << 20..=4 << 30).contains(&bytes) => Ok(limit),
        _ => Err("an engine needs 2MiB at least, and can address 4GiB at most".into()),
    }
}

fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = parse_duration(text)?;
    match deadline.as_millis() {
        10..=3_600_000 => Ok(deadline),
        _ => Err("it is checked every 10ms, and an hour is the most".into()),
    }
}
