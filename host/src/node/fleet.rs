//! A node that takes part in a fleet: policies come in, totals go out.
//!
//! The engine numbers the policies it is given by itself. Totals carry the fleet's number,
//! which is what the control plane compares with its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tracing::{error, info, warn};

use super::complaint;
use crate::plugin::{Plugin, PluginError};
use crate::serve::fleet::{Access, Member, PolicyRow};

/// How often the fleet hears what was counted.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Which fleet, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    /// Its servers.
    pub(crate) access: Access,
    /// The API of its plan.
    pub(crate) api: String,
}

/// A node's part in it.
pub(super) struct Fleet {
    member: Member,
    /// The fleet's number of the policy in force; `None` before the first.
    revision: Option<u64>,
    next_report: Instant,
}

impl Fleet {
    pub(super) fn new(member: Member) -> Fleet {
        Fleet { member, revision: None, next_report: Instant::now() }
    }

    /// Puts a policy into force, or says why not and leaves what there is.
    pub(super) fn adopt(
        &mut self,
        policy: &Arc<PolicyRow>,
        plugin: &mut Plugin,
        now_ms: u64,
    ) -> Result<(), PluginError> {
        let revision = policy.revision;
        for document in documents(&policy.document) {
            let line = json!({ "type": "configure", "document": document }).to_string();
            let said = plugin.handle(format!("{line}\n").as_bytes(), now_ms)?;
            if let Some(why) = complaint(said) {
                error!("policy {revision} of the fleet is refused: {why}; the one before stays");
                return Ok(());
            }
        }
        info!("policy {revision} of the fleet is in force ({}: {})", policy.who, policy.why);
        self.revision = Some(revision);
        Ok(())
    }

    /// Tells the fleet what was counted, once a second.
    pub(super) fn report_if_due(&mut self, plugin: &mut Plugin) -> Result<(), PluginError> {
        if Instant::now() < self.next_report {
            return Ok(());
        }
        self.next_report = Instant::now() + REPORT_EVERY;
        self.report(plugin)
    }

    fn report(&self, plugin: &mut Plugin) -> Result<(), PluginError> {
        // Before the first policy there is none that the counts belong to; they are in the
        // first report after it.
        let Some(revision) = self.revision else { return Ok(()) };
        let totals = match plugin.totals() {
            Ok(totals) => totals,
            Err(PluginError::Fault(fault)) => {
                warn!("nothing is told to the fleet just now: {fault}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match numbered(totals, revision) {
            Some(line) => self.member.tell(&line),
            None => warn!("the engine's totals cannot be read: nothing is told to the fleet"),
        }
        Ok(())
    }

    /// Tells the last counts, and waits a moment for them to arrive.
    pub(super) fn leave(self, plugin: &mut Plugin) -> Result<(), PluginError> {
        self.report(plugin)?;
        self.member.leave();
        Ok(())
    }
}

/// What is configured one after the other. An engine lays a split out so that few buckets
/// move from where they were; all nodes must lay it out alike, whatever they had before.
/// So it has none just before.
fn documents(document: &Value) -> Vec<Value> {
    let laid_out = document.get("split_buckets").is_some();
    let bare = document.as_object().filter(|fields| fields.contains_key("split") && !laid_out);
    let without = bare.map(|fields| {
        let mut fields = fields.clone();
        fields.shift_remove("split");
        Value::Object(fields)
    });
    without.into_iter().chain([document.clone()]).collect()
}

/// The totals with the fleet's number of the policy.
fn numbered(totals: &[u8], revision: u64) -> Option<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(totals).ok()?;
    fields.insert("revision".to_owned(), revision.into());
    serde_json::to_vec(&fields).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_that_is_not_laid_out_is_put_where_there_was_none() {
        let bare = json!({ "api": "users", "split": { "v1": 90 }, "sticky": true });
        let without = json!({ "api": "users", "sticky": true });
        assert_eq!(documents(&bare), [without, bare]);
        for alone in [json!({ "split": {}, "split_buckets": [] }), json!({ "api": "users" })] {
            assert_eq!(documents(&alone), [alone]);
        }
    }

    #[test]
    fn totals_carry_the_fleets_number() {
        let line = br#"{"node":"n","revision":2,"versions":[]}"#;
        let numbered = numbered(line, 40).unwrap();
        assert_eq!(numbered, br#"{"node":"n","revision":40,"versions":[]}"#);
        assert_eq!(super::numbered(b"[]", 1), None);
    }
}
