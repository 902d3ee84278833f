//! The rollout: how it stands, what operators tell it, and who did and reported what.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::asking::{Json, Operator, Query, Reader, at_most, whole};
use super::once::{Once, REPLAYED};
use super::problem::Answered;
use crate::serve::job::{Answer, Note, Query as StoreQuery, Refusal, Rows, Work};
use crate::serve::openapi::documents;

pub(super) async fn reply(
    app: &App,
    message: Value,
    answer: &'static str,
) -> Result<Response, Answered> {
    match app.desk().ask(Work::Ask { message, answer }).await {
        Ok(answer) => Ok(shown(answer)),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Has the engine do something, and writes down who wanted it.
pub(super) async fn act(
    app: &App,
    message: Value,
    answer: Option<&'static str>,
    note: Note,
) -> Result<Response, Refusal> {
    let work = Work::Act { message, answer, note: Some(note), expected: None };
    app.desk().ask(work).await.map(shown)
}

pub(super) fn shown(answer: Answer) -> Response {
    match answer {
        Answer::Reply(reply) => {
            ([(header::CONTENT_TYPE, "application/json")], reply).into_response()
        }
        Answer::Again { reply, .. } => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (REPLAYED, "true")];
            (headers, reply).into_response()
        }
        Answer::Document(document) => axum::Json(document).into_response(),
        Answer::Rows(Rows::Audit(rows)) => axum::Json(json!({ "audit": rows })).into_response(),
        other => {
            Answered::new(500, format!("an answer of another kind: {other:?}")).into_response()
        }
    }
}

/// How the rollout stands.
#[utoipa::path(
    get,
    path = "/v1/rollout",
    tag = "Rollout",
    operation_id = "get_rollout",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "How the rollout stands", body = documents::Rollout),
    )
)]
pub(super) async fn show(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    reply(&app, json!({ "type": "get_rollout" }), "rollout").await
}

/// What happened and why, in sentences.
#[utoipa::path(
    get,
    path = "/v1/rollout/explanation",
    tag = "Rollout",
    operation_id = "explain_rollout",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "What happened and why, in sentences", body = documents::Explanation),
    )
)]
pub(super) async fn explanation(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let message = json!({ "type": "explain_rollout" });
    reply(&app, message, "rollout_explanation").await
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
    /// With `promote`: to the last step.
    full: Option<bool>,
}

/// Tells the rollout what to do.
#[utoipa::path(
    post,
    path = "/v1/rollout/{command}",
    tag = "Rollout",
    operation_id = "command_rollout",
    params(
        ("command" = inline(documents::RolloutCommand), Path, description = "What to do"),
        ("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again"),
    ),
    request_body = Command,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "How the rollout stands now", body = documents::Rollout),
        (status = 409, description = "Not in this phase: nothing was changed", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn command(
    operator: Operator,
    State(app): State<App>,
    Path(command): Path<String>,
    once: Once,
    Json(body): Json<Command>,
) -> Result<Response, Answered> {
    let (what, kind, answer) = match command.as_str() {
        // Its own reply comes when the rollout is over: nobody waits for that here.
        "start" => ("start", "gradual_rollout", None),
        "pause" => ("pause", "pause_rollout", Some("rollout")),
        "resume" => ("resume", "resume_rollout", Some("rollout")),
        "promote" if body.full == Some(true) => {
            ("promote --full", "promote_rollout", Some("rollout"))
        }
        "promote" => ("promote", "promote_rollout", Some("rollout")),
        "abort" => ("abort", "abort_rollout", Some("rollout")),
        "retry" => ("retry", "retry_rollout", Some("rollout")),
        "undo" => ("undo", "undo_rollout", Some("rollout")),
        _ => {
            let known = "start, pause, resume, promote, abort, retry and undo";
            return Err(Answered::new(404, format!("no command `{command}`: there are {known}")));
        }
    };
    let mut message = json!({ "type": kind });
    match body.full {
        Some(full) if command == "promote" => message["full"] = full.into(),
        Some(_) => return Err(Answered::new(422, "full: only `promote` has it")),
        None => {}
    }
    let once = once.of(&json!([message, body.reason]));
    let note = Note { who: operator.name, what, why: body.reason, once };
    Ok(act(&app, message, answer, note).await?)
}

/// Everything that a person wants to see at once.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "Rollout",
    operation_id = "get_status",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Everything that a person wants to see at once", body = documents::Status),
    )
)]
pub(super) async fn status(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let status = app.desk().ask(Work::Status).await;
    status.map(shown).map_err(Answered::from)
}

/// Who has reported, and when.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    tag = "Reports",
    operation_id = "get_nodes",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Who has reported", body = documents::Nodes),
    )
)]
pub(super) async fn nodes(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let nodes = app.desk().ask(Work::Nodes).await;
    nodes.map(shown).map_err(Answered::from)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Audit {
    /// Entries after this one.
    #[serde(default, deserialize_with = "whole")]
    after: Option<u64>,
    /// The newest entries before this one, in place of the oldest after another.
    #[serde(default, deserialize_with = "whole")]
    before: Option<u64>,
    /// How many at most; 1,000 unless it is said, and 10,000 at most.
    #[serde(default, deserialize_with = "at_most::<10_000, _>")]
    #[param(maximum = 10000)]
    limit: Option<u64>,
}

/// Who did what, when and why.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "History",
    operation_id = "get_audit",
    params(Audit),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Who did what, oldest first", body = documents::AuditLog),
    )
)]
pub(super) async fn audit(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Audit>,
) -> Result<Response, Answered> {
    let limit = asked.limit.unwrap_or(1_000) as usize;
    let query = match (asked.after, asked.before) {
        (Some(_), Some(_)) => {
            let text = "`after` and `before` are two directions: name one of them";
            return Err(Answered::new(400, text));
        }
        (None, Some(before)) => StoreQuery::AuditBefore { before, limit },
        (after, None) => StoreQuery::Audit { after: after.unwrap_or(0), limit },
    };
    let rows = app.desk().ask(Work::Read(query)).await;
    rows.map(shown).map_err(Answered::from)
}
