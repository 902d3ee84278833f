//! One Envoy: a process with workers, each an instance of the real filter over the proxy in
//! memory, and what the world itself saw of them.

use std::collections::BTreeMap;

use crossfade_envoy::host::Answer;
use crossfade_envoy::memory::{Instance, MemoryHost, Sent};
use serde_json::json;

use crate::chance::Chance;
use crate::network::{Asker, Request, Response};
use crate::plan::Setup;

/// What the world counted itself: by version, calls that were sent to it and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) routed: [u64; 2],
    pub(crate) failures: [u64; 2],
}

/// One life of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) uid: u64,
    pub(crate) instance: Instance,
    /// The highest revision that it ever had.
    pub(crate) revision: Option<u64>,
    /// Calls and failures of the new version since that came.
    pub(crate) since: (u64, u64),
    pub(crate) tripped: bool,
    pub(crate) seen: Seen,
    /// By client and version.
    pub(crate) clients: BTreeMap<usize, Seen>,
    /// Where a client was sent last, under which revision.
    pub(crate) last: BTreeMap<usize, (usize, u64)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) id: usize,
    pub(crate) workers: Vec<Worker>,
    /// How far its clock is off.
    pub(crate) clock_off_ms: i64,
    /// When it comes back, while it is down.
    pub(crate) down_until_ms: Option<u64>,
    /// Cut off from servers until then.
    pub(crate) cut_until_ms: u64,
    configuration: String,
}

impl Edge {
    pub(crate) fn new(id: usize, setup: &Setup) -> Edge {
        let mut configuration = json!({
            "node": format!("edge-{id}"),
            "control": { "cluster": "control", "poll_ms": 1000, "report_ms": 1000, "timeout_ms": 1500 },
        });
        if setup.bundled {
            configuration["policy"] = setup.document.clone();
        }
        Edge {
            id,
            workers: Vec::new(),
            clock_off_ms: 0,
            down_until_ms: None,
            cut_until_ms: 0,
            configuration: configuration.to_string(),
        }
    }

    /// A new process, with as many workers.
    pub(crate) fn boot(&mut self, workers: usize, uids: &mut u64, chance: &mut Chance) {
        self.workers.clear();
        let host = MemoryHost::default();
        for _ in 0..workers {
            let beside = host.beside();
            beside.random.set(chance.number());
            self.workers.extend(worker(beside, &self.configuration, uids));
        }
    }

    /// A worker traps: Envoy puts another instance in its place.
    pub(crate) fn trap(
        &mut self,
        place: usize,
        uids: &mut u64,
        chance: &mut Chance,
    ) -> Option<Worker> {
        let old = self.workers.get_mut(place)?;
        let beside = old.instance.host.beside();
        beside.random.set(chance.number());
        let new = worker(beside, &self.configuration, uids)?;
        Some(std::mem::replace(old, new))
    }

    pub(crate) fn worker(&mut self, uid: u64) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.uid == uid)
    }

    /// Sets everybody's clock, and ticks one; what it asks for.
    pub(crate) fn tick(&mut self, place: usize, now_ms: u64) -> Vec<Request> {
        let (edge, now_ms) = (self.id, now_ms.saturating_add_signed(self.clock_off_ms));
        let Some(worker) = self.workers.get_mut(place) else { return Vec::new() };
        worker.instance.host.now_ns.set(now_ms * 1_000_000);
        let Worker { instance, uid, .. } = worker;
        instance.root.tick(&instance.host);
        instance.host.host_calls.take();
        requests(instance.host.sent(), edge, *uid)
    }

    /// An answer comes to a worker; what it asks for next.
    pub(crate) fn answer(
        &mut self,
        uid: u64,
        token: u32,
        response: Option<&Response>,
    ) -> Vec<Request> {
        let edge = self.id;
        let Some(worker) = self.worker(uid) else { return Vec::new() };
        let answer = Answer {
            status: response.map(|response| response.status),
            content_type: None,
            etag: response.and_then(|response| response.etag.clone()).map(String::into_bytes),
            body: response.map(|response| response.body.clone()),
        };
        worker.instance.answer(token, &answer);
        worker.instance.host.host_calls.take();
        requests(worker.instance.host.sent(), edge, uid)
    }
}

impl Worker {
    pub(crate) fn revision_now(&self) -> Option<u64> {
        self.instance.root.node().borrow().revision()
    }

    /// What the filter itself has counted.
    pub(crate) fn counted(&self) -> Seen {
        let mut seen = Seen::default();
        for version in self.instance.root.node().borrow().totals() {
            let place = usize::from(version.version == "v2");
            (seen.routed[place], seen.failures[place]) = (version.routed, version.failures);
        }
        seen
    }
}

fn worker(host: MemoryHost, configuration: &str, uids: &mut u64) -> Option<Worker> {
    *uids += 1;
    let instance = Instance::start(host, configuration).ok()?;
    let revision = instance.root.node().borrow().revision();
    Some(Worker {
        uid: *uids,
        instance,
        revision,
        since: (0, 0),
        tripped: false,
        seen: Seen::default(),
        clients: BTreeMap::new(),
        last: BTreeMap::new(),
    })
}

fn requests(sent: Vec<Sent>, edge: usize, uid: u64) -> Vec<Request> {
    let request = |sent: Sent| Request {
        from: Asker::Worker { edge, uid, token: sent.token },
        method: sent.header(":method").to_owned(),
        path: sent.header(":path").trim_start_matches("/v1/").to_owned(),
        if_none_match: sent.header("if-none-match").to_owned(),
        if_match: 0,
        key: None,
        body: sent.body,
    };
    sent.into_iter().map(request).collect()
}
