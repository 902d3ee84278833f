//! A proxy in memory, for tests and the fuzzer: it counts host calls, several instances
//! share one, and nothing in it is simulated beyond what the filter can see.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::filter::Exchange;
use crate::host::{Answer, Call, Host, Level, Metric, When};
use crate::root::Root;

/// Headers in order, names lower-case.
pub type Headers = Vec<(String, Vec<u8>)>;

/// What all instances in one process share.
#[derive(Debug, Default)]
pub struct Process {
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    stamp: u32,
    /// By name; a metric's id is its place.
    metrics: Vec<(String, Metric, u64)>,
}

/// A request that was sent to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What its answer comes with.
    pub token: u32,
    /// The cluster.
    pub cluster: String,
    /// All headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// The value of a header; empty when it has none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The proxy, as one instance sees it.
#[derive(Debug, Default)]
pub struct MemoryHost {
    process: Rc<RefCell<Process>>,
    /// What the clock says.
    pub now_ns: Cell<u64>,
    /// The headers of the request at hand.
    pub request: RefCell<Headers>,
    /// The headers of the response at hand.
    pub response: RefCell<Headers>,
    /// What the filter answered in the place of an upstream: status, headers and body.
    pub answered: RefCell<Option<(u16, Headers, Vec<u8>)>>,
    /// Properties, by path with dots.
    pub properties: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Requests that were sent and not taken by [`MemoryHost::sent`] yet.
    calls: RefCell<Vec<Sent>>,
    /// Whether requests can be sent at all.
    pub unreachable: Cell<bool>,
    /// What was logged.
    pub log: RefCell<Vec<(Level, String)>>,
    /// The host calls made, by name.
    pub host_calls: RefCell<Vec<&'static str>>,
    /// What the next random number is made of.
    pub random: Cell<u64>,
}

impl MemoryHost {
    /// A host for another instance in the same process, at the same time.
    #[must_use]
    pub fn beside(&self) -> MemoryHost {
        MemoryHost {
            process: Rc::clone(&self.process),
            now_ns: self.now_ns.clone(),
            random: Cell::new(self.random.get().wrapping_add(1)),
            ..MemoryHost::default()
        }
    }

    /// Lets time pass.
    pub fn pass_ms(&self, ms: u64) {
        self.now_ns.set(self.now_ns.get().saturating_add(ms.saturating_mul(1_000_000)));
    }

    /// The requests sent since the last time.
    pub fn sent(&self) -> Vec<Sent> {
        self.calls.take()
    }

    /// A metric's value; 0 when it was never written.
    pub fn metric(&self, name: &str) -> u64 {
        let process = self.process.borrow();
        process.metrics.iter().find(|(known, _, _)| known == name).map_or(0, |(_, _, value)| *value)
    }

