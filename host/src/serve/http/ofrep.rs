//! OFREP 0.3, the OpenFeature Remote Evaluation Protocol: "which version for this client?"
//! to every OpenFeature SDK. The one flag there is has the API's name for its key, and
//! versions for values.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::App;
use super::asking::{Edge, JsonBody};
use crate::serve::decider::{Decided, Subject, Undecided};
use crate::serve::openapi::ofrep as documents;

/// An evaluation that failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    error_details: String,
    #[serde(skip)]
    status: u16,
}

impl Failure {
    fn new(status: u16, error_code: &'static str, error_details: impl Into<String>) -> Failure {
        let error_details = error_details.into();
        Failure { key: None, error_code: Some(error_code), error_details, status }
    }

    fn of(mut self, key: &str) -> Failure {
        self.key = Some(key.to_owned());
        self
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(&self)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Undecided> for Failure {
    fn from(undecided: Undecided) -> Failure {
        let text = undecided.to_string();
        match undecided {
            Undecided::Subject(_) => Failure::new(400, "INVALID_CONTEXT", text),
            // OpenFeature's general error has no code.
            Undecided::NoPolicy | Undecided::Busy | Undecided::Failed(_) => {
                Failure { key: None, error_code: None, error_details: text, status: 503 }
            }
        }
    }
}

/// Evaluates one flag.
///
/// The flag's key is the plan's `api`; its value and variant are the version.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags/{key}",
    tag = "OpenFeature",
    operation_id = "evaluate_flag",
    params(("key" = String, Path, description = "The plan's `api`")),
    request_body = documents::Evaluation,
    extensions(("x-crossfade-role" = json!("edge"))),
    responses(
        (status = 200, description = "The version", body = documents::Success),
        (status = 400, description = "The context is not what is read here", body = documents::Failed),
        (status = 404, description = "There is no such flag", body = documents::Failed),
        (status = 503, description = "There is no policy yet", body = documents::Failed),
    )
)]
pub(super) async fn one(
    _: Edge,
    State(app): State<App>,
    Path(key): Path<String>,
    JsonBody(body): JsonBody,
) -> Response {
    let subject = match read(&body.bytes) {
        Ok(subject) => subject,
        Err(failure) => return failure.of(&key).into_response(),
    };
    let decided = match app.decider().decide(subject).await {
        Ok(decided) => decided,
        Err(undecided) => return Failure::from(undecided).of(&key).into_response(),
    };
    let flag = flag_key(&decided);
    if key != flag {
        let details = format!("there is one flag here: `{flag}`");
        return Failure::new(404, "FLAG_NOT_FOUND", details).of(&key).into_response();
    }
    match evaluation(&decided) {
        Ok(evaluation) => axum::Json(evaluation).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// Evaluates every flag: the one there is.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags",
    tag = "OpenFeature",
    operation_id = "evaluate_flags",
    params(("if-none-match" = Option<String>, Header, description = "The `ETag` of an earlier answer")),
    request_body = documents::Evaluation,
    extensions(("x-crossfade-role" = json!("edge"))),
    responses(
        (status = 200, description = "The flags", body = documents::Bulk),
        (status = 304, description = "As before"),
        (status = 400, description = "The context is not what is read here", body = documents::Failed),
        (status = 503, description = "There is no policy yet", body = documents::Failed),
    )
)]
pub(super) async fn all(
    _: Edge,
    State(app): State<App>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Response {
    let subject = match read(&body.bytes) {
        Ok(subject) => subject,
        Err(failure) => return failure.into_response(),
    };
    let decided = match app.decider().decide(subject).await {
        Ok(decided) => decided,
        Err(undecided) => return Failure::from(undecided).into_response(),
    };
    let flag = match evaluation(&decided) {
        Ok(evaluation) => evaluation,
        Err(failure) => json!(failure),
    };
    let revision = decided.policy.revision;
    let body = json!({ "flags": [flag], "metadata": { "revision": revision } }).to_string();
    let tag = entity_tag(&body);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|list| names(list, &tag));
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The subject in `{"context":{"targetingKey":…,…}}`.
fn read(body: &[u8]) -> Result<Subject, Failure> {
    let wrong = |details: String| Failure::new(400, "INVALID_CONTEXT", details);
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Failure::new(400, "PARSE_ERROR", format!("no JSON: {error}")))?;
    let Value::Object(mut body) = body else {
        let details = "the body is no object: send {\"context\":{\"targetingKey\":…}}";
        return Err(Failure::new(400, "PARSE_ERROR", details));
    };
    let mut attributes = match body.remove("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return Err(wrong("context: not an object".to_owned())),
    };
    let key = match attributes.remove("targetingKey") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key).filter(|key| !key.is_empty()),
        Some(_) => return Err(wrong("context.targetingKey: not a string".to_owned())),
    };
    Ok(Subject { key, attributes })
}

