//! Generated traffic: a crowd of clients with keys, apps and habits, over real HTTP.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use crossfade_sim::{Chance, Crowd, Demand, Habit, Mix};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::edge::{Plain, plain};
use super::plan::{APP, CLIENTS, KEY, SAYS};

/// Of the clients who call often, one in so many has an app that cannot speak v2.
const OLD_APPS: u32 = 50;

/// Releases before and after an update.
const OLD: &str = "1.8";
const NEW: &str = "2.3";

/// An owner whose client was refused brings it up to date with this probability, each time.
const MENDS: f64 = 0.3;

/// Requests a second of the partner, beside what its habit is.
const PARTNER_RPS: f64 = 0.25;

/// Requests under way. More: the machine is too slow, and they are left out.
const UNDER_WAY_MAX: usize = 1_024;

const TICK: Duration = Duration::from_millis(20);

/// What clients have seen.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    served: [AtomicU64; 2],
    failed: [AtomicU64; 2],
    brownout: AtomicU64,
    gone: AtomicU64,
    lost: AtomicU64,
    left_out: AtomicU64,
    updated: AtomicU64,
}

/// The same as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Answers of v1 and v2.
    pub(super) served: [u64; 2],
    /// Of these, with a status from 500 on.
    pub(super) failed: [u64; 2],
    /// Refused by a brownout.
    pub(super) brownout: u64,
    /// Refused since the sunset.
    pub(super) gone: u64,
    /// Without an answer.
    pub(super) lost: u64,
    /// Not sent, because the machine was too slow.
    pub(super) left_out: u64,
    /// Clients that were brought up to date after they were refused.
    pub(super) updated: u64,
}

impl Seen {
    /// Requests that had no answer, or none yet.
    pub(super) fn without_answer(&self) -> u64 {
        let answered = self.served[0] + self.served[1] + self.brownout + self.gone;
        self.sent.saturating_sub(answered)
    }
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// The crowd and where it calls.
pub(super) struct Traffic {
    crowd: Mutex<Crowd>,
    /// Clients whose app is still an old one.
    old: Mutex<HashSet<u32>>,
    chance: Mutex<Chance>,
    partner: u32,
    blocked: u32,
    to: SocketAddr,
    http: Plain,
    room: Arc<Semaphore>,
    stops: AtomicBool,
    counts: Counts,
}

/// The crowd of the demo, and who of it is special.
pub(super) struct Cast {
    crowd: Crowd,
    partner: u32,
    blocked: u32,
}

impl Cast {
    /// Draws it.
    pub(super) fn new(rps: f64, seed: u64) -> Cast {
        // Minutes are all there is: no jobs of the night.
        let mix = Mix { nightly: 0.0, monthly: 0.0, arrivals: 0.0, ..Mix::default() };
        let demand = Demand { rps, clients: CLIENTS, daily_percent: 0.0, mix, ..Demand::default() };
        let crowd = Crowd::new(&demand, "", 0, seed);
        let is_partner =
            |client: &u32| crowd.habit(*client) == Habit::Steady && crowd.app(*client) == "partner";
        let partners = || (0..crowd.clients()).filter(is_partner);
        // The first to be moved, and the last.
        let partner = partners().min_by_key(|client| crowd.bucket(*client)).unwrap_or(0);
        let blocked = partners().max_by_key(|client| crowd.bucket(*client)).unwrap_or(1);
        Cast { crowd, partner, blocked }
    }

