//! A run as it is written down: in a link, in a file, on a command line.

use crossfade_protocol::{Plan, Problem, Problems};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a segment of clients says in its attribute `app`, and how many of 100 clients
/// belong to it.
pub const SEGMENTS: [(&str, u32); 4] = [("web", 50), ("ios", 20), ("android", 20), ("partner", 10)];

/// Monday, 11 January 2027, 09:00 UTC: the usual beginning.
pub const START_MS: u64 = 1_799_658_000_000;

/// Everything that a run depends on: the same script gives the same run, to the byte,
/// wherever it is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The plan document. It needs a `rollout`.
    pub plan: Value,
    /// All the chance there is.
    #[serde(default)]
    pub seed: u32,
    /// What the API is asked.
    #[serde(default)]
    pub traffic: Demand,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Wrong>,
    /// What an operator does.
    #[serde(default)]
    pub commands: Vec<Order>,
}

/// What an API is asked, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Demand {
    /// Requests a second, in the mean of a day: 0.1 to 5,000.
    pub rps: f64,
    /// Clients: 10 to 20,000.
    pub clients: u32,
    /// Share of requests that fail on either version while nothing is wrong: 0 to 50.
    pub failure_percent: f64,
    /// Median latency of either version; 0 to 60,000, and 0 for none told.
    pub median_ms: f64,
    /// How far the rate swings with the hour, 0 to 90 percent of its mean.
    pub daily_percent: f64,
    /// Who the clients are.
    pub mix: Mix,
}

/// Parts of all clients, in percent; the rest call steadily.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// A few who send a seventh of all requests.
    pub whales: f64,
    /// Thirty requests in half a minute, then silence.
    pub bursty: f64,
    /// A job in the early morning.
    pub nightly: f64,
    /// A job once in thirty days.
    pub monthly: f64,
    /// Once in three days or so.
    pub sleepers: f64,
    /// Not there at first; they come in over a day.
    pub arrivals: f64,
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// What goes wrong.
    pub kind: Kind,
    /// How much: see [`Kind`].
    pub size: f64,
    /// Whom, where the kind hits one segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// From the beginning of this step on, counted from 1; else from `from_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u32>,
    /// From then on, in milliseconds since the beginning (of the step).
    #[serde(default)]
    pub from_ms: u64,
    /// For how long; else to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// v2 fails `size` times as often as v1.
    V2Errors,
    /// v2 takes `size` times as long.
    V2Slow,
    /// `size` percent of v1's requests fail.
    V1Outage,
    /// `size` percent of all requests fail.
    BothFail,
    /// `size` percent of the requests of one segment fail on v2.
    SegmentBroken,
    /// For half a minute now and then, `size` percent of all requests fail.
    Bursts,
    /// Nothing is reported; `size` means nothing.
    MetricsLost,
}

/// A command of an operator and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// The message's type, such as `pause_rollout`.
    pub command: String,
    /// For `promote_rollout`: to the last step.
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Default for Demand {
    fn default() -> Demand {
        Demand {
            rps: 400.0,
            clients: 5_000,
            failure_percent: 0.4,
            median_ms: 40.0,
            daily_percent: 30.0,
            mix: Mix::default(),
        }
    }
}

impl Default for Mix {
    fn default() -> Mix {
        Mix { whales: 0.1, bursty: 10.0, nightly: 4.0, monthly: 1.0, sleepers: 6.0, arrivals: 4.0 }
    }
}

/// What an operator can tell a rollout.
const COMMANDS: [&str; 6] = [
    "pause_rollout",
    "resume_rollout",
    "promote_rollout",
    "abort_rollout",
    "retry_rollout",
    "undo_rollout",
];

/// Why a script cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.list.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
pub struct ScriptError(pub Problems);

impl Script {
    /// Reads a script and checks it.
    ///
    /// # Errors
    /// Every problem found.
    pub fn read(text: &str) -> Result<Script, ScriptError> {
        let script: Script = serde_json::from_str(text).map_err(|error| {
            let mut found = Problems::default();
            found.push("scenario", error.to_string());
            ScriptError(found)
        })?;
        script.check()?;
        Ok(script)
    }

