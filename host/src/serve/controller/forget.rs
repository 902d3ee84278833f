//! The second half of forgetting somebody: what is kept.

use serde_json::json;
use tracing::warn;

use super::batch::Forgotten;
use super::{Controller, Trouble};
use crate::serve::job::{Answer, Refusal};
use crate::serve::store::Scrubbed;

/// What no server can reach, whatever its store.
const BEYOND: [&str; 3] = [
    "exports, backups and copies of the data directory",
    "events that were already streamed to others, and this server's log output",
    "plan files, and rules in the policy that name attributes of theirs",
];

impl Controller {
    /// Takes the traces of those out of the store whom the engine has forgotten, and then
    /// answers. The calls that brought them in go with a checkpoint.
    pub(super) fn scrub(
        &mut self,
        kept: Result<(), Trouble>,
        forgotten: Vec<Forgotten>,
    ) -> Result<(), Trouble> {
        let names: Vec<String> =
            forgotten.iter().flat_map(|forgotten| forgotten.names.iter().cloned()).collect();
        let scrubbed = kept.and_then(|()| {
            self.checkpoint()?;
            self.shared.forget_events(&names);
            Ok(self.setup.store.scrub(&names)?)
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
