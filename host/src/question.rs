//! One question to an engine: for the commands that ask, print and end.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::module::Module;
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};

/// A person waits for one answer here, not a stream of requests: rather a late one than
/// none. Ten thousand segments for the gate take a good second on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Which engine is asked.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EngineArgs {
    /// Ask this module in place of the built-in engine.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

impl EngineArgs {
    /// Loads the module.
    ///
    /// # Errors
    /// It cannot be read, or is no engine.
    pub(crate) fn module(&self) -> Result<Module, Failure> {
        let module = match &self.module {
            Some(path) => Module::from_file(path),
            None => Module::builtin(),
        };
        Ok(module?)
    }

    /// Starts the engine, on a clock that stands still.
    ///
    /// # Errors
    /// The module cannot be read, is no engine, or does not start.
    pub(crate) fn start(&self, seed: u64) -> Result<Plugin, Failure> {
        let module = self.module()?;
        let options = PluginOptions { call_deadline: DEADLINE, ..PluginOptions::default() };
        let (plugin, _) = Plugin::start(module, options, Start { seed, ..Start::default() })
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        Ok(plugin)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The engine cannot do what was asked, and says why.
    #[error("{text}")]
    Refused {
        /// Its words.
        text: String,
    },
    /// The engine failed for good.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// It said something that is no answer to the question.
    #[error("the engine answered `{request}` with {reply}")]
    Unexpected {
        /// The message type.
        request: String,
        /// What it said.
        reply: String,
    },
}

impl AskError {
    /// How the program ends when the question was made of a person's `input`: that is
    /// to blame for a refusal, the engine for everything else.
    pub(crate) fn failure(&self, input: Exit) -> Failure {
        match self {
            AskError::Refused { .. } => Failure::new(input, self),
            AskError::Plugin(_) | AskError::Unexpected { .. } => Failure::new(Exit::Internal, self),
        }
    }
}

/// Sends one message, an object with a `type`, and gives the reply: a line that is
/// JSON and of the type `answer`.
///
/// # Errors
/// The engine refuses it, fails, or says something else.
pub(crate) fn ask(
    plugin: &mut Plugin,
    mut message: Value,
    answer: &str,
) -> Result<String, AskError> {
    // With an id, errors do not begin with the line's number.
    message["msg_id"] = json!(1);
    let mut line = message.to_string();
    line.push('\n');
    let reply = String::from_utf8_lossy(plugin.handle(line.as_bytes(), 0)?).trim_end().to_owned();
    #[derive(Deserialize)]
    struct Head {
        r#type: String,
        text: Option<String>,
    }
    match serde_json::from_str::<Head>(&reply) {
        Ok(head) if head.r#type == answer => Ok(reply),
        Ok(Head { r#type, text: Some(text) }) if r#type == "error" => {
            Err(AskError::Refused { text })
        }
        _ => Err(unexpected(&message, &reply)),
    }
}

/// [`ask`] for a reply of known shape.
///
/// # Errors
/// As [`ask`]; also when the reply has another shape.
pub(crate) fn ask_for<T: for<'de> Deserialize<'de>>(
    plugin: &mut Plugin,
    message: Value,
    answer: &str,
) -> Result<T, AskError> {
    let request = json!({ "type": message["type"] });
    let reply = ask(plugin, message, answer)?;
    serde_json::from_str(&reply).map_err(|_| unexpected(&request, &reply))
}

fn unexpected(message: &Value, reply: &str) -> AskError {
    let request = message["type"].as_str().unwrap_or_default().to_owned();
    AskError::Unexpected { request, reply: reply.chars().take(200).collect() }
}
