//! The HTTP side: who asks, what for, and in which words they are answered.
//!
//! Nothing here decides or remembers. A handler makes a job, hands it to the controller's
//! thread, and turns what comes back into an answer.

mod asking;
mod clients;
mod events;
mod health;
mod life;
pub(crate) mod limits;
mod module;
mod ofrep;
mod once;
mod policy;
mod problem;
mod reports;
mod rollout;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Access;
use super::decider::Decider;
use super::job::Desk;
use super::openapi;
use super::privacy::Identities;
use super::shared::Shared;
use crate::page::{self, About};

use limits::Limits;
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
    decider: Decider,
    limits: Arc<Limits>,
    identities: Identities,
}

impl App {
    /// Of its parts.
    pub(crate) fn new(
        desk: Desk,
        shared: Arc<Shared>,
        access: Access,
        decider: Decider,
        limits: Arc<Limits>,
        identities: Identities,
    ) -> App {
        App(Arc::new(Inner { desk, shared, access, decider, limits, identities }))
    }

    fn identities(&self) -> &Identities {
        &self.0.identities
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn decider(&self) -> &Decider {
        &self.0.decider
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

/// Everything that is served: the API, and the page that shows it.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    // The page's files are open to everybody; what it shows is asked for with its
    // visitor's token.
    let about = if app.access().is_open() { About::Migration } else { About::GuardedMigration };
    router
        .merge(page::router(about))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(problem::redirect_whole))
        .layer(from_fn_with_state(app.clone(), only_this_machine))
        .layer(from_fn_with_state(app.clone(), limits::guard))
        .with_state(app)
}

/// The OpenAPI description of every route.
pub(crate) fn description() -> String {
    let (_, document) = routes().split_for_parts();
    let document = openapi::complete(document);
    // Strings and numbers alone: it can always be written.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Each route once: a route that is not described cannot be added here.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::skeleton())
        .routes(routes!(policy::get, policy::put))
        .routes(routes!(policy::history))
        .routes(routes!(rollout::status))
        .routes(routes!(rollout::show))
        .routes(routes!(rollout::explanation))
        .routes(routes!(rollout::command))
        .routes(routes!(clients::list))
        .routes(routes!(clients::one, clients::forget))
        .routes(routes!(clients::declare))
        .routes(routes!(clients::repin))
        .routes(routes!(clients::sunset))
        .routes(routes!(life::brownouts, life::start_brownout))
        .routes(routes!(life::stop_brownout))
        .routes(routes!(life::life, life::advance))
        .routes(routes!(rollout::nodes))
        .routes(routes!(rollout::audit))
        .routes(routes!(events::stream))
        .routes(routes!(reports::totals))
        .routes(routes!(reports::clients))
        .routes(routes!(reports::outcomes))
        .routes(routes!(ofrep::one))
        .routes(routes!(ofrep::all))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(module::replace))
        .routes(routes!(health::description))
}

/// While something is open to this machine without a token, a web page must not reach it:
/// neither by a name of its own that leads here, nor by sending what it may send anywhere.
async fn only_this_machine(State(app): State<App>, request: Request, next: Next) -> Response {
    let foreign = if app.access().is_open() { from_elsewhere(&request) } else { None };
    match foreign {
        Some(detail) => Answered::new(403, detail).into_response(),
        None => next.run(request).await,
    }
}

/// Why a request is not of this machine.
fn from_elsewhere(request: &Request) -> Option<String> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(|host| host.as_str()).or_else(|| header(HOST));
    let host = host.unwrap_or_default();
    if !is_loopback(host) {
        return Some(format!(
            "host `{host}` is no name of this machine's loopback: ask 127.0.0.1 or localhost, or \
             start with --tokens"
        ));
    }
    // Browsers tell of the page's origin with everything that could change something.
    let origin = request.headers().get(ORIGIN).filter(|_| request.method() != Method::GET)?;
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let own = origin.split_once("://").is_some_and(|(_, own)| own == host);
    (!own).then(|| format!("a page of `{origin}` may not do this: start with --tokens"))
}

/// Names that no page can have: nobody can register them. The second is what the Envoy
/// filter calls its control server unless it is told otherwise.
const OUR_NAMES: [&str; 2] = ["localhost", "crossfade"];

/// Whether a `Host` header, with or without its port, names the loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let ip = name.parse::<std::net::IpAddr>();
    let ours = OUR_NAMES.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    ours || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_names_are_ours() {
        let ours =
            ["localhost", "LOCALHOST:7400", "crossfade", "127.0.0.1:1", "127.1.2.3", "[::1]:7400"];
        assert!(ours.iter().all(|host| is_loopback(host)));
        let others = [
            "",
            "evil.example",
            "localhost.evil.example",
            "crossfade.dev",
            "10.0.0.1",
            "[fe80::1]:1",
        ];
        assert!(others.iter().all(|host| !is_loopback(host)));
    }
}
