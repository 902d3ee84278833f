//! What is served while another process leads, or nobody.

use serde_json::json;

use super::Controller;
use crate::serve::job::{Answer, Job, Of, Refusal, Report, Work};
use crate::serve::shared::State;

impl Controller {
    /// Lets go of a lead that has run out since somebody last looked. Whoever slept, or was
    /// cut off, must not answer by what it knew: another may have acted since.
    pub(super) fn step_down_if_late(&mut self) {
        if self.running.is_some()
            && !self.setup.store.leads()
            && let Err(trouble) = self.take_over()
        {
            self.fail(&trouble);
        }
    }

    /// Sends everybody to who leads, but for totals: those are handed on, all that wait in
    /// one go.
    pub(super) fn serve_without_lead(&mut self, waiting: Vec<Job>) {
        let state = self.shared.state();
        let mut totals = Vec::new();
        let mut handed_on = Vec::new();
        for Job { work, reply } in waiting {
            let answer = match (work, &state) {
                (Work::Stop, _) => Ok(Answer::Done),
                (Work::Totals { reports }, State::Standby { .. }) => {
                    handed_on.push((reply, hand_on(reports, &mut totals)));
                    continue;
                }
                (_, State::Standby { address }) => {
                    Err(Refusal::Elsewhere { address: address.clone() })
                }
                (_, State::Failing { why }) => Err(Refusal::Unavailable(why.clone())),
                _ => Err(Refusal::Unavailable("the server is starting".to_owned())),
            };
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
        if handed_on.is_empty() {
            return;
        }
        let forwarded = self.setup.store.forward(&totals);
        let forwarded = forwarded.map_err(|error| Refusal::Unavailable(error.to_string()));
        for (reply, lines) in handed_on {
            let _ = reply.send(forwarded.clone().map(|()| Answer::Lines(lines)));
        }
    }
}

/// Adds what can be handed on of a body to `totals`; the answers to its lines.
fn hand_on(reports: Vec<Result<Report, String>>, totals: &mut Vec<u8>) -> Vec<String> {
    let mut taken = |report: Report| {
        totals.extend_from_slice(&report.line);
        totals.push(b'\n');
        match report.of {
            Of::Totals => json!({ "type": "merge_ok", "new": true }),
            Of::Clients => json!({
                "type": "report_clients_ok",
                "node": report.node,
                "new": true,
                "sequence": report.sequence,
            }),
        }
        .to_string()
    };
    reports.into_iter().map(|report| report.map_or_else(|why| why, &mut taken)).collect()
}
