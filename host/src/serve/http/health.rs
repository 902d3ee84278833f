//! For machines that watch this one.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::asking::Reader;
use super::problem::Answered;
use crate::serve::shared::State as Standing;

/// `GET /healthz`: whether the process serves.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether it can do what it is there for.
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

/// `GET /metrics`
pub(super) async fn metrics(_: Reader, State(app): State<App>) -> Response {
    crate::serve::metrics::text(app.desk(), app.shared()).await.into_response()
}
