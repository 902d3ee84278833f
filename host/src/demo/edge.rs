//! The demo's own endpoint, for machines without an Envoy: it asks the engine where each
//! request goes, sends it there, and reports as edges do. It is no proxy for anything else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use crossfade_protocol::clients::Declared;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::deciding::{Caller, Deciding, Ended};
use super::plan::{APP, KEY, SAYS, VERSIONS};
use crate::client::Client;
use crate::exit::Failure;

/// How often the engine hears how requests ended, and the control plane with it.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Reports of clients that are sent one after the other.
const REPORTS_AT_ONCE: usize = 16;

/// Speaks HTTP/1.1 and keeps its connections.
pub(super) type Plain = Http<HttpConnector, Body>;

/// A client for plain HTTP.
pub(super) fn plain() -> Plain {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Http::builder(TokioExecutor::new()).pool_max_idle_per_host(128).build(connector)
}

/// What all requests share.
pub(super) struct Edge {
    deciding: Mutex<Deciding>,
    upstreams: [SocketAddr; 2],
    http: Plain,
    /// Why nothing more can be decided.
    broken: watch::Sender<Option<String>>,
}

impl Edge {
    pub(super) fn new(deciding: Deciding, upstreams: [SocketAddr; 2]) -> Arc<Edge> {
        let broken = watch::Sender::new(None);
        Arc::new(Edge { deciding: Mutex::new(deciding), upstreams, http: plain(), broken })
    }

    /// Calls of the engine so far.
    pub(super) fn calls(&self) -> u64 {
        self.with(|deciding| deciding.calls())
    }

    /// Ends the record, if there is one.
    pub(super) fn end_record(&self) {
        let done = self.with(Deciding::end_record);
        self.or_break(done);
    }

