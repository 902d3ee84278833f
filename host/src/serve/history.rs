//! The numbers that charts are drawn from, since this process leads.
//!
//! Nothing decides by them and nothing is lost with them: what counts is kept in the
//! store. So they are in memory, and as few as a screen can show.

use serde::Serialize;
use serde_json::Value;

/// How often the numbers are kept at first.
const EVERY_MS: u64 = 5_000;

/// Samples that are kept at most. When there are more, every second one goes, and new ones
/// are kept half as often: counts are cumulative, so what is left is as true as before.
const SAMPLES_MAX: usize = 1_024;

/// Of the latencies that the gate compares at, the one that a twentieth of the old
/// version's requests exceeded.
const SLOW: usize = 3;

/// What a status says in numbers, under the names by which a page reads them. What is not
/// known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// When.
    now_ms: u64,
    /// Of the rollout, counted from 1.
    step: u64,
    /// The share that the policy gives to the newest version.
    percentage: f64,
    /// Requests and failures of the oldest and of the newest version, since each began.
    requests: [u64; 2],
    failures: [u64; 2],
    /// Clients last served by the oldest version, where clients are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_clients: Option<u64>,
    /// How many times as often the newest version fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// The interval of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    /// The evidence that the newest version is worse, as a part of what it takes: of the
    /// test that is nearest to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    worse: Option<f64>,
    /// The evidence that it is healthy: of the test that is farthest from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<f64>,
    /// Latencies: a bound in milliseconds, and for each version how many requests of this
    /// step were measured, and took longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<Slow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Slow {
    ms: f64,
    measured: [u64; 2],
    slower: [u64; 2],
}

/// Of each test of the gate where evidence against the newest version and for it stands,
/// and what each is compared with.
const TESTS: [(&str, [&str; 4]); 4] = [
    ("failures", ["log_e_worse", "threshold_worse", "log_e_ok", "threshold_ok"]),
    ("latency", ["log_e_slower", "threshold_slower", "log_e_not_slower", "threshold_not_slower"]),
    ("slo", ["log_e_bad", "threshold_bad", "log_e_ok", "threshold_ok"]),
    ("latency_slo", ["log_e_bad", "threshold_bad", "log_e_ok", "threshold_ok"]),
];

impl Sample {
    /// The numbers in a status document.
    pub(crate) fn of(status: &Value) -> Sample {
        let versions = status.pointer("/versions");
        let name = |place: &str, last: bool| match versions {
            Some(Value::Array(all)) => if last { all.last() } else { all.first() }?.as_str(),
            Some(named) => named.get(place)?.as_str(),
            None => None,
        };
        let both = [name("from", false), name("to", true)];
        let whole = |at: &Value, name: &str| at.get(name).and_then(Value::as_u64).unwrap_or(0);
        let counted = |what: &str| {
            both.map(|version| {
                let outcomes = &status["migration"]["outcomes"];
                version.and_then(|version| outcomes.get(version)).map_or(0, |of| whole(of, what))
            })
        };
        let rollout = &status["rollout"];
        let mut sample = Sample {
            now_ms: whole(status, "now_ms"),
            step: whole(rollout, "step"),
            percentage: rollout["percentage"].as_f64().unwrap_or(0.0),
            requests: counted("requests"),
            failures: counted("failures"),
            ..Sample::default()
        };
        if whole(&status["migration"], "total_clients") > 0 {
            let clients = &status["migration"]["clients"];
            sample.old_clients = both[0].map(|version| whole(clients, version));
        }
        let phase = rollout["phase"].as_str().unwrap_or_default();
        // After the end, evidence is about what has been.
        if !matches!(phase, "rolled_back" | "aborted" | "undone" | "completed") {
            sample.judged(&rollout["evidence"]);
        }
        sample
    }

    fn judged(&mut self, evidence: &Value) {
        let failures = &evidence["failures"];
        self.ratio = failures["ratio"].as_f64();
        self.low = failures["ratio_interval"]["low"].as_f64();
        self.high = failures["ratio_interval"]["high"].as_f64();
        let part = |test: &str, log: &str, threshold: &str| {
            let test = evidence.get(test)?;
            Some(test.get(log)?.as_f64()? / test.get(threshold)?.as_f64()?)
        };
        let parts = |log: usize| {
            TESTS.iter().filter_map(move |(test, names)| part(test, names[log], names[log + 1]))
        };
        self.worse = parts(0).reduce(f64::max);
        self.healthy = parts(2).reduce(f64::min);
        self.slow = slow(&evidence["latency"]);
    }
}

