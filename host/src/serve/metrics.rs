//! `/metrics`: everything there is to measure, and every number that the gate compares,
//! for Prometheus.
//!
//! Read from the same status document that people are shown, so that the two agree.

mod clients;
mod page;
mod process;

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::registry::Unit;
use serde_json::Value;

use super::http::limits::Limits;
use super::job::{Answer, Desk, Work};
use super::shared::{Shared, State};

pub(crate) use page::Format;
use page::Page;

/// Nodes that have a series each; with more of them only the oldest report has one.
const NODES_SHOWN_MAX: u64 = 100;

/// Everything there is to measure. While this process does not lead, nothing of the
/// rollout is known here, and nothing is told.
pub(crate) async fn text(desk: &Desk, shared: &Shared, limits: &Limits, format: Format) -> String {
    let mut page = Page::default();
    standing(&mut page, shared);
    if let Ok(Answer::Document(status)) = desk.ask(Work::Status).await {
        let nodes = match status.pointer("/nodes/known").and_then(Value::as_u64) {
            Some(1..=NODES_SHOWN_MAX) => desk.ask(Work::Nodes).await.ok(),
            _ => None,
        };
        migration(&mut page, &status);
        clients::sunset(&mut page, &status["sunset"]);
        clients::ways_out(&mut page, desk).await;
        rollout(&mut page, &status["rollout"]);
        gate(&mut page, &status["rollout"]["evidence"]);
        reports(&mut page, &status["nodes"]);
        if let Some(Answer::Document(nodes)) = nodes {
            each_node(&mut page, &nodes);
        }
        engine(&mut page, &status);
    }
    counted(&mut page, shared);
    let running = limits.counters.read();
    for (name, help, value) in [
        ("crossfade_http_connections", "Connections heard", running.connections),
        ("crossfade_http_connections_refused", "Connections beyond the limit", running.refused),
        ("crossfade_http_requests_limited", "Requests beyond a caller's rate", running.limited),
    ] {
        page.counter(name, help, value as f64);
    }
    page.family("crossfade_http_answers", "Answers by the class of their status", |series| {
        for (class, count) in running.answers.iter().enumerate().skip(1) {
            series.counter(vec![("class", format!("{class}xx"))], *count as f64);
        }
    });
    process::measure(&mut page);
    page.text(format)
}

/// Who leads, and what policy is in force: known to every process.
fn standing(page: &mut Page, shared: &Shared) {
    let state = match shared.state() {
        State::Starting => "starting",
        State::Leading => "leading",
        State::Standby { .. } => "standby",
        State::Failing { .. } => "failing",
    };
    page.states(
        "crossfade_state",
        "What this process does: 1 for the state it is in",
        "state",
        &["starting", "leading", "standby", "failing"],
        state,
    );
    if let Some(policy) = shared.policy().borrow().as_ref() {
        page.gauge("crossfade_policy_revision", "The policy in force", policy.revision as f64);
    }
}

/// Clients, requests and failures by version.
fn migration(page: &mut Page, status: &Value) {
    let migration = &status["migration"];
    let each = |path: &'static str| {
        let versions = migration[path].as_object().into_iter().flatten();
        versions.map(|(name, value)| (vec![("version", name.clone())], value.clone()))
    };
    page.family("crossfade_clients", "Clients by the version that served them last", |series| {
        for (labels, value) in each("clients") {
            series.gauge(labels, value.as_f64());
        }
    });
    page.family("crossfade_routed_requests", "Requests decided, by version", |series| {
        for (labels, value) in each("routed") {
            series.counter(labels, value.as_f64().unwrap_or_default());
        }
    });
    for (name, help, field) in [
        ("crossfade_requests", "Requests reported, by version", "requests"),
        ("crossfade_failures", "Failures reported, by version", "failures"),
    ] {
        page.family(name, help, |series| {
            for (labels, value) in each("outcomes") {
                series.counter(labels, value[field].as_f64().unwrap_or_default());
            }
        });
    }
    let uncounted = migration["uncounted_requests"].as_f64().unwrap_or_default();
    let help = "Requests of clients that did not fit into the table";
    page.counter("crossfade_uncounted_requests", help, uncounted);
    let sampled = f64::from(u8::from(migration["clients_sampled"] == true));
    let help = "Whether crossfade_clients are estimates, because they are too many to keep";
    page.gauge("crossfade_clients_sampled", help, sampled);
}

