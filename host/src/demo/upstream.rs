//! Two small services, v1 and v2, and what can be wrong with the second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use clap::ValueEnum;
use crossfade_sim::Chance;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Mutex, watch};

use super::plan::{API, KEY, VERSIONS};

/// What is wrong with v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Three in ten of its requests fail
    Errors,
    /// Each of its requests takes a third of a second longer
    Slow,
    /// It fails for one partner, and serves everybody else
    Partner,
}

/// Share of requests that fail on either version while nothing is wrong.
const FAILS: f64 = 0.004;

/// Share that fails with [`Fault::Errors`].
const BROKEN: f64 = 0.3;

/// What [`Fault::Slow`] adds.
const SLOW: Duration = Duration::from_millis(330);

/// Milliseconds that an answer takes, at least and in the mean beyond that.
const TAKES_MS: (f64, f64) = (2.0, 8.0);

/// Both services, and the fault of the second.
#[derive(Debug)]
pub(super) struct Upstreams {
    pub(super) addresses: [SocketAddr; 2],
    services: [Arc<Service>; 2],
    fault: watch::Sender<Option<Fault>>,
    /// Has not looked yet.
    first: watch::Receiver<Option<Fault>>,
}

#[derive(Debug)]
struct Service {
    version: &'static str,
    partner: String,
    fault: watch::Receiver<Option<Fault>>,
    chance: Mutex<Chance>,
    served: AtomicU64,
    failed: AtomicU64,
}

/// What a service has in its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Served {
    pub(super) requests: u64,
    pub(super) failures: u64,
}

impl Upstreams {
    /// Starts both on free ports. `partner` is the key that [`Fault::Partner`] hits.
    ///
    /// # Errors
    /// Nothing can be listened on.
    pub(super) async fn start(partner: &str, seed: u64) -> std::io::Result<Upstreams> {
        let fault = watch::Sender::new(None);
        let service = |place: usize| {
            Arc::new(Service {
                version: VERSIONS[place],
                partner: partner.to_owned(),
                fault: fault.subscribe(),
                chance: Mutex::new(Chance::new(seed ^ place as u64)),
                served: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            })
        };
        let services = [service(0), service(1)];
        let old = serve(&services[0], None).await?;
        let new = serve(&services[1], Some(fault.clone())).await?;
        let first = fault.subscribe();
        Ok(Upstreams { addresses: [old, new], services, fault, first })
    }

    /// Breaks v2, or mends it.
    pub(super) fn lay(&self, fault: Option<Fault>) {
        self.fault.send_replace(fault);
    }

    /// What is wrong with v2: every change since the start is one.
    pub(super) fn fault(&self) -> watch::Receiver<Option<Fault>> {
        self.first.clone()
    }

    /// What each has served.
    pub(super) fn served(&self) -> [Served; 2] {
        let of = |service: &Service| Served {
            requests: service.served.load(Ordering::SeqCst),
            failures: service.failed.load(Ordering::SeqCst),
        };
        [of(&self.services[0]), of(&self.services[1])]
    }
}

async fn serve(
    service: &Arc<Service>,
    buttons: Option<watch::Sender<Option<Fault>>>,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let mut router = Router::new().fallback(answer).with_state(Arc::clone(service));
    if let Some(fault) = buttons {
        router = router.route("/fault/{name}", post(press).with_state(fault));
    }
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// `POST /fault/errors`, `slow`, `partner` or `none`, at v2.
async fn press(
    State(fault): State<watch::Sender<Option<Fault>>>,
    Path(name): Path<String>,
) -> Response {
    if name == "none" {
        fault.send_replace(None);
        return "v2 is mended\n".into_response();
    }
    match Fault::from_str(&name, true) {
        Ok(found) => {
            fault.send_replace(Some(found));
            format!("v2 has the fault {name} now; /fault/none mends it\n").into_response()
        }
        Err(_) => {
            let text = format!("no fault `{name}`: there are errors, slow, partner and none\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    service.served.fetch_add(1, Ordering::SeqCst);
    let key = request.headers().get(KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    let fault = *service.fault.borrow();
    let fault = fault.filter(|_| service.version == VERSIONS[1]);
    let mut fails = FAILS;
    let mut takes = Duration::ZERO;
    match fault {
        Some(Fault::Errors) => fails = BROKEN,
        Some(Fault::Slow) => takes = SLOW,
        Some(Fault::Partner) if key == service.partner => fails = 1.0,
        Some(Fault::Partner) | None => {}
    }
    let (failed, extra_ms) = {
        let mut chance = service.chance.lock().await;
        (chance.happens(fails), chance.exponential(TAKES_MS.1).min(100.0))
    };
    tokio::time::sleep(takes + Duration::from_secs_f64((TAKES_MS.0 + extra_ms) / 1_000.0)).await;
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    if failed {
        service.failed.fetch_add(1, Ordering::SeqCst);
    }
    let body = json!({ "api": API, "version": service.version, "user": key }).to_string() + "\n";
    let headers = [("x-served-by", service.version), ("content-type", "application/json")];
    (status, headers, body).into_response()
}
