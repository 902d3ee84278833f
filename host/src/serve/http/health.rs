//! For machines that watch this one.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::asking::Reader;
use super::problem::Answered;
use crate::serve::metrics::{self, Format};
use crate::serve::openapi::documents;
use crate::serve::shared::State as Standing;

/// Whether the process serves.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Health",
    operation_id = "get_healthz",
    extensions(("x-crossfade-role" = json!("none"))),
    responses(
        (status = 200, description = "The process serves", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether it can do what it is there for.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Health",
    operation_id = "get_readyz",
    extensions(("x-crossfade-role" = json!("none"))),
    responses(
        (status = 200, description = "It can do what it is there for", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot, and why", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Answered> {
    match app.shared().state() {
        Standing::Leading => Ok("leading\n"),
        Standing::Standby { .. } if app.shared().policy().borrow().is_some() => Ok("standing by\n"),
        Standing::Standby { .. } | Standing::Starting => {
            Err(Answered::new(503, "starting: there is no policy yet"))
        }
        Standing::Failing { why } => Err(Answered::new(503, why)),
    }
}

/// Everything there is to measure, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Health",
    operation_id = "get_metrics",
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "OpenMetrics for who accepts it, else Prometheus' text", content((String = "application/openmetrics-text"), (String = "text/plain"))),
    )
)]
pub(super) async fn metrics(_: Reader, State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let text = metrics::text(app.desk(), app.shared(), app.limits(), format).await;
    ([(header::CONTENT_TYPE, format.media_type())], text).into_response()
}

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "Health",
    operation_id = "get_openapi",
    extensions(("x-crossfade-role" = json!("none"))),
    responses((status = 200, description = "OpenAPI 3.1", body = documents::Nothing))
)]
pub(super) async fn description() -> Response {
    // Nothing in it changes while the process runs.
    static DESCRIPTION: LazyLock<String> = LazyLock::new(crate::serve::http::description);
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION.as_str()).into_response()
}
