//! Another engine, while this one serves.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::App;
use super::asking::{Body, Operator, Query};
use super::problem::Answered;
use crate::serve::job::{Answer, Note, Work};
use crate::serve::module;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
}

/// `POST /v1/module`: the body is a module. It is tested, takes over with the state of the
/// one that runs, and is on trial for a while.
pub(super) async fn replace(
    operator: Operator,
    State(app): State<App>,
    Query(why): Query<Why>,
    Body(body): Body,
) -> Result<Response, Answered> {
    let name = format!("from {}", operator.name);
    // Compiling takes a second of a whole core.
    let tested = tokio::task::spawn_blocking(move || module::tested(&name, body.to_vec()));
    let candidate = match tested.await {
        Ok(Ok(candidate)) => candidate,
        Ok(Err(unfit)) => return Err(Answered::new(422, unfit.to_string())),
        Err(error) => return Err(Answered::new(500, error.to_string())),
    };
    let note = Note { who: operator.name, what: "module", why: why.reason };
    match app.desk().ask(Work::Swap(candidate, note)).await {
        Ok(Answer::Document(about)) => Ok(axum::Json(about).into_response()),
        Ok(_) => Err(Answered::new(500, "no answer to a new module")),
        Err(refusal) => Err(refusal.into()),
    }
}