    /// The key of the partner whom v2 may fail.
    pub(super) fn partner(&self) -> String {
        self.crowd.key(self.partner).to_owned()
    }
}

impl Traffic {
    /// Nobody calls yet.
    pub(super) fn new(cast: Cast, to: SocketAddr, seed: u64) -> Arc<Traffic> {
        let Cast { crowd, partner, blocked } = cast;
        let often = |client: &u32| crowd.habit(*client) == Habit::Steady;
        let special = [partner, blocked];
        let old = (0..crowd.clients())
            .filter(often)
            .filter(|client| client % OLD_APPS == 7 && !special.contains(client));
        Arc::new(Traffic {
            old: Mutex::new(old.collect()),
            crowd: Mutex::new(crowd),
            chance: Mutex::new(Chance::new(seed.rotate_left(17))),
            partner,
            blocked,
            to,
            http: plain(),
            room: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            stops: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }

    /// Calls until it is told to stop.
    pub(super) async fn run(self: Arc<Traffic>) {
        let mut beat = tokio::time::interval(TICK);
        let mut before = Instant::now();
        while !self.stops.load(Ordering::Relaxed) {
            beat.tick().await;
            let since = before.elapsed();
            before += since;
            let mut callers =
                lock(&self.crowd).callers(u64::try_from(since.as_millis()).unwrap_or(0)).to_vec();
            let more = lock(&self.chance).poisson(PARTNER_RPS * since.as_secs_f64());
            callers.extend((0..more).flat_map(|_| [self.partner, self.blocked]));
            for client in callers {
                let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
                    if self.stops.load(Ordering::Relaxed) {
                        return;
                    }
                    self.counts.left_out.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let traffic = Arc::clone(&self);
                tokio::spawn(async move {
                    traffic.call(client).await;
                    drop(room);
                });
            }
        }
    }

    /// Sends nothing more, and waits for what is under way; not for ever.
    pub(super) async fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
        let all = self.room.acquire_many(UNDER_WAY_MAX as u32);
        let _all = tokio::time::timeout(Duration::from_secs(3), all).await;
        // Before it is given back: who is about to call finds no room any more.
        self.room.close();
    }

    async fn call(&self, client: u32) {
        let Some(answer) = self.ask(client).await else { return };
        let refused = answer.status == 410 || is_brownout(&answer);
        if refused && lock(&self.chance).happens(MENDS) && lock(&self.old).remove(&client) {
            self.counts.updated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request of this client, counted as every other.
    pub(super) async fn ask(&self, client: u32) -> Option<Answer> {
        self.counts.sent.fetch_add(1, Ordering::SeqCst);
        let request = self.request(client)?;
        let Ok(response) = self.http.request(request).await else {
            self.counts.lost.fetch_add(1, Ordering::SeqCst);
            return None;
        };
        let (parts, body) = response.into_parts();
        // A connection is free again once its answer was read.
        let Ok(body) = axum::body::to_bytes(Body::new(body), 1 << 20).await else {
            self.counts.lost.fetch_add(1, Ordering::SeqCst);
            return None;
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        let served = match answer.header("x-served-by") {
            "v1" => Some(0),
            "v2" => Some(1),
            _ => None,
        };
        let counts = &self.counts;
        match served {
            Some(place) => {
                counts.served[place].fetch_add(1, Ordering::SeqCst);
                if answer.status >= 500 {
                    counts.failed[place].fetch_add(1, Ordering::SeqCst);
                }
            }
            None if answer.status == 410 => drop(counts.gone.fetch_add(1, Ordering::SeqCst)),
            None if is_brownout(&answer) => drop(counts.brownout.fetch_add(1, Ordering::SeqCst)),
            None => drop(counts.lost.fetch_add(1, Ordering::SeqCst)),
        }
        Some(answer)
    }

    fn request(&self, client: u32) -> Option<Request<Body>> {
        let is_old = lock(&self.old).contains(&client);
        let (key, app) = {
            let crowd = lock(&self.crowd);
            (crowd.key(client).to_owned(), crowd.app(client))
        };
        let release = if is_old { OLD } else { NEW };
        let mut request = Request::get(format!("http://{}/users/{key}", self.to))
            .header(KEY, &key)
            .header(APP, release)
            .header("user-agent", format!("{app}-app/{release}"));
        if client == self.blocked {
            request = request.header(SAYS, "blocked: we need the export, which v2 has not");
        }
        request.body(Body::empty()).ok()
    }

    /// Some clients whose app is old, those that were there first.
    pub(super) fn old(&self, most: usize) -> Vec<u32> {
        let mut old: Vec<u32> = lock(&self.old).iter().copied().collect();
        old.sort_unstable();
        old.truncate(most);
        old
    }

    /// A client's key.
    pub(super) fn key(&self, client: u32) -> String {
        lock(&self.crowd).key(client).to_owned()
    }

    /// The key of the partner whom v2 may fail.
    pub(super) fn partner_key(&self) -> String {
        self.key(self.partner)
    }

    /// The client who says that it is blocked.
    pub(super) fn blocked_key(&self) -> String {
        lock(&self.crowd).key(self.blocked).to_owned()
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        let get = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let Counts { sent, served, failed, brownout, gone, lost, left_out, updated } = &self.counts;
        Seen {
            sent: get(sent),
            served: [get(&served[0]), get(&served[1])],
            failed: [get(&failed[0]), get(&failed[1])],
            brownout: get(brownout),
            gone: get(gone),
            lost: get(lost),
            left_out: get(left_out),
            updated: get(updated),
        }
    }
}

impl Answer {
    /// A header as text; empty when it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// No version answered, and the answer says that it is on purpose.
pub(super) fn is_brownout(answer: &Answer) -> bool {
    answer.status == 503 && !answer.header("retry-after").is_empty()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