    /// All shared values, by key.
    pub fn shared_values(&self) -> BTreeMap<String, Vec<u8>> {
        let process = self.process.borrow();
        process.shared.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    fn called(&self, name: &'static str) {
        self.host_calls.borrow_mut().push(name);
    }
}

fn first(headers: &RefCell<Headers>, name: &str) -> Option<Vec<u8>> {
    headers.borrow().iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn replace(headers: &RefCell<Headers>, name: &str, value: &str) {
    headers.borrow_mut().retain(|(known, _)| known != name);
    headers.borrow_mut().push((name.to_owned(), value.as_bytes().to_vec()));
}

impl Host for MemoryHost {
    fn now_ns(&self) -> u64 {
        self.called("now");
        self.now_ns.get()
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        self.called("request_header");
        first(&self.request, name)
    }

    fn request_header_joined(&self, name: &str) -> Option<Vec<u8>> {
        self.called("request_header_joined");
        let request = self.request.borrow();
        let values = request.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_slice()).collect();
        (!values.is_empty()).then(|| values.join(&b','))
    }

    fn request_headers(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.called("request_headers");
        let request = self.request.borrow();
        request.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect()
    }

    fn set_request_header(&self, name: &str, value: &str) {
        self.called("set_request_header");
        replace(&self.request, name, value);
    }

    fn remove_request_header(&self, name: &str) {
        self.called("remove_request_header");
        self.request.borrow_mut().retain(|(known, _)| known != name);
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        self.called("response_header");
        first(&self.response, name)
    }

    fn set_response_header(&self, name: &str, value: &str) {
        self.called("set_response_header");
        replace(&self.response, name, value);
    }

    fn add_response_header(&self, name: &str, value: &str) {
        self.called("add_response_header");
        self.response.borrow_mut().push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn respond(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.called("respond");
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        self.answered.replace(Some((status, headers.collect(), body.to_vec())));
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.called("property");
        self.properties.borrow().get(&path.join(".")).cloned()
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.called("shared");
        self.process.borrow().shared.get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], when: When) -> bool {
        self.called("set_shared");
        let mut process = self.process.borrow_mut();
        let stamp = process.shared.get(key).map(|(_, stamp)| *stamp);
        let as_meant = match when {
            When::Absent => stamp.is_none(),
            When::Unchanged(meant) => stamp == Some(meant),
        };
        if as_meant {
            process.stamp = process.stamp.saturating_add(1);
            let stamp = process.stamp;
            process.shared.insert(key.to_owned(), (value.to_vec(), stamp));
        }
        as_meant
    }

    fn call(&self, call: &Call<'_>) -> Option<u32> {
        self.called("call");
        if self.unreachable.get() {
            return None;
        }
        // Tokens are Envoy's, so they differ between instances.
        let mut process = self.process.borrow_mut();
        process.stamp = process.stamp.saturating_add(1);
        let headers = call.headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        self.calls.borrow_mut().push(Sent {
            token: process.stamp,
            cluster: call.cluster.to_owned(),
            headers: headers.collect(),
            body: call.body.to_vec(),
        });
        Some(process.stamp)
    }

    fn define(&self, kind: Metric, name: &str) -> Option<u32> {
        self.called("define");
        let metrics = &mut self.process.borrow_mut().metrics;
        let known = metrics.iter().position(|(known, _, _)| known == name);
        let place = known.unwrap_or(metrics.len());
        if known.is_none() {
            metrics.push((name.to_owned(), kind, 0));
        }
        u32::try_from(place).ok()
    }

    fn add(&self, metric: u32, count: u64) {
        self.called("add");
        let metrics = &mut self.process.borrow_mut().metrics;
        if let Some((_, Metric::Counter, value)) = metrics.get_mut(metric as usize) {
            *value = value.saturating_add(count);
        }
    }

    fn set(&self, metric: u32, to: u64) {
        self.called("set");
        let metrics = &mut self.process.borrow_mut().metrics;
        if let Some((_, Metric::Gauge, value)) = metrics.get_mut(metric as usize) {
            *value = to;
        }
    }

    fn log(&self, level: Level, line: &str) {
        self.called("log");
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn random(&self) -> u64 {
        self.called("random");
        self.random.set(self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        self.random.get()
    }
}

/// An instance of the filter in such a proxy.
#[derive(Debug)]
pub struct Instance {
    /// The proxy.
    pub host: MemoryHost,
    /// The instance.
    pub root: Root,
}

impl Instance {
    /// An instance with this configuration.
    ///
    /// # Errors
    /// The problems of the configuration.
    pub fn start(host: MemoryHost, configuration: &str) -> Result<Instance, Vec<String>> {
        let root = Root::configure(&host, configuration.as_bytes())?;
        Ok(Instance { host, root })
    }

    /// Lets time pass, and ticks.
    pub fn tick_after(&mut self, ms: u64) {
        self.host.pass_ms(ms);
        self.root.tick(&self.host);
    }

    /// The control server's answer to a request.
    pub fn answer(&mut self, token: u32, answer: &Answer) {
        self.root.answer(&self.host, token, answer);
    }

    /// A request comes in, with these headers and nothing more.
    pub fn request(&self, headers: &[(&str, &[u8])]) -> Exchange {
        self.request_of(headers, true)
    }

    /// A request comes in, with these headers, and unless it `is_whole` a body.
    pub fn request_of(&self, headers: &[(&str, &[u8])], is_whole: bool) -> Exchange {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        self.host.request.replace(headers.collect());
        self.host.answered.take();
        let mut exchange = Exchange::default();
        let (node, names) = (self.root.node(), self.root.names());
        exchange.request(&self.host, &mut node.borrow_mut(), &names, is_whole);
        exchange
    }

    /// The version that the routes would now see.
    pub fn version(&self) -> Option<String> {
        let version = first(&self.host.request, &self.root.names().version)?;
        Some(String::from_utf8_lossy(&version).into_owned())
    }

    /// Its response comes back, with these headers.
    pub fn response(&self, exchange: &mut Exchange, headers: &[(&str, &[u8])]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        self.host.response.replace(headers.collect());
        let (node, names) = (self.root.node(), self.root.names());
        exchange.response(&self.host, &mut node.borrow_mut(), &names);
    }

    /// It is over.
    pub fn end(&self, exchange: &mut Exchange) {
        exchange.end(&self.host, &mut self.root.node().borrow_mut());
    }

    /// A whole exchange that ends with this status; the version that it was sent to.
    pub fn exchange(&self, headers: &[(&str, &[u8])], status: &str) -> Option<String> {
        let mut exchange = self.request(headers);
        let version = self.version();
        self.response(&mut exchange, &[(":status", status.as_bytes())]);
        self.end(&mut exchange);
        version
    }
}
