//! What the filter asks of the proxy it runs in.
//!
//! [`envoy`](crate) answers with proxy-wasm's host calls, tests and the fuzzer with a host
//! of their own. Each method is one host call, about 0.8 µs in Envoy, so what a request
//! costs is how many of them it makes.

/// The proxy.
///
/// Nothing here fails a request: what the proxy cannot do is `None` or `false`.
pub trait Host {
    /// Nanoseconds since the unix epoch, by the wall clock; it may go back.
    fn now_ns(&self) -> u64;

    /// The first value of a request header, in bytes of any kind.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// All values of a request header, joined by a comma.
    fn request_header_joined(&self, name: &str) -> Option<Vec<u8>>;

    /// All request headers in order, also when the exchange is over.
    fn request_headers(&self) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// Sets a request header in place of all values it has.
    fn set_request_header(&self, name: &str, value: &str);

    /// Removes a request header, with all its values.
    fn remove_request_header(&self, name: &str);

    /// The first value of a response header.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Sets a response header in place of all values it has.
    fn set_response_header(&self, name: &str, value: &str);

    /// Adds a value to a response header.
    fn add_response_header(&self, name: &str, value: &str);

    /// Answers the request itself, in the place of an upstream. The request goes no further.
    fn respond(&self, status: u16, headers: &[(&str, &str)], body: &[u8]);

    /// An attribute of the proxy, as bytes: text, or a little-endian `i64`.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// A value that all instances of the filter in this process share, and its stamp.
    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Sets a shared value; `false` when it was not the one meant any more.
    fn set_shared(&self, key: &str, value: &[u8], when: When) -> bool;

    /// Sends an HTTP request; its answer comes with this token. `None`: it was not sent.
    fn call(&self, call: &Call<'_>) -> Option<u32>;

    /// Defines a metric, or finds the one of this name.
    fn define(&self, kind: Metric, name: &str) -> Option<u32>;

    /// Adds to a counter.
    fn add(&self, metric: u32, count: u64);

    /// Sets a gauge.
    fn set(&self, metric: u32, value: u64);

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);

    /// 64 bits nobody can foresee.
    fn random(&self) -> u64;
}

/// When a shared value may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only if nobody has yet.
    Absent,
    /// Only if nobody has since it was read with this stamp.
    Unchanged(u32),
}

/// An HTTP request to a cluster of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'c> {
    /// The cluster.
    pub cluster: &'c str,
    /// All headers, `:method`, `:path` and `:authority` among them.
    pub headers: Vec<(&'c str, &'c str)>,
    /// The body; empty is none.
    pub body: &'c [u8],
    /// Milliseconds until the proxy gives up.
    pub timeout_ms: u64,
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status; `None` when no answer came.
    pub status: Option<u16>,
    /// The header `etag`.
    pub etag: Option<Vec<u8>>,
    /// The header `content-type`.
    pub content_type: Option<Vec<u8>>,
    /// The body, or `None` when it is longer than a caller wants.
    pub body: Option<Vec<u8>>,
}

/// A kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What was done.
    Info,
    /// Something an operator should look at.
    Warn,
    /// Something cannot be done.
    Error,
}
