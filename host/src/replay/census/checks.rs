//! What of the old version's sunset is known from logs alone.
//!
//! The engine of a census decides nothing, so what it says of its own decisions is no
//! answer: how long a version was quiet is in the logs, and where no policy is given,
//! nothing is known of a share or a rollout.

use crossfade_protocol::plan::SunsetPlan;
use serde_json::{Value, json};

use crate::replay::policy::Policy;

const DAY_MS: u64 = 86_400_000;

/// When the versions last had a request, and what the logs span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    /// Of all versions but the newest.
    pub(super) old_ms: Option<u64>,
    pub(super) new_ms: Option<u64>,
    pub(super) first_ms: u64,
    pub(super) now_ms: u64,
}

/// Makes the checks of the reply `sunset` those of the logs, and `ready` what they come to.
pub(super) fn of_logs(sunset: &mut Value, policy: &Policy, quiet: Quiet, newest: &str) {
    let days = policy.document.pointer("/sunset/quiet_days").and_then(Value::as_u64);
    let days = days.unwrap_or_else(|| u64::from(SunsetPlan::default().quiet_days));
    let Some(checks) = sunset["checks"].as_array_mut() else { return };
    if policy.file.is_none() {
        checks.retain(|check| check["check"] != "share" && check["check"] != "rollout");
    }
    for check in checks.iter_mut().filter(|check| check["check"] == "quiet") {
        let (ok, detail) = quiet.told(days, newest);
        *check = json!({ "check": "quiet", "ok": ok, "detail": detail });
    }
    let ready = checks.iter().all(|check| check["ok"] == true);
    sunset["ready"] = ready.into();
}

impl Quiet {
    /// Whether no older version was called for `days`, and what is known of that.
    fn told(self, days: u64, newest: &str) -> (bool, String) {
        let Quiet { old_ms, new_ms, first_ms, now_ms } = self;
        let asked_ms = days * DAY_MS;
        let asked = format!("{days} days are asked for");
        if new_ms.is_none() {
            return (false, format!("no request of these logs is of {newest}"));
        }
        match old_ms {
            Some(last) => {
                let since_ms = now_ms.saturating_sub(last);
                let since = days_of(since_ms);
                let text =
                    format!("an older version was last called {since} days before the logs end");
                (since_ms >= asked_ms, format!("{text}, {asked}"))
            }
            None => {
                let span_ms = now_ms - first_ms;
                let span = days_of(span_ms);
                let text = format!("no older version was called in {span} days of logs, {asked}");
                (span_ms >= asked_ms, text)
            }
        }
    }
}

/// In tenths, rounded down: what is asked for has not passed before it has.
fn days_of(ms: u64) -> f64 {
    (ms / (DAY_MS / 10)) as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_quiet_when_the_logs_are_long_enough_and_it_is_not_called_in_them() {
        let check = |old_ms, new_ms, now_ms, expected: (bool, &str)| {
            let quiet = Quiet { old_ms, new_ms, first_ms: DAY_MS, now_ms };
            let (ok, detail) = quiet.told(14, "v2");
            assert_eq!((ok, detail.as_str()), expected);
        };
        let at = |day: u64| Some(day * DAY_MS);
        check(
            at(2),
            at(16),
            16 * DAY_MS,
            (
                true,
                "an older version was last called 14 days before the logs end, 14 days are asked for",
            ),
        );
        let (ok, _) = Quiet { old_ms: at(2), new_ms: at(16), first_ms: 0, now_ms: 16 * DAY_MS - 1 }
            .told(14, "v2");
        assert!(!ok, "one millisecond is missing");
        check(
            None,
            at(2),
            14 * DAY_MS,
            (false, "no older version was called in 13 days of logs, 14 days are asked for"),
        );
        check(
            None,
            at(2),
            15 * DAY_MS,
            (true, "no older version was called in 14 days of logs, 14 days are asked for"),
        );
        check(at(1), None, 90 * DAY_MS, (false, "no request of these logs is of v2"));
    }
}
