//! The end of an old version: brownouts, and the phases of a migration's life.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Number, json};

use super::App;
use super::asking::{Json, Operator, Reader};
use super::clients::reason;
use super::once::Once;
use super::problem::Answered;
use super::rollout::{act, reply};
use crate::serve::job::Note;
use crate::serve::openapi::documents;

/// Windows in which a share of the old version's calls is refused, and what they did.
#[utoipa::path(
    get,
    path = "/v1/brownouts",
    tag = "Life",
    operation_id = "get_brownouts",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Every brownout, past and to come", body = documents::Brownouts),
    )
)]
pub(super) async fn brownouts(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    reply(&app, json!({ "type": "get_brownouts" }), "brownouts").await
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBrownout {
    /// What it is called; a name is made when there is none.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// For how long.
    #[schema(value_type = f64, minimum = 0)]
    minutes: Number,
    /// The share of the old version's clients that is refused.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    percentage: Number,
    /// The status of refused calls.
    #[schema(minimum = 400, maximum = 599)]
    status: Option<u16>,
    /// Keys that are spared.
    exempt: Option<Vec<String>>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(min_length = 1)]
    reason: String,
}

/// Begins a brownout now.
#[utoipa::path(
    post,
    path = "/v1/brownouts",
    tag = "Life",
    operation_id = "start_brownout",
    params(("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again")),
    request_body = StartBrownout,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It has begun", body = documents::Brownouts),
        (status = 409, description = "It cannot begin now: nothing was changed", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn start_brownout(
    operator: Operator,
    State(app): State<App>,
    once: Once,
    Json(body): Json<StartBrownout>,
) -> Result<Response, Answered> {
    let why = reason(body.reason)?;
    let mut message = json!({
        "type": "start_brownout",
        "minutes": body.minutes,
        "percentage": body.percentage,
    });
    if let Some(name) = body.name {
        message["name"] = name.into();
    }
    if let Some(status) = body.status {
        message["status"] = status.into();
    }
    if let Some(exempt) = body.exempt {
        message["exempt"] = exempt.into();
    }
    let once = once.of(&json!([message, why]));
    let note = Note { who: operator.name, what: "brownout start", why, once };
    Ok(act(&app, message, Some("brownouts"), note).await?)
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(min_length = 1)]
    reason: String,
}

/// Ends a brownout now, or calls off one that is to come.
#[utoipa::path(
    post,
    path = "/v1/brownouts/{name}/stop",
    tag = "Life",
    operation_id = "stop_brownout",
    params(
        ("name" = String, Path, description = "Its name"),
        ("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again"),
    ),
    request_body = Why,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It is over", body = documents::Brownouts),
        (status = 404, description = "There is none of that name", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop_brownout(
    operator: Operator,
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    once: Once,
    Json(body): Json<Why>,
) -> Result<Response, Answered> {
    let Path(name) = path.map_err(|wrong| Answered::new(400, wrong.body_text()))?;
    let why = reason(body.reason)?;
    let message = json!({ "type": "stop_brownout", "name": name, "reason": why });
    let once = once.of(&message);
    let note = Note { who: operator.name, what: "brownout stop", why, once };
    Ok(act(&app, message, Some("brownouts"), note).await?)
}

/// Where the migration stands in its life, and where it may go from there.
#[utoipa::path(
    get,
    path = "/v1/life",
    tag = "Life",
    operation_id = "get_life",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "The phase, and what may come next", body = documents::Life),
    )
)]
pub(super) async fn life(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    reply(&app, json!({ "type": "get_life" }), "life").await
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Advance {
    // The phase to go to.
    #[schema(inline)]
    to: documents::LifePhase,
    /// Whatever is said against it.
    force: Option<bool>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(min_length = 1)]
    reason: String,
}

/// Takes the migration to another phase of its life.
#[utoipa::path(
    post,
    path = "/v1/life",
    tag = "Life",
    operation_id = "advance_life",
    params(("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again")),
    request_body = Advance,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It is in that phase now", body = documents::Life),
        (status = 409, description = "That would be unsafe: why, and nothing was changed", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn advance(
    operator: Operator,
    State(app): State<App>,
    once: Once,
    Json(body): Json<Advance>,
) -> Result<Response, Answered> {
    let why = reason(body.reason)?;
    let mut message = json!({ "type": "advance_life", "to": body.to, "reason": why });
    let what = match body.force {
        Some(true) => "life advance --force",
        _ => "life advance",
    };
    if let Some(force) = body.force {
        message["force"] = force.into();
    }
    let once = once.of(&message);
    let note = Note { who: operator.name, what, why, once };
    Ok(act(&app, message, Some("life"), note).await?)
}
