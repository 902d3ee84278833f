//! Clients as one meets them: jobs, people, and those who came once.

use crate::chance::Chance;

pub(crate) const HOUR: u32 = 3_600;
pub(crate) const DAY: u32 = 24 * HOUR;

/// Calls to v1 as a node reports them: `times` between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) first_s: u32,
    pub(crate) last_s: u32,
    pub(crate) times: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Its calls to v1, in order.
    pub(crate) old: Vec<Call>,
    /// Its first call to v2.
    pub(crate) new_s: Option<u32>,
}

/// One migration.
#[derive(Debug, Clone)]
pub(crate) struct World {
    clients: u32,
    /// How much there is of each kind of client.
    kinds: [f64; KINDS],
    /// The migration starts here; before, there is only v1.
    pub(crate) starts_s: u32,
    pub(crate) ends_s: u32,
    /// Days until a client moves, in the mean.
    moves_days: f64,
    /// Probability that a client is given up without having moved, and its mean life.
    dies: f64,
    dies_days: f64,
    /// Probability that a client forgets a weekly or monthly job when it moves.
    forgets: f64,
    /// Probability that a visitor comes again, after how many days.
    again: f64,
    again_days: f64,
}

const KINDS: usize = 9;

/// Who the clients are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    /// Some of everything.
    Mixed,
    /// Jobs: nightly, weekly, monthly, quarterly, and slow to move.
    Jobs,
    /// Steady clients, people, and what comes at random, and most move soon.
    Busy,
    /// Mostly people who came once, and some who come again.
    Visitors,
}

