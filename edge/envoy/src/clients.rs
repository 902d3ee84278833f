//! Reports of clients to the control server: what each did at this instance since the
//! report before.
//!
//! They are not absolute, as totals are: no instance could keep every client for ever. So a
//! report is repeated as it is until the server has taken it in, and taken in once. What an
//! instance had counted and not reported is lost with it if it traps; the one that takes
//! its place reports under an epoch of its own.

use crate::config::Control;
use crate::control::{self, Health, Trouble};
use crate::host::{Answer, Host};
use crate::live::not_sent;
use crate::node::Node;

/// How long a server that does not know the path is left alone.
const UNKNOWN_MS: u64 = 30_000;

/// In the log, before what is said.
const WHAT: &str = "clients to the control server";

/// One instance's reports.
#[derive(Debug, Default)]
pub(crate) struct ClientReports {
    next_ms: u64,
    waiting: Option<Waiting>,
    health: Health,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    token: u32,
    sequence: u64,
    until_ms: u64,
}

/// Under which name an instance reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'s> {
    /// Its name.
    pub(crate) node: &'s str,
    /// The id of its life.
    pub(crate) epoch: u64,
}

impl ClientReports {
    /// Reports when it is time and there is something new.
    pub(crate) fn tick(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        control: &Control,
        sender: Sender<'_>,
        now_ms: u64,
    ) {
        if let Some(waiting) = self.waiting {
            let latest_ms = now_ms.saturating_add(control::given_up_ms(control));
            if (now_ms..=latest_ms).contains(&waiting.until_ms) {
                return;
            }
            self.waiting = None;
        }
        let back = self.next_ms > now_ms.saturating_add(control.report_ms.max(UNKNOWN_MS));
        if now_ms >= self.next_ms || back {
            self.send(host, node, control, sender, now_ms);
        }
    }

    fn send(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        control: &Control,
        sender: Sender<'_>,
        now_ms: u64,
    ) {
        let revision = node.revision().unwrap_or_default();
        let Some(changes) = node.changes() else { return };
        let Some(report) = changes.next(sender.node, sender.epoch, revision) else { return };
        self.next_ms = now_ms.saturating_add(control.report_ms);
        let headers = [("content-type", "application/x-ndjson")];
        let body = report.text.as_bytes();
        match control::call(host, control, "POST", "client-reports", &headers, body) {
            Some(token) => {
                let until_ms = now_ms.saturating_add(control::given_up_ms(control));
                self.waiting = Some(Waiting { token, sequence: report.sequence, until_ms });
            }
            None => self.health.bad(host, node, WHAT, not_sent(control)),
        }
    }

    /// Whether this is the answer to a report of ours; then it was taken in.
    pub(crate) fn answer(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        (control, sender): (&Control, Sender<'_>),
        token: u32,
        answer: &Answer,
    ) -> bool {
        let Some(waiting) = self.waiting.filter(|waiting| waiting.token == token) else {
            return false;
        };
        self.waiting = None;
        let now_ms = host.now_ns() / 1_000_000;
        match answer.status {
            Some(200) => {
                self.health.good(host, WHAT);
                let more = node.changes().is_some_and(|changes| {
                    changes.acknowledge(waiting.sequence);
                    changes.more()
                });
                node.metrics.client_reported();
                if more {
                    self.send(host, node, control, sender, now_ms);
                }
            }
            status => {
                // These say that this report will never be taken; whatever else is wrong
                // may pass, and the report waits for that.
                if matches!(status, Some(400 | 413)) {
                    node.metrics.client_report_refused();
                    if let Some(changes) = node.changes() {
                        changes.refused(waiting.sequence);
                    }
                }
                if status == Some(404) {
                    self.next_ms = now_ms.saturating_add(UNKNOWN_MS);
                }
                self.health.bad(host, node, WHAT, Trouble::of_status(answer));
            }
        }
        true
    }
}
