//! Talking to the control server: what is sent, and what can be wrong with an answer.

use crate::config::Control;
use crate::host::{Answer, Call, Host, Level};
use crate::node::Node;

/// What is wrong with an answer, for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No answer: the cluster is missing or has no healthy host, or the connection failed.
    /// Envoy tells it as a 503 of its own, which cannot be told from the server's.
    Unreachable,
    /// No answer in time; Envoy tells it as 504.
    Timeout,
    /// A status that the contract does not have.
    Status,
    /// Not what the contract says: too long, not JSON, a field missing.
    Malformed,
    /// A policy that cannot be taken: problems in its plan, or an older revision.
    Invalid,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] =
        [Kind::Unreachable, Kind::Timeout, Kind::Status, Kind::Malformed, Kind::Invalid];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Status => "status",
            Kind::Malformed => "malformed",
            Kind::Invalid => "invalid",
        }
    }
}

/// What went wrong, for the metric and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Trouble {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Trouble {
        Trouble { kind, text: text.into() }
    }

    /// What a status other than those wanted means.
    pub(crate) fn of_status(answer: &Answer) -> Trouble {
        match answer.status {
            None => Trouble::new(Kind::Unreachable, "no answer"),
            Some(503) => Trouble::new(Kind::Unreachable, "status 503"),
            Some(504) => Trouble::new(Kind::Timeout, "status 504"),
            Some(status) => {
                let said = answer.body.as_deref().unwrap_or_default();
                let said = String::from_utf8_lossy(said.get(..200).unwrap_or(said));
                let said = crossfade_core::protocol::json::shown(said.trim());
                Trouble::new(Kind::Status, format!("status {status}: {said}"))
            }
        }
    }
}

/// Whether a conversation goes well: every trouble counts, and is logged when it is new.
#[derive(Debug, Default)]
pub(crate) struct Health {
    last: Option<Trouble>,
}

impl Health {
    pub(crate) fn bad(&mut self, host: &impl Host, node: &mut Node, what: &str, now: Trouble) {
        node.metrics.control_error(now.kind);
        if self.last.as_ref() != Some(&now) {
            host.log(
                Level::Warn,
                &format!("crossfade: {what}: {}: {}", now.kind.as_str(), now.text),
            );
        }
        self.last = Some(now);
    }

    pub(crate) fn good(&mut self, host: &impl Host, what: &str) {
        if self.last.take().is_some() {
            host.log(Level::Info, &format!("crossfade: {what}: answers again"));
        }
    }
}

/// Sends a request to the control server.
pub(crate) fn call(
    host: &impl Host,
    control: &Control,
    method: &str,
    resource: &str,
    more: &[(&str, &str)],
    body: &[u8],
) -> Option<u32> {
    let path = format!("{}/{resource}", control.path);
    let bearer = control.token.as_ref().map(|token| format!("Bearer {token}"));
    let mut headers =
        vec![(":method", method), (":path", &path), (":authority", &control.authority)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    headers.extend_from_slice(more);
    host.call(&Call { cluster: &control.cluster, headers, body, timeout_ms: control.timeout_ms })
}

/// A question that waits for its answer. Envoy always answers; should it not, a new
/// question is asked after this long.
pub(crate) fn given_up_ms(control: &Control) -> u64 {
    control.timeout_ms.saturating_mul(2).saturating_add(1000)
}
