//! The shadow: what the old version has answered the newest is asked as well, and the two
//! answers are compared.
//!
//! Nothing of it is in the way of a request. Whether a key is mirrored is a hash of it. Of
//! those that are, the path is kept as it came; the other headers are looked at when the
//! exchange is over, and a tick sends what waits then. What
//! waits and what is under way has a bound each; a request that finds no room is counted
//! and left. The answer that nobody gets is compared by its status and its media type, and
//! its body is not read.

mod request;

use std::collections::VecDeque;
use std::rc::Rc;

use crossfade_core::bucket::{Seed, bucket_of_draw, bucket_of_key};
use crossfade_core::protocol::plan::{Plan, Privacy};
use crossfade_core::protocol::totals::ShadowTotals;
use crossfade_core::protocol::{Share, json};

use crate::filter::is_failure;
use crate::host::{Answer, Call, Host, Level};
pub(crate) use request::{Asked, MARK};
use request::{Mirrored, Taken};

/// Requests under way at once, of one instance.
pub const FLIGHTS_MAX: usize = 16;

/// Requests that wait to be sent, of one instance; and the bytes of their headers.
pub const QUEUE_MAX: usize = 256;
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// A request whose answer was longer is left: Envoy holds the newest version's until it is
/// whole.
pub const BODY_BYTES_MAX: u64 = 1 << 20;

/// Milliseconds between two lines in the log that say how answers differed.
const TELL_MS: u64 = 1000;

/// Where requests are mirrored to, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The cluster of each version that may be mirrored to.
    pub clusters: Vec<(String, String)>,
    /// Milliseconds until an answer has not come.
    pub timeout_ms: u64,
}

/// What a policy says of it; made once a policy.
#[derive(Debug)]
pub(crate) struct Shade {
    seed: Seed,
    share: Share,
    methods: Vec<String>,
    content_type: bool,
    /// Whether paths may be told.
    tells_paths: bool,
    /// The newest version, where it is counted, and the cluster that leads to it.
    version: String,
    slot: usize,
    cluster: String,
}

impl Shade {
    /// Whether this key's requests are mirrored. `draw` counts where there is no key.
    pub(crate) fn chooses(&self, key: Option<&[u8]>, draw: impl FnOnce() -> u32) -> bool {
        let bucket = match key {
            Some(key) => bucket_of_key(key, self.seed),
            None => bucket_of_draw(draw()),
        };
        bucket < self.share.buckets()
    }
}

/// One instance's part in it.
#[derive(Debug)]
pub(crate) struct Shadow {
    mirrors: Option<Mirrors>,
    /// The request header that names the version.
    version_header: String,
    queue: VecDeque<Mirrored>,
    queue_bytes: usize,
    flights: Vec<Flight>,
    /// Why nothing is mirrored, until it was said.
    warning: Option<String>,
    tell_from_ms: u64,
}

/// A request that is under way.
#[derive(Debug)]
struct Flight {
    token: u32,
    until_ms: u64,
    request: Mirrored,
}

/// What came of it, and where that is counted.
pub(crate) type Came = (usize, ShadowTotals);

