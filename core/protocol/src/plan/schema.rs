//! The JSON Schema of the plan document, for editors.
//!
//! Reading ([`Plan::read`](super::Plan::read)) is what decides; the schema says as much
//! of the same as JSON Schema can, so that an editor completes fields and marks most
//! mistakes while they are typed. What it cannot say: that names must be known or
//! unique, that percentages never fall, that one date comes after another, that shares
//! go in steps of 0.01. It is stricter in one thing: a field without a value (`null`)
//! counts as absent when read, and is marked in an editor.
//!
//! Nothing in the engine calls this, so the module does not carry it; a test looks.

mod clients;
mod control;

use serde_json::{Map, Value, json};

use super::HASH;
use crate::limits::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, CONDITION_VALUES_MAX, CONDITIONS_MAX, KEY_BYTES_MAX,
    NAME_BYTES_MAX, OUTCOME_COUNT_MAX, PINS_MAX, RULES_MAX, VERSIONS_MAX, WEIGHT_MAX, WINDOWS_MAX,
};
use crate::share::BUCKETS;

/// The schema of plan documents, draft 2020-12.
///
/// # Example
/// ```
/// let schema = crossfade_protocol::plan::schema();
/// assert_eq!(schema["required"], serde_json::json!(["api", "versions", "key"]));
/// ```
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Crossfade plan",
        "description": "One migration of an API from one version to the next.",
    });
    let mut root = object(
        json!({
            "api": name("The API that is being migrated.", &["users"]),
            "versions": versions(),
            "hash": { "const": HASH, "default": HASH,
                "description": "The bucketing function; there is no other." },
            "key": { "$ref": "#/$defs/key" },
            "attributes": attributes(),
            "salt": described(text(KEY_BYTES_MAX), "Mixed into the hash. Empty: a stock Envoy can \
                decide the same."),
            "kill_switch": flag("Everything to the stable version, whatever else is written.", false),
            "guard": control::guard(),
            "pins": pins(),
            "rules": { "type": "array", "maxItems": RULES_MAX, "items": rule(),
                "description": "Tried in order; the first that matches decides." },
            "split": { "$ref": "#/$defs/split" },
            "split_buckets": split_buckets(),
            "canary_percentage": described(share(), "The newest version's share of the keys. \
                Excludes `split`."),
            "sticky": flag("A share decides by key (true) or by draw (false).", true),
            "rollout": control::rollout(),
            "gate": control::gate(),
            "deprecation": clients::deprecation(),
            "brownouts": { "type": "array", "maxItems": WINDOWS_MAX, "items": clients::brownout(),
                "description": "When a share of the old version's calls is refused on purpose." },
            "clients": clients::clients(),
            "sunset": clients::sunset(),
            "shadow": clients::shadow(),
            "privacy": words("How client identities are kept: as they came, or as keyed hashes.",
                &["plain", "hashed"], "plain"),
        }),
        &["api", "versions", "key"],
    );
    root["dependentRequired"] = json!({ "split_buckets": ["split"] });
    root["not"] = json!({ "required": ["canary_percentage", "split"] });
    root["examples"] = json!([{
        "api": "users",
        "versions": { "from": "v1", "to": "v2" },
        "key": { "header": "x-user-id" },
        "canary_percentage": 10,
    }]);
    root["$defs"] = json!({
        "key": key(),
        "split": split(),
        "condition": condition(),
    });
    extend(&mut schema, root);
    schema
}

fn extend(schema: &mut Value, more: Value) {
    if let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) {
        schema.extend(more);
    }
}

/// An object of these fields, the caller's own (`x-…`), and no others.
fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// The reader counts bytes, a schema characters: never fewer.
fn text(max: usize) -> Value {
    json!({ "type": "string", "maxLength": max })
}

fn name(description: &str, examples: &[&str]) -> Value {
    let mut schema = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_BYTES_MAX,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        "description": description,
    });
    if !examples.is_empty() {
        schema["examples"] = json!(examples);
    }
    schema
}

fn flag(description: &str, default: bool) -> Value {
    json!({ "type": "boolean", "default": default, "description": description })
}

fn words(description: &str, words: &[&str], default: &str) -> Value {
    json!({ "enum": words, "default": default, "description": description })
}

fn share() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 100, "examples": [10, 0.5] })
}

fn versions() -> Value {
    let version = name("A version's name.", &["v1", "v2"]);
    json!({
        "description": "The versions, oldest first: the first is the stable one, the last the new one.",
        "oneOf": [
            object(
                json!({
                    "from": name("The old version.", &["v1"]),
                    "to": name("The new version.", &["v2"]),
                }),
                &["from", "to"],
            ),
            { "type": "array", "items": version, "minItems": 2, "maxItems": VERSIONS_MAX,
              "uniqueItems": true },
        ],
    })
}

