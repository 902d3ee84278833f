//! `crossfade import`: what becomes of each construct, and that no field gets lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::process::Output;

use serde_json::{Value, json};
use support::process::{crossfade, run, stderr};

const ROLLOUT: &str = include_str!("import/rollout.yaml");
const CANARY: &str = include_str!("import/canary.yaml");

fn import(arguments: &[&str], input: &str) -> Output {
    run(crossfade(&[&["import"], arguments, &["-"]].concat()), input.as_bytes())
}

/// The import as JSON; it must succeed.
fn imported(tool: &str, input: &str) -> Value {
    let output = import(&[tool, "--output", "json"], input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is said of the one field at this path; `carried` when the plan has it as it is.
fn fate(report: &Value, path: &str) -> String {
    let fields =
        |note: &Value| note["fields"].as_array().unwrap().iter().any(|field| field["path"] == path);
    let note = report["notes"].as_array().unwrap().iter().find(|note| fields(note));
    if let Some(note) = note {
        return format!("{}: {}", note["kind"].as_str().unwrap(), note["why"].as_str().unwrap());
    }
    let mut carried = report["carried"].as_array().unwrap().iter();
    match carried.find(|carried| carried["path"] == path) {
        Some(carried) => format!("carried to {}", carried["to"]),
        None => panic!("nothing is said of {path}"),
    }
}

/// A Rollout with these steps.
fn rollout(steps: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{ name: orders }}\nspec:\n  \
         strategy:\n    canary:\n      steps: {steps}\n"
    )
}

/// A Canary with this analysis.
fn canary(analysis: &str) -> String {
    format!(
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {{ name: orders }}\nspec:\n  \
         analysis: {analysis}\n"
    )
}

fn steps(report: &Value) -> &Value {
    &report["plan"]["rollout"]["steps"]
}

#[track_caller]
fn refused(tool: &str, input: &str, expected: &str) {
    let output = import(&[tool], input);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(stderr(&output), format!("crossfade: {expected}\n"));
}

#[test]
fn whole_files_give_these_plans_and_notes() {
    let cases = [
        (
            "argo-rollout",
            ROLLOUT,
            include_str!("import/rollout.plan.yaml"),
            include_str!("import/rollout.notes.txt"),
        ),
        (
            "flagger",
            CANARY,
            include_str!("import/canary.plan.yaml"),
            include_str!("import/canary.notes.txt"),
        ),
    ];
    for (tool, source, plan, notes) in cases {
        let output = import(&[tool], source);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), plan, "{tool}");
        assert_eq!(stderr(&output), notes, "{tool}");
        let check = run(crossfade(&["check", "-"]), &output.stdout);
        assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

/// Walks every value of a source, and looks each one up among what was carried over and
/// what was named. Nothing may be missing, and nothing may be said twice.
#[test]
fn every_field_is_carried_over_or_named() {
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{ resourceVersion: \"\" }}\nitems:\n  - {}",
        rollout("[{ setWeight: 10 }, { pause: {} }]").trim_end().replace('\n', "\n    ")
    );
    let cases = [("argo-rollout", ROLLOUT), ("flagger", CANARY), ("argo-rollout", &list)];
    for (tool, source) in cases {
        let report = imported(tool, source);
        let mut said: Vec<(u64, u64, String)> = Vec::new();
        let mut say = |leaf: &Value| {
            let path = leaf["path"].as_str().unwrap().to_owned();
            said.push((leaf["line"].as_u64().unwrap(), leaf["column"].as_u64().unwrap(), path));
        };
        report["carried"].as_array().unwrap().iter().for_each(&mut say);
        for note in report["notes"].as_array().unwrap() {
            assert!(!note["why"].as_str().unwrap().is_empty());
            if note["kind"] != "changed" {
                note["fields"].as_array().unwrap().iter().for_each(&mut say);
            }
        }
        said.sort();
        let mut expected = Vec::new();
        for document in crossfade::yaml::parse_documents("test", source.as_bytes()).unwrap() {
            leaves(&document.value, String::new(), &mut |path| {
                let (line, column) = document.position(&path).unwrap();
                expected.push((u64::from(line), u64::from(column), path));
            });
        }
        expected.sort();
        assert!(expected.len() > 5);
        assert_eq!(said, expected);
    }
}

fn leaves(value: &Value, path: String, take: &mut impl FnMut(String)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let path = match (path.as_str(), key.contains('.')) {
                    (path, true) => format!("{path}[{}]", json!(key)),
                    ("", false) => key.clone(),
                    (path, false) => format!("{path}.{key}"),
                };
                leaves(value, path, take);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, value) in items.iter().enumerate() {
                leaves(value, format!("{path}[{place}]"), take);
            }
        }
        _ => take(path),
    }
}

