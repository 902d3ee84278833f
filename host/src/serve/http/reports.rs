//! What nodes have seen.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::asking::{AnyReporter, Body, Json, Reporter};
use super::problem::Answered;
use crate::serve::access::Holder;
use crate::serve::controller::nodes;
use crate::serve::job::{Answer, Report, Work};
use crate::serve::openapi::documents;

/// Reports in one body; each takes an answer.
const LINES_MAX: usize = 10_000;

/// Takes in what nodes have counted.
#[utoipa::path(
    post,
    path = "/v1/totals",
    tag = "Reports",
    operation_id = "post_totals",
    request_body(content = String, content_type = "application/x-ndjson", description = "A line of totals for each node, as in docs/protocol.md"),
    extensions(("x-crossfade-role" = json!("report"))),
    responses(
        (status = 200, description = "Every line was taken in", body = String, content_type = "application/x-ndjson"),
        (status = 400, description = "A line was not taken in; its answer says why. The others were", body = String, content_type = "application/x-ndjson"),
    )
)]
pub(super) async fn totals(
    Reporter(holder): Reporter,
    State(app): State<App>,
    body: Body,
) -> Result<Response, Answered> {
    let lines =
        body.bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let reports: Vec<_> =
        lines.take(LINES_MAX + 1).map(|line| read(line, holder.as_ref())).collect();
    if reports.is_empty() {
        return Err(Answered::new(400, "no line: send one of totals for each node"));
    }
    if reports.len() > LINES_MAX {
        return Err(Answered::new(413, format!("more than {LINES_MAX} lines in one body")));
    }
    let lines = match app.desk().ask(Work::Totals { reports }).await {
        Ok(Answer::Lines(lines)) => lines,
        Ok(_) => return Err(Answered::new(500, "no answer to totals")),
        Err(refusal) => return Err(refusal.into()),
    };
    let mut body = String::new();
    let mut status = StatusCode::OK;
    for line in &lines {
        status = status.max(status_of(line));
        body.push_str(line);
        body.push('\n');
    }
    Ok((status, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// A line, looked at, or the answer to one that is not taken in.
fn read(line: &[u8], holder: Option<&Holder>) -> Result<Report, String> {
    let refused = |code: u32, text: String| {
        json!({ "type": "error", "code": code, "text": text }).to_string()
    };
    let report = nodes::read(line).map_err(|text| refused(12, text))?;
    match holder {
        Some(holder) if !holder.may_report_for(&report.node) => {
            let text = format!("the token `{}` may not report for `{}`", holder.name, report.node);
            Err(refused(22, text))
        }
        _ => Ok(report),
    }
}

/// What a line's answer makes of the whole: too many sources is worse than a wrong line.
fn status_of(line: &str) -> StatusCode {
    #[derive(Deserialize)]
    struct Head {
        code: Option<u32>,
    }
    match serde_json::from_str::<Head>(line).ok().and_then(|head| head.code) {
        None => StatusCode::OK,
        Some(11) => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) => StatusCode::BAD_REQUEST,
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcomes {
    /// As in `report_outcomes`.
    #[schema(value_type = Vec<documents::Outcome>)]
    outcomes: Value,
}

/// Takes in how requests went, from services that have no edge.
#[utoipa::path(
    post,
    path = "/v1/outcomes",
    tag = "Reports",
    operation_id = "post_outcomes",
    request_body = Outcomes,
    extensions(("x-crossfade-role" = json!("report"))),
    responses(
        (status = 200, description = "They were taken in", body = documents::Nothing),
    )
)]
pub(super) async fn outcomes(
    _: AnyReporter,
    State(app): State<App>,
    Json(mut body): Json<Outcomes>,
) -> Result<Response, Answered> {
    let policy = app.shared().policy().borrow().clone();
    app.identities().hide(policy.as_deref(), &mut body.outcomes);
    let work = Work::Act {
        message: json!({ "type": "report_outcomes", "outcomes": body.outcomes }),
        answer: Some("report_outcomes_ok"),
        note: None,
        expected: None,
    };
    match app.desk().ask(work).await {
        Ok(_) => Ok(axum::Json(json!({})).into_response()),
        Err(refusal) => Err(refusal.into()),
    }
}
