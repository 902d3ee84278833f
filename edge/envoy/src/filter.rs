//! One request: decided on its way in, counted and marked on its way out.
//!
//! # Host calls
//!
//! | when | what | calls |
//! |---|---|---|
//! | request headers | clock, key header (cookie, address), version header set, the shadow's removed | 4 |
//! | | each attribute that a rule asks for and no earlier one did | + 1 |
//! | | … with a comma in it: is it one value? | + 1 |
//! | | a plan with `clients`: the user agent; the header to declare in, where there is one | + 1; + 1 |
//! | | … and no key: each source of an identity, until one has it (the certificate's subject: 2) | + 1 |
//! | | without a body and to be mirrored: the shadow's header, the path | + 2 |
//! | | refused: the answer instead of the two headers; a redirect: the path | − 1; + 1 |
//! | response headers | `:status`, clock | 2 |
//! | | each of `deprecation`, `sunset`, `link` and `api-brownout` that the version has | + 1 |
//! | | the reason's header, where one is configured | + 1 |
//! | end | nothing; without a response: what Envoy answered | 0; 1 |
//! | | mirrored: all headers; the answer's media type and size | + 1; + 2 |
//!
//! Without a policy: the two headers removed, 2 calls, and none for the response.
//!
//! # A request without a response
//!
//! What Envoy answers by itself (no healthy upstream, a reset, its own time-out) passes
//! through the response headers and counts by its status. A response that never came is
//! counted under the class `none`. If Envoy was about to answer 500 to 599, it is a
//! failure of the version. Otherwise the client went away, which says nothing of the
//! version: neither a success, for clients also leave what hangs, nor a failure, for then
//! a client could trip the guard by hanging up. It stays the difference between `routed`
//! and `requests`.

use std::rc::Rc;

use crossfade_core::Decision;
use crossfade_core::changes::Call;
use crossfade_core::protocol::Reason;
use crossfade_core::protocol::plan::{Headers, Refusal};
use crossfade_core::protocol::request::Outcome;
use crossfade_core::request::Request;

use crate::host::Host;
use crate::metrics::Class;
use crate::node::{InForce, Node};
use crate::request::{Client, Found};
use crate::shadow::{Asked, MARK};

/// The key that traps in a build with the feature `test-trap`.
#[cfg(feature = "test-trap")]
pub const TRAP_KEY: &[u8] = b"crossfade-test-trap";

/// The headers that the filter writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames {
    /// On the request: the version.
    pub version: String,
    /// On the response: the reason, if wanted.
    pub reason: Option<String>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on, to the routes.
    Forward,
    /// It was answered, and goes no further.
    Answered,
}

/// One request.
#[derive(Debug, Default)]
pub struct Exchange {
    /// From the decision until it is counted how the request ended.
    open: Option<Open>,
    /// What is to be mirrored, until the exchange is over.
    mirrored: Option<Asked>,
    /// What it was answered with.
    status: Option<u16>,
}

#[derive(Debug)]
struct Open {
    in_force: Rc<InForce>,
    version: u16,
    reason: Reason,
    started_ns: u64,
    client: Option<Client>,
}

impl Exchange {
    /// The request's headers are here, and with `is_whole` there is no more of it: decides,
    /// and says so to the routes, or refuses.
    pub fn request(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        names: &HeaderNames,
        is_whole: bool,
    ) -> Then {
        if node.in_force().is_none() {
            host.remove_request_header(&names.version);
            host.remove_request_header(MARK);
            node.metrics.without_policy();
            return Then::Forward;
        }
        let started_ns = host.now_ns();
        node.observe(started_ns / 1_000_000);
        let Some(in_force) = node.in_force().cloned() else { return Then::Forward };
        let found = Found::new(host, &in_force.places);
        let mut key = found.key();
        #[cfg(feature = "test-trap")]
        trap(key.as_deref());
        let request = Request {
            key: key.as_deref(),
            attributes: &found,
            traffic: None,
            guard_tripped: node.guard_tripped(),
        };
        let decision = in_force.policy.decide(&request, node.draw());
        let (version, reason) = (decision.version, decision.reason);
        let mirrored = in_force.mirrors(&decision, key.as_deref(), || node.draw());
        let client = node.reports_clients().then(|| found.client(key.take())).flatten();
        if let Some(refusal) = in_force.policy.refusal(&decision, started_ns / 1_000_000) {
            answer(host, names, &in_force, &decision, &refusal);
            if let Some(slot) = in_force.slot(version) {
                node.refused(slot, reason);
            }
            Open { in_force, version, reason, started_ns, client }.remember(node, false, 1);
            return Then::Answered;
        }
        self.mirrored = mirrored.filter(|_| is_whole).and_then(|shade| Asked::of(host, shade));
        // What a client sends in these two chooses nothing, and passes for nothing.
        host.set_request_header(&names.version, in_force.policy.version_name(version));
        host.remove_request_header(MARK);
        if let Some(slot) = in_force.slot(version) {
            node.routed(slot, reason);
        }
        self.open = Some(Open { in_force, version, reason, started_ns, client });
        Then::Forward
    }