impl Shadow {
    pub(crate) fn new(mirrors: Option<Mirrors>, version_header: &str) -> Shadow {
        Shadow {
            mirrors,
            version_header: version_header.to_owned(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            flights: Vec::new(),
            warning: None,
            tell_from_ms: 0,
        }
    }

    /// What a new policy asks for. What waited under the one before is left.
    pub(crate) fn shade(&mut self, plan: &Plan, slot: Option<usize>) -> Option<Rc<Shade>> {
        self.queue.clear();
        self.queue_bytes = 0;
        self.warning = None;
        let shadow = plan.mirrors()?;
        let version = plan.versions.new_version();
        let clusters = self.mirrors.iter().flat_map(|mirrors| &mirrors.clusters);
        let Some((_, cluster)) = clusters.into_iter().find(|(known, _)| known == version) else {
            self.warning = Some(format!(
                "crossfade: the policy asks for a shadow, and nothing is mirrored: the filter's \
                 `shadow.clusters` names no cluster for {}",
                json::shown(version)
            ));
            return None;
        };
        Some(Rc::new(Shade {
            seed: Seed::of_shadow(&plan.salt),
            share: shadow.percentage,
            methods: shadow.methods.clone(),
            content_type: shadow.content_type,
            tells_paths: plan.privacy != Privacy::Hashed,
            version: version.to_owned(),
            slot: slot?,
            cluster: cluster.clone(),
        }))
    }

    /// An exchange is over that the old version answered with this status.
    pub(crate) fn take(&mut self, host: &impl Host, asked: &Asked, status: u16) -> Came {
        let mut came = ShadowTotals::default();
        match Mirrored::of(host, asked, &self.version_header, status) {
            Taken::Not => {}
            Taken::Request(request) if self.has_room(&request) => {
                self.queue_bytes = self.queue_bytes.saturating_add(request.bytes);
                self.queue.push_back(request);
            }
            Taken::Request(_) | Taken::Unfit => came.dropped = 1,
        }
        (asked.shade.slot, came)
    }

    fn has_room(&self, request: &Mirrored) -> bool {
        self.queue.len() < QUEUE_MAX
            && self.queue_bytes.saturating_add(request.bytes) <= QUEUE_BYTES_MAX
    }

    /// Sends what waits, and gives up what never came back.
    pub(crate) fn tick(&mut self, host: &impl Host, came: &mut Vec<Came>) {
        if let Some(warning) = self.warning.take() {
            host.log(Level::Warn, &warning);
        }
        if self.flights.is_empty() && self.queue.is_empty() {
            return;
        }
        let now_ms = host.now_ns() / 1_000_000;
        // Also when the clock went back by more than an answer may take.
        let latest_ms = now_ms.saturating_add(self.given_up_ms());
        let over = |flight: &mut Flight| !(now_ms..=latest_ms).contains(&flight.until_ms);
        for flight in self.flights.extract_if(.., over) {
            came.push((flight.request.shade.slot, FAILED));
        }
        self.send(host, now_ms, came);
    }

    fn send(&mut self, host: &impl Host, now_ms: u64, came: &mut Vec<Came>) {
        let until_ms = now_ms.saturating_add(self.given_up_ms());
        let timeout_ms = self.mirrors.as_ref().map_or(0, |mirrors| mirrors.timeout_ms);
        while self.flights.len() < FLIGHTS_MAX
            && let Some(request) = self.queue.pop_front()
        {
            self.queue_bytes = self.queue_bytes.saturating_sub(request.bytes);
            let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let cluster = &request.shade.cluster;
            match host.call(&Call { cluster, headers, body: &[], timeout_ms }) {
                Some(token) => self.flights.push(Flight { token, until_ms, request }),
                None => {
                    self.tell(host, now_ms, &request, "not sent");
                    came.push((request.shade.slot, FAILED));
                }
            }
        }
    }

    /// Envoy always answers; should it not, a request is given up after this long.
    fn given_up_ms(&self) -> u64 {
        let timeout_ms = self.mirrors.as_ref().map_or(0, |mirrors| mirrors.timeout_ms);
        timeout_ms.saturating_mul(2).saturating_add(1000)
    }

    /// Whether an answer with this token is to be compared.
    pub(crate) fn waits_for(&self, token: u32) -> bool {
        self.flights.iter().any(|flight| flight.token == token)
    }

    /// The newest version answered, or did not.
    pub(crate) fn answer(
        &mut self,
        host: &impl Host,
        token: u32,
        answer: &Answer,
        came: &mut Vec<Came>,
    ) {
        let Some(place) = self.flights.iter().position(|flight| flight.token == token) else {
            return;
        };
        let Flight { request, .. } = self.flights.swap_remove(place);
        let now_ms = host.now_ns() / 1_000_000;
        let seen = request.compare(answer);
        if seen.differed > 0 {
            self.tell(host, now_ms, &request, &shown(answer));
        }
        came.push((request.shade.slot, seen));
        self.send(host, now_ms, came);
    }

    /// Says how an answer differed; now and then, for all may.
    fn tell(&mut self, host: &impl Host, now_ms: u64, request: &Mirrored, answered: &str) {
        let back = self.tell_from_ms > now_ms.saturating_add(TELL_MS);
        if now_ms < self.tell_from_ms && !back {
            return;
        }
        self.tell_from_ms = now_ms.saturating_add(TELL_MS);
        let version = json::shown(&request.shade.version);
        let line = format!(
            "crossfade: shadow: {}: {} by the old version, {answered} by {version}",
            request.name(),
            request.answered(),
        );
        host.log(Level::Warn, &line);
    }
}

/// A request that the newest version did not answer.
const FAILED: ShadowTotals = ShadowTotals { compared: 1, differed: 1, failures: 1, dropped: 0 };

impl Mirrored {
    /// What the newest version's answer adds to the counts.
    fn compare(&self, answer: &Answer) -> ShadowTotals {
        let Some(status) = answer.status.filter(|status| !is_failure(*status)) else {
            return FAILED;
        };
        let media = request::media(answer.content_type.as_deref());
        // That nothing was modified says that the rest is as before.
        let unmodified = status == 304 || self.status == 304;
        let plain = |status| if status == 304 { 200 } else { status };
        let same = plain(status) == plain(self.status)
            && (unmodified || !self.shade.content_type || media == self.media);
        ShadowTotals { compared: 1, differed: u64::from(!same), failures: 0, dropped: 0 }
    }

    /// What the old version answered.
    fn answered(&self) -> String {
        one_line(self.status, self.media.as_deref())
    }
}

fn shown(answer: &Answer) -> String {
    let media = request::media(answer.content_type.as_deref());
    answer.status.map_or("no answer".to_owned(), |status| one_line(status, media.as_deref()))
}

fn one_line(status: u16, media: Option<&str>) -> String {
    match media {
        Some(media) => format!("{status} {}", json::shown(media)),
        None => status.to_string(),
    }
}
