//! What a world is made of, drawn from its seed; and where a client belongs under a
//! document, computed without the engine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use xxhash_rust::xxh64::xxh64;

use crate::chance::Chance;

/// Clients of a world.
const CLIENTS: usize = 24;

/// A world as it is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The plan that the controller begins with.
    pub(crate) document: Value,
    pub(crate) keys: Vec<String>,
    /// Whether a step needs proof of health.
    pub(crate) hold: bool,
    /// Failures in a thousand, by version.
    pub(crate) failures: [u64; 2],
    /// Failures of the new version that trip an edge's guard, as a ratio of so many.
    pub(crate) guard: Option<(f64, u64)>,
    /// Whether somebody gives commands.
    pub(crate) operated: bool,
    pub(crate) servers: usize,
    pub(crate) edges: usize,
    pub(crate) workers: usize,
    /// Whether an edge begins with the plan, or with nothing.
    pub(crate) bundled: bool,
    /// How long things fail, in milliseconds.
    pub(crate) faulty_ms: u64,
}

impl Setup {
    pub(crate) fn draw(chance: &mut Chance) -> Setup {
        let salt = *chance.of(&["", "", "summer"]);
        let hold = chance.permille(600);
        let failures = *chance.of(&[[10, 10], [0, 0], [0, 500], [20, 700]]);
        let guard = chance.permille(250).then_some((0.3, 8));
        let first = chance.between(10, 31);
        let steps = [first, chance.between(first, 71), 100].map(|percentage| {
            let seconds = chance.between(3, 9) as f64;
            json!({ "percentage": percentage, "duration_minutes": seconds / 60.0 })
        });
        let mut document = json!({
            "api": "users", "versions": ["v1", "v2"], "key": { "header": "x-user-id" },
            "salt": salt, "canary_percentage": 0,
            "rollout": { "steps": steps, "rollback": { "mode": "instant" } },
            "gate": {
                "failures": { "not_worse": { "ratio": 3, "points": 20 } },
                "on_inconclusive": if hold { "hold" } else { "advance" },
            },
        });
        if chance.permille(200) {
            document["rollout"]["rollback"] =
                json!({ "mode": "stepped", "percentage_per_minute": 100 });
        }
        if let Some((ratio, requests)) = guard {
            document["guard"] = json!({ "max_failure_ratio": ratio, "min_requests": requests });
        }
        // A quarter of them is on the new version from the first step on.
        let seed = seed_of(salt);
        let mut keys: Vec<String> = Vec::new();
        for number in 0.. {
            let key = format!("user-{number}");
            let early = xxh64(key.as_bytes(), seed) % 10_000 < 1_000;
            if keys.len() >= CLIENTS {
                break;
            }
            if early || keys.len() >= CLIENTS / 4 {
                keys.push(key);
            }
        }
        if chance.permille(200) {
            document["pins"] = json!({ &keys[CLIENTS - 1]: "v2", &keys[0]: "v1" });
        }
        Setup {
            document,
            keys,
            hold,
            failures,
            guard,
            operated: chance.permille(500),
            servers: *chance.of(&[1, 2, 2]),
            edges: 1 + chance.below(2) as usize,
            workers: 1 + chance.below(2) as usize,
            bundled: chance.permille(500),
            faulty_ms: chance.between(20_000, 45_000),
        }
    }
}

fn seed_of(salt: &str) -> u64 {
    if salt.is_empty() { 0 } else { xxh64(salt.as_bytes(), 0) }
}

/// What a document says of single clients, read by nobody of ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// As it was given out.
    pub(crate) document: Value,
    /// The new version's share, in buckets.
    pub(crate) buckets: u64,
    seed: u64,
    kill: bool,
    pins: BTreeMap<String, usize>,
    pinned_back: BTreeSet<String>,
    blocked: BTreeSet<String>,
    ready: BTreeSet<String>,
}

impl Known {
    pub(crate) fn of(document: &Value) -> Known {
        let list = |name: &str| {
            let listed = &document["clients"][name];
            let names = listed.as_array().into_iter().flatten().filter_map(|entry| {
                entry.as_str().or_else(|| entry["client"].as_str()).map(str::to_owned)
            });
            names
                .chain(listed.as_object().into_iter().flatten().map(|(key, _)| key.clone()))
                .collect()
        };
        let pins = document["pins"].as_object().into_iter().flatten();
        Known {
            document: document.clone(),
            buckets: (document["canary_percentage"].as_f64().unwrap_or(0.0) * 100.0).round() as u64,
            seed: seed_of(document["salt"].as_str().unwrap_or_default()),
            kill: document["kill_switch"] == true,
            pins: pins.map(|(key, to)| (key.clone(), usize::from(to == "v2"))).collect(),
            pinned_back: list("pinned_back"),
            blocked: list("blocked"),
            ready: list("ready"),
        }
    }

    /// The place of the version that this client belongs to, while no guard has tripped.
    pub(crate) fn version(&self, key: &str) -> usize {
        if self.kill || self.pinned_back.contains(key) {
            return 0;
        }
        if let Some(pinned) = self.pins.get(key) {
            return *pinned;
        }
        if self.ready.contains(key) && self.buckets > 0 {
            return 1;
        }
        if self.blocked.contains(key) && self.buckets < 10_000 {
            return 0;
        }
        usize::from(xxh64(key.as_bytes(), self.seed) % 10_000 < self.buckets)
    }

    /// Whether nothing but a pin, or readiness, leads to the new version.
    pub(crate) fn is_back(&self, key: &str) -> bool {
        (self.kill || self.buckets == 0) && self.pins.get(key) != Some(&1)
    }

    /// Whether it treats single clients alike.
    pub(crate) fn same_lists(&self, other: &Known) -> bool {
        let lists = |k: &Known| {
            (
                k.seed,
                k.kill,
                k.pins.clone(),
                k.pinned_back.clone(),
                k.blocked.clone(),
                k.ready.clone(),
            )
        };
        lists(self) == lists(other)
    }
}