fn slow(latency: &Value) -> Option<Slow> {
    let step = latency.get("step")?;
    let at = |side: &str| step.get(side)?.get(SLOW)?.as_u64();
    Some(Slow {
        ms: latency.get("thresholds_ms")?.get(SLOW)?.as_f64()?,
        measured: [step.get("control_requests")?.as_u64()?, step.get("canary_requests")?.as_u64()?],
        slower: [at("control")?, at("canary")?],
    })
}

/// Samples, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: Vec<Sample>,
    every_ms: u64,
}

impl History {
    /// Whether it is time for another sample.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.samples.last().is_none_or(|last| now_ms >= last.now_ms + self.every_ms.max(EVERY_MS))
    }

    /// Keeps one.
    pub(crate) fn keep(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() > SAMPLES_MAX {
            let mut place = 0;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every_ms = 2 * self.every_ms.max(EVERY_MS);
        }
    }

    /// All that there are.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(now_ms: u64) -> Sample {
        Sample { now_ms, requests: [now_ms, 0], ..Sample::default() }
    }

    #[test]
    fn a_month_takes_no_more_than_an_hour_and_keeps_its_beginning_and_its_end() {
        let mut history = History::default();
        let month = 30 * 86_400_000;
        for now_ms in (0..=month).step_by(5_000) {
            if history.is_due(now_ms) {
                history.keep(at(now_ms));
            }
        }
        let samples = history.samples();
        assert!((SAMPLES_MAX / 2..=SAMPLES_MAX).contains(&samples.len()), "{}", samples.len());
        assert_eq!(samples[0], at(0));
        let gap = samples[1].now_ms - samples[0].now_ms;
        assert!(samples.windows(2).all(|pair| pair[1].now_ms - pair[0].now_ms == gap), "{gap}");
        assert!(month - samples.last().unwrap().now_ms <= gap);
    }

    #[test]
    fn a_sample_has_the_numbers_of_the_status() {
        let status = json!({
            "now_ms": 7, "versions": { "from": "old", "to": "new" },
            "rollout": { "phase": "progressing", "step": 2, "percentage": 10, "evidence": {
                "failures": { "ratio": 1.5, "ratio_interval": { "low": 0.5, "high": null },
                    "log_e_worse": 1.0, "threshold_worse": 4.0, "log_e_ok": 3.0, "threshold_ok": 4.0 },
                "latency": { "log_e_slower": 2.0, "threshold_slower": 4.0,
                    "log_e_not_slower": 1.0, "threshold_not_slower": 4.0,
                    "thresholds_ms": [10, 20, 30, 40, null],
                    "step": { "control_requests": 900, "canary_requests": 100,
                        "control": [5, 4, 3, 2, 1], "canary": [6, 5, 4, 3, 2] } },
                "slo": null } },
            "migration": { "total_clients": 5, "clients": { "old": 4, "new": 1 },
                "outcomes": { "old": { "requests": 900, "failures": 9 }, "new": { "requests": 100, "failures": 2 } } },
        });
        let slow = Slow { ms: 40.0, measured: [900, 100], slower: [2, 3] };
        let expected = Sample {
            now_ms: 7,
            step: 2,
            percentage: 10.0,
            requests: [900, 100],
            failures: [9, 2],
            old_clients: Some(4),
            ratio: Some(1.5),
            low: Some(0.5),
            high: None,
            worse: Some(0.5),
            healthy: Some(0.25),
            slow: Some(slow),
        };
        assert_eq!(Sample::of(&status), expected);
        let mut listed = status.clone();
        listed["versions"] = json!(["old", "between", "new"]);
        assert_eq!(Sample::of(&listed), expected);
        listed["rollout"]["phase"] = "rolled_back".into();
        let over = Sample::of(&listed);
        assert_eq!((over.worse, over.ratio, over.requests), (None, None, [900, 100]));
    }
}
