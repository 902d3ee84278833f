//! Names: who is forgotten, in the engine and then in what is kept; and that no policy asks
//! for hashes while there are names.

use serde_json::{Value, json};
use tracing::{info, warn};

use super::batch::{Batch, Forgotten, Reply};
use super::{Controller, Running, Trouble};
use crate::serve::job::{Answer, Note, Refusal, is_hash};
use crate::serve::store::{Scrubbed, scrub};

/// The protocol's error codes for something that is not there, and for something that cannot
/// be as things stand.
const UNKNOWN: u32 = 20;
const PRECONDITION: u32 = 22;

/// As many clients as one message lists.
const LISTED_MAX: usize = 10_000;

/// What no server can reach, whatever its store.
const BEYOND: [&str; 3] = [
    "exports, backups and copies of the data directory",
    "events that were already streamed to others, and this server's log output",
    "plan files, and names of rules and brownouts in policies, and attributes that rules name",
];

/// Traces of a name that somebody else has, too.
const OTHERS: &str =
    "events, reasons and past policies that name it, since another client has the same name";

/// A hash was given, and nobody can tell whose it is.
const HASH_ALONE: &str =
    "what operators wrote of it by name, which its hash does not tell: forget it by its name";

impl Running {
    /// Whether the policy that was kept last asks for hashes.
    pub(super) fn is_hashed(&self) -> bool {
        self.policy.as_ref().is_some_and(|row| row.document["privacy"] == "hashed")
    }
}

impl Batch {
    /// What is kept under a name stays under it: a policy that asks for hashes is refused
    /// while anybody is known by name.
    pub(super) fn hides_no_names(
        &self,
        running: &mut Running,
        message: &Value,
    ) -> Result<(), Refusal> {
        let asks = message["type"] == "configure" && message["document"]["privacy"] == "hashed";
        if !asks || running.is_hashed() {
            return Ok(());
        }
        let ask = json!({ "type": "get_clients", "limit": LISTED_MAX });
        let reply = running.engine.ask(&ask, "clients", self.now_ms)?;
        let reply: Value = serde_json::from_str(&reply).unwrap_or_default();
        let clients = reply["clients"].as_array().map(Vec::as_slice).unwrap_or_default();
        let hashed = |client: &Value| client["client"].as_str().is_some_and(is_hash);
        if reply["total"] == clients.len() && clients.iter().all(hashed) {
            return Ok(());
        }
        let text = "privacy: clients are known here by their names, which would stay: begin anew \
                    with `privacy: hashed` in an empty data directory and start the edges again, \
                    which take no lower revision; or forget these clients first (`crossfade \
                    clients forget`)";
        Err(Refusal::Engine { code: PRECONDITION, text: text.to_owned() })
    }

    /// Has the engine forget somebody under every name; the store is to forget those that
    /// nobody else has.
    pub(super) fn forget(
        &mut self,
        running: &mut Running,
        mut names: Vec<String>,
        identity: Option<&str>,
        note: Note,
        reply: Reply,
    ) -> Result<(), (Reply, Refusal)> {
        let said = match self.forget_in_engine(running, &names, identity) {
            Ok(said) => said,
            Err(refusal) => return Err((reply, refusal)),
        };
        let Note { who, what, why, .. } = note;
        info!("{what} by {who}");
        self.note(&who, what, &why);
        let mut left = Vec::new();
        if let [name] = names.as_slice()
            && is_hash(name)
        {
            left.push(HASH_ALONE.to_owned());
        }
        if let Some(identity) = identity {
            let before = names.len();
            names.retain(|name| !self.is_anothers(running, name, identity));
            left.extend((names.len() < before).then(|| OTHERS.to_owned()));
        }
        self.forgotten.push(Forgotten { names, left, said, reply });
        Ok(())
    }

    fn forget_in_engine(
        &mut self,
        running: &mut Running,
        names: &[String],
        identity: Option<&str>,
    ) -> Result<Value, Refusal> {
        if running.trial_until.is_some() {
            let text = "an engine is on trial, and the one before it remembers: come again in 30 \
                        seconds";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        let mut said = Value::Null;
        for name in names {
            let mut message = json!({ "type": "forget_client", "client": name });
            if let Some(identity) = identity {
                message["identity"] = identity.into();
            }
            match running.engine.act(&message, Some("client_ok"), self.now_ms) {
                Ok(reply) => {
                    let reply: Value =
                        serde_json::from_str(&reply.unwrap_or_default()).unwrap_or_default();
                    if said.is_null() || reply["changed"] == true {
                        said = reply;
                    }
                    self.changed = true;
                }
                // What is kept may still name whom the engine does not know.
                Err(Refusal::Engine { code: UNKNOWN | PRECONDITION, .. }) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        if said.is_null() {
            said = json!({ "client": names.first(), "changed": false, "revision": running.revision() });
        }
        // They name candidates.
        running.sunset = None;
        Ok(said)
    }

    /// Whether a client of another identity has this name.
    fn is_anothers(&self, running: &mut Running, name: &str, identity: &str) -> bool {
        let ask = json!({ "type": "get_client", "client": name });
        if running.engine.ask(&ask, "client", self.now_ms).is_ok() {
            return true;
        }
        // Lists and pins are of routing keys.
        let names = [name.to_owned()];
        let listed = running.policy.as_ref().and_then(|row| scrub::policy(&row.document, &names));
        identity != "key" && listed.is_some()
    }
}

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
            let receipts = self.running.as_mut().map(|running| running.receipts.forget(&names));
            // It is written with the receipts as they are now.
            if !self.checkpoint()? {
                return Ok(Err("the calls that name them stay, for the engine's state cannot be \
                               read back"));
            }
            self.shared.forget_events(&names);
            let mut scrubbed = self.setup.store.scrub(&names)?;
            scrubbed.rows += receipts.unwrap_or(0);
            Ok(Ok(scrubbed))
        });
        let (said, trouble) = match scrubbed {
            Ok(Ok(scrubbed)) => (Ok(scrubbed), Ok(())),
            Ok(Err(why)) => (Err(why.to_owned()), Ok(())),
            Err(trouble) => (Err(trouble.to_string()), Err(trouble)),
        };
        if said.is_err() {
            warn!("somebody was to be forgotten, and the store may still have traces");
        }
        for Forgotten { said: mut answer, left: of_it, reply, .. } in forgotten {
            let answer = match &said {
                Ok(Scrubbed { rows, left }) => {
                    let beyond = BEYOND.iter().map(|text| (*text).to_owned());
                    let places = beyond.chain(of_it).chain(left.iter().cloned());
                    answer["rows"] = json!(rows);
                    answer["not_reached"] = places.collect();
                    Ok(Answer::Document(answer))
                }
                Err(why) => {
                    Err(Refusal::Unavailable(format!("it may not be done: {why}; ask again")))
                }
            };
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
        trouble
    }
}
