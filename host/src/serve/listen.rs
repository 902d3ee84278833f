//! Connections: how many there may be, how long they may take, and TLS.
//!
//! A client that is slow, silent or gone costs one of a bounded number of places, for a
//! bounded time. What it may ask once it is heard is the business of [`super::http`].

mod idle;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::http::limits::Limits;
use idle::Idle;
use tls::Tls;

/// Connections at once: ten thousand edges, and whoever watches.
const CONNECTIONS_MAX: usize = 16_384;

/// Files that are open besides: the store, standard streams.
const FILES_KEPT: usize = 64;

/// A request's head is there so long after the connection is free for it, or the
/// connection is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// A connection on which so long nothing moved is closed. Over the longest poll.
const MOVED_WITHIN: Duration = Duration::from_secs(75);

/// TLS is agreed on so fast.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A request's head; a longer one is answered 431.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Requests at once on one connection, where that can be (HTTP/2).
const STREAMS_MAX: u32 = 128;

/// When accepting fails (no more files), the next try is so much later.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The address of whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

type Connections = (Builder<TokioExecutor>, Builder<TokioExecutor>);

/// Serves until it is told to stop; then ends the connections, each after the answer that
/// is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    limits: Arc<Limits>,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(places()));
    let graceful = GracefulShutdown::new();
    let builders = Arc::new(builders());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the sender has gone: the end, too.
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // Closed at once: whoever waits without being heard learns nothing.
            limits.counters.connections_refused.fetch_add(1, Relaxed);
            continue;
        };
        limits.counters.connections.fetch_add(1, Relaxed);
        let caller = Caller {
            peer: Peer(peer),
            router: router.clone(),
            builders: Arc::clone(&builders),
            watcher: graceful.watcher(),
            _place: place,
        };
        let tls = tls.as_ref().map(|tls| tls.acceptor());
        tokio::spawn(caller.hear(stream, tls));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// As many as there may be open files.
fn places() -> usize {
    let wanted = (CONNECTIONS_MAX + FILES_KEPT) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(wanted).min(wanted);
    if current.is_some_and(|current| current < most) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
        if let Err(error) = raised {
            warn!("cannot raise the limit of open files: {error}");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    (files as usize).saturating_sub(FILES_KEPT).max(16)
}

/// For HTTP/1 and for HTTP/2. Which of them is spoken is agreed on by TLS, and without it
/// is HTTP/1: nothing has to be guessed from what a client sends, or does not.
fn builders() -> Connections {
    let mut one = Builder::new(TokioExecutor::new()).http1_only();
    one.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut two = Builder::new(TokioExecutor::new()).http2_only();
    two.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_WITHIN)
        .keep_alive_timeout(HEAD_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    (one, two)
}

/// One connection.
struct Caller {
    peer: Peer,
    router: Router,
    builders: Arc<Connections>,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
}

impl Caller {
    async fn hear(self, stream: TcpStream, tls: Option<tokio_rustls::TlsAcceptor>) {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.answer(stream, false).await;
        };
        match timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let two = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
                self.answer(stream, two).await;
            }
            Ok(Err(error)) => debug!("no TLS with {}: {error}", self.peer.0),
            Err(_) => debug!("no TLS with {}: it took too long", self.peer.0),
        }
    }

    async fn answer<S>(self, stream: S, two: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Caller { peer, router, builders, watcher, _place } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let builder = if two { &builders.1 } else { &builders.0 };
        let stream = TokioIo::new(Idle::new(stream, MOVED_WITHIN));
        let connection = builder.serve_connection(stream, service);
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            debug!("a connection of {} ended: {error}", peer.0);
        }
    }
}
