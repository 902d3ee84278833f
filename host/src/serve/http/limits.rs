//! How much one caller may ask for, and how much may be in hand.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::asking::bearer;
use super::problem::Answered;
use crate::serve::listen::Peer;

/// Bytes of bodies that may be in memory at once.
const BODIES_BYTES_MAX: usize = 128 << 20;

/// A body is there so long after its head, or it is not waited for.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(20);

/// Requests a second of one caller, unless the command line says otherwise. A client on
/// this machine has no limit then.
pub(crate) const RATE_DEFAULT: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not zero");

/// Callers that are told apart. Beyond it, new ones share what one may ask for.
const CALLERS_MAX: usize = 65_536;

/// How often callers that have long been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What was let in, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections that were heard.
    pub(crate) connections: AtomicU64,
    /// Those for which there was no place.
    pub(crate) connections_refused: AtomicU64,
    /// Answers by the first digit of their status.
    pub(crate) answers: [AtomicU64; 6],
    /// Requests beyond what a caller may ask for.
    pub(crate) limited: AtomicU64,
}

/// The same at one moment.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) answers: [u64; 6],
    pub(crate) limited: u64,
}

impl Counters {
    /// What they are now.
    pub(crate) fn read(&self) -> Counted {
        Counted {
            connections: self.connections.load(Relaxed),
            refused: self.connections_refused.load(Relaxed),
            answers: self.answers.each_ref().map(|count| count.load(Relaxed)),
            limited: self.limited.load(Relaxed),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limits {
    /// What happened.
    pub(crate) counters: Counters,
    bodies: Arc<Semaphore>,
    rate: DefaultKeyedRateLimiter<Caller>,
    /// Whether it holds for this machine, too.
    limits_loopback: bool,
    forgotten: Mutex<Instant>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    /// Whoever holds a token, from wherever.
    Holder(String),
    /// Everybody else by address; of IPv6 the first 64 bits, which is what one gets.
    Address(IpAddr),
    /// Everybody else, when there are too many.
    Rest,
}

impl Limits {
    /// With so many requests a second for one caller, and twice as many at once.
    pub(crate) fn new(rate: Option<NonZeroU32>) -> Arc<Limits> {
        let limits_loopback = rate.is_some();
        let rate = rate.unwrap_or(RATE_DEFAULT);
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(TWICE));
        Arc::new(Limits {
            counters: Counters::default(),
            bodies: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
            rate: RateLimiter::hashmap(quota),
            limits_loopback,
            forgotten: Mutex::new(Instant::now()),
        })
    }

    /// When to come again, if this is more than the caller may ask for.
    fn over(&self, caller: Caller) -> Option<Duration> {
        let caller = match caller {
            Caller::Address(_) if self.is_full() => Caller::Rest,
            caller => caller,
        };
        let until = self.rate.check_key(&caller).err()?;
        Some(until.wait_time_from(DefaultClock::default().now()))
    }

    /// Takes note of more bytes that are in hand, until what is held is dropped. `None`:
    /// there are too many already.
    pub(super) fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Option<()> {
        let bytes = u32::try_from(bytes).ok()?;
        let more = Arc::clone(&self.bodies).try_acquire_many_owned(bytes).ok()?;
        match held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Some(())
    }

    fn is_full(&self) -> bool {
        if self.rate.len() < CALLERS_MAX {
            return false;
        }
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if forgotten.elapsed() >= FORGET_EVERY {
            *forgotten = Instant::now();
            self.rate.retain_recent();
        }
        self.rate.len() >= CALLERS_MAX
    }
}

const TWICE: NonZeroU32 = NonZeroU32::new(2).expect("it is not zero");

fn caller(app: &App, request: &Request) -> Option<Caller> {
    let holder = bearer(request.headers()).and_then(|token| app.access().holder(token));
    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| peer.ip().to_canonical())?;
    if peer.is_loopback() && !app.limits().limits_loopback {
        return None;
    }
    Some(match (holder, peer) {
        (Some(holder), _) => Caller::Holder(holder.name.clone()),
        (None, IpAddr::V6(address)) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Caller::Address(Ipv6Addr::from_bits(network).into())
        }
        (None, address) => Caller::Address(address),
    })
}

/// Refuses what is beyond a caller's rate, and counts answers.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let over = caller(&app, &request).and_then(|caller| app.limits().over(caller));
    let response = match over {
        None => next.run(request).await,
        Some(wait) => {
            app.limits().counters.limited.fetch_add(1, Relaxed);
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Answered::new(429, "too many requests from you: come again when `retry-after` says")
                .header(header::RETRY_AFTER, &seconds.max(1).to_string())
                .into_response()
        }
    };
    let class = usize::from(response.status().as_u16() / 100);
    if let Some(count) = app.limits().counters.answers.get(class) {
        count.fetch_add(1, Relaxed);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Caller {
        Caller::Address(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn each_caller_has_a_rate_of_its_own() {
        let limits = Limits::new(NonZeroU32::new(1));
        let allowed =
            |caller: Caller| (0..5).filter(|_| limits.over(caller.clone()).is_none()).count();
        assert_eq!(allowed(address(1)), 2);
        assert_eq!(allowed(address(2)), 2);
        assert_eq!(allowed(Caller::Holder("edge-1".into())), 2);
        let wait = limits.over(address(1)).unwrap();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn bytes_in_hand_are_bounded_and_free_again_when_a_body_is_done_with() {
        let limits = Limits::new(None);
        let (mut one, mut other) = (None, None);
        assert!(limits.hold(&mut one, BODIES_BYTES_MAX / 2).is_some());
        assert!(limits.hold(&mut one, BODIES_BYTES_MAX / 2 - 1).is_some());
        assert!(limits.hold(&mut other, 2).is_none());
        assert!(limits.hold(&mut other, 1).is_some());
        drop(one);
        assert!(limits.hold(&mut other, BODIES_BYTES_MAX - 1).is_some());
        assert!(limits.hold(&mut other, 1).is_none());
    }

    #[test]
    fn the_table_of_callers_is_bounded() {
        let limits = Limits::new(NonZeroU32::new(1));
        for place in 0..CALLERS_MAX as u32 + 10 {
            let _ = limits.over(Caller::Address(IpAddr::from(place.to_be_bytes())));
        }
        assert!(limits.rate.len() <= CALLERS_MAX + 1, "{}", limits.rate.len());
        // They share what one may ask for, and have used it up.
        assert!(limits.over(Caller::Address(IpAddr::from([250, 0, 0, 1]))).is_some());
        assert!(limits.over(Caller::Holder("edge-1".into())).is_none());
    }
}
