//! Whole migrations, on the store of one machine and on three NATS servers. 5,000 users call
//! all the while.
//!
//! After each: no client saw v2 after it was taken back, none flipped back while the share
//! rose, and what users, services and the control plane have counted is the same.
//!
//! A run is repeated with the seed that it prints, `CROSSFADE_E2E_SEED=… cargo xtask
//! test-e2e`. Order and keys are the same then; what falls together in time is the machine's.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

mod demo;
mod life;
mod partner;
mod regression;
#[path = "../../../../host/src/serve/store/nats/tests/servers.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod servers;

use serde_json::{Value, json};
use servers::Servers;

/// Where the control plane keeps everything.
enum Store {
    Embedded,
    Fleet(Box<Servers>),
}

impl Store {
    fn fleet() -> Store {
        Store::Fleet(Box::new(Servers::three()))
    }

    fn url(&self) -> Option<String> {
        match self {
            Store::Embedded => None,
            Store::Fleet(servers) => Some(servers.url("controller")),
        }
    }
}

/// Users whose version is pinned to v1: the long tail.
const PINNED: usize = 20;

/// Steps of seconds. Two points more failures are tolerated, which takes a few hundred
/// requests to prove.
fn plan(more: &Value) -> Value {
    let pins: serde_json::Map<String, Value> =
        (0..PINNED).map(|user| (crossfade_e2e::crowd::key(user), "v1".into())).collect();
    let mut plan = json!({
        "api": "users",
        "versions": crossfade_e2e::world::VERSIONS,
        "key": { "header": "x-user-id" },
        "pins": pins,
        "rollout": { "steps": [
            { "percentage": 5, "duration_minutes": 0.05 },
            { "percentage": 25, "duration_minutes": 0.1 },
            { "percentage": 50, "duration_minutes": 0.1 },
            { "percentage": 100, "duration_minutes": 0.05 },
        ] },
        "gate": { "failures": { "margin": 2, "not_worse": { "ratio": 3, "points": 2 } } },
        "sunset": { "horizon_days": 1, "quiet_days": 0, "notice_days": 0 },
    });
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    plan
}
