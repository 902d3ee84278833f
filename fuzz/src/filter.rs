//! Any headers, cookies, statuses, answers of the control server and times, to the native
//! build of the Envoy filter: it never panics, routes see one version of the policy or none
//! (what it refuses reaches no route), counts fit together, revisions only rise, and host
//! calls stay few.
//!
//! The first byte chooses a configuration. Then a line is a step, by its first byte:
//!
//! | | |
//! |---|---|
//! | `>NAME: VALUE`, `=` | a header of the next request; the request |
//! | `<NAME: VALUE`, `.` | a header of the next response; the response to the oldest request |
//! | `x` | the newest request ends |
//! | `p NAME VALUE` | a property of the proxy |
//! | `t MS`, `b MS` | time passes, and it ticks; time goes back |
//! | `a STATUS BODY` | the control server answers the oldest call |
//! | `g REVISION PERCENT` | it answers with a good policy |
//! | `e ETAG` | the tag of the next answer |
//! | `u` | nothing can be sent, or again |
//! | `v` | another instance in the same process takes this one's place |
//! | `k BYTES` | every shared value becomes this |

use std::cell::RefCell;
use std::collections::VecDeque;

use crossfade_envoy::filter::Exchange;
use crossfade_envoy::host::{Answer, Host, When};
use crossfade_envoy::memory::{Instance, MemoryHost, Sent};

use super::script::number;

const CONFIGURATIONS: [&str; 7] = [
    r#"{"policy":{"api":"a","versions":["v1","v2"],"key":{"header":"k"},"canary_percentage":50,"guard":{"max_failure_ratio":0.5,"min_requests":3},"deprecation":{"deprecated_at":"2027-01-31","sunset_at":"2027-07-31","link":"https://example.com/"}},"reason_header":"why"}"#,
    r#"{"policy":{"api":"a","versions":["v1","v2","v3"],"key":{"cookie":"k","on_missing_key":"random"},"attributes":{"p":{"header":"p"},"c":{"cookie":"c"},"k":{"header":"k"}},"rules":[{"name":"r","when":{"any":[{"attribute":"p","semver":">=2.4"},{"attribute":"c","prefix":"x"},{"attribute":"none","equals":"x"}]},"split":{"v2":1,"v3":1}},{"name":"s","when":{"not":{"attribute":"k","present":true}},"to":"v3"}],"split":{"v1":1,"v2":1,"v3":1}},"control":{"cluster":"c"}}"#,
    r#"{"policy":{"api":"a","versions":["v1","v2"],"key":{"address":true},"pins":{"192.0.2.1":"v2","::1":"v2"},"canary_percentage":50},"version_header":"p"}"#,
    r#"{"control":{"cluster":"c","poll_ms":10,"report_ms":10,"timeout_ms":10,"token":"t"},"node":"n"}"#,
    r#"{"policy":{"api":"a","versions":["v1","v2"],"key":{"attribute":"k"},"attributes":{"k":{"header":"k"}},"canary_percentage":50,"sticky":false,"kill_switch":false},"revision":3,"control":{"cluster":"c","report_ms":10}}"#,
    r#"{"policy":{"api":"a","versions":["v1","v2"],"key":{"header":"cookie"},"kill_switch":true},"revision":1,"control":{"cluster":"c"},"reason_header":"x-api-version"}"#,
    r#"{"policy":{"api":"a","versions":["v1","v2"],"key":{"header":"k","on_missing_key":"random"},"shadow":{"percentage":70,"methods":["GET"]}},"control":{"cluster":"c","report_ms":10},"shadow":{"clusters":{"v2":"s"},"timeout_ms":10}}"#,
];

/// Requests that may be open at once; more are ended.
const OPEN_MAX: usize = 16;

/// Plays it.
///
/// # Panics
/// Something does not hold.
pub fn run(bytes: &[u8]) {
    let Some((first, steps)) = bytes.split_first() else { return };
    let mut run = Run::start(CONFIGURATIONS[usize::from(*first) % CONFIGURATIONS.len()]);
    for step in steps.split(|byte| *byte == b'\n') {
        if let Some((verb, rest)) = step.split_first() {
            run.step(*verb, rest);
            run.check();
        }
    }
}

struct Run {
    configuration: &'static str,
    instance: Instance,
    request: Vec<(String, Vec<u8>)>,
    response: Vec<(String, Vec<u8>)>,
    open: VecDeque<Exchange>,
    calls: VecDeque<Sent>,
    etag: Option<Vec<u8>>,
    revision: Option<u64>,
    counted: u64,
}

impl Run {
    fn start(configuration: &'static str) -> Run {
        let host = MemoryHost::default();
        host.now_ns.set(1_800_000_000_000_000_000);
        Run {
            configuration,
            instance: Instance::start(host, configuration).expect("it is valid"),
            request: Vec::new(),
            response: Vec::new(),
            open: VecDeque::new(),
            calls: VecDeque::new(),
            etag: None,
            revision: None,
            counted: 0,
        }
    }