#[test]
fn weights_and_pauses_become_steps() {
    let report = imported(
        "argo-rollout",
        &rollout(
            "[{ setWeight: 0 }, { pause: { duration: 5 } }, { setWeight: 20 }, \
             { pause: { duration: 90 } }, { pause: { duration: 1h30m } }, { setWeight: 20 }, \
             { pause: {} }, { setWeight: 60 }, { pause: { duration: 10s } }, { setWeight: 100 }]",
        ),
    );
    assert_eq!(
        steps(&report),
        &json!([
            { "percentage": 20, "duration_minutes": 91.5, "approval": "manual" },
            { "percentage": 60, "duration_minutes": 0.166666667 },
            { "percentage": 100, "duration_minutes": 0 },
        ])
    );
    let path = |rest: &str| format!("spec.strategy.canary.steps{rest}");
    assert!(fate(&report, &path("[0].setWeight")).starts_with("left: 0 % is no step"));
    assert!(fate(&report, &path("[1].pause.duration")).starts_with("left: nobody is on"));
    assert_eq!(fate(&report, &path("[6].pause")), "carried to [\"rollout.steps[0].approval\"]");
}

#[test]
fn weights_may_count_to_another_number() {
    let with = |weights: &str| {
        let routing = "      trafficRouting: { maxTrafficWeight: 1000000 }\n";
        rollout(weights) + routing
    };
    let report = imported("argo-rollout", &with("[{ setWeight: 12345 }, { setWeight: 500000 }]"));
    assert_eq!(steps(&report)[0]["percentage"], 1.23);
    assert_eq!(steps(&report)[1]["percentage"], 50);
    let changed = fate(&report, "spec.strategy.canary.steps[0].setWeight");
    assert!(changed.starts_with("changed: 1.2345 % is rounded"), "{changed}");
    refused(
        "argo-rollout",
        &rollout("[{ setWeight: 101 }]"),
        "standard input:7:28: spec.strategy.canary.steps[0].setWeight: 101 is not a weight from 0 \
         to 100",
    );
}

#[test]
fn an_analysis_becomes_a_gate_only_where_its_meaning_is_plain() {
    let report = |metric: &str| {
        let template = format!(
            "---\nkind: AnalysisTemplate\nmetadata: {{ name: t }}\nspec:\n  metrics:\n    - {metric}\n"
        );
        let steps = "[{ setWeight: 10 }, { analysis: { templates: [{ templateName: t }] } }]";
        imported("argo-rollout", &(rollout(steps) + &template))
    };
    let gate = |metric: &str| report(metric)["plan"]["gate"].clone();
    let condition =
        |metric: &str, key: &str| fate(&report(metric), &format!("spec.metrics[0].{key}"));

    let success = "{ name: success-rate, successCondition: 'result[0] >= 0.95' }";
    assert_eq!(gate(success)["slo"], json!({ "max_failure_ratio": 0.05 }));
    let percent = "{ name: availability, successCondition: result > 99.5 }";
    assert_eq!(gate(percent)["slo"], json!({ "max_failure_ratio": 0.005 }));
    let errors = "{ name: error-rate, failureCondition: 'result[0] >= 0.02' }";
    assert_eq!(gate(errors)["slo"], json!({ "max_failure_ratio": 0.02 }));
    let latency = "{ name: p99, successCondition: 'result < 0.3', provider: { prometheus: { query: \
                   'histogram_quantile(0.9, sum(rate(http_seconds_bucket[1m])) by (le))' } } }";
    assert_eq!(gate(latency)["latency"], json!({ "slo_ms": 300, "quantile": 0.9 }));

    for unclear in [
        "{ name: error-count, successCondition: 'result[0] < 5' }",
        "{ name: queue, successCondition: 'result[0] < 0.5' }",
        "{ name: success-rate, successCondition: 'result[0] >= 0.95 && result[1] < 3' }",
        "{ name: success-rate, successCondition: 'result[0] <= 0.95' }",
        "{ name: latency, successCondition: 'result[0] <= 300' }",
    ] {
        assert_eq!(gate(unclear), json!({ "on_inconclusive": "hold" }), "{unclear}");
        assert!(condition(unclear, "successCondition").starts_with("left: "), "{unclear}");
    }
}