impl Family {
    /// How much there is of each kind: steady, people, nightly, weekly, monthly, bursts,
    /// visitors, quarterly, random.
    fn weights(self) -> [f64; KINDS] {
        match self {
            Family::Mixed => [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.3, 1.0],
            Family::Jobs => [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
            Family::Busy => [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            Family::Visitors => [0.3, 0.3, 0.3, 0.0, 0.0, 1.0, 5.0, 0.0, 0.3],
        }
    }

    fn moves_days(self, chance: &mut Chance) -> f64 {
        match self {
            Family::Jobs => chance.scale(20.0, 80.0),
            Family::Busy => chance.scale(4.0, 20.0),
            Family::Mixed | Family::Visitors => chance.scale(8.0, 40.0),
        }
    }
}

impl World {
    pub(crate) fn draw(family: Family, chance: &mut Chance) -> World {
        let starts_s = DAY * chance.between(90.0, 240.0) as u32;
        World {
            clients: chance.scale(10.0, 400.0) as u32,
            kinds: family.weights().map(|weight| weight * chance.exponential(1.0)),
            starts_s,
            ends_s: starts_s + 600 * DAY,
            moves_days: family.moves_days(chance),
            dies: chance.between(0.0, 0.3),
            dies_days: chance.scale(30.0, 200.0),
            forgets: if chance.happens(0.3) { chance.between(0.0, 0.05) } else { 0.0 },
            again: chance.between(0.0, 0.5),
            again_days: chance.scale(3.0, 40.0),
        }
    }

    pub(crate) fn clients(&self, chance: &mut Chance) -> Vec<Client> {
        (0..self.clients).map(|_| self.client(chance)).collect()
    }

    fn client(&self, chance: &mut Chance) -> Client {
        let mut kind = 0;
        let mut left = chance.unit() * self.kinds.iter().sum::<f64>();
        while kind + 1 < KINDS && left > self.kinds[kind] {
            left -= self.kinds[kind];
            kind += 1;
        }
        // Most are there from the start; some come later.
        let born_s = if chance.happens(0.6) {
            chance.between(0.0, f64::from(3 * DAY)) as u32
        } else {
            chance.between(0.0, f64::from(self.starts_s)) as u32
        };
        let moves_s = self.starts_s + days(chance.exponential(self.moves_days));
        // Some are given up, at any time and without a word.
        let dies_s = if chance.happens(self.dies) {
            born_s.saturating_add(days(chance.exponential(self.dies_days)))
        } else {
            u32::MAX
        };
        let all = self.calls(kind, born_s, chance);
        let mut client = Client::default();
        for call in all.into_iter().filter(|call| call.first_s < dies_s) {
            if call.first_s < moves_s {
                client.old.push(call);
            } else {
                client.new_s = client.new_s.or(Some(call.first_s));
            }
        }
        if client.new_s.is_some() && chance.happens(self.forgets) {
            let every = [7.0, 30.4, 91.3][chance.poisson(0.7).min(2) as usize];
            let until_s = moves_s.saturating_add(days(chance.between(20.0, 150.0)));
            let mut forgotten = Vec::new();
            self.every(every, 0.03 * every, born_s, chance, &mut forgotten);
            client.old.extend(forgotten.into_iter().filter(|call| call.first_s < until_s));
            client.old.sort_unstable_by_key(|call| call.first_s);
        }
        client
    }

    /// All calls of a client of this kind, as long as it lives.
    fn calls(&self, kind: usize, born_s: u32, chance: &mut Chance) -> Vec<Call> {
        let mut calls = Vec::new();
        match kind {
            0 => self.steady(born_s, chance, &mut calls),
            1 => self.people(born_s, chance, &mut calls),
            2 => self.nightly(born_s, chance, &mut calls),
            3 => self.every(7.0, 0.3, born_s, chance, &mut calls),
            4 => self.every(30.4, 1.2, born_s, chance, &mut calls),
            5 => self.bursts(born_s, chance, &mut calls),
            6 => self.visitor(born_s, chance, &mut calls),
            7 => self.every(91.3, 2.5, born_s, chance, &mut calls),
            _ => {
                let (mean, mut at_s) = (chance.scale(0.05, 10.0), born_s);
                while at_s < self.ends_s {
                    calls.push(burst(at_s, chance));
                    at_s += days(chance.exponential(mean)).max(60);
                }
            }
        }
        calls
    }

    /// Every few minutes, with an outage now and then.
    fn steady(&self, born_s: u32, chance: &mut Chance, calls: &mut Vec<Call>) {
        let every_s = chance.scale(60.0, 7_200.0) as u32;
        let mut at_s = born_s;
        while at_s < self.ends_s {
            // Reported day by day: nothing reaches beyond midnight.
            let times = (DAY - at_s % DAY).div_ceil(every_s);
            calls.push(Call { first_s: at_s, last_s: at_s + (times - 1) * every_s, times });
            at_s += times * every_s;
            if chance.happens(0.005) {
                at_s += days(chance.lognormal(0.3, 1.2));
            }
        }
    }

    /// People: on working days, with a rhythm of their own, and on holiday.
    fn people(&self, born_s: u32, chance: &mut Chance, calls: &mut Vec<Call>) {
        let works = chance.between(0.1, 0.9);
        let mut day = born_s / DAY;
        while day * DAY < self.ends_s {
            if day % 7 < 5 && chance.happens(works) {
                calls.push(burst(day * DAY + days(chance.between(0.3, 0.6)), chance));
            }
            day += if chance.happens(0.006) { chance.between(5.0, 30.0) as u32 } else { 1 };
        }
    }

    fn nightly(&self, born_s: u32, chance: &mut Chance, calls: &mut Vec<Call>) {
        let weekdays = chance.happens(0.5);
        for day in born_s / DAY..self.ends_s / DAY {
            if (!weekdays || day % 7 < 5) && !chance.happens(0.01) {
                calls.push(burst(day * DAY + days(chance.between(0.08, 0.1)), chance));
            }
        }
    }

    /// Every so many days, a little early or late, seldom left out.
    fn every(
        &self,
        every: f64,
        late: f64,
        born_s: u32,
        chance: &mut Chance,
        calls: &mut Vec<Call>,
    ) {
        let first = f64::from(born_s) / f64::from(DAY) + every * chance.unit();
        for n in 0..(f64::from(self.ends_s / DAY) / every) as u32 {
            let at_s = days(first + every * f64::from(n) + late * chance.normal().clamp(-2.5, 2.5));
            if at_s < self.ends_s && !chance.happens(0.02) {
                calls.push(burst(at_s, chance));
            }
        }
    }

    /// Bursts with pauses of every length between.
    fn bursts(&self, born_s: u32, chance: &mut Chance, calls: &mut Vec<Call>) {
        let (median, sigma) = (chance.scale(0.2, 5.0), chance.between(0.5, 1.2));
        let mut at_s = born_s;
        while at_s < self.ends_s {
            let call = burst(at_s, chance);
            calls.push(call);
            at_s = call.last_s + days(chance.lognormal(median, sigma)).max(60);
        }
    }

    /// Once, or a few times.
    fn visitor(&self, born_s: u32, chance: &mut Chance, calls: &mut Vec<Call>) {
        // They come at any time, also when others have moved.
        let mut at_s = born_s + chance.between(0.0, f64::from(self.starts_s)) as u32;
        loop {
            let call = burst(at_s, chance);
            calls.push(call);
            if !chance.happens(self.again) {
                return;
            }
            at_s = call.last_s + days(chance.lognormal(self.again_days, 1.0)).max(60);
        }
    }
}

fn days(days: f64) -> u32 {
    (days.clamp(0.0, 10_000.0) * f64::from(DAY)) as u32
}

/// Some calls within minutes.
fn burst(at_s: u32, chance: &mut Chance) -> Call {
    let times = if chance.happens(0.4) { 1 } else { chance.scale(2.0, 60.0) as u32 };
    let between_s = chance.scale(1.0, 200.0) as u32;
    Call { first_s: at_s, last_s: at_s + (times - 1) * between_s, times }
}