    fn step(&mut self, verb: u8, rest: &[u8]) {
        let host = &self.instance.host;
        host.host_calls.take();
        match verb {
            b'>' => self.request.extend(header(rest)),
            b'=' => self.send(),
            b'<' => self.response.extend(header(rest)),
            b'.' => self.respond(),
            b'x' => {
                if let Some(mut exchange) = self.open.pop_back() {
                    self.instance.end(&mut exchange);
                }
            }
            b'p' => {
                let (name, value) = word(rest);
                let name = String::from_utf8_lossy(name).into_owned();
                host.properties.borrow_mut().insert(name, value.to_vec());
            }
            b't' => self.instance.tick_after(number(rest)),
            b'b' => {
                let back = number(rest).saturating_mul(1_000_000);
                host.now_ns.set(host.now_ns.get().saturating_sub(back));
            }
            b'a' => {
                let (status, body) = word(rest);
                let status = u16::try_from(number(status)).ok();
                self.answer(status, Some(body.to_vec()));
            }
            b'g' => {
                let (revision, percent) = word(rest);
                let body = format!(
                    r#"{{"revision":{},"document":{{"api":"a","versions":["v1","v2"],"key":{{"header":"k"}},"canary_percentage":{}}}}}"#,
                    number(revision),
                    number(percent) % 101,
                );
                self.answer(Some(200), Some(body.into_bytes()));
            }
            b'e' => self.etag = Some(rest.to_vec()),
            b'u' => host.unreachable.set(!host.unreachable.get()),
            b'v' => {
                let beside = host.beside();
                self.instance = Instance::start(beside, self.configuration).expect("as before");
                self.open.clear();
                self.calls.clear();
                (self.revision, self.counted) = (None, 0);
            }
            b'k' => {
                for key in host.shared_values().into_keys() {
                    if let Some((_, stamp)) = host.shared(&key) {
                        host.set_shared(&key, rest, When::Unchanged(stamp));
                    }
                }
            }
            _ => {}
        }
        self.calls.extend(self.instance.host.sent());
    }

    fn send(&mut self) {
        let headers = std::mem::take(&mut self.request);
        let sent: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let exchange = self.instance.request(&sent);
        let calls = self.instance.host.host_calls.take().len();
        // Clock, version, the shadow's header; key and three attributes, each with a second
        // look at a comma; is it a copy, and its path.
        assert!(calls <= 3 + 2 * 4 + 2, "{calls} host calls");
        let (node, names) = (self.instance.root.node(), self.instance.root.names());
        let name = &names.version;
        let host = &self.instance.host;
        let seen: Vec<_> = values(&host.request, name);
        let known: Vec<_> = node.borrow().totals().into_iter().map(|v| v.version).collect();
        let refused = host.answered.borrow().as_ref().map(|(status, ..)| *status);
        match (node.borrow().revision(), refused) {
            (None, None) => assert_eq!(seen, Vec::<Vec<u8>>::new()),
            // In the place of an upstream: no route sees it.
            (_, Some(status)) => assert!((300..600).contains(&status), "refused with {status}"),
            (Some(_), None) => {
                assert_eq!(seen.len(), 1);
                assert!(known.iter().any(|version| version.as_bytes() == seen[0]), "{seen:?}");
            }
        }
        self.open.push_back(exchange);
        if self.open.len() > OPEN_MAX
            && let Some(mut exchange) = self.open.pop_front()
        {
            self.instance.end(&mut exchange);
        }
    }

    fn respond(&mut self) {
        let headers = std::mem::take(&mut self.response);
        let Some(mut exchange) = self.open.pop_front() else { return };
        let sent: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        self.instance.response(&mut exchange, &sent);
        // Status, clock, three dates, the reason; the guard may speak up once.
        let calls = self.instance.host.host_calls.take().len();
        assert!(calls <= 6 + 3, "{calls} host calls");
        self.instance.response(&mut exchange, &sent);
        self.instance.end(&mut exchange);
        // All headers, media type and size of one that is mirrored; else nothing is left to do.
        let left = if self.configuration.contains("shadow") { 3 } else { 0 };
        assert!(self.instance.host.host_calls.take().len() <= left, "counted twice");
    }

    fn answer(&mut self, status: Option<u16>, body: Option<Vec<u8>>) {
        let Some(call) = self.calls.pop_front() else { return };
        let (etag, content_type) = (self.etag.take(), body.clone());
        let answer = Answer { status, etag, content_type, body };
        self.instance.answer(call.token, &answer);
    }

    fn check(&mut self) {
        let node = self.instance.root.node();
        let node = node.borrow();
        assert!(node.revision() >= self.revision, "a revision went back");
        assert!(node.counted() >= self.counted, "counts went back");
        (self.revision, self.counted) = (node.revision(), node.counted());
        for version in node.totals() {
            assert!(version.requests <= version.routed, "{version:?}");
            assert!(version.failures <= version.requests, "{version:?}");
            assert_eq!(version.shadow, version.shadow.bounded(), "{version:?}");
        }
    }
}

fn values(headers: &RefCell<Vec<(String, Vec<u8>)>>, name: &str) -> Vec<Vec<u8>> {
    let headers = headers.borrow();
    headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
}

/// A header as a client can send it: the name in lower case, as Envoy has it.
fn header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().skip(1).position(|byte| *byte == b':')? + 1;
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    Some((name, line[colon + 1..].trim_ascii().to_vec()))
}

/// The first word, and what follows.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}