/// How the rollout stands.
fn rollout(page: &mut Page, rollout: &Value) {
    const PHASES: [&str; 13] = [
        "idle",
        "progressing",
        "held",
        "timed_out",
        "awaiting_approval",
        "frozen",
        "paused",
        "watching",
        "rolling_back",
        "completed",
        "rolled_back",
        "aborted",
        "undone",
    ];
    let number = |field: &str| rollout[field].as_f64();
    page.states(
        "crossfade_rollout_phase",
        "How the rollout stands: 1 for its phase",
        "phase",
        &PHASES,
        rollout["phase"].as_str().unwrap_or_default(),
    );
    let share = number("percentage").map(|percent| percent / 100.0);
    page.maybe("crossfade_weight_ratio", "The share of the newest version that is asked", share);
    page.maybe("crossfade_rollout_step", "The step, from 1; 0 without one", number("step"));
    page.maybe("crossfade_rollout_steps", "How many steps there are", number("steps"));
    let minutes = number("step_minutes").map(|minutes| minutes * 60.0);
    page.with_unit(Unit::Seconds).maybe(
        "crossfade_rollout_step_seconds",
        "How long the step has lasted, pauses left out",
        minutes,
    );
}

/// What is compared: the checks of the gate.
const CHECKS: [&str; 5] = ["failures", "latency", "slo", "latency_slo", "sample_ratio"];

/// Every threshold, the value compared with it, and what came of it.
fn gate(page: &mut Page, evidence: &Value) {
    if evidence.is_null() {
        return;
    }
    page.family("crossfade_gate_verdict", "1 for the verdict as things stand", |series| {
        let all = [("all", evidence)].into_iter();
        let each = CHECKS.iter().map(|check| (*check, &evidence[*check]));
        for (check, found) in all.chain(each) {
            let Some(verdict) = found["verdict"].as_str() else { continue };
            for known in ["healthy", "unhealthy", "inconclusive"] {
                let labels = vec![("check", check.to_owned()), ("verdict", known.to_owned())];
                series.gauge(labels, Some(f64::from(u8::from(known == verdict))));
            }
        }
    });
    let pairs = pairs(evidence);
    let labels =
        |pair: &Pair| vec![("check", pair.check.to_owned()), ("proves", pair.proves.clone())];
    let help = "Natural logarithm of the evidence; it proves something at its threshold";
    page.family("crossfade_gate_log_evidence", help, |series| {
        pairs.iter().for_each(|pair| series.gauge(labels(pair), pair.value));
    });
    let help = "What crossfade_gate_log_evidence is compared with";
    page.family("crossfade_gate_threshold", help, |series| {
        pairs.iter().for_each(|pair| series.gauge(labels(pair), pair.threshold));
    });
    let failures = &evidence["failures"];
    let ratio = &failures["ratio_interval"];
    let difference = &failures["difference_interval"];
    for (name, help, bounds) in [
        (
            "crossfade_gate_failure_risk_ratio",
            "How many times as often the new version fails, and between what",
            [("low", &ratio["low"]), ("estimate", &failures["ratio"]), ("high", &ratio["high"])],
        ),
        (
            "crossfade_gate_failure_risk_difference",
            "How much more often the new version fails, as a share of requests",
            [
                ("low", &difference["low"]),
                ("estimate", &Value::Null),
                ("high", &difference["high"]),
            ],
        ),
    ] {
        page.family(name, help, |series| {
            for (bound, value) in bounds {
                series.gauge(vec![("bound", bound.to_owned())], value.as_f64());
            }
        });
    }
    arms(page, failures);
    let share = &evidence["sample_ratio"];
    let (canary, control) = (share["canary"].as_f64(), share["control"].as_f64());
    if let (Some(canary), Some(control)) = (canary, control) {
        let asked = share["asked_share"].as_f64();
        page.maybe("crossfade_gate_sample_share_asked", "The share that was asked for", asked);
        let seen = (canary + control > 0.0).then(|| canary / (canary + control));
        page.maybe("crossfade_gate_sample_share_seen", "The share that was seen", seen);
    }
}

