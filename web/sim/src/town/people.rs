//! Who lives in a town, and when they call.

use std::ops::Range;

use crossfade_protocol::BUCKETS;
use xxhash_rust::xxh64::xxh64;

use super::alias::Alias;
use crate::chance::Chance;
use crate::script::{Demand, SEGMENTS};

/// How a client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// Very often.
    Whale,
    /// Now and then, at any time.
    Steady,
    /// Many requests in half a minute, then none.
    Bursty,
    /// A job in the early morning.
    Nightly,
    /// A job once in thirty days.
    Monthly,
    /// Once in three days or so.
    Sleeper,
    /// As the steady ones, but came later.
    Arrival,
}

const HABITS: [Habit; 7] = [
    Habit::Whale,
    Habit::Steady,
    Habit::Bursty,
    Habit::Nightly,
    Habit::Monthly,
    Habit::Sleeper,
    Habit::Arrival,
];

/// Part of all requests that whales send, where there are whales; and bursty clients.
const WHALES_PART: f64 = 0.15;
const BURSTY_PART: f64 = 0.15;
/// Requests in a burst, in the mean.
const BURST: u32 = 30;
/// Requests in a job, and the rate at which it sends them.
const JOB: u32 = 120;
const JOB_PER_S: f64 = 2.0;
const SLEEPS_S: f64 = 3.0 * 86_400.0;
const DAY_MS: u64 = 86_400_000;
/// Nightly jobs begin from one o'clock on, within three hours.
const NIGHT_FROM_MS: u64 = 3_600_000;
const NIGHT_LASTS_MS: u64 = 3 * 3_600_000;
const MONTH_MS: u64 = 30 * DAY_MS;

/// What never changes about them. Clients are numbered by habit.
#[derive(Debug)]
pub(super) struct People {
    pub(super) keys: Vec<String>,
    pub(super) buckets: Vec<u16>,
    pub(super) segments: Vec<u8>,
    ranges: [Range<u32>; HABITS.len()],
    steady: Alias,
    rps: f64,
    swing: f64,
    start_ms: u64,
}

/// A client who sends several requests in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Busy {
    client: u32,
    left: u32,
    per_s: f64,
}

