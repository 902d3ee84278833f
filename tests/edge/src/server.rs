//! HTTP servers on threads of their own, on loopback, on ports that were free.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) type Request = hyper::Request<Incoming>;
pub(crate) type Response = hyper::Response<BoxBody<Bytes, Infallible>>;

/// The threads that all servers of a test run on, beside its own.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("threads can be started")
    })
}

/// What a server does with a request; `None` breaks the connection off.
pub(crate) trait Answer: Send + Sync + 'static {
    fn answer(self: Arc<Self>, request: Request) -> impl Future<Output = Option<Response>> + Send;
}

/// A server that listens while `open` says so, on one port all the time.
pub(crate) fn start<A: Answer>(answer: &Arc<A>, open: watch::Receiver<bool>) -> SocketAddr {
    let answer = Arc::clone(answer);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = runtime().block_on(TcpListener::bind(any)).expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address");
    runtime().spawn(serve(listener, address, answer, open));
    address
}

async fn serve<A: Answer>(
    first: TcpListener,
    address: SocketAddr,
    answer: Arc<A>,
    mut open: watch::Receiver<bool>,
) {
    let mut listener = Some(first);
    let closing = open.clone();
    loop {
        let Some(listening) = &listener else {
            if open.wait_for(|open| *open).await.is_err() {
                return;
            }
            listener = Some(TcpListener::bind(address).await.expect("the port is still free"));
            continue;
        };
        tokio::select! {
            connection = listening.accept() => {
                if let Ok((stream, _)) = connection {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(converse(stream, Arc::clone(&answer), closing.clone()));
                }
            }
            closed = open.wait_for(|open| !*open) => {
                if closed.is_err() {
                    return;
                }
                listener = None;
            }
        }
    }
}

/// Serves one connection until its end, or until the server is closed.
async fn converse<A: Answer>(
    stream: tokio::net::TcpStream,
    answer: Arc<A>,
    mut open: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move { answer.answer(request).await.ok_or_else(|| io::Error::other("broken off")) }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // Tests send much at once; to refuse some is no part of them.
    builder.http2().max_concurrent_streams(None);
    tokio::select! {
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        _ = open.wait_for(|open| !*open) => {}
    }
}

/// A response with this status, these headers and this body.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status.try_into().expect("a status is 100 to 999");
    for (name, value) in headers {
        let name = hyper::header::HeaderName::try_from(*name).expect("a header's name");
        response.headers_mut().append(name, value.parse().expect("a header's value"));
    }
    response
}
