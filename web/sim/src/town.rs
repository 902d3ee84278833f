//! A town: clients with names and habits, each request routed by the engine.
//!
//! Where [`World`](crate::World) draws counts, a town draws who calls. That costs a
//! hundred times as much, and shows who is on which version, who sleeps, and whom a fault
//! hits.

mod alias;
mod crowd;
mod people;
mod sky;

use std::sync::Arc;

use crate::chance::Chance;
use crate::script::{START_MS, Script};
use crate::world::{Served, Single, Tick, Version};

use people::{Busy, People};
use sky::Sky;

pub use crowd::Crowd;
pub use people::Habit;

/// Clients whose first request of a step is reported by itself: so many the engine looks
/// at to see whether the share is the one asked for.
const NAMED_MAX: u32 = 2048;

/// Who answers which version serves a request.
pub(crate) trait Route {
    /// Why it cannot answer.
    type Error;

    /// The version's place in the policy's list, for this key and segment.
    fn route(&mut self, key: &str, segment: u8, draw: u32) -> Result<u16, Self::Error>;
}

/// How often the engine is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// For every request, as in production.
    Always,
    /// Once for each client after every change of the policy. Where routing is sticky the
    /// answers are the same, and a run is over sooner; the engine counts fewer requests.
    Once,
}

/// What a town knows of one client.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// 0: not seen; else the version that served it last, plus 1.
    served_by: u8,
    was_harmed: bool,
    /// The change of the policy as of which `served_by` was decided.
    decided: u32,
    /// The step in which it was named.
    named: u32,
    /// When it was last served by v1, and at all, in seconds plus 1.
    last_old: u32,
    last_seen: u32,
    requests: u32,
}

/// A client as people are shown it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClientCard {
    /// Its routing key.
    pub key: String,
    /// Its bucket of 10,000.
    pub bucket: u16,
    /// Its attribute `app`.
    pub app: &'static str,
    /// How it calls.
    pub habit: Habit,
    /// The version that served it last: 0, 1, or `None` when it was never seen.
    pub version: Option<u8>,
    /// When it was last seen, and last seen on v1, in milliseconds since the beginning.
    pub last_seen_ms: Option<u64>,
    /// See `last_seen_ms`.
    pub last_old_ms: Option<u64>,
    /// Requests so far.
    pub requests: u32,
    /// Whether it met a failure that v1 would not have had.
    pub was_harmed: bool,
}

/// A town as it is now.
#[derive(Debug, Clone)]
pub struct Town {
    people: Arc<People>,
    /// Clients by bucket.
    order: Arc<Vec<u32>>,
    chance: Chance,
    sky: Sky,
    busy: Vec<Busy>,
    known: Vec<Known>,
    /// Changes of the policy so far, and steps.
    changes: u32,
    steps: u32,
    named: u32,
    /// Clients by version: last served by v1, and by v2.
    pub(crate) on: [u32; 2],
    callers: Vec<u32>,
    sticky: bool,
    latencies_told: bool,
    pub(crate) tick: Tick,
    /// Successes of the tick by place among the latencies, v1's and v2's.
    pub(crate) well: [Vec<u32>; 2],
}

impl Town {
    /// The town of a script that was checked, at time 0.
    pub(crate) fn new(script: &Script, salt: &str, sticky: bool) -> Town {
        let mut chance = Chance::new(u64::from(script.seed));
        let people = People::new(&script.traffic, salt, START_MS, &mut chance);
        let mut order: Vec<u32> = (0..people.len() as u32).collect();
        order.sort_by_key(|client| (people.buckets[*client as usize], *client));
        Town {
            known: vec![Known::default(); people.len()],
            people: Arc::new(people),
            order: Arc::new(order),
            sky: Sky::new(script),
            chance,
            busy: Vec::new(),
            changes: 1,
            steps: 1,
            named: 0,
            on: [0; 2],
            callers: Vec::new(),
            sticky,
            latencies_told: true,
            tick: Tick::default(),
            well: Default::default(),
        }
    }

