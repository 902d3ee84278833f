//! The live policy: one instance asks the control server, all take what it was given.
//!
//! Whoever holds a lease in shared data asks; if it is gone, another takes the lease when
//! it has run out. A policy that came goes into shared data, where every instance finds it
//! by its next tick, and where an instance reborn after a trap begins.

use crossfade_core::protocol::json;
use crossfade_core::protocol::limits::LINE_BYTES_MAX;
use crossfade_core::protocol::plan::Plan;
use serde_json::Value;

use crate::config::Control;
use crate::control::{self, Health, Kind, Trouble};
use crate::host::{Answer, Host, Level};
use crate::node::Node;
use crate::shared::{Keys, Lease, Record};

/// Bytes of a policy's answer that are looked at.
pub const BODY_BYTES_MAX: usize = LINE_BYTES_MAX;

/// Bytes of an `etag` that is sent back.
const ETAG_BYTES_MAX: usize = 256;

/// In the log, before what is said.
const WHAT: &str = "policy from the control server";

/// One instance's part in it.
#[derive(Debug)]
pub(crate) struct Live {
    /// Of the newest answer that holds a policy in force.
    etag: Option<String>,
    waiting: Option<Waiting>,
    next_ms: u64,
    health: Health,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    token: u32,
    until_ms: u64,
}

impl Live {
    /// Begins with the policy that another instance was given, if it is newer. Writes
    /// nothing: Envoy also configures instances that never serve.
    pub(crate) fn start(host: &impl Host, node: &mut Node, keys: &Keys) -> Live {
        let mut live = Live { etag: None, waiting: None, next_ms: 0, health: Health::default() };
        live.take_shared(host, node, keys);
        live
    }

    /// Takes what another instance was given, and asks when it is this one's turn.
    pub(crate) fn tick(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        keys: &Keys,
        control: &Control,
        instance: u64,
        now_ms: u64,
    ) {
        if keys.revision(host).is_some_and(|revision| node.takes(revision))
            && let Some(revision) = self.take_shared(host, node, keys)
        {
            announce(host, node, revision);
        }
        if let Some(waiting) = self.waiting {
            // Also when the clock went back by more than a question may take.
            let latest_ms = now_ms.saturating_add(control::given_up_ms(control));
            if (now_ms..=latest_ms).contains(&waiting.until_ms) {
                return;
            }
            self.waiting = None;
        }
        let back = self.next_ms > now_ms.saturating_add(control.poll_ms);
        if now_ms < self.next_ms && !back {
            return;
        }
        self.next_ms = now_ms.saturating_add(control.poll_ms);
        let lasts_ms = control.poll_ms.saturating_mul(2).saturating_add(control.timeout_ms);
        let until_ms = now_ms.saturating_add(lasts_ms);
        if !keys.lease(host, Lease { holder: instance, until_ms }, now_ms, until_ms) {
            return;
        }
        let mut headers = vec![("accept", "application/json")];
        headers.extend(self.etag.as_deref().map(|etag| ("if-none-match", etag)));
        match control::call(host, control, "GET", "policy", &headers, &[]) {
            Some(token) => {
                let until_ms = now_ms.saturating_add(control::given_up_ms(control));
                self.waiting = Some(Waiting { token, until_ms });
            }
            None => self.health.bad(host, node, WHAT, not_sent(control)),
        }
    }

    /// Puts the shared policy into force, if it is newer; its revision then.
    fn take_shared(&mut self, host: &impl Host, node: &mut Node, keys: &Keys) -> Option<u64> {
        let record = keys.policy(host).filter(|record| node.takes(record.revision))?;
        // Who put it there has read it, so only damage can make a difference here.
        let (revision, plan) = read(&record.body).ok()?;
        if revision != record.revision {
            return None;
        }
        self.etag = Some(record.etag).filter(|etag| !etag.is_empty());
        node.adopt(plan, revision);
        Some(revision)
    }

    /// Whether this is the answer to a question of ours; then it was taken in.
    pub(crate) fn answer(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        keys: &Keys,
        token: u32,
        answer: &Answer,
    ) -> bool {
        if self.waiting.is_none_or(|waiting| waiting.token != token) {
            return false;
        }
        self.waiting = None;
        match self.take(host, node, keys, answer) {
            Ok(()) => self.health.good(host, WHAT),
            Err(trouble) => self.health.bad(host, node, WHAT, trouble),
        }
        true
    }

    fn take(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        keys: &Keys,
        answer: &Answer,
    ) -> Result<(), Trouble> {
        match answer.status {
            Some(200) => {}
            // Only an answer to `if-none-match`.
            Some(304) if self.etag.is_some() => return Ok(()),
            _ => return Err(Trouble::of_status(answer)),
        }
        let Some(body) = answer.body.as_deref() else {
            let text = format!("longer than {BODY_BYTES_MAX} bytes");
            return Err(Trouble::new(Kind::Malformed, text));
        };
        let (revision, plan) = read(body)?;
        let etag = answer.etag.as_deref().and_then(etag);
        if node.takes(revision) {
            let record =
                Record { revision, etag: etag.clone().unwrap_or_default(), body: body.to_vec() };
            keys.publish(host, &record);
            node.adopt(plan, revision);
            announce(host, node, revision);
        } else if let Some(mine) = node.revision().filter(|mine| revision < *mine) {
            let text = format!("revision {revision} is older than {mine}, which is in force");
            return Err(Trouble::new(Kind::Invalid, text));
        }
        self.etag = etag;
        Ok(())
    }
}

/// What a question that could not even be sent means.
pub(crate) fn not_sent(control: &Control) -> Trouble {
    let cluster = json::shown(&control.cluster);
    Trouble::new(Kind::Unreachable, format!("cannot call the cluster `{cluster}`"))
}

fn announce(host: &impl Host, node: &mut Node, revision: u64) {
    node.metrics.policy(host, revision);
    node.metrics.guard(host, false);
    host.log(Level::Info, &format!("crossfade: policy revision {revision} is in force"));
}

/// A tag that can be sent back as it came.
fn etag(bytes: &[u8]) -> Option<String> {
    let sound = (1..=ETAG_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    sound.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Reads `{"revision":…,"document":{…}}`; other fields are left to newer versions.
fn read(body: &[u8]) -> Result<(u64, Plan), Trouble> {
    let malformed = |text: String| Trouble::new(Kind::Malformed, text);
    if body.len() > BODY_BYTES_MAX {
        return Err(malformed(format!("longer than {BODY_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("not UTF-8".to_owned()))?;
    let value = json::parse(text).map_err(malformed)?;
    let revision = value.get("revision").and_then(Value::as_u64);
    let revision = revision.ok_or_else(|| malformed("no whole number `revision`".to_owned()))?;
    let document = value.get("document").ok_or_else(|| malformed("no `document`".to_owned()))?;
    let plan = Plan::read(document).map_err(|problems| {
        Trouble::new(Kind::Invalid, format!("revision {revision}: {problems}"))
    })?;
    Ok((revision, plan))
}
