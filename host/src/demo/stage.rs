//! The stages of the story, and the words for them.

use std::time::Instant;

use crossfade_protocol::plan::Plan;
use serde_json::json;

use super::upstream::Fault;
use crate::client::page::Tone;

/// Where the story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The share of v2 rises.
    Rollout,
    /// v2 was taken back.
    Back,
    /// Everybody who can is on v2; since when.
    Tail(Instant),
    /// Calls to v1 are refused; since when, and whether one was shown.
    Brownout { since: Instant, shown: bool },
    /// The date is near.
    Sunset { at_ms: u64 },
    /// It has passed; since when, and what v1 had served by then.
    Gone { since: Instant, v1: u64, told: bool },
}

impl Stage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Stage::Rollout => "rollout",
            Stage::Back => "taken back",
            Stage::Tail(_) => "long tail",
            Stage::Brownout { .. } => "brownout",
            Stage::Sunset { .. } => "sunset",
            Stage::Gone { .. } => "gone",
        }
    }

    /// What is said as it begins: a title, and more.
    pub(super) fn title(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Stage::Rollout => (
                "The rollout",
                "A share of the clients goes to v2. It rises when v2 is proven healthy, and falls to \
                 0 at once when it is proven worse. A client that is on v2 stays there while the \
                 share rises.",
            ),
            Stage::Back => (
                "v2 was taken back",
                "Everybody is on v1 again. v2 can be mended, and the rollout begin anew:",
            ),
            Stage::Tail(_) => (
                "The long tail",
                "v2 serves everybody whose app can speak it. Who is left? `crossfade clients \
                 --version v1` tells.",
            ),
            Stage::Brownout { .. } => (
                "A brownout",
                "For a quarter of a minute half of v1's clients are refused, each in the whole \
                 window or not at all, so that their owners notice in time. Who says that it is \
                 blocked is spared.",
            ),
            Stage::Sunset { .. } => {
                ("The sunset", "v1 is switched off at its date, whoever still calls it.")
            }
            Stage::Gone { .. } => return None,
        })
    }
}

impl Fault {
    /// The step in which it begins. A partner calls now and then: from the first on.
    pub(super) fn step(self) -> u64 {
        match self {
            Fault::Partner => 1,
            Fault::Errors | Fault::Slow => 2,
        }
    }
}

/// What is said when v2 breaks or is mended.
pub(super) fn fault_text(fault: Option<Fault>) -> (Tone, &'static str) {
    match fault {
        None => (Tone::Good, "v2 is mended."),
        Some(Fault::Errors) => (Tone::Bad, "v2 breaks: three in ten of its requests fail."),
        Some(Fault::Slow) => (Tone::Bad, "v2 breaks: its answers take a third of a second longer."),
        Some(Fault::Partner) => {
            (Tone::Bad, "v2 breaks for one partner, and serves everybody else.")
        }
    }
}

/// A time as a plan writes it, in milliseconds since 1970.
pub(super) fn unix_ms(instant: &str) -> Option<u64> {
    let plan = json!({
        "api": "a", "versions": ["v1", "v2"], "key": { "header": "k" },
        "deprecation": { "deprecated_at": instant },
    });
    Some(Plan::read(&plan).ok()?.deprecation?.deprecated_at.unix_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plans_times_are_read() {
        assert_eq!(unix_ms("1970-01-02T00:00:01Z"), Some(86_401_000));
        assert_eq!(unix_ms("soon"), None);
    }
}
