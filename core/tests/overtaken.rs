//! Totals that arrive after later ones of the same node, as those that a standby hands on may.

#![allow(clippy::unwrap_used, reason = "tests may")]

use crossfade_core::Engine;
use crossfade_core::guest::Guest as _;
use crossfade_core::protocol::request::{Clock, InitDocument};

const PLAN: &str = r#"{"type":"configure","document":{"api":"users","versions":["v1","v2"],"key":{"header":"x"},"rollout":{"steps":[{"percentage":50,"duration_minutes":60}]}}}"#;

/// A report: so many requests of each version, one in ten of which failed.
fn report(sequence: u64, requests: u64) -> String {
    let version = |name: &str| {
        let failures = requests / 10;
        format!(
            r#"{{"version":"{name}","routed":{requests},"requests":{requests},"failures":{failures},"latency":[[20,{requests}]]}}"#
        )
    };
    format!(
        r#"{{"node":"edge","epoch":"00000000000000e1","sequence":{sequence},"revision":3,"versions":[{},{}]}}"#,
        version("v1"),
        version("v2")
    )
}

/// What is told of the whole after these reports, each a second after the one before.
fn told(reports: &[String]) -> Vec<String> {
    let mut engine =
        Engine::new(InitDocument { clock: Clock::Wall, ..InitDocument::default() }, 0, 7);
    let mut out = Vec::new();
    engine.handle(format!("{PLAN}\n{{\"type\":\"gradual_rollout\"}}\n").as_bytes(), 0, &mut out);
    for (second, report) in (1..).zip(reports) {
        engine.handle(b"", second * 1_000, &mut out);
        engine.merge(report.as_bytes(), &mut out);
    }
    out.clear();
    let ask = "{\"type\":\"get_migration_stats\"}\n{\"type\":\"get_rollout\"}\n";
    engine.handle(ask.as_bytes(), 10_000, &mut out);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_was_overtaken_is_in_what_overtook_it_and_counts_once() {
    let [first, second, third] = [(1, 100), (2, 250), (3, 600)].map(|(n, all)| report(n, all));
    let in_order = told(&[first.clone(), second.clone(), third.clone()]);
    assert!(in_order[0].contains(r#""v2":{"requests":600,"failures":60}"#), "{}", in_order[0]);
    // Growth since the first report is evidence, of both versions.
    assert!(in_order[1].contains(r#""canary_requests":500"#), "{}", in_order[1]);

    let late = told(&[first.clone(), third.clone(), second.clone()]);
    assert_eq!(late[0], in_order[0]);
    assert!(late[1].contains(r#""canary_requests":500"#), "{}", late[1]);
    // The same when it never comes, or twice.
    assert_eq!(told(&[first.clone(), third.clone()])[0], in_order[0]);
    let again = told(&[first, third.clone(), second.clone(), third, second]);
    assert_eq!(again[0], in_order[0]);
    assert!(again[1].contains(r#""canary_requests":500"#), "{}", again[1]);
}
