//! `eppo_core`, on which Eppo's SDKs are built.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eppo_core::eval::get_assignment;
use eppo_core::ufc::{UniversalFlagConfig, VariationType};
use eppo_core::{AttributeValue, Attributes, Configuration, SdkMetadata, Str};
use serde_json::{Value, json};

pub(crate) struct Eppo {
    configuration: Configuration,
    nobody: Arc<Attributes>,
    now: DateTime<Utc>,
}

impl Eppo {
    pub(crate) fn new() -> Result<Eppo, String> {
        let flag = |name: &str, rules: Value, end: u32| {
            let split = |to: &str, start: u32, end: u32| {
                let shard = json!({ "salt": name, "ranges": [{ "start": start, "end": end }] });
                json!({ "variationKey": to, "shards": [shard] })
            };
            json!({
                "key": name, "enabled": true, "variationType": "BOOLEAN", "totalShards": 10_000,
                "variations": {
                    "on": { "key": "on", "value": true }, "off": { "key": "off", "value": false },
                },
                "allocations": [{
                    "key": "a", "rules": rules, "doLog": false,
                    "splits": [split("on", 0, end), split("off", end, 10_000)],
                }],
            })
        };
        let sweden = json!([{ "conditions": [
            { "attribute": "country", "operator": "ONE_OF", "value": ["SE"] },
        ] }]);
        let document = json!({
            "createdAt": "2026-01-01T00:00:00.000Z", "format": "SERVER",
            "environment": { "name": "Test" },
            "flags": {
                "tenth": flag("tenth", json!([]), 1_000), "sweden": flag("sweden", sweden, 5_000),
            },
        });
        let about = SdkMetadata { name: "crossfade-peers", version: "0" };
        let flags = UniversalFlagConfig::from_json(about, document.to_string().into_bytes())
            .map_err(|error| error.to_string())?;
        Ok(Eppo {
            configuration: Configuration::from_server_response(flags, None),
            nobody: Arc::default(),
            now: Utc::now(),
        })
    }

    fn on(&self, flag: &str, user: &str, attributes: &Arc<Attributes>) -> bool {
        let user = Str::from(user);
        let kind = Some(VariationType::Boolean);
        let found =
            get_assignment(Some(&self.configuration), flag, &user, attributes, kind, self.now);
        let assigned = found.ok().flatten().and_then(|found| found.value.as_boolean());
        assigned.unwrap_or_default()
    }
}

impl super::Evaluator for Eppo {
    fn name(&self) -> &'static str {
        "eppo_core 10.0.0 get_assignment"
    }

    fn tenth(&self, user: &str) -> bool {
        self.on("tenth", user, &self.nobody)
    }

    fn half_of_sweden(&self, user: &str, country: &str) -> bool {
        let country = AttributeValue::categorical(country);
        let attributes = [(Str::from("country"), country)].into_iter().collect();
        self.on("sweden", user, &Arc::new(attributes))
    }
}