#[test]
fn an_analysis_in_a_step_takes_its_time_and_one_that_is_missing_is_named() {
    let template = "---\nkind: ClusterAnalysisTemplate\nmetadata: { name: t }\nspec:\n  metrics:\n    \
                    - { name: a, interval: 5m, count: 3, initialDelay: 1m }\n    \
                    - { name: b, interval: 1m }\n---\nkind: AnalysisTemplate\n\
                    metadata: { name: unused }\n";
    let steps_text = "[{ setWeight: 10 }, { analysis: { templates: \
                      [{ templateName: t, clusterScope: true }, { templateName: t }] } }]";
    let report = imported("argo-rollout", &(rollout(steps_text) + template));
    assert_eq!(steps(&report)[0]["duration_minutes"], 11);
    let missing = "spec.strategy.canary.steps[1].analysis.templates[1].templateName";
    assert!(fate(&report, missing).starts_with("left: this template is not in the input"));
    let notes = report["notes"].as_array().unwrap();
    let unused = notes.iter().find(|note| note["resource"] == "AnalysisTemplate unused").unwrap();
    assert_eq!(unused["why"], "no analysis of this rollout names this template");
}

#[test]
fn flagger_goes_on_by_its_step_until_the_bound_is_reached() {
    let percentages = |analysis: &str| -> Vec<f64> {
        let report = imported("flagger", &canary(analysis));
        let steps = steps(&report).as_array().unwrap().clone();
        steps.iter().map(|step| step["percentage"].as_f64().unwrap()).collect()
    };
    assert_eq!(percentages("{ stepWeight: 15, maxWeight: 50 }"), [15.0, 30.0, 45.0, 60.0, 100.0]);
    assert_eq!(percentages("{ stepWeight: 60 }"), [60.0, 100.0]);
    assert_eq!(percentages("{ stepWeights: [1, 10, 10, 80] }"), [1.0, 10.0, 80.0, 100.0]);
    let report = imported("flagger", &canary("{ stepWeight: 50, maxWeight: 50, interval: 5s }"));
    assert_eq!(steps(&report)[0]["duration_minutes"], 0.166666667);
    assert!(fate(&report, "spec.analysis.interval").starts_with("changed: is taken as 10s"));
}

#[test]
fn flagger_metrics_webhooks_and_matches() {
    let report = imported(
        "flagger",
        &canary(
            "{ stepWeight: 50, metrics: [{ name: request-success-rate, threshold: 99 }, \
             { name: request-success-rate, thresholdRange: { min: 100 } }], \
             webhooks: [{ name: a, type: confirm-traffic-increase }, { name: b, type: rollback }] }",
        ),
    );
    assert_eq!(report["plan"]["gate"]["slo"]["max_failure_ratio"], 0.01);
    let perfect = fate(&report, "spec.analysis.metrics[1].thresholdRange.min");
    assert!(perfect.starts_with("left: a share of 0 that may fail cannot be tested"), "{perfect}");
    assert_eq!(steps(&report)[0]["approval"], "manual");
    assert!(fate(&report, "spec.analysis.webhooks[1].type").contains("abort_rollout"));

    let report = imported(
        "flagger",
        &canary(
            "{ iterations: 10, match: [{ headers: { X-Beta: { exact: '1' }, Cookie: { prefix: a } \
             } }, { headers: { user-agent: { regex: '.*' } } }] }",
        ),
    );
    let all = json!([{ "attribute": "x-beta", "equals": "1" },
                     { "attribute": "cookie", "prefix": "a" }]);
    let rule = json!({ "name": "match", "when": { "all": all }, "to": "v2" });
    assert_eq!(report["plan"]["rules"], json!([rule]));
    assert_eq!(report["plan"].get("rollout"), None);
    assert!(fate(&report, "spec.analysis.iterations").starts_with("left: how long the A/B"));
}