impl People {
    pub(super) fn new(demand: &Demand, salt: &str, start_ms: u64, chance: &mut Chance) -> People {
        let all = demand.clients;
        let mix = &demand.mix;
        let part = |percent: f64| (f64::from(all) * percent / 100.0).round() as u32;
        let mut counts = [
            // A few are still some: one whale where any are asked for.
            part(mix.whales).max(u32::from(mix.whales > 0.0)),
            0,
            part(mix.bursty),
            part(mix.nightly),
            part(mix.monthly),
            part(mix.sleepers),
            part(mix.arrivals),
        ];
        counts[1] = all.saturating_sub(counts.iter().sum()).max(1);
        let mut from = 0;
        let ranges = counts.map(|count| {
            let range = from..(from + count).min(all);
            from = range.end;
            range
        });
        let seed = if salt.is_empty() { 0 } else { xxh64(salt.as_bytes(), 0) };
        let keys: Vec<String> = (0..all).map(|client| format!("c{client}")).collect();
        let bucket = |key: &String| (xxh64(key.as_bytes(), seed) % u64::from(BUCKETS)) as u16;
        // The product of three uniform numbers is uneven enough: one in ten clients sends
        // four in ten requests.
        let weights: Vec<f64> = ranges[1]
            .clone()
            .map(|_| 0.02 + chance.unit() * chance.unit() * chance.unit())
            .collect();
        People {
            buckets: keys.iter().map(bucket).collect(),
            segments: (0..all).map(|_| segment(chance)).collect(),
            keys,
            ranges,
            steady: Alias::new(&weights),
            rps: demand.rps,
            swing: demand.daily_percent / 100.0,
            start_ms,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How this client calls.
    pub(super) fn habit(&self, client: u32) -> Habit {
        let place = self.ranges.iter().position(|range| range.contains(&client));
        place.map_or(Habit::Steady, |place| HABITS[place])
    }

    /// Times the mean rate at this hour: highest at three in the afternoon.
    pub(super) fn daily(&self, now_ms: u64) -> f64 {
        let hour = ((self.start_ms + now_ms) % DAY_MS) as f64 / 3_600_000.0;
        1.0 + self.swing * libm::sin((hour - 9.0) / 24.0 * std::f64::consts::TAU)
    }

    /// Appends who calls from one moment to another, once for each request.
    pub(super) fn callers(
        &self,
        from_ms: u64,
        to_ms: u64,
        busy: &mut Vec<Busy>,
        chance: &mut Chance,
        callers: &mut Vec<u32>,
    ) {
        let seconds = (to_ms - from_ms) as f64 / 1_000.0;
        let mean = self.rps * seconds * self.daily(from_ms);
        let [whales, steady, bursty, nightly, monthly, sleepers, arrivals] = &self.ranges;
        let part = |range: &Range<u32>, part: f64| if range.is_empty() { 0.0 } else { part };
        let whales_part = part(whales, WHALES_PART);
        let bursty_part = part(bursty, BURSTY_PART);
        let here = arrived(arrivals, to_ms);
        let rest = 1.0 - whales_part - bursty_part;
        let residents = f64::from(steady.end - steady.start);
        let here_part = rest * f64::from(here) / (residents + f64::from(here));
        draw(whales, mean * whales_part, chance, callers);
        draw(&(arrivals.start..arrivals.start + here), mean * here_part, chance, callers);
        for _ in 0..chance.poisson(mean * (rest - here_part)) {
            callers.push(steady.start + self.steady.draw((chance.bits() >> 32) as u32));
        }
        draw(
            sleepers,
            f64::from(sleepers.end - sleepers.start) * seconds / SLEEPS_S,
            chance,
            callers,
        );
        for _ in 0..chance.poisson(mean * bursty_part / f64::from(BURST)) {
            let client = bursty.start + chance.below(bursty.end - bursty.start);
            let left = BURST / 2 + chance.below(BURST);
            busy.push(Busy { client, left, per_s: 1.0 });
        }
        let (from, to) = (self.start_ms + from_ms, self.start_ms + to_ms);
        let jobs = due(nightly, from, to, DAY_MS, NIGHT_FROM_MS, NIGHT_LASTS_MS)
            .chain(due(monthly, from, to, MONTH_MS, 0, MONTH_MS));
        busy.extend(jobs.map(|client| Busy { client, left: JOB, per_s: JOB_PER_S }));
        busy.retain_mut(|busy| {
            let now = chance.poisson(busy.per_s * seconds).min(u64::from(busy.left)) as u32;
            busy.left -= now;
            callers.extend((0..now).map(|_| busy.client));
            busy.left > 0
        });
    }
}

fn segment(chance: &mut Chance) -> u8 {
    let mut left = chance.below(100);
    for (at, (_, percent)) in SEGMENTS.iter().enumerate() {
        if left < *percent {
            return at as u8;
        }
        left -= percent;
    }
    0
}

/// How many of those who come in over the first day are there.
fn arrived(arrivals: &Range<u32>, now_ms: u64) -> u32 {
    let all = u64::from(arrivals.end - arrivals.start);
    (all * now_ms.min(DAY_MS) / DAY_MS) as u32
}

fn draw(range: &Range<u32>, mean: f64, chance: &mut Chance, callers: &mut Vec<u32>) {
    if range.is_empty() {
        return;
    }
    for _ in 0..chance.poisson(mean) {
        callers.push(range.start + chance.below(range.end - range.start));
    }
}

/// Whose job begins between two moments. Jobs come once in `every_ms`, one after the other
/// within `within_ms` from `begin_ms` on.
fn due(
    range: &Range<u32>,
    from_ms: u64,
    to_ms: u64,
    every_ms: u64,
    begin_ms: u64,
    within_ms: u64,
) -> impl Iterator<Item = u32> + use<> {
    let count = u64::from(range.end - range.start);
    let (cycle, first) = (from_ms / every_ms, range.start);
    // The first whose moment is not before this one.
    let place = move |ms: u64| {
        let into = (ms - cycle * every_ms).saturating_sub(begin_ms).min(within_ms);
        (into * count).div_ceil(within_ms)
    };
    (place(from_ms)..place(to_ms).min(count)).map(move |at| first + at as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_begin_once_in_a_cycle() {
        for tick in [1_000, 7_000, 60_000] {
            let mut seen = vec![0; 20];
            for at in 0..2 * DAY_MS / tick {
                let due = due(&(5..25), at * tick, (at + 1) * tick, DAY_MS, 3_600_000, 10_800_000);
                due.for_each(|client| seen[client as usize - 5] += 1);
            }
            assert_eq!(seen, [2; 20], "{tick}");
        }
    }

    #[test]
    fn the_rate_is_the_one_asked_for_over_a_day() {
        let demand = Demand { rps: 5.0, clients: 400, ..Demand::default() };
        let mut chance = Chance::new(1);
        let people = People::new(&demand, "", 0, &mut chance);
        let (mut busy, mut callers) = (Vec::new(), Vec::new());
        for at in 0..1_440 {
            people.callers(at * 60_000, (at + 1) * 60_000, &mut busy, &mut chance, &mut callers);
        }
        let jobs = f64::from(people.ranges[3].end - people.ranges[3].start) * f64::from(JOB);
        let rate = (callers.len() as f64 - jobs) / 86_400.0;
        assert!((rate - 5.0).abs() < 0.1, "{rate}");
        let nightly = callers.iter().filter(|c| people.habit(**c) == Habit::Nightly).count();
        assert!((nightly as f64 - jobs).abs() < 1.0, "{nightly}");
        assert!(callers.iter().all(|client| (*client as usize) < people.len()));
    }

    #[test]
    fn a_key_falls_in_the_bucket_that_everyone_can_compute() {
        let mut chance = Chance::new(1);
        let people = People::new(&Demand::default(), "", 0, &mut chance);
        assert_eq!(xxh64(b"user123", 0) % u64::from(BUCKETS), 4497);
        assert_eq!(u64::from(people.buckets[7]), xxh64(b"c7", 0) % u64::from(BUCKETS));
    }
}
