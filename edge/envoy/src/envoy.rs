//! The host calls of proxy-wasm, and its callbacks: the only file that knows the SDK.
//!
//! Of the SDK only functions that return a `Result` and bytes are used. Its methods on
//! contexts unwrap, and those that give text panic at bytes that are not UTF-8, which any
//! client can send.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType, MetricType};

use crate::filter::{Exchange, HeaderNames, Then, status};
use crate::host::{Answer, Call, Host, Level, Metric, When};
use crate::live::BODY_BYTES_MAX;
use crate::node::Node;
use crate::root::{self, Root, TICK_MS};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Instance { root: None }));
}}

/// The Envoy that runs this instance.
#[derive(Debug, Clone, Copy)]
struct Envoy;

impl Host for Envoy {
    fn now_ns(&self) -> u64 {
        let now = hostcalls::get_current_time().ok();
        let since = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
    }

    fn request_header_joined(&self, name: &str) -> Option<Vec<u8>> {
        self.property(&["request", "headers", name])
    }

    fn request_headers(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        hostcalls::get_map_bytes(MapType::HttpRequestHeaders)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value))
            .collect()
    }

    fn set_request_header(&self, name: &str, value: &str) {
        // Under ABI 0.2.1, which this SDK speaks, Envoy chooses the route anew by itself.
        let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
    }

    fn remove_request_header(&self, name: &str) {
        let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok().flatten()
    }

    fn set_response_header(&self, name: &str, value: &str) {
        let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
    }

    fn add_response_header(&self, name: &str, value: &str) {
        let _ = hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value);
    }

    fn respond(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let body = (!body.is_empty()).then_some(body);
        let _ = hostcalls::send_http_response(status.into(), headers.to_vec(), body);
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        hostcalls::get_property(path.to_vec()).ok().flatten()
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        match hostcalls::get_shared_data(key).ok()? {
            (Some(value), Some(stamp)) => Some((value, stamp)),
            _ => None,
        }
    }

    fn set_shared(&self, key: &str, value: &[u8], when: When) -> bool {
        // A stamp is only looked at where there is a value. So one that no value ever has
        // writes exactly where there is none; no stamp at all would write always.
        let stamp = match when {
            When::Absent => u32::MAX,
            When::Unchanged(stamp) => stamp,
        };
        hostcalls::set_shared_data(key, Some(value), Some(stamp)).is_ok()
    }

    fn call(&self, call: &Call<'_>) -> Option<u32> {
        let body = (!call.body.is_empty()).then_some(call.body);
        let timeout = Duration::from_millis(call.timeout_ms);
        let headers = call.headers.clone();
        hostcalls::dispatch_http_call(call.cluster, headers, body, vec![], timeout).ok()
    }

    fn define(&self, kind: Metric, name: &str) -> Option<u32> {
        let kind = match kind {
            Metric::Counter => MetricType::Counter,
            Metric::Gauge => MetricType::Gauge,
        };
        hostcalls::define_metric(kind, name).ok()
    }

    fn add(&self, metric: u32, count: u64) {
        let _ = hostcalls::increment_metric(metric, i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn set(&self, metric: u32, value: u64) {
        let _ = hostcalls::record_metric(metric, value);
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let _ = hostcalls::log(level, line);
    }

    fn random(&self) -> u64 {
        // The standard library asks for its keys by `random_get`, which Envoy has.
        RandomState::new().build_hasher().finish()
    }
}

/// The instance's root context.
struct Instance {
    root: Option<Root>,
}

impl Context for Instance {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        let Some(root) = &mut self.root else { return };
        let mut answer = Answer::default();
        // Without headers there was no answer.
        if headers > 0 {
            let header = |name| {
                hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name)
                    .ok()
                    .flatten()
            };
            answer.status = header(":status").and_then(|text| status(&text));
            answer.etag = header("etag");
            answer.content_type = header("content-type");
            answer.body = match body {
                // Nobody gets it, and nobody reads it.
                _ if root.is_shadow(token) => None,
                0 => Some(Vec::new()),
                1..=BODY_BYTES_MAX => {
                    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body).ok().flatten()
                }
                _ => None,
            };
        }
        root.answer(&Envoy, token, &answer);
    }

    fn on_done(&mut self) -> bool {
        if let Some(root) = &mut self.root {
            root.done(&Envoy);
        }
        true
    }
}

impl RootContext for Instance {
    fn on_configure(&mut self, size: usize) -> bool {
        let configuration =
            hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten();
        match Root::configure(&Envoy, &configuration.unwrap_or_default()) {
            Ok(root) => {
                let _ = hostcalls::set_tick_period(Duration::from_millis(TICK_MS));
                self.root = Some(root);
                true
            }
            Err(problems) => {
                root::refuse(&Envoy, &problems);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(root) = &mut self.root {
            root.tick(&Envoy);
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let of = self.root.as_ref().map(|root| (root.node(), root.names()));
        Some(Box::new(Stream { of, exchange: Exchange::default() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request's context.
struct Stream {
    of: Option<(Rc<RefCell<Node>>, Rc<HeaderNames>)>,
    exchange: Exchange,
}

impl Stream {
    fn with<T>(
        &mut self,
        step: impl FnOnce(&mut Exchange, &mut Node, &HeaderNames) -> T,
    ) -> Option<T> {
        let (node, names) = self.of.as_ref()?;
        // Envoy lets the filter see the answer that it gives itself, but not before this
        // call of it has returned.
        let mut node = node.try_borrow_mut().ok()?;
        Some(step(&mut self.exchange, &mut node, names))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let request = |exchange: &mut Exchange, node: &mut Node, names: &HeaderNames| {
            exchange.request(&Envoy, node, names, end_of_stream)
        };
        match self.with(request) {
            Some(Then::Answered) => Action::Pause,
            Some(Then::Forward) | None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.with(|exchange, node, names| exchange.response(&Envoy, node, names));
        Action::Continue
    }

    fn on_log(&mut self) {
        self.with(|exchange, node, _| exchange.end(&Envoy, node));
    }
}
