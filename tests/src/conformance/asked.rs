//! Vectors as HTTP requests: those that ask where a key goes under the plan of the start.
//!
//! An edge finds key and attributes where its plan says, so the plan says it: a header of
//! its own for each. Left out is what no single request can ask, such as shares for one
//! message, and what an edge draws by itself.

use serde_json::{Map, Value, json};

use super::generated::{KEY_HEADER, Request};
use crate::vectors::{Action, Case, Vectors};

/// What one case asks.
#[derive(Debug)]
pub struct Asked {
    /// File name and case name.
    pub place: String,
    /// The plan of the start, with sources.
    pub plan: Value,
    /// Requests, each with the reply to `route` that the vector expects.
    pub questions: Vec<(Request, Value)>,
}

/// The cases that ask anything.
pub fn asked(vectors: &Vectors) -> Vec<Asked> {
    vectors.cases.iter().filter_map(of_case).collect()
}

fn of_case(case: &Case) -> Option<Asked> {
    let init: Value = serde_json::from_slice(&case.init).ok()?;
    let mut plan = init.get("policy")?.clone();
    let by_chance = plan["key"]["on_missing_key"] == "random";
    if plan["sticky"] == false || plan["key"].get("attribute").is_some() {
        return None;
    }
    let mut questions = Vec::new();
    for step in &case.steps {
        let Action::Send { lines, expect } = &step.action else { break };
        // Several lines are no JSON, and rarely ask.
        let Ok(message) = serde_json::from_slice::<Value>(lines) else { break };
        let body = message.get("body").unwrap_or(&message);
        match body["type"].as_str() {
            Some("route") => {}
            // What changes nothing is passed over; after any other, decisions may differ.
            Some("get_users" | "get_migration_stats" | "get_config" | "explain") => continue,
            _ => break,
        }
        let Some(request) = request(body) else { continue };
        if by_chance && request.key.is_none() {
            continue;
        }
        let reply: Value = serde_json::from_slice(expect).ok()?;
        if reply["type"] == "route_ok" {
            questions.push((request, reply));
        }
    }
    if plan["key"].get("header").is_none() {
        plan["key"] = json!({ "header": KEY_HEADER });
    }
    let names = questions.iter().flat_map(|(request, _)| &request.attributes);
    let mut sources = plan["attributes"].as_object().cloned().unwrap_or_default();
    for (name, _) in names {
        let header = format!("x-attribute-{}", sources.len());
        sources.entry(name.clone()).or_insert_with(|| json!({ "header": header }));
    }
    plan["attributes"] = sources.into();
    (!questions.is_empty()).then(|| Asked { place: case.place.clone(), plan, questions })
}

/// A message that HTTP can say: no traffic of its own, and values that are headers'.
fn request(body: &Value) -> Option<Request> {
    let fields = body.as_object()?;
    if fields.contains_key("canary_percentage") || fields.contains_key("traffic_split") {
        return None;
    }
    let key = match fields.get("key") {
        None | Some(Value::Null) => None,
        Some(key) => Some(text(key)?),
    };
    let none = Map::new();
    let attributes = fields.get("attributes").map_or(Some(&none), Value::as_object)?;
    let given = attributes.iter().filter(|(_, value)| !value.is_null());
    let attributes = given.map(|(name, value)| Some((name.clone(), text(value)?)));
    Some(Request { key, attributes: attributes.collect::<Option<_>>()? })
}

/// As a header carries it. An empty one is as good as none, so it asks something else.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    (!text.is_empty() && text.trim() == text && !text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::vectors;

    /// A suite that asked nothing would find no difference.
    #[test]
    fn every_way_to_decide_is_asked() {
        let asked = asked(&vectors::read(&vectors::folder()).unwrap());
        assert!(asked.len() >= 30, "{} cases", asked.len());
        let questions = asked.iter().flat_map(|asked| &asked.questions);
        let reasons: BTreeSet<_> =
            questions.map(|(_, reply)| reply["reason"].as_str().unwrap().to_owned()).collect();
        let reasons: Vec<_> = reasons.iter().map(String::as_str).collect();
        assert_eq!(reasons, ["canary", "kill_switch", "no_key", "pin", "rule", "split", "stable"]);
        let dated = asked.iter().flat_map(|asked| &asked.questions);
        assert!(dated.clone().any(|(_, reply)| reply["headers"].get("sunset").is_some()));
    }

    #[test]
    fn what_http_cannot_say_is_left_out() {
        let request = |body: Value| request(&body).map(|request| (request.key, request.attributes));
        let none: Vec<(String, String)> = Vec::new();
        assert_eq!(request(json!({ "key": "a" })), Some((Some("a".into()), none.clone())));
        assert_eq!(request(json!({ "attributes": { "a": null } })), Some((None, none)));
        let attributes = vec![("a".into(), "1.5".into()), ("b".into(), "true".into())];
        let body = json!({ "attributes": { "a": 1.5, "b": true } });
        assert_eq!(request(body), Some((None, attributes)));
        for body in [
            json!({ "key": "" }),
            json!({ "key": "a\nb" }),
            json!({ "key": "a", "canary_percentage": 5 }),
            json!({ "attributes": { "a": " x" } }),
        ] {
            assert_eq!(request(body.clone()), None, "{body}");
        }
    }
}
