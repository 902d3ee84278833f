//! The people of a town without its weather: who calls when, for whoever serves them for
//! real.

use super::people::{Busy, Habit, People};
use crate::chance::Chance;
use crate::script::{Demand, SEGMENTS};

/// Clients, and when they call. The same seed gives the same calls.
///
/// ```
/// use crossfade_sim::{Crowd, Demand};
///
/// let demand = Demand { clients: 1_000, rps: 50.0, ..Demand::default() };
/// let mut crowd = Crowd::new(&demand, "", 0, 7);
/// let calls: usize = (0..100).map(|_| crowd.callers(100).len()).sum();
/// assert!((350..650).contains(&calls), "{calls} in ten seconds");
/// ```
#[derive(Debug)]
pub struct Crowd {
    people: People,
    busy: Vec<Busy>,
    chance: Chance,
    now_ms: u64,
    callers: Vec<u32>,
}

impl Crowd {
    /// The clients of this demand, at `start_ms` (the hour of the day matters to some).
    /// `salt` is the plan's: buckets are by it.
    pub fn new(demand: &Demand, salt: &str, start_ms: u64, seed: u64) -> Crowd {
        let mut chance = Chance::new(seed);
        let people = People::new(demand, salt, start_ms, &mut chance);
        Crowd { people, busy: Vec::new(), chance, now_ms: 0, callers: Vec::new() }
    }

    /// How many clients there are.
    pub fn clients(&self) -> u32 {
        self.people.len() as u32
    }

    /// A client's routing key; empty for one that is not there.
    pub fn key(&self, client: u32) -> &str {
        self.people.keys.get(client as usize).map_or("", String::as_str)
    }

    /// A client's bucket of 10,000; 0 for one that is not there.
    pub fn bucket(&self, client: u32) -> u16 {
        self.people.buckets.get(client as usize).copied().unwrap_or_default()
    }

    /// What a client calls with: the name of one of [`SEGMENTS`].
    pub fn app(&self, client: u32) -> &'static str {
        let place = self.people.segments.get(client as usize).copied().unwrap_or_default();
        SEGMENTS.get(usize::from(place)).map_or("", |(name, _)| name)
    }

    /// How a client calls.
    pub fn habit(&self, client: u32) -> Habit {
        self.people.habit(client)
    }

    /// Who calls within the next so many milliseconds, once for each request.
    pub fn callers(&mut self, ms: u64) -> &[u32] {
        let (from_ms, to_ms) = (self.now_ms, self.now_ms + ms);
        self.callers.clear();
        let Crowd { people, busy, chance, callers, .. } = self;
        people.callers(from_ms, to_ms, busy, chance, callers);
        self.now_ms = to_ms;
        &self.callers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_calls_and_another_gives_others() {
        let demand = Demand { clients: 200, rps: 40.0, ..Demand::default() };
        let calls = |seed| {
            let mut crowd = Crowd::new(&demand, "", 0, seed);
            (0..50).flat_map(|_| crowd.callers(100).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(calls(1), calls(1));
        assert_ne!(calls(1), calls(2));
    }

    #[test]
    fn a_client_that_is_not_there_has_no_name() {
        let crowd = Crowd::new(&Demand { clients: 10, ..Demand::default() }, "", 0, 1);
        assert_eq!((crowd.clients(), crowd.key(9), crowd.key(10)), (10, "c9", ""));
        assert_eq!((crowd.bucket(10), crowd.app(10)), (0, "web"));
    }
}
