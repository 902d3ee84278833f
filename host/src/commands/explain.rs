//! `crossfade explain`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crossfade_protocol::{Reason, Share};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json};
use crate::policy;
use crate::question::{EngineArgs, ask_for};
use crate::replay::{Weights, read_share};

/// Tell where a request goes, and every step that led there.
///
/// The engine decides as it would for a real request. Nothing is counted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// A plan document, YAML or JSON; `-` is standard input. May be left out with --canary
    /// or --split.
    #[arg(value_name = "POLICY", required_unless_present_any = ["canary", "split"])]
    policy: Option<PathBuf>,

    /// The request's routing key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// An attribute of the request, for the rules. Once for each.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,

    /// Send this share of the keys to the newest version, whatever the policy's share.
    #[arg(long, value_name = "PERCENT", value_parser = read_share, conflicts_with = "split")]
    canary: Option<Share>,

    /// Split by weight, whatever the policy's share; oldest version first: v1=50,v2=50.
    #[arg(long, value_name = "VERSION=WEIGHT,...", value_parser = Weights::read)]
    split: Option<Weights>,

    /// With --split: by key, not by draw.
    #[arg(long, requires = "split")]
    sticky: bool,

    /// Chance, where no key decides; the same seed draws the same bucket.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    engine: EngineArgs,
}

const EXAMPLES: &str = "\
Examples:
  Where does user123 go with a canary of 10 %?
    crossfade explain --canary 10 --key user123

  Which rule of a plan catches this request?
    crossfade explain plan.yaml --key user123 --attribute plan=beta --attribute sdk=2.4.1

  Is user123 among the first 25 % of the rollout?
    crossfade explain plan.yaml --key user123 --canary 25 --output json | jq .canary";

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("an attribute is NAME=VALUE, such as plan=beta".to_owned()),
    }
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let policy = self.policy.as_deref().map(policy::read).transpose()?;
        let mut message = self.message()?;
        let mut plugin = self.engine.start(self.seed)?;
        if let Some(policy) = &policy {
            let checked = policy.check(&mut plugin).map_err(|e| e.failure(Exit::Data))?;
            if !checked.valid {
                return Err(checked.failure());
            }
            message["policy"] = policy.value().clone();
        }
        // The document is sound: a refusal now is about an option.
        let decision: Decision = ask_for(&mut plugin, message, "explanation")
            .map_err(|error| error.failure(Exit::Usage))?;
        match self.output {
            Output::Human => print(&decision.text())?,
            Output::Json => print_json(&decision)?,
        }
        Ok(Exit::Ok)
    }

    /// The message, but for a document's policy.
    fn message(&self) -> Result<Value, Failure> {
        let mut attributes = Map::new();
        for (name, value) in &self.attributes {
            if attributes.insert(name.clone(), value.as_str().into()).is_some() {
                let text = format!("attribute `{name}` is given twice");
                return Err(Failure::new(Exit::Usage, text));
            }
        }
        let mut message = json!({ "type": "explain", "attributes": attributes });
        if let Some(key) = &self.key {
            message["key"] = key.as_str().into();
        }
        if let Some(share) = self.canary {
            message["canary_percentage"] = json!(share);
        }
        if let Some(split) = &self.split {
            message["traffic_split"] = split.document();
            message["sticky"] = self.sticky.into();
            // A split names its versions; without a document they are the migration's.
            message["policy"] = json!({
                "api": "api",
                "versions": split.names(),
                "key": { "attribute": "user_id" },
            });
        }
        Ok(message)
    }
}

/// What the engine says.
#[derive(Debug, Serialize, Deserialize)]
struct Decision {
    version: String,
    canary: bool,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
    stages: Vec<Stage>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stage {
    stage: String,
    outcome: String,
}

impl Decision {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut fact = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<7}  {value}");
        };
        fact("version", &self.version);
        fact("reason", self.because());
        if let Some(rule) = &self.rule {
            fact("rule", rule);
        }
        if let Some(bucket) = self.bucket {
            fact("bucket", &format!("{bucket} of {}", crossfade_protocol::BUCKETS));
        }
        text.push('\n');
        let digits = self.stages.len().to_string().len();
        let width = self.stages.iter().map(|s| s.stage.chars().count()).max().unwrap_or_default();
        for (place, Stage { stage, outcome }) in self.stages.iter().enumerate() {
            let _ = writeln!(text, "{:>digits$}  {stage:<width$}  {outcome}", place + 1);
        }
        text
    }

    fn because(&self) -> &'static str {
        match self.reason {
            Reason::KillSwitch => "the kill switch is on",
            Reason::Guard => "the guard saw too many failures of the new version",
            Reason::Brownout => "a brownout refuses calls to the old version",
            Reason::Pin => "the key is pinned",
            Reason::Rule => "a rule matches",
            Reason::Split => "the weights of the split",
            Reason::Canary if self.canary => "inside the canary's share",
            Reason::Canary => "outside the canary's share",
            Reason::NoKey => "there is no key to decide by",
            Reason::Stable => "nothing sends it anywhere else",
            Reason::Gone => "the sunset has passed: calls to the old version are refused",
            Reason::PinnedBack => "the client was taken back: the new version fails for it",
            Reason::Ready => "the client is ready: it is among the first",
            Reason::Blocked => "the client is blocked: it is among the last",
        }
    }
}