    /// Time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.tick.to_ms
    }

    /// Whether it is told how long requests took, from now on.
    pub(crate) fn tell_latencies(&mut self, told: bool) {
        self.latencies_told = told;
    }

    /// The policy may decide otherwise from now on.
    pub(crate) fn policy_changed(&mut self) {
        self.changes += 1;
    }

    /// A step began: clients are named anew.
    pub(crate) fn step_began(&mut self) {
        self.steps += 1;
        self.named = 0;
    }

    /// Lives one tick of so many milliseconds.
    pub(crate) fn live<R: Route>(
        &mut self,
        script: &Script,
        begun: &[u64],
        tick_ms: u64,
        asking: Asking,
        router: &mut R,
    ) -> Result<(), R::Error> {
        let from_ms = self.tick.to_ms;
        let to_ms = from_ms + tick_ms;
        self.sky.move_to(script, begun, from_ms, to_ms);
        self.tick.from_ms = from_ms;
        self.tick.to_ms = to_ms;
        self.tick.reported = self.sky.reported;
        self.tick.harmed_clients = 0;
        self.tick.old = Served::default();
        self.tick.new = Served::default();
        self.tick.singles.clear();
        for (well, latency) in self.well.iter_mut().zip(&self.sky.latency) {
            well.clear();
            well.resize(latency.ms.len().max(1), 0);
        }
        let mut callers = std::mem::take(&mut self.callers);
        callers.clear();
        let people = Arc::clone(&self.people);
        people.callers(from_ms, to_ms, &mut self.busy, &mut self.chance, &mut callers);
        for client in &callers {
            self.serve(*client, &people, asking, router)?;
        }
        self.callers = callers;
        self.tell_successes();
        Ok(())
    }

    fn serve<R: Route>(
        &mut self,
        client: u32,
        people: &People,
        asking: Asking,
        router: &mut R,
    ) -> Result<(), R::Error> {
        let at = client as usize;
        let bits = self.chance.bits();
        let known = &mut self.known[at];
        let segment = people.segments[at];
        if asking == Asking::Always || !self.sticky || known.decided != self.changes {
            let draw = if self.sticky { 0 } else { (self.chance.bits() >> 32) as u32 };
            let version = router.route(&people.keys[at], segment, draw)?.min(1) as u8;
            known.decided = self.changes;
            if known.served_by != version + 1 {
                if known.served_by > 0 {
                    self.on[usize::from(known.served_by - 1)] -= 1;
                }
                self.on[usize::from(version)] += 1;
                known.served_by = version + 1;
            }
        }
        let second = (self.tick.from_ms / 1_000) as u32 + 1;
        known.last_seen = second;
        known.requests = known.requests.saturating_add(1);
        let (on, served) = match known.served_by {
            2 => (Version::New, &mut self.tick.new),
            _ => {
                known.last_old = second;
                (Version::Old, &mut self.tick.old)
            }
        };
        served.requests += 1;
        let failing = self.sky.failing[on as usize][usize::from(segment)];
        let (high, low) = ((bits >> 32) as u32, bits as u32);
        let failed = high < failing.at_all;
        let is_first = known.named != self.steps && self.named < NAMED_MAX;
        if is_first {
            known.named = self.steps;
            self.named += 1;
        }
        if failed {
            served.failures += 1;
            if high >= failing.anyway {
                served.harmed += 1;
                if !known.was_harmed {
                    known.was_harmed = true;
                    self.tick.harmed_clients += 1;
                }
            }
            self.tick.singles.push(Single { on, client, failed: true, latency_ms: None });
            return Ok(());
        }
        let latency = &self.sky.latency[on as usize];
        let place = latency.draw(low);
        if is_first && self.sticky {
            let latency_ms = latency.ms.get(place).copied().filter(|_| self.latencies_told);
            self.tick.singles.push(Single { on, client, failed: false, latency_ms });
        } else {
            self.well[on as usize][place] += 1;
        }
        Ok(())
    }

    fn tell_successes(&mut self) {
        for side in 0..2 {
            let told = &mut self.tick.successes[side];
            told.clear();
            if !self.latencies_told {
                told.push((None, self.well[side].iter().map(|count| u64::from(*count)).sum()));
                continue;
            }
            let ms = &self.sky.latency[side].ms;
            let counts = self.well[side].iter().enumerate().filter(|(_, count)| **count > 0);
            told.extend(counts.map(|(at, count)| (ms.get(at).copied(), u64::from(*count))));
        }
        if !self.tick.reported {
            self.tick.singles.clear();
        }
    }

    /// Whether a fault of v2's own is there.
    pub(crate) fn is_new_worse(&self) -> bool {
        self.sky.is_new_worse
    }

    /// Requests of the tick that may be drawn as dots, `most` at most: bit 0 says that v2
    /// served it, bit 1 that it failed.
    pub fn dots(&self, most: usize) -> Vec<u32> {
        let Served { requests: old, failures: old_failed, .. } = self.tick.old;
        let Served { requests: new, failures: new_failed, .. } = self.tick.new;
        let all = old + new;
        let keep = all.min(most as u64);
        let mut dots = Vec::with_capacity(keep as usize);
        // Errors first of each version: few, and what one looks for.
        let parts =
            [(new_failed, 3), (old_failed, 2), (new - new_failed, 1), (old - old_failed, 0)];
        let mut before = 0;
        for (count, dot) in parts {
            // Rounds so that all parts together are `keep`.
            let upto = |sum: u64| (sum * keep).checked_div(all).unwrap_or(0);
            let share = upto(before + count) - upto(before);
            before += count;
            dots.extend((0..share).map(|_| dot));
        }
        dots
    }

    /// One byte for each client, by bucket. Bits 0 and 1: 0 not seen, 1 v1, 2 v2 served it
    /// last; bit 2: it met a failure of v2's own.
    pub fn squares(&self) -> Vec<u8> {
        let byte = |client: &u32| {
            let known = &self.known[*client as usize];
            known.served_by | u8::from(known.was_harmed) << 2
        };
        self.order.iter().map(byte).collect()
    }

    /// The client at this place by bucket.
    pub fn client(&self, place: usize) -> Option<ClientCard> {
        let client = *self.order.get(place)?;
        let at = client as usize;
        let known = &self.known[at];
        let moment = |second: u32| second.checked_sub(1).map(|s| u64::from(s) * 1_000);
        Some(ClientCard {
            key: self.people.keys[at].clone(),
            bucket: self.people.buckets[at],
            app: crate::script::SEGMENTS[usize::from(self.people.segments[at])].0,
            habit: self.people.habit(client),
            version: known.served_by.checked_sub(1),
            last_seen_ms: moment(known.last_seen),
            last_old_ms: moment(known.last_old),
            requests: known.requests,
            was_harmed: known.was_harmed,
        })
    }

    /// Latencies that go with `well`.
    pub(crate) fn latency_ms(&self, side: usize) -> &[f64] {
        &self.sky.latency[side].ms
    }
}

/// What v1 served in the time before the beginning, as it is to be expected: latencies,
/// and how many requests took as long. Empty where no latency is told.
pub(crate) fn before(script: &Script, ms: u64) -> Vec<(f64, u64)> {
    let traffic = &script.traffic;
    let well = traffic.rps * ms as f64 / 1_000.0 * (1.0 - traffic.failure_percent / 100.0);
    let cells = sky::usual(traffic.median_ms);
    cells.into_iter().map(|(ms, part)| (ms, libm::round(well * part) as u64)).collect()
}

/// When a fault of v2's own began, if one has.
pub(crate) fn regression_ms(script: &Script, begun: &[u64]) -> Option<u64> {
    use crate::script::Kind;
    let own = |kind: Kind| matches!(kind, Kind::V2Errors | Kind::V2Slow | Kind::SegmentBroken);
    let faults = script.faults.iter().filter(|wrong| own(wrong.kind));
    faults.filter_map(|wrong| sky::begins_ms(wrong, begun)).min()
}