fn flag_key(decided: &Decided) -> &str {
    decided.policy.document.get("api").and_then(Value::as_str).unwrap_or_default()
}

/// The answer for one flag.
fn evaluation(decided: &Decided) -> Result<Value, Failure> {
    let route = &decided.route;
    let key = flag_key(decided);
    // The engine has an answer, the stable version; but a client whose key gets lost on
    // the way would never learn of it.
    if route.reason == "no_key" {
        let details = "context.targetingKey is missing: the share is taken by it";
        return Err(Failure::new(400, "TARGETING_KEY_MISSING", details).of(key));
    }
    let mut metadata = json!({ "revision": decided.policy.revision, "reason": route.reason });
    if let Some(bucket) = route.bucket {
        metadata["bucket"] = bucket.into();
    }
    if let Some(rule) = &route.rule {
        metadata["rule"] = rule.clone().into();
    }
    // The value is the version that would have served: whoever asks should not call it.
    if let Some(refusal) = &route.refusal {
        metadata["refused"] = route.reason.clone().into();
        metadata["status"] = refusal.status.into();
    }
    Ok(json!({
        "key": key,
        "value": route.version,
        "variant": route.version,
        "reason": reason(&route.reason),
        "metadata": metadata,
    }))
}

/// OpenFeature's word for why.
fn reason(ours: &str) -> &'static str {
    match ours {
        "pin" | "rule" | "ready" | "blocked" | "pinned_back" => "TARGETING_MATCH",
        "canary" | "split" => "SPLIT",
        "kill_switch" | "guard" | "brownout" | "gone" => "DISABLED",
        "stable" => "STATIC",
        "no_key" => "DEFAULT",
        _ => "UNKNOWN",
    }
}

fn entity_tag(body: &str) -> String {
    let digest = Sha256::digest(body);
    let (half, _) = digest.split_at(16);
    let hex: String = half.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether an `If-None-Match` header names this tag, by the weak comparison.
fn names(list: &HeaderValue, tag: &str) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.split(',')
        .map(str::trim)
        .any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_a_key_and_attributes_or_an_error_of_openfeature() {
        let read = |body: &str| match read(body.as_bytes()) {
            Ok(Subject { key, attributes }) => {
                format!("{} {}", key.unwrap_or_default(), Value::Object(attributes))
            }
            Err(failure) => {
                format!("{}: {}", failure.error_code.unwrap_or_default(), failure.error_details)
            }
        };
        let cases = [
            (r#"{"context":{"targetingKey":"ann","plan":"free"}}"#, r#"ann {"plan":"free"}"#),
            (r#"{"context":{"targetingKey":""}}"#, " {}"),
            (r#"{"context":null,"more":1}"#, " {}"),
            ("{}", " {}"),
            (r#"{"context":[]}"#, "INVALID_CONTEXT: context: not an object"),
            (
                r#"{"context":{"targetingKey":7}}"#,
                "INVALID_CONTEXT: context.targetingKey: not a string",
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body), expected, "{body}");
        }
        for body in ["", "{", "[]", "\"x\"", "{\"a\":1}}"] {
            assert!(read(body).starts_with("PARSE_ERROR: "), "{body}: {}", read(body));
        }
    }

    #[test]
    fn every_reason_of_ours_is_one_of_openfeature() {
        let ours = ["kill_switch", "guard", "pin", "rule", "split", "canary", "no_key", "stable"];
        assert!(ours.into_iter().all(|ours| reason(ours) != "UNKNOWN"));
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list_of_them() {
        let named = |list: &'static str| names(&HeaderValue::from_static(list), "\"ab\"");
        assert!(["\"ab\"", "W/\"ab\"", "\"x\", \"ab\"", "*"].into_iter().all(named));
        assert!(!["", "ab", "\"abc\"", "\"x\",W/\"y\""].into_iter().any(named));
    }
}