    /// Why it does not work any more, if so.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.borrow().clone()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Deciding) -> T) -> T {
        act(&mut self.deciding.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn or_break<T>(&self, done: Result<T, Failure>) -> Option<T> {
        done.map_err(|failure| self.broken.send_replace(Some(failure.message))).ok()
    }

    /// Serves until the program ends.
    pub(super) fn serve(self: &Arc<Edge>, listener: TcpListener) {
        let router = Router::new().fallback(forward).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    /// Fetches policies, and reports; returns when it is broken. Blocks.
    pub(super) fn keep_in_step(&self, control: &Client, ends: &watch::Receiver<bool>) {
        while !*ends.borrow() && self.broken().is_none() {
            let since = Instant::now();
            let done = self.report(control);
            self.or_break(done);
            std::thread::sleep(REPORT_EVERY.saturating_sub(since.elapsed()));
        }
    }

    /// Reports everything that there is, and takes up what is in force. What the control
    /// plane does not answer is tried again the next time.
    pub(super) fn report(&self, control: &Client) -> Result<(), Failure> {
        self.with(Deciding::hand_over)?;
        if let Ok(policy) = control.get("/v1/policy") {
            let revision = policy["revision"].as_u64().unwrap_or_default();
            self.with(|deciding| deciding.adopt(revision, &policy["document"]))?;
        }
        let totals = self.with(Deciding::totals)?;
        let _ = control.post("/v1/totals", &totals);
        for _ in 0..REPORTS_AT_ONCE {
            let Some(report) = self.with(Deciding::clients)? else { break };
            if control.post("/v1/client-reports", &report).is_err() {
                break;
            }
            self.with(|deciding| deciding.acknowledge(&report));
        }
        Ok(())
    }
}

async fn forward(State(edge): State<Arc<Edge>>, mut request: Request) -> Response {
    let caller = caller(request.headers());
    let decided = edge.with(|deciding| deciding.route(&caller));
    let Some(route) = edge.or_break(decided) else {
        return (StatusCode::BAD_GATEWAY, "the demo's engine has ended\n").into_response();
    };
    if let Some(refusal) = &route.refusal {
        edge.with(|deciding| deciding.ended(&caller, &route.version, Ended::Refused));
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::GONE);
        let mut response = (status, refusal.body.clone()).into_response();
        response.headers_mut().remove("content-type");
        mark(response.headers_mut(), refusal.headers.iter().chain(&route.headers), &route.reason);
        return response;
    }
    let place = VERSIONS.iter().position(|version| *version == route.version).unwrap_or(0);
    let Some(to) = at(edge.upstreams[place], request.uri()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = to;
    let headers = request.headers_mut();
    headers.remove("host");
    if let Ok(version) = HeaderValue::from_str(&route.version) {
        headers.insert("x-api-version", version);
    }
    let since = Instant::now();
    let answer = edge.http.request(request).await;
    let latency = since.elapsed();
    let failed = answer.as_ref().map_or(true, |answer| answer.status().is_server_error());
    edge.with(|deciding| {
        deciding.ended(&caller, &route.version, Ended::Answered { failed, latency });
    });
    match answer {
        Ok(answer) => {
            let mut response = answer.map(Body::new);
            mark(response.headers_mut(), route.headers.iter(), &route.reason);
            response
        }
        Err(_) => (StatusCode::BAD_GATEWAY, "bad gateway\n").into_response(),
    }
}

/// The same path and query there, whatever host the client named.
fn at(upstream: SocketAddr, asked: &Uri) -> Option<Uri> {
    // The `*` of OPTIONS behind a port would make it none, and no port is 80.
    let path = asked.path_and_query().filter(|path| path.as_str() != "*");
    let path = path.map_or("/", |path| path.as_str());
    let to = Uri::builder().scheme("http").authority(upstream.to_string()).path_and_query(path);
    to.build().ok()
}

fn mark<'a>(
    headers: &mut HeaderMap,
    more: impl Iterator<Item = (&'a String, &'a String)>,
    reason: &str,
) {
    for (name, value) in more {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    if let Ok(reason) = HeaderValue::from_str(reason) {
        headers.insert("x-crossfade-reason", reason);
    }
}

fn caller(headers: &HeaderMap) -> Caller {
    let text = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let agent = text("user-agent").and_then(|agent| {
        let product = agent.split([' ', '(']).next()?;
        Some(product.chars().take(64).collect()).filter(|product: &String| !product.is_empty())
    });
    let says = text(SAYS).and_then(|says| {
        let (word, reason) = says.split_once(':').unwrap_or((&says, ""));
        match word.trim() {
            "ready" => Some(Declared::Ready),
            "blocked" => Some(Declared::Blocked(reason.trim().chars().take(64).collect())),
            _ => None,
        }
    });
    Caller { key: text(KEY), app: text(APP), agent, says }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_version_and_to_no_host_that_it_names() {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 8081));
        for (asked, path) in [
            ("/users/7?a=b", "/users/7?a=b"),
            ("//other.example/x", "//other.example/x"),
            ("http://other.example:1/x?y", "/x?y"),
            ("http://other.example?y", "/?y"),
            ("other.example:443", "/"),
            ("*", "/"),
        ] {
            let to = at(upstream, &asked.parse().unwrap()).unwrap();
            assert_eq!(to.authority().unwrap().as_str(), "127.0.0.1:8081", "{asked}");
            assert_eq!(to.port_u16(), Some(8081), "{asked}");
            assert_eq!(to.to_string(), format!("http://127.0.0.1:8081{path}"), "{asked}");
        }
    }

    #[test]
    fn who_calls_is_read_from_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (KEY, "c7"),
            (APP, "1.4"),
            ("user-agent", "okhttp/4.12 (Linux)"),
            (SAYS, "blocked: no time"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let expected = Caller {
            key: Some("c7".to_owned()),
            app: Some("1.4".to_owned()),
            agent: Some("okhttp/4.12".to_owned()),
            says: Some(Declared::Blocked("no time".to_owned())),
        };
        assert_eq!(caller(&headers), expected);
        assert_eq!(caller(&HeaderMap::new()), Caller::default());
    }
}