    /// The response's headers are here: counts, and marks them.
    pub fn response(&mut self, host: &impl Host, node: &mut Node, names: &HeaderNames) {
        let Some(open) = self.open.take() else { return };
        // A response without a readable status is none that Envoy would send on.
        let status = host.response_header(":status").and_then(|text| status(&text)).unwrap_or(500);
        self.status = Some(status);
        let took_ns = host.now_ns().saturating_sub(open.started_ns);
        let outcome = outcome(&open, is_failure(status), Some(took_ns as f64 / 1e6));
        if let Some(slot) = open.in_force.slot(open.version) {
            node.ended(host, slot, Class::Status(status), Some(&outcome));
        }
        open.remember(node, outcome.failed, 0);
        let headers = open.in_force.policy.headers(open.version);
        for (name, value) in headers.into_iter().flat_map(Headers::told) {
            // Links of the upstream's own are left as they are.
            match name {
                "link" => host.add_response_header(name, value),
                _ => host.set_response_header(name, value),
            }
        }
        if let Some(name) = &names.reason {
            host.set_response_header(name, open.reason.as_str());
        }
    }

    /// The exchange is over.
    pub fn end(&mut self, host: &impl Host, node: &mut Node) {
        if let (Some(asked), Some(status)) = (self.mirrored.take(), self.status)
            && !is_failure(status)
        {
            node.mirror_request(host, &asked, status);
        }
        let Some(open) = self.open.take() else { return };
        let answered = host.property(&["response", "code"]).and_then(|code| number(&code));
        let failed = answered.is_some_and(is_failure);
        open.remember(node, failed, 0);
        let Some(slot) = open.in_force.slot(open.version) else { return };
        let failed = failed.then(|| outcome(&open, true, None));
        node.ended(host, slot, Class::None, failed.as_ref());
    }
}

impl Open {
    /// Remembers the client's call, at the time when it came.
    fn remember(&self, node: &mut Node, failed: bool, refused: u64) {
        let Some(client) = &self.client else { return };
        let call = Call {
            key: &client.key,
            identity: client.identity,
            version: 0,
            requests: 1,
            failures: u64::from(failed),
            refused,
            agent: client.agent.as_deref(),
            says: client.says.as_ref(),
        };
        let seconds = self.started_ns / 1_000_000_000;
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        node.client(&self.in_force, self.version, call, seconds);
    }
}

/// Tells a client that its call is refused, and whatever its version tells.
fn answer(
    host: &impl Host,
    names: &HeaderNames,
    in_force: &InForce,
    decision: &Decision,
    refusal: &Refusal,
) {
    // The path as the client sent it. Bytes that are no text belong in no header.
    let path = refusal.header("location").and_then(|_| host.request_header(":path"));
    let path = path.and_then(|path| String::from_utf8(path).ok()).unwrap_or_default();
    let location = refusal.location(&path);
    let told = in_force.policy.headers(decision.version).into_iter().flat_map(Headers::told);
    let mut headers: Vec<(&str, &str)> = told.collect();
    headers.extend(refusal.headers.iter().map(|(name, value)| match (*name, &location) {
        ("location", Some(location)) => (*name, location.as_str()),
        _ => (*name, value.as_str()),
    }));
    headers.extend(names.reason.as_deref().map(|name| (name, decision.reason.as_str())));
    host.respond(refusal.status, &headers, refusal.body.as_bytes());
}

fn outcome(open: &Open, failed: bool, latency_ms: Option<f64>) -> Outcome {
    Outcome { version: usize::from(open.version), user_id: None, failed, latency_ms, count: None }
}

/// What is a version's failure.
pub(crate) fn is_failure(status: u16) -> bool {
    (500..=599).contains(&status)
}

/// A status as it stands in `:status`.
pub(crate) fn status(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A property that is a number.
fn number(bytes: &[u8]) -> Option<u16> {
    u16::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(feature = "test-trap")]
#[expect(clippy::panic, reason = "to trap is what this is for")]
fn trap(key: Option<&[u8]>) {
    if key == Some(TRAP_KEY) {
        panic!("the key that traps");
    }
}
