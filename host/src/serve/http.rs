//! The HTTP side: who asks, what for, and in which words they are answered.
//!
//! Nothing here decides or remembers. A handler makes a job, hands it to the controller's
//! thread, and turns what comes back into an answer.

mod asking;
mod events;
mod health;
mod module;
mod policy;
mod problem;
mod reports;
mod rollout;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::access::Access;
use super::job::Desk;
use super::shared::Shared;
use crate::module::MODULE_BYTES_MAX;

use problem::Answered;

/// A body over this is not read.
const BODY_BYTES_MAX: usize = 4 << 20;

/// What every handler can use.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    desk: Desk,
    shared: Arc<Shared>,
    access: Access,
}

impl App {
    /// Of its parts.
    pub(crate) fn new(desk: Desk, shared: Arc<Shared>, access: Access) -> App {
        App(Arc::new(Inner { desk, shared, access }))
    }

    fn desk(&self) -> &Desk {
        &self.0.desk
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn access(&self) -> &Access {
        &self.0.access
    }
}

/// Everything that is served.
pub(crate) fn router(app: App) -> Router {
    let operator = Router::new()
        .route("/v1/rollout", get(rollout::show))
        .route("/v1/rollout/explanation", get(rollout::explanation))
        .route("/v1/rollout/{command}", post(rollout::command))
        .route("/v1/status", get(rollout::status))
        .route("/v1/clients", get(rollout::clients))
        .route("/v1/sunset", get(rollout::sunset))
        .route("/v1/nodes", get(rollout::nodes))
        .route("/v1/audit", get(rollout::audit))
        .route("/v1/events", get(events::stream))
        .route("/v1/policies", get(policy::history))
        .route(
            "/v1/module",
            post(module::replace).layer(DefaultBodyLimit::max(MODULE_BYTES_MAX as usize)),
        );
    let edges = Router::new()
        .route("/v1/policy", get(policy::get).put(policy::put))
        .route("/v1/totals", post(reports::totals))
        .route("/v1/outcomes", post(reports::outcomes));
    let machines = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics));
    Router::new()
        .merge(operator)
        .merge(edges)
        .merge(machines)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(problem::redirect_whole))
        .layer(from_fn_with_state(app.clone(), only_this_machines_names))
        .with_state(app)
}

/// While something is open to this machine without a token, a web page must not reach it
/// by a name of its own that leads here.
async fn only_this_machines_names(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
    if app.access().is_open() && !host.is_some_and(is_loopback) {
        let host = host.unwrap_or_default();
        let detail = format!(
            "host `{host}` is no name of this machine's loopback: ask 127.0.0.1 or localhost, or \
             start with --tokens"
        );
        return Answered::new(403, detail).into_response();
    }
    next.run(request).await
}

/// Whether a `Host` header, with or without its port, names the loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let ip = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_names_are_ours() {
        let ours = ["localhost", "LOCALHOST:7400", "127.0.0.1:1", "127.1.2.3", "[::1]:7400"];
        assert!(ours.iter().all(|host| is_loopback(host)));
        let others = ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[fe80::1]:1"];
        assert!(others.iter().all(|host| !is_loopback(host)));
    }
}
