//! Another engine, while this one serves.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::App;
use super::asking::{BodyUpTo, Operator, Query};
use super::problem::Answered;
use crate::module::MODULE_BYTES_MAX;
use crate::serve::job::{Answer, Note, Work};
use crate::serve::module;
use crate::serve::openapi::documents;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Why {
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
}

/// Has another engine take over, with the state of the one that runs.
#[utoipa::path(
    post,
    path = "/v1/module",
    tag = "Engine",
    operation_id = "post_module",
    params(Why),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The module"),
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It runs, on trial", body = documents::Engine),
        (status = 422, description = "It is unfit", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replace(
    operator: Operator,
    State(app): State<App>,
    Query(why): Query<Why>,
    body: BodyUpTo<{ MODULE_BYTES_MAX as usize }>,
) -> Result<Response, Answered> {
    let name = format!("from {}", operator.name);
    // Compiling takes a second of a whole core.
    let tested = tokio::task::spawn_blocking(move || module::tested(&name, body.bytes));
    let candidate = match tested.await {
        Ok(Ok(candidate)) => candidate,
        Ok(Err(unfit)) => return Err(Answered::new(422, unfit.to_string())),
        Err(error) => return Err(Answered::new(500, error.to_string())),
    };
    let note = Note { who: operator.name, what: "module", why: why.reason, once: None };
    match app.desk().ask(Work::Swap(candidate, note)).await {
        Ok(Answer::Document(about)) => Ok(axum::Json(about).into_response()),
        Ok(_) => Err(Answered::new(500, "no answer to a new module")),
        Err(refusal) => Err(refusal.into()),
    }
}