    /// Checks everything, the plan too.
    ///
    /// # Errors
    /// Every problem found.
    pub fn check(&self) -> Result<(), ScriptError> {
        let mut found = Problems::default();
        self.traffic.check(&mut found);
        match Plan::read(&self.plan) {
            Ok(plan) if plan.rollout.is_none() => {
                found.push("plan.rollout", "is missing: there are no steps to play");
            }
            Ok(_) => {}
            Err(problems) => {
                for problem in problems.list {
                    found.push(format!("plan.{}", problem.path), problem.message);
                }
            }
        }
        for (at, wrong) in self.faults.iter().enumerate() {
            wrong.check(&format!("faults[{at}]"), &mut found);
        }
        for (at, order) in self.commands.iter().enumerate() {
            if !COMMANDS.contains(&order.command.as_str()) {
                let message = format!("`{}` is none of {}", order.command, COMMANDS.join(", "));
                found.push(format!("commands[{at}].command"), message);
            }
        }
        if found.list.is_empty() { Ok(()) } else { Err(ScriptError(found)) }
    }
}

/// Complains about a number that lies outside its range.
fn within(path: &str, value: f64, low: f64, high: f64, found: &mut Problems) {
    if !(low..=high).contains(&value) {
        found.push(path, format!("{value} is not a number from {low} to {high}"));
    }
}

impl Demand {
    fn check(&self, found: &mut Problems) {
        within("traffic.rps", self.rps, 0.1, 5_000.0, found);
        within("traffic.clients", f64::from(self.clients), 10.0, 20_000.0, found);
        within("traffic.failure_percent", self.failure_percent, 0.0, 50.0, found);
        within("traffic.median_ms", self.median_ms, 0.0, 60_000.0, found);
        within("traffic.daily_percent", self.daily_percent, 0.0, 90.0, found);
        let parts = self.mix.parts();
        for (name, part) in parts {
            within(&format!("traffic.mix.{name}"), part, 0.0, 100.0, found);
        }
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        if sum > 90.0 {
            let message = format!("{sum} percent in all: leave at least 10 for steady clients");
            found.push("traffic.mix", message);
        }
    }
}

impl Mix {
    fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("whales", self.whales),
            ("bursty", self.bursty),
            ("nightly", self.nightly),
            ("monthly", self.monthly),
            ("sleepers", self.sleepers),
            ("arrivals", self.arrivals),
        ]
    }
}

impl Wrong {
    fn check(&self, path: &str, found: &mut Problems) {
        let (low, high) = match self.kind {
            Kind::V2Errors | Kind::V2Slow => (0.1, 1_000.0),
            Kind::V1Outage | Kind::BothFail | Kind::SegmentBroken | Kind::Bursts => (0.0, 100.0),
            Kind::MetricsLost => (f64::MIN, f64::MAX),
        };
        within(&format!("{path}.size"), self.size, low, high, found);
        if self.kind == Kind::SegmentBroken && self.segment_index().is_none() {
            let names = SEGMENTS.map(|(name, _)| name).join(", ");
            found.push(format!("{path}.segment"), format!("must be one of {names}"));
        }
    }

    pub(crate) fn segment_index(&self) -> Option<usize> {
        let name = self.segment.as_deref()?;
        SEGMENTS.iter().position(|(segment, _)| *segment == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan() -> Value {
        json!({"api":"a","versions":["v1","v2"],"key":{"header":"x"},
            "rollout":{"steps":[{"percentage":10,"duration_minutes":1}]}})
    }

    #[test]
    fn a_script_needs_only_a_plan_and_comes_back_as_it_was() {
        let script = Script::read(&json!({"plan": plan()}).to_string()).unwrap();
        assert_eq!((script.seed, script.traffic.rps), (0, 400.0));
        let text = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::read(&text).unwrap(), script);
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_paths() {
        let mut plan = plan();
        plan["rollout"]["steps"][0]["percentage"] = json!(101);
        let text = json!({
            "plan": plan,
            "traffic": {"rps": 0, "clients": 5, "mix": {"bursty": 95}},
            "faults": [{"kind": "segment_broken", "size": 120, "segment": "tv"}],
            "commands": [{"at_ms": 0, "command": "stop"}],
        });
        let said = Script::read(&text.to_string()).unwrap_err().to_string();
        for part in [
            "traffic.rps: 0 is not a number from 0.1 to 5000",
            "traffic.clients: 5 is not",
            "traffic.mix: 110.1 percent in all",
            "plan.rollout.steps[0].percentage: 101 is not a percentage",
            "faults[0].size: 120 is not a number from 0 to 100",
            "faults[0].segment: must be one of web, ios",
            "commands[0].command: `stop` is none of pause_rollout",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let text = json!({"plan": plan(), "sead": 1}).to_string();
        assert!(Script::read(&text).unwrap_err().to_string().contains("`sead`"));
    }
}
