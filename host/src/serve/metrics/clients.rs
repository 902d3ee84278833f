//! Who is left on the old version, and what is done about it.

use prometheus_client::registry::Unit;
use serde_json::{Value, json};

use super::page::Page;
use crate::serve::job::{Answer, Desk, Work};

/// Brownouts that have series each, the last ones of a plan that has more.
const BROWNOUTS_SHOWN_MAX: usize = 20;

/// Whether the old version can go, and when.
pub(super) fn sunset(page: &mut Page, sunset: &Value) {
    let ready = f64::from(u8::from(sunset["ready"] == true));
    page.gauge("crossfade_sunset_ready", "Whether the old version can go", ready);
    let help = "What has to hold before the old version can go: 1 for what does";
    page.family("crossfade_sunset_check", help, |series| {
        for check in sunset["checks"].as_array().into_iter().flatten() {
            let (Some(name), Some(ok)) = (check["check"].as_str(), check["ok"].as_bool()) else {
                continue;
            };
            series.gauge(vec![("check", name.to_owned())], Some(f64::from(u8::from(ok))));
        }
    });
    let help = "Clients that call the old version again within the horizon: those expected, and \
                how many there are at most at the confidence of the plan";
    page.family("crossfade_sunset_dependent_clients", help, |series| {
        for bound in ["expected", "at_most"] {
            let value = sunset["depend"][bound].as_f64();
            series.gauge(vec![("bound", bound.to_owned())], value);
        }
    });
    let help = "Whether that was made of all clients, and not of a sample";
    let exact = sunset["depend"]["exact"].as_bool().map(|exact| f64::from(u8::from(exact)));
    page.maybe("crossfade_sunset_dependent_clients_exact", help, exact);
    let seconds = |value: &Value| value.as_f64().map(|ms| ms / 1_000.0);
    page.with_unit(Unit::Seconds).maybe(
        "crossfade_sunset_last_call_timestamp_seconds",
        "When the last client of the old version is expected to call it",
        seconds(&sunset["last_expected_ms"]),
    );
    let forecast = &sunset["forecast"];
    page.with_unit(Unit::Seconds).family(
        "crossfade_sunset_forecast_timestamp_seconds",
        "When the old version is expected to be ready to go, and between what",
        |series| {
            for (bound, field) in [("low", "low_ms"), ("estimate", "ready_ms"), ("high", "high_ms")]
            {
                series.gauge(vec![("bound", bound.to_owned())], seconds(&forecast[field]));
            }
        },
    );
}

/// The phase of the migration's life, and its brownouts.
pub(super) async fn ways_out(page: &mut Page, desk: &Desk) {
    const PHASES: [&str; 8] =
        ["shadow", "canary", "rollout", "complete", "deprecated", "brownout", "sunset", "gone"];
    if let Some(life) = ask(desk, "get_life", "life").await {
        let phase = life["phase"].as_str().unwrap_or_default();
        let help = "Where the migration stands in its life: 1 for its phase";
        page.states("crossfade_life_phase", help, "phase", &PHASES, phase);
        shadow(page, &life["shadow"]);
    }
    let Some(told) = ask(desk, "get_brownouts", "brownouts").await else { return };
    let all = told["brownouts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = &all[all.len().saturating_sub(BROWNOUTS_SHOWN_MAX)..];
    let named = |brownout: &Value| ("brownout", brownout["name"].as_str().unwrap_or("").to_owned());
    let help = "1 while calls of the old version are refused";
    page.family("crossfade_brownout_running", help, |series| {
        for brownout in shown {
            let runs = f64::from(u8::from(brownout["state"] == "running"));
            series.gauge(vec![named(brownout)], Some(runs));
        }
    });
    let help = "Calls that a brownout has refused";
    page.family("crossfade_brownout_refused_requests", help, |series| {
        for brownout in shown {
            let refused = brownout["refused_calls"].as_f64().unwrap_or_default();
            series.counter(vec![named(brownout)], refused);
        }
    });
    let help = "Clients that a brownout has hit, by what became of them since";
    page.family("crossfade_brownout_clients", help, |series| {
        for brownout in shown {
            for became in ["moved", "unchanged", "silent"] {
                let labels = vec![named(brownout), ("became", became.to_owned())];
                series.gauge(labels, brownout[became].as_f64());
            }
        }
    });
}

/// What was compared since the migration entered the shadow, where it has one.
fn shadow(page: &mut Page, seen: &Value) {
    if seen.is_null() {
        return;
    }
    let help = "Answers of both versions to mirrored requests: compared ones, those of them that \
                differed, and failures of the new version among these; and copies that were dropped";
    page.family("crossfade_shadow_answers", help, |series| {
        for what in ["compared", "differed", "failures", "dropped"] {
            series.gauge(vec![("what", what.to_owned())], seen[what].as_f64());
        }
    });
    let help = "The share of answers that may differ before the new version serves anybody";
    page.maybe("crossfade_shadow_max_mismatch_ratio", help, seen["max_mismatch"].as_f64());
}

async fn ask(desk: &Desk, message: &str, answer: &'static str) -> Option<Value> {
    let message = json!({ "type": message });
    match desk.ask(Work::Ask { message, answer }).await {
        Ok(Answer::Reply(told)) => serde_json::from_str(&told).ok(),
        _ => None,
    }
}