#[test]
fn options_fill_what_no_resource_says() {
    let options = [
        "argo-rollout",
        "--output",
        "json",
        "--api",
        "users",
        "--key",
        "cookie:sid",
        "--from",
        "2024-01",
        "--to",
        "2026-01",
    ];
    let output = import(&options, &rollout("[{ setWeight: 10 }]"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["placeholders"], json!([]));
    assert_eq!(report["plan"]["api"], "users");
    assert_eq!(report["plan"]["key"], json!({ "cookie": "sid" }));
    assert_eq!(report["plan"]["versions"], json!({ "from": "2024-01", "to": "2026-01" }));
    let without = imported("argo-rollout", &rollout("[{ setWeight: 10 }]"));
    let paths: Vec<&str> = without["placeholders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|placeholder| placeholder["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["key", "versions"]);
    let wrong = import(&["argo-rollout", "--key", "headers:x"], "");
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn one_of_several_is_chosen_by_name() {
    let first = rollout("[{ setWeight: 10 }]");
    let second = first.replace("orders", "users").replace("10", "20");
    let both = format!("{first}---\n{second}");
    refused(
        "argo-rollout",
        &both,
        "standard input: more than one Rollout of argoproj.io: choose with --name: orders, users",
    );
    let output = import(&["argo-rollout", "--output", "json", "--name", "users"], &both);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(steps(&report)[0]["percentage"], 20);
    let output = import(&["argo-rollout", "--name", "carts"], &both);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("is named `carts`: there is orders, users"));
}

#[test]
fn what_gives_no_plan_says_why() {
    refused(
        "argo-rollout",
        "# nothing\n---\n",
        "standard input: holds no resource: Rollout of \
        argoproj.io is expected",
    );
    refused(
        "argo-rollout",
        CANARY,
        "standard input: no Rollout of argoproj.io in it, but Canary podinfo: that is read with \
         `crossfade import flagger`",
    );
    refused(
        "flagger",
        "kind: Service\nmetadata: { name: a }\n",
        "standard input: no Canary of flagger.app in it, but Service a",
    );
    refused(
        "flagger",
        "[1, 2",
        "standard input:2:1: not YAML: while parsing a flow sequence, \
        expected ',' or ']'",
    );
    refused(
        "argo-rollout",
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: { name: a }\nspec:\n  \
         strategy:\n    blueGreen: { activeService: a }\n",
        "standard input:6:5: Rollout a is a blue-green release (`spec.strategy.blueGreen`): it \
         moves everybody at once, and a plan moves a share first. To have one, write its steps: \
         `crossfade check --schema` knows all fields",
    );
    refused(
        "flagger",
        &canary("{ iterations: 10 }"),
        "standard input:5:27: Canary orders is a blue-green release (`spec.analysis.iterations`): \
         it moves everybody at once, and a plan moves a share first. To have one, write its \
         steps: `crossfade check --schema` knows all fields",
    );
    refused(
        "argo-rollout",
        &rollout("[{ pause: {} }]"),
        "standard input:4:1: Rollout orders has no setWeight above 0: no traffic is shifted by \
         weight, so there is nothing for a rollout to do",
    );
    refused(
        "argo-rollout",
        &rollout("[{ setWeight: 10 }, { pause: { duration: 5 min } }]"),
        "standard input:7:55: spec.strategy.canary.steps[1].pause.duration: \"5 min\" is not a \
         duration: 10 (seconds), 10s, 5m, 1h30m",
    );
    refused(
        "flagger",
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nspec: {}\n",
        "standard input:3:1: Canary has no `spec.analysis`: there are no steps to carry over",
    );
}

#[test]
fn a_plan_that_the_engine_refuses_is_blamed_on_the_source() {
    let long = "x".repeat(129);
    let output = import(&["argo-rollout"], &rollout("[{ setWeight: 1 }]").replace("orders", &long));
    assert_eq!(output.status.code(), Some(65));
    let said = stderr(&output);
    assert!(said.contains("no valid plan comes out of it"), "{said}");
    assert!(said.contains("standard input:3:19: metadata.name: as api of the plan: "), "{said}");
    let many = vec!["{ setWeight: 50 }, { pause: {} }, { pause: { duration: 1 } }"; 110].join(", ");
    let output = import(&["argo-rollout"], &rollout(&format!("[{many}]")));
    assert_eq!(output.status.code(), Some(65), "more steps than a plan may have");
}

/// A name of two lines, one of which a terminal obeys, and a label that it does.
#[test]
fn what_a_resource_says_cannot_reach_the_terminal_nor_the_plan() {
    let named = r#"{ name: "a\nkill_switch: true\e[2J", labels: { app: "\u009b1m\u202e" } }"#;
    let source = rollout("[{ setWeight: 1 }]").replace("{ name: orders }", named);
    for more in [&["--output", "human"], &["--output", "json"]] {
        let output = import(&[&["argo-rollout", "--api", "users"], &more[..]].concat(), &source);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(obeyed), "{said:?}");
        assert!(!said.contains("\nkill_switch"), "{said}");
    }
}

#[test]
fn files_that_cannot_be_read_and_disks_that_are_full() {
    let output = run(crossfade(&["import", "flagger", "/nonexistent"]), b"");
    assert_eq!(output.status.code(), Some(74));
    assert!(stderr(&output).starts_with("crossfade: cannot read /nonexistent: "));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import/canary.yaml");
    let mut command = crossfade(&["import", "flagger", file]);
    let status = command.stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(74));
}
