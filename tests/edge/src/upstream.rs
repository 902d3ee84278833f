//! The versions behind the proxy: servers that answer with what they received.
//!
//! A request says how it wants to be answered: `x-answer-status: 503`, or of one version
//! only `x-answer-status-v2: 503`,
//! `x-answer-break: 1` (the connection is broken off without an answer),
//! `x-answer-hold: 1`, or `x-answer-hold-v2: 1` (not before [`Upstream::release`]). A gRPC request is answered with
//! its own body and the trailer `grpc-status: 0`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::{self, Answer, Request, Response};

/// One server for each version.
#[derive(Debug)]
pub struct Upstream {
    versions: Vec<(String, SocketAddr, Arc<Version>)>,
    released: watch::Sender<bool>,
    _open: watch::Sender<bool>,
}

#[derive(Debug)]
struct Version {
    name: String,
    released: watch::Receiver<bool>,
    held: AtomicU64,
    served: AtomicU64,
    broken: Mutex<Vec<Broken>>,
    mirrored: Mutex<Vec<String>>,
}

/// What is wrong with a version: whom it answers with 500, whatever was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// One in so many requests.
    OneIn(u64),
    /// Everybody with this value in a header of this name.
    Whoever(String, String),
}

impl Broken {
    fn hits(&self, number: u64, request: &Request) -> bool {
        match self {
            Broken::OneIn(every) => number.is_multiple_of(*every),
            Broken::Whoever(name, value) => request
                .headers()
                .get(name)
                .is_some_and(|found| found.as_bytes() == value.as_bytes()),
        }
    }
}

impl Upstream {
    /// Starts a server for each of `versions`.
    pub fn start(versions: &[&str]) -> Upstream {
        let (released, waiting) = watch::channel(false);
        let (open, listening) = watch::channel(true);
        let start = |name: &&str| {
            let version = Arc::new(Version {
                name: (*name).to_owned(),
                released: waiting.clone(),
                held: AtomicU64::new(0),
                served: AtomicU64::new(0),
                broken: Mutex::new(Vec::new()),
                mirrored: Mutex::default(),
            });
            ((*name).to_owned(), server::start(&version, listening.clone()), version)
        };
        Upstream { versions: versions.iter().map(start).collect(), released, _open: open }
    }

    /// Each version with where it listens.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.versions.iter().map(|(name, address, _)| (name.as_str(), *address))
    }

    /// Requests that have arrived and wait for [`Upstream::release`].
    pub fn held(&self) -> u64 {
        self.versions.iter().map(|(_, _, version)| version.held.load(Ordering::SeqCst)).sum()
    }

    /// Requests that this version has received.
    pub fn served(&self, version: &str) -> u64 {
        let named = self.versions.iter().filter(|(name, _, _)| name == version);
        named.map(|(_, _, version)| version.served.load(Ordering::SeqCst)).sum()
    }

    /// Breaks a version in all of these ways; none mends it.
    ///
    /// # Panics
    /// When one of its threads has panicked.
    pub fn lay(&self, version: &str, broken: &[Broken]) {
        for (_, _, version) in self.versions.iter().filter(|(name, _, _)| name == version) {
            *version.broken.lock().expect("no answer panics") = broken.to_vec();
        }
    }

    /// Of those it received, the ones that say that they are mirrored: method, path and key.
    pub fn mirrored(&self, version: &str) -> Vec<String> {
        let named = self.versions.iter().filter(|(name, _, _)| name == version);
        let mirrored = |version: &Version| {
            version.mirrored.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        named.flat_map(|(_, _, version)| mirrored(version)).collect()
    }

    /// Answers all that was held, and holds nothing any more.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Answer for Version {
    async fn answer(self: Arc<Self>, request: Request) -> Option<Response> {
        let number = self.served.fetch_add(1, Ordering::SeqCst) + 1;
        let broken = self.broken.lock().ok()?.iter().any(|broken| broken.hits(number, &request));
        if broken {
            return Some(server::response(500, &[("x-served-by", &self.name)], "broken"));
        }
        let asked = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        if asked("x-crossfade-shadow").is_some() {
            let key = asked("x-user-id").unwrap_or_default();
            let line = format!("{} {} {key}", request.method(), request.uri().path());
            self.mirrored.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        let held = format!("x-answer-hold-{}", self.name);
        if asked("x-answer-hold").is_some() || request.headers().contains_key(&held) {
            self.held.fetch_add(1, Ordering::SeqCst);
            let _ = self.released.clone().wait_for(|released| *released).await;
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        if asked("x-answer-break").is_some() {
            return None;
        }
        if asked("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
            return self.grpc(request).await;
        }
        let own = format!("x-answer-status-{}", self.name);
        let own = request.headers().get(&own).and_then(|value| value.to_str().ok());
        let status = own.or(asked("x-answer-status"));
        let status = status.and_then(|text| text.parse().ok()).unwrap_or(200);
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        let headers = request.headers().iter();
        let received: Vec<Value> =
            headers.map(|(name, value)| json!([name.as_str(), text(value.as_bytes())])).collect();
        let body = json!({ "version": self.name, "headers": received }).to_string();
        Some(server::response(status, &[("x-served-by", &self.name)], body))
    }
}

impl Version {
    async fn grpc(&self, request: Request) -> Option<Response> {
        let asked = request.headers().get("x-api-version").cloned();
        let message = request.into_body().collect().await.ok()?.to_bytes();
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut response = Response::new(body.boxed());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("x-served-by", self.name.parse().ok()?);
        headers.extend(asked.map(|asked| (HeaderName::from_static("x-received-version"), asked)));
        Some(response)
    }
}
