//! The rollout: how it stands, what operators tell it, and who is where.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::asking::{Json, Operator, Query, Reader};
use super::problem::Answered;
use crate::serve::job::{Answer, Note, Query as StoreQuery, Rows, Work};

async fn reply(app: &App, message: Value, answer: &'static str) -> Result<Response, Answered> {
    match app.desk().ask(Work::Ask { message, answer }).await {
        Ok(answer) => Ok(shown(answer)),
        Err(refusal) => Err(refusal.into()),
    }
}

fn shown(answer: Answer) -> Response {
    match answer {
        Answer::Reply(reply) => {
            ([(header::CONTENT_TYPE, "application/json")], reply).into_response()
        }
        Answer::Document(document) => axum::Json(document).into_response(),
        Answer::Rows(Rows::Audit(rows)) => axum::Json(json!({ "audit": rows })).into_response(),
        other => {
            Answered::new(500, format!("an answer of another kind: {other:?}")).into_response()
        }
    }
}

/// `GET /v1/rollout`
pub(super) async fn show(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    reply(&app, json!({ "type": "get_rollout" }), "rollout").await
}

/// `GET /v1/rollout/explanation`
pub(super) async fn explanation(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let message = json!({ "type": "explain_rollout" });
    reply(&app, message, "rollout_explanation").await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
    /// With `promote`: to the last step.
    full: Option<bool>,
}

/// `POST /v1/rollout/{command}`
pub(super) async fn command(
    operator: Operator,
    State(app): State<App>,
    Path(command): Path<String>,
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
    let note = Note { who: operator.name, what, why: body.reason };
    let work = Work::Act { message, answer, note: Some(note), expected: None };
    let done = app.desk().ask(work).await;
    done.map(shown).map_err(Answered::from)
}

/// `GET /v1/status`
pub(super) async fn status(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let status = app.desk().ask(Work::Status).await;
    status.map(shown).map_err(Answered::from)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clients {
    version: Option<String>,
    limit: Option<u64>,
}

/// `GET /v1/clients`
pub(super) async fn clients(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Clients>,
) -> Result<Response, Answered> {
    let mut message = json!({ "type": "get_clients", "limit": asked.limit.unwrap_or(100) });
    if let Some(version) = asked.version {
        message["version"] = version.into();
    }
    reply(&app, message, "clients").await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sunset {
    window_ms: Option<u64>,
}

/// `GET /v1/sunset`
pub(super) async fn sunset(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Sunset>,
) -> Result<Response, Answered> {
    let message = json!({ "type": "get_sunset", "window_ms": asked.window_ms });
    reply(&app, message, "sunset").await
}

/// `GET /v1/nodes`
pub(super) async fn nodes(_: Reader, State(app): State<App>) -> Result<Response, Answered> {
    let nodes = app.desk().ask(Work::Nodes).await;
    nodes.map(shown).map_err(Answered::from)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audit {
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/audit`
pub(super) async fn audit(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Audit>,
) -> Result<Response, Answered> {
    let limit = asked.limit.unwrap_or(1_000).min(10_000);
    let query = StoreQuery::Audit { after: asked.after.unwrap_or(0), limit };
    let rows = app.desk().ask(Work::Read(query)).await;
    rows.map(shown).map_err(Answered::from)
}
