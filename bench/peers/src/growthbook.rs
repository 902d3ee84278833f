//! `growthbook-rust`, GrowthBook's SDK: its evaluator, without the client around it.

use growthbook_rust::growthbook::GrowthBook as Engine;
use growthbook_rust::model_public::{GrowthBookAttribute, GrowthBookAttributeValue};
use serde_json::json;

pub(crate) struct GrowthBook(Engine);

impl GrowthBook {
    pub(crate) fn new() -> Result<GrowthBook, serde_json::Error> {
        let features = serde_json::from_value(json!({
            "tenth": {
                "defaultValue": false,
                "rules": [{ "force": true, "coverage": 0.1, "hashAttribute": "id" }],
            },
            "sweden": {
                "defaultValue": false,
                "rules": [{
                    "condition": { "country": "SE" },
                    "force": true, "coverage": 0.5, "hashAttribute": "id",
                }],
            },
        }))?;
        Ok(GrowthBook(Engine {
            forced_variations: None,
            features,
            attributes: None,
            sticky_bucket_service: None,
            saved_groups: Default::default(),
        }))
    }
}

fn attribute(name: &str, value: &str) -> GrowthBookAttribute {
    GrowthBookAttribute::new(name.to_owned(), GrowthBookAttributeValue::String(value.to_owned()))
}

impl super::Evaluator for GrowthBook {
    fn name(&self) -> &'static str {
        "growthbook-rust 0.4.0 GrowthBook::check"
    }

    fn tenth(&self, user: &str) -> bool {
        self.0.check("tenth", &Some(vec![attribute("id", user)])).on
    }

    fn half_of_sweden(&self, user: &str, country: &str) -> bool {
        let about = vec![attribute("id", user), attribute("country", country)];
        self.0.check("sweden", &Some(about)).on
    }
}
