//! The migration that the demo runs, in plan documents.

use crossfade_protocol::plan::Instant;
use serde_json::{Value, json};

/// The API's name.
pub(super) const API: &str = "users";

/// Old and new.
pub(super) const VERSIONS: [&str; 2] = ["v1", "v2"];

/// Requests below this many a second would leave a step waiting for minutes.
pub(crate) const RPS: f64 = 300.0;

/// Clients of the crowd.
pub(super) const CLIENTS: u32 = 5_000;

/// The header with a client's key, the one with its app's release, and the one in which it
/// says whether it is ready.
pub(super) const KEY: &str = "x-user-id";
pub(super) const APP: &str = "x-app-version";
pub(super) const SAYS: &str = "x-api-migration";

/// Apps before this release cannot speak v2.
pub(super) const ABLE: &str = "2.0";

/// Four steps, each proven within seconds at [`RPS`]: `crossfade check --rps` tells. A real
/// plan has hours in the place of these seconds.
pub(super) fn plan() -> Value {
    json!({
        "api": API,
        "versions": VERSIONS,
        "key": { "header": KEY },
        "attributes": { "app": { "header": APP } },
        "rules": [{
            "name": "old-app",
            "when": { "attribute": "app", "semver": format!("<{ABLE}") },
            "to": "v1",
        }],
        "rollout": { "steps": [
            { "percentage": 10, "duration_minutes": 0.2 },
            { "percentage": 25, "duration_minutes": 0.2 },
            { "percentage": 50, "duration_minutes": 0.2 },
            { "percentage": 100, "watch_minutes": 0.2 },
        ] },
        "gate": {
            // One broken partner among thousands is no reason to take v2 from everybody.
            "failures": { "margin": 3, "not_worse": { "ratio": 4, "points": 2 } },
            "latency": { "slower_than_old": false, "slo_ms": 250, "quantile": 0.95 },
        },
        "clients": {
            "declare": { "header": SAYS },
            "pin_back": { "mode": "auto", "min_requests": 10 },
        },
        // One has seconds here. The defaults ask for days.
        "sunset": { "horizon_days": 1, "quiet_days": 0, "notice_days": 0 },
        "x-about": "the plan of `crossfade demo`",
    })
}

/// The same policy, with the old version's end announced.
pub(super) fn deprecated(policy: &Value, now_ms: u64, sunset_ms: u64, page: &str) -> Value {
    let mut document = policy.clone();
    document["deprecation"] = json!({
        "deprecated_at": Instant::of_ms(now_ms).to_string(),
        "sunset_at": Instant::of_ms(sunset_ms).to_string(),
        "link": page,
        "successor": "https://api.example.com/v2",
    });
    document
}
