//! Commands that are repeated until something certain is heard of them.
//!
//! Each has a key, by which the server knows it again: what was done is not done twice, and
//! the answer is the first one.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::watch::say;
use super::{Client, Question, Trouble};
use crate::units::parse_duration;

/// A new leader is there within ten seconds, also when one of the store's servers died.
const RETRY_FOR: &str = "15s";

/// Between two tries: at first, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How a command is repeated.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AgainArgs {
    /// How long to repeat it while it is not known whether it was done. The server does it
    /// once, however often it comes.
    #[arg(long, value_name = "TIME", default_value = RETRY_FOR, value_parser = parse_duration)]
    retry_for: Duration,

    /// By which the server knows this command again [default: a random one]. With the same
    /// key it is not done a second time within a day.
    #[arg(long, value_name = "KEY", value_parser = read_key)]
    idempotency_key: Option<String>,
}

impl AgainArgs {
    fn key(&self) -> Result<String, Trouble> {
        if let Some(key) = &self.idempotency_key {
            return Ok(key.clone());
        }
        let random = || Ok::<_, getrandom::Error>((getrandom::u64()?, getrandom::u64()?));
        let (high, low) = random().map_err(|error| Trouble::Setup(error.to_string()))?;
        Ok(format!("{high:016x}{low:016x}"))
    }
}

impl Client {
    /// As [`post`](Client::post), once, however often it takes.
    ///
    /// # Errors
    /// As [`get`](Client::get); and [`Trouble::Unknown`].
    pub(crate) fn command(
        &self,
        path: &str,
        body: &Value,
        again: &AgainArgs,
    ) -> Result<Value, Trouble> {
        self.until_known(Question::post(path, body), again)
    }

    /// As [`put`](Client::put), once, however often it takes.
    ///
    /// # Errors
    /// As [`get`](Client::get); and [`Trouble::Unknown`].
    pub(crate) fn replace(
        &self,
        path: &str,
        replaces: u64,
        body: &Value,
        again: &AgainArgs,
    ) -> Result<Value, Trouble> {
        self.until_known(Question::put(path, replaces, body), again)
    }

    fn until_known(&self, question: Question, again: &AgainArgs) -> Result<Value, Trouble> {
        let key = again.key()?;
        let question = Question { key: Some(key.clone()), ..question };
        let until = Instant::now() + again.retry_for;
        let mut pause = PAUSE;
        let (mut unclear, mut said) = (false, false);
        loop {
            let trouble = match self.ask(&question) {
                Ok(answer) => return Ok(answer),
                // The server has looked whether it knows the key: it does not.
                Err(trouble @ Trouble::Refused { .. }) => return Err(trouble),
                Err(trouble) => trouble,
            };
            unclear |= trouble.is_unclear();
            let late = Instant::now() + pause > until;
            if late || !trouble.may_pass() || (trouble.is_unreachable() && !unclear) {
                return Err(if unclear { trouble.unknown(key) } else { trouble });
            }
            if !std::mem::replace(&mut said, true) {
                say(&format!("{trouble}; asking again, with the same idempotency key"));
            }
            thread::sleep(pause);
            pause = PAUSE_MAX.min(2 * pause);
        }
    }
}

fn read_key(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_graphic() && !"\"\\,;".contains(c);
    match text.chars().all(fits) && (1..=200).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err("up to 200 letters, digits and marks are expected".to_owned()),
    }
}
