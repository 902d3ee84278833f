//! Crossfade's engine as a library: a compiled policy, and nothing counted.

use crossfade_core::request::Attributes;
use crossfade_core::{Policy, Request};
use crossfade_protocol::plan::Plan;
use serde_json::{Value, json};

pub(crate) struct Crossfade {
    tenth: Policy,
    sweden: Policy,
}

impl Crossfade {
    pub(crate) fn new() -> Result<Crossfade, String> {
        let policy = |more: Value| {
            let mut document = json!({
                "api": "users", "versions": ["v1", "v2"], "key": { "header": "x-user-id" },
            });
            let fields = document.as_object_mut().into_iter();
            fields.for_each(|fields| fields.extend(more.as_object().cloned().unwrap_or_default()));
            let plan = Plan::read(&document).map_err(|problems| problems.to_string())?;
            Ok::<Policy, String>(Policy::new(plan, 1, None))
        };
        let when = json!({ "attribute": "country", "equals": "SE" });
        let split = json!({ "v1": 50, "v2": 50 });
        Ok(Crossfade {
            tenth: policy(json!({ "canary_percentage": 10 }))?,
            sweden: policy(
                json!({ "rules": [{ "name": "sweden", "when": when, "split": split }] }),
            )?,
        })
    }
}

struct Country<'c>(&'c str);

impl Attributes for Country<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        (name == "country").then_some(self.0)
    }
}

impl super::Evaluator for Crossfade {
    fn name(&self) -> &'static str {
        "crossfade-core Policy::decide"
    }

    fn tenth(&self, user: &str) -> bool {
        self.tenth.decide(&Request::of_key(user.as_bytes()), 0).version == 1
    }

    fn half_of_sweden(&self, user: &str, country: &str) -> bool {
        let country = Country(country);
        let request = Request { attributes: &country, ..Request::of_key(user.as_bytes()) };
        self.sweden.decide(&request, 0).version == 1
    }
}
