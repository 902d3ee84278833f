//! What nodes have seen.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use crossfade_protocol::clients::ClientsReport;
use crossfade_protocol::limits::CLIENTS_REPORT_BYTES_MAX;
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
    take_in(&app, &body, |line| of_its_node(nodes::read(line), holder.as_ref())).await
}

/// Takes in what nodes have seen of their clients.
#[utoipa::path(
    post,
    path = "/v1/client-reports",
    tag = "Reports",
    operation_id = "post_client_reports",
    request_body(content = String, content_type = "application/x-ndjson", description = "Lines of what a node has seen of its clients since the report before, each of 64 KiB at most, as in docs/protocol.md. A line may come as often as the network likes: it is counted once"),
    extensions(("x-crossfade-role" = json!("report"))),
    responses(
        (status = 200, description = "Every line was taken in", body = String, content_type = "application/x-ndjson"),
        (status = 400, description = "A line was not taken in; its answer says why. The others were", body = String, content_type = "application/x-ndjson"),
    )
)]
pub(super) async fn clients(
    Reporter(holder): Reporter,
    State(app): State<App>,
    body: Body,
) -> Result<Response, Answered> {
    let policy = app.shared().policy().borrow().clone();
    let read = |line: &[u8]| {
        if line.len() > CLIENTS_REPORT_BYTES_MAX {
            let bytes = line.len();
            return Err(format!(
                "a report of clients of {bytes} bytes is over {CLIENTS_REPORT_BYTES_MAX}: what \
                 does not fit comes in the next"
            ));
        }
        let mut report = ClientsReport::read(line).map_err(|fault| fault.text)?;
        // Before anything keeps or counts it.
        let line = match app.identities().hide_clients(policy.as_deref(), &mut report) {
            true => serde_json::to_vec(&report).map_err(|error| error.to_string())?,
            false => line.to_vec(),
        };
        Ok(nodes::of_clients(&report, line))
    };
    take_in(&app, &body, |line| of_its_node(read(line), holder.as_ref())).await
}

/// Hands the lines of a body to the controller, and answers each.
async fn take_in(
    app: &App,
    body: &Body,
    read: impl Fn(&[u8]) -> Result<Report, String>,
) -> Result<Response, Answered> {
    let lines =
        body.bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let reports: Vec<_> = lines.take(LINES_MAX + 1).map(read).collect();
    if reports.is_empty() {
        return Err(Answered::new(400, "no line: send a report of each node"));
    }
    if reports.len() > LINES_MAX {
        return Err(Answered::new(413, format!("more than {LINES_MAX} lines in one body")));
    }
    let lines = match app.desk().ask(Work::Totals { reports }).await {
        Ok(Answer::Lines(lines)) => lines,
        Ok(_) => return Err(Answered::new(500, "no answer to reports")),
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

/// A report, if whoever sent it may speak for that node, or the answer to one that is not
/// taken in.
fn of_its_node(read: Result<Report, String>, holder: Option<&Holder>) -> Result<Report, String> {
    let refused = |code: u32, text: String| {
        json!({ "type": "error", "code": code, "text": text }).to_string()
    };
    let report = read.map_err(|text| refused(12, text))?;
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