/// Requests and failures of both versions that are evidence in this step.
fn arms(page: &mut Page, failures: &Value) {
    for (name, help, what) in [
        ("crossfade_gate_step_requests", "Requests of this step, by arm", "requests"),
        ("crossfade_gate_step_failures", "Failures of this step, by arm", "failures"),
    ] {
        page.family(name, help, |series| {
            for arm in ["canary", "control"] {
                let count = failures["step"][format!("{arm}_{what}")].as_f64();
                series.gauge(vec![("arm", arm.to_owned())], count);
            }
        });
    }
}

/// A threshold, and what is compared with it.
struct Pair {
    check: &'static str,
    proves: String,
    value: Option<f64>,
    threshold: Option<f64>,
}

/// The fields `threshold_X` with their `log_e_X`; the sample ratio has one of its own.
fn pairs(evidence: &Value) -> Vec<Pair> {
    let of_check = |check: &'static str| {
        let found = &evidence[check];
        let fields = found.as_object().into_iter().flatten();
        fields.filter_map(move |(name, threshold)| {
            let (proves, value) = match name.strip_prefix("threshold_") {
                Some(proves) => (proves, &found[format!("log_e_{proves}")]),
                None if name == "threshold" => ("mismatch", &found["log_bf"]),
                None => return None,
            };
            let (value, threshold) = (value.as_f64(), threshold.as_f64());
            let proves = proves.to_owned();
            value.is_some().then_some(Pair { check, proves, value, threshold })
        })
    };
    CHECKS.into_iter().flat_map(of_check).collect()
}

/// Who reports, and how old the reports are.
fn reports(page: &mut Page, nodes: &Value) {
    let number = |field: &str| nodes[field].as_f64();
    page.maybe("crossfade_nodes", "Nodes that have reported", number("known"));
    let help = "Nodes that have reported within 30 seconds";
    page.maybe("crossfade_nodes_reporting", help, number("reporting"));
    let help = "Nodes that report and decide by an older policy";
    page.maybe("crossfade_nodes_behind", help, number("behind"));
    let oldest = number("oldest_ms").map(|age| age / 1_000.0);
    page.with_unit(Unit::Seconds).maybe(
        "crossfade_report_age_oldest_seconds",
        "Age of the oldest report among the nodes that report",
        oldest,
    );
}

fn each_node(page: &mut Page, nodes: &Value) {
    let mut ages = std::collections::BTreeMap::new();
    for node in nodes["nodes"].as_array().into_iter().flatten() {
        let (Some(name), Some(age)) = (node["node"].as_str(), node["age_ms"].as_f64()) else {
            continue;
        };
        // A node that was started again has several epochs: the last one counts.
        let youngest = ages.entry(name.to_owned()).or_insert(age);
        *youngest = age.min(*youngest);
    }
    let help = "Age of each node's last report; only while there are at most 100 nodes";
    page.with_unit(Unit::Seconds).family("crossfade_report_age_seconds", help, |series| {
        for (name, age) in ages {
            series.gauge(vec![("node", name)], Some(age / 1_000.0));
        }
    });
}

fn engine(page: &mut Page, status: &Value) {
    let number = |path: &str| status.pointer(path).and_then(Value::as_f64);
    let restarts = number("/engine/restarts").unwrap_or_default();
    page.counter("crossfade_engine_restarts", "Engines that failed and were replaced", restarts);
    let lost = number("/engine/calls_lost").unwrap_or_default();
    page.counter("crossfade_engine_calls_lost", "Calls that went with them", lost);
    let trial = f64::from(u8::from(status["engine"]["on_trial"] == true));
    page.gauge("crossfade_engine_on_trial", "Whether a new engine is on trial", trial);
    let seconds = |path: &str| number(path).map(|ms| ms / 1_000.0);
    let committed = seconds("/store/committed_ms");
    page.with_unit(Unit::Seconds).maybe(
        "crossfade_store_committed_timestamp_seconds",
        "When something was kept last, on the engine's clock",
        committed,
    );
    page.with_unit(Unit::Seconds).maybe(
        "crossfade_engine_time_seconds",
        "The engine's clock",
        seconds("/now_ms"),
    );
}