fn key() -> Value {
    let mut parts = object(
        json!({
            "header": name("A request header; the case does not matter.", &["x-user-id"]),
            "cookie": name("A cookie.", &["session"]),
            "attribute": name("An attribute that the adapter supplies.", &["user_id"]),
            "address": { "const": true, "description": "The peer's address." },
            "on_missing_key": words("What a request without a key gets where a share would \
                decide: the stable version, or one by draw.", &["stable", "random"], "stable"),
        }),
        &[],
    );
    parts["oneOf"] = ["header", "cookie", "attribute", "address"]
        .map(|part| json!({ "required": [part] }))
        .into();
    json!({
        "description": "Where a request's routing key is found; just one place.",
        "oneOf": [{ "const": "address" }, parts],
    })
}

fn attributes() -> Value {
    let mut source = object(
        json!({
            "header": name("A request header; the case does not matter.", &["x-plan"]),
            "cookie": name("A cookie.", &["plan"]),
        }),
        &[],
    );
    source["oneOf"] = ["header", "cookie"].map(|part| json!({ "required": [part] })).into();
    json!({
        "type": "object",
        "description": "Where an edge finds the attributes that rules look at. Whatever is not \
            named here is absent there.",
        "propertyNames": { "minLength": 1, "maxLength": NAME_BYTES_MAX },
        "additionalProperties": source,
        "maxProperties": ATTRIBUTES_MAX,
        "examples": [{ "plan": { "header": "x-plan" } }],
    })
}

fn pins() -> Value {
    json!({
        "type": "object",
        "description": "Versions by key: these keys always get them.",
        "propertyNames": { "minLength": 1, "maxLength": KEY_BYTES_MAX },
        "additionalProperties": name("A version's name.", &[]),
        "maxProperties": PINS_MAX,
        "examples": [{ "partner-7": "v1", "qa-1": "v2" }],
    })
}

fn split() -> Value {
    json!({
        "type": "object",
        "description": "Weights by version. They need not sum to anything; one is above 0.",
        "additionalProperties": { "type": "number", "minimum": 0, "maximum": WEIGHT_MAX },
        "maxProperties": VERSIONS_MAX,
        "not": { "additionalProperties": { "const": 0 } },
        "examples": [{ "v1": 90, "v2": 10 }],
    })
}

fn split_buckets() -> Value {
    let bucket = json!({ "type": "integer", "minimum": 0, "maximum": BUCKETS });
    json!({
        "type": "array",
        "description": "The split's layout, as `get_config` writes it: ranges from 0 to 10000 without gaps.",
        "minItems": 1,
        "maxItems": BUCKETS,
        "items": object(
            json!({
                "version": name("Whose buckets.", &[]),
                "from": described(bucket.clone(), "The first bucket."),
                "to": described(bucket, "One past the last bucket."),
            }),
            &["version", "from", "to"],
        ),
    })
}

fn rule() -> Value {
    let mut rule = object(
        json!({
            "name": name("Its own; the salt of its split is made from it.", &["beta"]),
            "when": { "$ref": "#/$defs/condition" },
            "to": name("The version it leads to.", &["v2"]),
            "split": { "$ref": "#/$defs/split" },
        }),
        &["name"],
    );
    rule["oneOf"] = json!([{ "required": ["to"] }, { "required": ["split"] }]);
    described(rule, "A condition, and where it leads. Without `when` it always matches.")
}

fn condition() -> Value {
    let part = json!({ "$ref": "#/$defs/condition" });
    let parts = |description: &str| {
        let list = json!({ "type": "array", "items": part, "maxItems": CONDITIONS_MAX });
        described(list, description)
    };
    let value =
        json!({ "type": ["string", "number", "boolean"], "maxLength": ATTRIBUTE_BYTES_MAX });
    let semver = json!({
        "type": "string",
        "pattern": "^\\s*(>=|<=|!=|>|<|=)[^,]+(,\\s*(>=|<=|!=|>|<|=)[^,]+)*$",
        "maxLength": ATTRIBUTE_BYTES_MAX,
        "description": "Comparisons that must all hold, joined by commas.",
        "examples": [">=2.4", ">=2.4, <3"],
    });
    let mut attribute = object(
        json!({
            "attribute": name("An attribute of the request.", &["plan", "sdk"]),
            "equals": described(value.clone(), "Exactly this text."),
            "in": { "type": "array", "items": value, "maxItems": CONDITION_VALUES_MAX,
                "description": "One of these texts." },
            "prefix": described(value, "Text that begins so."),
            "present": { "type": "boolean", "description": "There (true) or not there (false)." },
            "semver": semver,
        }),
        &["attribute"],
    );
    attribute["oneOf"] = ["equals", "in", "prefix", "present", "semver"]
        .map(|test| json!({ "required": [test] }))
        .into();
    let one = |field: &str, schema: Value| {
        let mut fields = Map::new();
        fields.insert(field.to_owned(), schema);
        object(fields.into(), &[field])
    };
    json!({
        "description": "When a rule matches: a test of one attribute, or conditions combined.",
        "oneOf": [
            attribute,
            one("all", parts("All of these hold.")),
            one("any", parts("At least one of these holds.")),
            one("not", part.clone()),
        ],
        "examples": [{ "attribute": "plan", "in": ["beta", "internal"] }],
    })
}

/// A count of requests.
fn count() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": OUTCOME_COUNT_MAX })
}
