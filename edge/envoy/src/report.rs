//! Reports to the control server: this instance's totals since it began.
//!
//! They are absolute, so that a report that was lost or came twice does no harm. What an
//! instance had counted after its last report is lost with it if it traps; the one that
//! takes its place counts from zero under an epoch of its own.

use crossfade_core::protocol::totals::Totals;

use crate::config::Control;
use crate::control::{self, Health, Trouble};
use crate::host::{Answer, Host};
use crate::live::not_sent;
use crate::node::Node;

/// How often a report is repeated although nothing changed, so that a control server that
/// lost its memory has it again.
const REPEAT_MS: u64 = 30_000;

/// In the log, before what is said.
const WHAT: &str = "totals to the control server";

/// One instance's reports.
#[derive(Debug)]
pub(crate) struct Report {
    epoch: u64,
    sequence: u64,
    /// What [`Node::counted`] was in the newest report that was taken.
    taken: u64,
    next_ms: u64,
    repeat_ms: u64,
    waiting: Option<Waiting>,
    health: Health,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    token: u32,
    counted: u64,
    until_ms: u64,
}

impl Report {
    /// `epoch` is the id of this instance's life.
    pub(crate) fn new(epoch: u64) -> Report {
        Report {
            epoch,
            sequence: 0,
            taken: 0,
            next_ms: 0,
            repeat_ms: 0,
            waiting: None,
            health: Health::default(),
        }
    }

    /// Reports when it is time and there is something new. An instance that never counted
    /// anything, such as that of the main thread, never reports.
    pub(crate) fn tick(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        control: &Control,
        name: &str,
        now_ms: u64,
    ) {
        if let Some(waiting) = self.waiting {
            let latest_ms = now_ms.saturating_add(control::given_up_ms(control));
            if (now_ms..=latest_ms).contains(&waiting.until_ms) {
                return;
            }
            self.waiting = None;
        }
        let counted = node.counted();
        let due = now_ms >= self.next_ms || self.next_ms > now_ms.saturating_add(control.report_ms);
        let repeat = now_ms >= self.repeat_ms || self.repeat_ms > now_ms.saturating_add(REPEAT_MS);
        if counted == 0 || !due || (counted == self.taken && !repeat) {
            return;
        }
        self.next_ms = now_ms.saturating_add(control.report_ms);
        self.sequence = self.sequence.saturating_add(1);
        let totals = Totals {
            node: name.to_owned(),
            epoch: self.epoch,
            sequence: self.sequence,
            revision: node.revision().unwrap_or_default(),
            versions: node.totals(),
        };
        let mut body = Vec::new();
        totals.write(&mut body);
        let headers = [("content-type", "application/x-ndjson")];
        match control::call(host, control, "POST", "totals", &headers, &body) {
            Some(token) => {
                let until_ms = now_ms.saturating_add(control::given_up_ms(control));
                self.waiting = Some(Waiting { token, counted, until_ms });
                self.repeat_ms = now_ms.saturating_add(REPEAT_MS);
            }
            None => self.health.bad(host, node, WHAT, not_sent(control)),
        }
    }

    /// Whether this is the answer to a report of ours; then it was taken in.
    pub(crate) fn answer(
        &mut self,
        host: &impl Host,
        node: &mut Node,
        token: u32,
        answer: &Answer,
    ) -> bool {
        let Some(waiting) = self.waiting.filter(|waiting| waiting.token == token) else {
            return false;
        };
        self.waiting = None;
        if answer.status == Some(200) {
            self.taken = waiting.counted;
            self.health.good(host, WHAT);
        } else {
            self.health.bad(host, node, WHAT, Trouble::of_status(answer));
        }
        true
    }
}
