//! A node that takes part in a fleet: policies come in, totals go out.
//!
//! The engine numbers the policies it is given by itself. Totals carry the fleet's number,
//! which is what the control plane compares with its own. Reports of clients do, too; under
//! `privacy: hashed` there are none, for the servers would hold their keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tracing::{error, info, warn};

use super::complaint;
use crate::plugin::{Plugin, PluginError};
use crate::serve::fleet::{Access, Member, PolicyRow};

/// How often the fleet hears what was counted.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Reports of clients that a node which ends tells at most.
const LAST_REPORTS_MAX: usize = 16;

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
    /// Whether the engine is asked for what its clients did.
    clients: bool,
    /// Whether the policy lets clients be told by name.
    names: bool,
    /// The report of clients that was told last.
    last: Option<u64>,
}

impl Fleet {
    /// `clients`: the engine remembers clients until they are reported.
    pub(super) fn new(member: Member, clients: bool) -> Fleet {
        let next_report = Instant::now();
        Fleet { member, revision: None, next_report, clients, names: false, last: None }
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
        self.names = policy.document.get("privacy") != Some(&"hashed".into());
        Ok(())
    }

    /// Tells the fleet what was counted, once a second.
    pub(super) fn report_if_due(&mut self, plugin: &mut Plugin) -> Result<(), PluginError> {
        if Instant::now() < self.next_report {
            return Ok(());
        }
        self.next_report = Instant::now() + REPORT_EVERY;
        self.report(plugin)?;
        self.report_clients(plugin).map(drop)
    }

    /// Tells what clients did since the report before, once that has arrived. Whether there
    /// was anything.
    fn report_clients(&mut self, plugin: &mut Plugin) -> Result<bool, PluginError> {
        let Some(revision) = self.revision.filter(|_| self.clients && self.names) else {
            return Ok(false);
        };
        if !self.member.has_told_clients() {
            return Ok(false);
        }
        // No line of the input: the numbers of those do not move.
        let mut ask = json!({ "type": "take_clients" });
        if let Some(last) = self.last {
            ask["acknowledged"] = last.into();
        }
        let said = match plugin.merge(ask.to_string().as_bytes()) {
            Ok(said) => said,
            Err(PluginError::Fault(fault)) => {
                warn!("no clients are told to the fleet just now: {fault}");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(report) = clients(said, revision) else {
            warn!("this engine reports no clients: {}", complaint(said).unwrap_or_default());
            self.clients = false;
            return Ok(false);
        };
        if report.is_empty {
            return Ok(false);
        }
        self.last = Some(report.sequence);
        self.member.tell_clients(&report.line);
        Ok(true)
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
    pub(super) fn leave(mut self, plugin: &mut Plugin) -> Result<(), PluginError> {
        self.report(plugin)?;
        for _ in 0..LAST_REPORTS_MAX {
            if !self.member.wait_for_clients() || !self.report_clients(plugin)? {
                break;
            }
        }
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

/// A report of clients as it is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    line: Vec<u8>,
    sequence: u64,
    is_empty: bool,
}

/// The engine's report with the fleet's number of the policy; `None` when it is none.
fn clients(said: &[u8], revision: u64) -> Option<Told> {
    let mut fields: Map<String, Value> = serde_json::from_slice(said).ok()?;
    if fields.shift_remove("type")? != "clients_report" {
        return None;
    }
    let sequence = fields.get("sequence")?.as_u64()?;
    let nobody = fields.get("clients")?.as_array()?.is_empty();
    let dropped = fields.get("dropped").and_then(Value::as_u64).unwrap_or_default();
    fields.insert("revision".to_owned(), revision.into());
    let line = serde_json::to_vec(&fields).ok()?;
    Some(Told { line, sequence, is_empty: nobody && dropped == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_clients_carry_it_too() {
        let said = br#"{"type":"clients_report","node":"n","epoch":"a1","sequence":3,"revision":2,"clients":[]}"#;
        let line = br#"{"node":"n","epoch":"a1","sequence":3,"revision":40,"clients":[]}"#.to_vec();
        let told = clients(said, 40).unwrap();
        assert_eq!(told, Told { line, sequence: 3, is_empty: true });
        let left_out = br#"{"type":"clients_report","sequence":4,"clients":[],"dropped":2}"#;
        assert!(!clients(left_out, 1).unwrap().is_empty, "that some are left out is news");
        assert_eq!(clients(br#"{"type":"error","code":22,"text":"no"}"#, 1), None);
    }

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
