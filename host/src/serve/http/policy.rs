//! The policy: for edges, and for whoever puts another one in force.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use crossfade_protocol::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::asking::{Edge, Json, Operator, Query, Reader, at_most, whole};
use super::once::{Once, REPLAYED};
use super::problem::Answered;
use crate::serve::job::{Answer, Note, Query as StoreQuery, Rows, Work};
use crate::serve::openapi::documents;
use crate::serve::shared::Published;
use crate::serve::store::PolicyRow;

/// The longest a poll is held.
const WAIT_S_MAX: u64 = 60;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Poll {
    /// Seconds to wait for another policy.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

/// The policy in force.
#[utoipa::path(
    get,
    path = "/v1/policy",
    tag = "Policy",
    operation_id = "get_policy",
    params(Poll, ("if-none-match" = Option<String>, Header, description = "The `ETag` that is known")),
    extensions(("x-crossfade-role" = json!("edge"))),
    responses(
        (status = 200, description = "The policy in force; `ETag` is its revision", body = documents::Policy),
        (status = 304, description = "The policy of `If-None-Match` is in force"),
    )
)]
pub(super) async fn get(
    _: Edge,
    State(app): State<App>,
    headers: HeaderMap,
    Query(poll): Query<Poll>,
) -> Result<Response, Answered> {
    let mut policies = app.shared().policy();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if let Some(wait) = poll.wait {
        if wait > WAIT_S_MAX {
            let detail = format!("wait: {wait} is over {WAIT_S_MAX} seconds");
            return Err(Answered::new(400, detail));
        }
        let another = policies.wait_for(|policy| {
            policy.as_ref().is_some_and(|policy| known != Some(policy.etag.as_str()))
        });
        // Over time, the same policy is the answer.
        let _ = tokio::time::timeout(Duration::from_secs(wait), another).await;
    }
    let Some(policy) = policies.borrow().clone() else {
        return Err(Answered::new(503, "there is no policy yet: the server is starting"));
    };
    let tag = HeaderValue::from_str(&policy.etag)
        .map_err(|_| Answered::new(500, "the revision is no entity tag"))?;
    let headers =
        [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if known == Some(policy.etag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((headers, kind, policy.body.clone()).into_response())
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPolicy {
    /// The plan document.
    #[schema(value_type = Object)]
    document: Value,
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
}

/// Puts another policy in force.
#[utoipa::path(
    put,
    path = "/v1/policy",
    tag = "Policy",
    operation_id = "put_policy",
    params(
        ("if-match" = String, Header, description = "The `ETag` of the policy that this one replaces"),
        ("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again"),
    ),
    request_body = NewPolicy,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "The policy now in force", body = documents::Policy),
        (status = 409, description = "A rollout is running, or the document asks for hashes while clients are known by name", body = documents::Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another revision is in force", body = documents::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The document has problems", body = documents::Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    operator: Operator,
    State(app): State<App>,
    headers: HeaderMap,
    once: Once,
    Json(new): Json<NewPolicy>,
) -> Result<Response, Answered> {
    let expected = replaced(&headers)?;
    let message = json!({ "type": "check_policy", "document": new.document });
    let checked = match app.desk().ask(Work::Ask { message, answer: "policy_checked" }).await {
        Ok(Answer::Reply(reply)) => reply,
        Ok(_) => return Err(Answered::new(500, "no answer to check_policy")),
        Err(refusal) => return Err(refusal.into()),
    };
    #[derive(Deserialize)]
    struct Checked {
        valid: bool,
        problems: Vec<Problem>,
    }
    if let Ok(Checked { valid: false, problems }) = serde_json::from_str(&checked) {
        let detail = "the document has problems: nothing was changed";
        return Err(Answered::new(422, detail).with(problems));
    }
    let message = json!({ "type": "configure", "document": new.document });
    let once = once.of(&json!([message, expected, new.reason]));
    let note = Note { who: operator.name, what: "policy", why: new.reason, once };
    let (answer, note, expected) = (Some("configure_ok"), Some(note), Some(expected));
    match app.desk().ask(Work::Act { message, answer, note, expected }).await? {
        Answer::Again { revision, .. } => {
            let row = past(&app, revision, 1).await?.pop();
            let row = row.ok_or_else(|| Answered::new(503, "that policy is not kept any more"))?;
            let mut response = in_force(&Published::of(&row));
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        _ => {
            let policy = app.shared().policy().borrow().clone();
            let policy = policy.ok_or_else(|| Answered::new(503, "there is no policy"))?;
            Ok(in_force(&policy))
        }
    }
}

fn in_force(policy: &Published) -> Response {
    let headers = [
        (header::ETAG, policy.etag.clone()),
        (header::CONTENT_TYPE, "application/json".to_owned()),
    ];
    (headers, policy.body.clone()).into_response()
}

/// Policies up to this revision, the newest first.
async fn past(app: &App, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, Answered> {
    match app.desk().ask(Work::Read(StoreQuery::Policies { up_to, limit })).await? {
        Answer::Rows(Rows::Policies(rows)) => Ok(rows),
        _ => Err(Answered::new(500, "no policies")),
    }
}

/// The revision in `If-Match`.
fn replaced(headers: &HeaderMap) -> Result<u64, Answered> {
    let Some(tag) = headers.get(header::IF_MATCH) else {
        let detail = "send `if-match` with the entity tag of the policy that this one replaces \
                      (GET /v1/policy gives it): somebody may have changed it since you looked";
        return Err(Answered::new(428, detail));
    };
    let tag = tag.to_str().unwrap_or_default();
    let revision = tag.trim().trim_matches('"').parse();
    revision.map_err(|_| Answered::new(400, format!("if-match: `{tag}` is no entity tag of ours")))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Past {
    /// The newest revision that is wanted.
    #[serde(default, deserialize_with = "whole")]
    up_to: Option<u64>,
    /// How many at most; 20 unless it is said, and 1,000 at most.
    #[serde(default, deserialize_with = "at_most::<1_000, _>")]
    #[param(maximum = 1000)]
    limit: Option<u64>,
}

/// Past policies.
#[utoipa::path(
    get,
    path = "/v1/policies",
    tag = "Policy",
    operation_id = "get_policies",
    params(Past),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Policies, the newest first", body = documents::Policies),
    )
)]
pub(super) async fn history(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Past>,
) -> Result<Response, Answered> {
    let limit = asked.limit.unwrap_or(20) as usize;
    let rows = past(&app, asked.up_to.unwrap_or(u64::MAX), limit).await?;
    Ok(axum::Json(json!({ "policies": rows })).into_response())
}
