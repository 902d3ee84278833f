//! `unleash-yggdrasil`, on which Unleash's server SDKs are built: a context that borrows.

use chrono::Utc;
use serde_json::{Value, json};
use unleash_types::client_features::{ClientFeatures, Context};
use unleash_yggdrasil::state::EnrichedContext;
use unleash_yggdrasil::{EngineState, UpdateMessage};

pub(crate) struct Unleash(EngineState);

impl Unleash {
    pub(crate) fn new() -> Result<Unleash, serde_json::Error> {
        let toggle = |name: &str, percent: &str, constraints: Value| {
            json!({
                "name": name, "enabled": true, "strategies": [{
                    "name": "flexibleRollout", "constraints": constraints,
                    "parameters": { "rollout": percent, "stickiness": "userId", "groupId": name },
                }],
            })
        };
        let sweden = json!([{ "contextName": "country", "operator": "IN", "values": ["SE"] }]);
        let features: ClientFeatures = serde_json::from_value(json!({
            "version": 2,
            "features": [toggle("tenth", "10", json!([])), toggle("sweden", "50", sweden)],
        }))?;
        let engine = EngineState::initial_state(Utc::now());
        engine.take_state(UpdateMessage::FullResponse(features));
        Ok(Unleash(engine))
    }
}

impl super::Evaluator for Unleash {
    fn name(&self) -> &'static str {
        "unleash-yggdrasil 0.21.7 check_enabled"
    }

    fn tenth(&self, user: &str) -> bool {
        let context = EnrichedContext {
            user_id: Some(user),
            session_id: None,
            environment: None,
            app_name: None,
            current_time: None,
            remote_address: None,
            properties: None,
            external_results: None,
            toggle_name: "tenth",
            runtime_hostname: None,
        };
        self.0.check_enabled(&context).unwrap_or_default()
    }

    fn half_of_sweden(&self, user: &str, country: &str) -> bool {
        let context = Context {
            user_id: Some(user.to_owned()),
            properties: Some([("country".to_owned(), country.to_owned())].into()),
            ..Context::default()
        };
        self.0.is_enabled("sweden", &context, &None)
    }
}