/// What this process has counted.
fn counted(page: &mut Page, shared: &Shared) {
    let counters = &shared.counters;
    for (name, help, count) in [
        ("crossfade_reports", "Reports of totals and of clients taken in", &counters.reports),
        ("crossfade_reports_old", "Those that changed nothing", &counters.reports_old),
        ("crossfade_reports_refused", "Reports that were refused", &counters.reports_refused),
        ("crossfade_store_commits", "Commits that were kept", &counters.commits),
        ("crossfade_store_commits_failed", "Commits that failed", &counters.commits_failed),
        ("crossfade_store_checkpoints", "Checkpoints that were kept", &counters.checkpoints),
        (
            "crossfade_store_checkpoints_unreadable",
            "Checkpoints that could not be read back, and were not kept",
            &counters.checkpoints_unreadable,
        ),
    ] {
        page.counter(name, help, count.load(Relaxed) as f64);
    }
    let kept = counters.kept_bytes.load(Relaxed) as f64;
    page.with_unit(Unit::Bytes).counter("crossfade_store_kept_bytes", "Bytes of calls kept", kept);
    let busy = counters.commit_us.load(Relaxed) as f64 / 1e6;
    let help = "Time that commits took";
    page.with_unit(Unit::Seconds).counter("crossfade_store_commit_seconds", help, busy);
    let offset = counters.clock_offset_ms.load(Relaxed) as f64 / 1e3;
    page.with_unit(Unit::Seconds).gauge(
        "crossfade_clock_offset_seconds",
        "How far this machine's clock is ahead of the engine's",
        offset,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_threshold_is_told_with_the_value_compared_with_it() {
        let evidence = json!({
            "verdict": "healthy",
            "failures": {
                "verdict": "healthy", "log_e_worse": -0.5, "threshold_worse": 5.25,
                "log_e_ok": 3.5, "log_e_ok_ratio": 3.0, "threshold_ok": 3.0, "ratio": 1.25,
                "ratio_interval": { "low": 0.5, "high": null },
                "difference_interval": { "low": -0.25, "high": 0.5 },
                "step": { "canary_requests": 10, "canary_failures": 1, "control_requests": 90 },
            },
            "latency": {
                "verdict": "inconclusive", "log_e_slower": 0.25, "threshold_slower": 5.0,
                "log_e_not_slower": 1.5, "threshold_not_slower": 3.0,
            },
            "slo": { "verdict": "healthy", "log_e_bad": 0.0, "threshold_bad": 4.0 },
            "sample_ratio": {
                "asked_share": 0.125, "canary": 1, "control": 3, "log_bf": 0.75, "threshold": 7.5,
            },
        });
        let mut page = Page::default();
        gate(&mut page, &evidence);
        let text = page.text(Format::OpenMetrics);
        for line in [
            r#"crossfade_gate_log_evidence{check="failures",proves="worse"} -0.5"#,
            r#"crossfade_gate_threshold{check="failures",proves="worse"} 5.25"#,
            r#"crossfade_gate_log_evidence{check="failures",proves="ok"} 3.5"#,
            r#"crossfade_gate_threshold{check="failures",proves="ok"} 3.0"#,
            r#"crossfade_gate_log_evidence{check="latency",proves="not_slower"} 1.5"#,
            r#"crossfade_gate_threshold{check="latency",proves="not_slower"} 3.0"#,
            r#"crossfade_gate_log_evidence{check="slo",proves="bad"} 0.0"#,
            r#"crossfade_gate_threshold{check="slo",proves="bad"} 4.0"#,
            r#"crossfade_gate_log_evidence{check="sample_ratio",proves="mismatch"} 0.75"#,
            r#"crossfade_gate_threshold{check="sample_ratio",proves="mismatch"} 7.5"#,
            r#"crossfade_gate_verdict{check="latency",verdict="inconclusive"} 1.0"#,
            r#"crossfade_gate_verdict{check="all",verdict="healthy"} 1.0"#,
            r#"crossfade_gate_verdict{check="all",verdict="unhealthy"} 0.0"#,
            r#"crossfade_gate_failure_risk_ratio{bound="estimate"} 1.25"#,
            r#"crossfade_gate_step_failures{arm="canary"} 1.0"#,
            "crossfade_gate_sample_share_seen 0.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"bound="high"} i"#), "what is not known is not told");
        assert_eq!(text.matches("crossfade_gate_log_evidence{").count(), 6, "{text}");
    }
}
