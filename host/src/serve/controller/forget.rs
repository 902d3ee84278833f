//! The second half of forgetting somebody: what is kept.

use std::time::Duration;

use serde_json::json;
use tracing::warn;

use super::batch::Forgotten;
use super::{Controller, Trouble};
use crate::serve::job::{Answer, Refusal};
use crate::serve::machine::Instant;
use crate::serve::store::{Scrubbed, scrub};

/// The engine writes its lists of clients into the policy a moment later than it changes
/// them.
const POLICY_WITHIN: Duration = Duration::from_secs(10);

/// What no server can reach, whatever its store.
const BEYOND: [&str; 3] = [
    "exports, backups and copies of the data directory",
    "events that were already streamed to others, and this server's log output",
    "plan files, and rules in the policy that name attributes of theirs",
];

impl Controller {
    /// Takes note of those whose traces are to go.
    pub(super) fn owe(&mut self, forgotten: Vec<Forgotten>) {
        if !forgotten.is_empty() {
            self.owed.extend(forgotten);
            self.owed_until = Some(Instant::now() + POLICY_WITHIN);
        }
    }

    /// Whether the policy in force names none of them, or will not cease to.
    pub(super) fn owed_is_due(&self) -> bool {
        let policy = self.running.as_ref().and_then(|running| running.policy.as_ref());
        let named = |forgotten: &Forgotten| {
            policy.is_some_and(|row| scrub::policy(&row.document, &forgotten.names).is_some())
        };
        let late = self.owed_until.is_some_and(|until| Instant::now() >= until);
        !self.owed.is_empty() && (late || !self.owed.iter().any(named))
    }

    /// Takes the traces of those out of the store whom the engine has forgotten, and then
    /// answers. The calls that brought them in go with a checkpoint.
    pub(super) fn scrub(&mut self, kept: Result<(), Trouble>) -> Result<(), Trouble> {
        let forgotten = std::mem::take(&mut self.owed);
        if forgotten.is_empty() {
            return kept;
        }
        let names: Vec<String> =
            forgotten.iter().flat_map(|forgotten| forgotten.names.iter().cloned()).collect();
        let scrubbed = kept.and_then(|()| {
            let receipts = self.running.as_mut().map(|running| running.receipts.forget(&names));
            // It is written with the receipts as they are now.
            self.checkpoint()?;
            self.shared.forget_events(&names);
            let mut scrubbed = self.setup.store.scrub(&names)?;
            scrubbed.rows += receipts.unwrap_or(0);
            Ok(scrubbed)
        });
        let (said, trouble) = match scrubbed {
            Ok(Scrubbed { rows, left }) => (Ok((rows, left)), Ok(())),
            Err(trouble) => {
                warn!("somebody was to be forgotten, and the store may still have traces");
                let text = format!("it may not be done: {trouble}; ask again");
                (Err(Refusal::Unavailable(text)), Err(trouble))
            }
        };
        for Forgotten { said: mut answer, reply, .. } in forgotten {
            let answer = said.clone().map(|(rows, left)| {
                let beyond = BEYOND.iter().map(|text| (*text).to_owned());
                answer["rows"] = json!(rows);
                answer["not_reached"] = json!(beyond.chain(left).collect::<Vec<_>>());
                Answer::Document(answer)
            });
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
        trouble
    }
}
