//! Who will call the old version again, found by going round all clients.
//!
//! A few are gone round at once, when somebody asks. Of many each tick takes a part, and
//! whoever asks gets what the last time round has found, or that it is not known yet: nobody
//! waits while a million are looked at, which a call has not the time for. All of it is
//! state: a restored engine goes on in the same part.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_ledger::again::{Hazards, Past};
use crossfade_ledger::readiness::{Depend, Readiness};
use crossfade_ledger::{Client, Flags, Ledger, PARTS, Side};
use crossfade_protocol::plan::SunsetPlan;

use crate::clients::seconds;

/// Candidates that a statement of readiness names.
const CANDIDATES_MAX: u32 = 20;

/// So many are gone round at once: five milliseconds or so.
const AT_ONCE: usize = 20_000;

/// After so many seconds it begins anew: when many rows have changed, when one has, and in
/// any case. Not sooner, since whoever replays the ticks of days goes round as often.
const AGAIN_S: [u32; 3] = [60, 30 * 60, 2 * 3600];

/// Many rows are one in so many: to go round costs less than to take them in.
const MANY: u64 = 2;

/// What was found longer ago than this is not said any more.
const OLD_S: u32 = 3 * 3600;

/// How sure one has to be of what, at which moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    pub(crate) now_s: u32,
    pub(crate) horizon_s: u32,
    pub(crate) confidence: f64,
}

impl Look {
    pub(crate) fn new(plan: &SunsetPlan, now_ms: u64) -> Look {
        Look {
            now_s: seconds(now_ms),
            horizon_s: plan.horizon_days.saturating_mul(86_400),
            confidence: plan.confidence,
        }
    }

    /// Whoever called last before this is out of sight.
    pub(crate) fn since_s(&self) -> u32 {
        self.now_s.saturating_sub(self.horizon_s)
    }

    fn save(&self, out: &mut Vec<u64>) {
        out.extend([self.confidence.to_bits(), self.now_s.into(), self.horizon_s.into()]);
    }

    fn load(from: &mut dyn Iterator<Item = u64>) -> Option<Look> {
        let confidence = f64::from_bits(from.next()?);
        let (now_s, horizon_s) = (from.next()? as u32, from.next()? as u32);
        Some(Look { now_s, horizon_s, confidence })
    }

    /// Whether the same was asked, whenever that was.
    fn asks(&self, other: Look) -> bool {
        Look { now_s: 0, ..*self } == Look { now_s: 0, ..other }
    }
}

/// What a time round has found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Surveyed {
    /// When it began, and what was asked.
    pub(crate) look: Look,
    /// What the silences of all clients teach.
    pub(crate) hazards: Hazards,
    pub(crate) depend: Depend,
    /// Those who are likeliest to call, the likeliest first, by their ids in the ledger.
    pub(crate) candidates: Vec<u64>,
    /// The longest usual interval among those who may come back.
    pub(crate) longest_s: u32,
}

/// One time round: first every silence is watched, then of every client is asked what that
/// means for it.
#[derive(Debug, Clone, PartialEq)]
struct Round {
    look: Look,
    /// The part that comes next, of twice as many as there are.
    next: u8,
    hazards: Hazards,
    readiness: Readiness,
    /// Those who have moved, where they are sampled by themselves.
    moved: Readiness,
    longest_s: u32,
}

impl Round {
    fn new(table: &Ledger, look: Look) -> Round {
        Round {
            look,
            next: 0,
            hazards: Hazards::new(table.population()),
            readiness: Readiness::new(look.horizon_s, CANDIDATES_MAX),
            moved: Readiness::new(look.horizon_s, 0),
            longest_s: 0,
        }
    }

    /// One that has looked at so many parts.
    fn at_once(table: &Ledger, look: Look, parts: usize) -> Round {
        let mut round = Round::new(table, look);
        (0..parts).for_each(|_| _ = round.step(table));
        round
    }

    fn save(&self, out: &mut Vec<u64>) {
        self.look.save(out);
        out.extend([u64::from(self.next), self.longest_s.into()]);
        self.hazards.save(out);
        self.readiness.save(out);
        self.moved.save(out);
    }

    fn load(from: &mut dyn Iterator<Item = u64>) -> Option<Round> {
        let look = Look::load(from)?;
        let (next, longest_s) = (from.next()? as u8, from.next()? as u32);
        let hazards = Hazards::load(from)?;
        let (readiness, moved) = (Readiness::load(from)?, Readiness::load(from)?);
        Some(Round { look, next, hazards, readiness, moved, longest_s })
    }

    /// Looks at one more part; whether there is another.
    fn step(&mut self, table: &Ledger) -> bool {
        let next = usize::from(self.next);
        if next < PARTS {
            for client in table.part(next).filter(|client| client.old.requests > 0) {
                self.hazards.watch(&past(&client), silent_s(&client, self.look));
            }
            if next + 1 == PARTS {
                self.hazards.ready();
            }
        } else {
            self.count(table, next - PARTS);
        }
        self.next += 1;
        next + 1 < 2 * PARTS
    }

    fn count(&mut self, table: &Ledger, part: usize) {
        let apart = table.kept(Side::New) < 1.0;
        for client in table.part(part).filter(|client| client.old.requests > 0) {
            let past = past(&client);
            let on_new = client.version == table.newest();
            let into = if apart && on_new { &mut self.moved } else { &mut self.readiness };
            let id = || table.id(client.key, client.identity);
            let again = into.add(&self.hazards, &id, &past, silent_s(&client, self.look));
            if again >= 1.0 - self.look.confidence && !past.moved {
                self.longest_s = self.longest_s.max(client.rhythm.typical_s().unwrap_or_default());
            }
        }
    }

    /// What all of it says.
    fn found(&self, table: &Ledger) -> Surveyed {
        let Round { look, hazards, readiness, moved, longest_s, .. } = self;
        // Those who have moved are sampled by themselves, where they are.
        let [kept, kept_new] = [Side::Old, Side::New].map(|side| table.kept(side));
        let mut depend = if kept_new < 1.0 {
            // One half of what may go wrong for each.
            let confidence = f64::midpoint(1.0, look.confidence);
            let old = readiness.depend(hazards, confidence, kept);
            let new = moved.depend(hazards, confidence, kept_new);
            Depend {
                at_most: old.at_most.saturating_add(new.at_most),
                expected: old.expected + new.expected,
                exact: false,
                clients: old.clients + new.clients,
                last_in_s: old.last_in_s.max(new.last_in_s),
            }
        } else {
            readiness.depend(hazards, look.confidence, kept)
        };
        depend.exact &= table.untold(Some(look.since_s())) == 0;
        let candidates = readiness.candidates().iter().map(|candidate| candidate.id).collect();
        let (look, longest_s) = (*look, *longest_s);
        Surveyed { look, hazards: hazards.clone(), depend, candidates, longest_s }
    }
}

/// What is known of all clients together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Survey {
    round: Option<Round>,
    /// The last one that is over.
    found: Option<Round>,
    /// Rows that have changed since the last time round began.
    changed: u64,
}

/// Written down as numbers: what Borsh makes of so many tables is ten kilobytes of code.
impl BorshSerialize for Survey {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let mut out = vec![self.changed];
        for round in [&self.round, &self.found] {
            out.push(round.is_some().into());
            round.iter().for_each(|round| round.save(&mut out));
        }
        out.serialize(writer)
    }
}

impl BorshDeserialize for Survey {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Survey> {
        let from: Vec<u64> = Vec::deserialize_reader(reader)?;
        let mut from = from.into_iter();
        let mut load = || {
            let changed = from.next()?;
            let mut round = || match from.next()? {
                0 => Some(None),
                _ => Round::load(&mut from).map(Some),
            };
            Some(Survey { round: round()?, found: round()?, changed })
        };
        load().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Survey {
    /// So many rows have changed.
    pub(crate) fn changed(&mut self, rows: usize) {
        self.changed = self.changed.saturating_add(rows as u64);
    }

    /// The rows mean something else now.
    pub(crate) fn restart(&mut self) {
        *self = Survey::default();
    }

    /// A client is to leave no trace.
    pub(crate) fn forget(&mut self, id: u64) {
        if let Some(found) = &mut self.found {
            found.readiness.forget(id);
        }
        // Whom a round has seen cannot be taken out of it.
        self.round = None;
    }

    /// Looks at a part of many clients.
    pub(crate) fn tend(&mut self, table: &Ledger, look: Look) {
        if table.len() <= AT_ONCE {
            if self.round.is_some() || self.found.is_some() {
                self.restart();
            }
            return;
        }
        let same = self.round.as_ref().is_some_and(|round| round.look.asks(look));
        if let Some(mut round) = self.round.take().filter(|_| same) {
            let into = if round.step(table) { &mut self.round } else { &mut self.found };
            *into = Some(round);
        } else if self.is_due(table, look) {
            self.round = Some(Round::new(table, look));
            self.changed = 0;
        }
    }

    fn is_due(&self, table: &Ledger, look: Look) -> bool {
        let Some(found) = self.found.as_ref().filter(|found| found.look.asks(look)) else {
            return true;
        };
        let [many, any, none] = AGAIN_S;
        let after_s = match self.changed {
            0 => none,
            changed if changed >= table.len() as u64 / MANY => many,
            _ => any,
        };
        look.now_s >= found.look.now_s.saturating_add(after_s)
    }

    /// What was found lately of many clients.
    fn lately(&self, look: Look) -> Option<&Round> {
        let is_new = |found: &&Round| {
            found.look.asks(look) && look.now_s <= found.look.now_s.saturating_add(OLD_S)
        };
        self.found.as_ref().filter(is_new)
    }

    /// What was found, or is found at once; `None` while that is not known of many.
    pub(crate) fn outlook(&self, table: &Ledger, look: Look) -> Option<Surveyed> {
        if table.len() <= AT_ONCE {
            return Some(Round::at_once(table, look, 2 * PARTS).found(table));
        }
        self.lately(look).map(|found| found.found(table))
    }

    /// Only what the silences teach: of many, what was found last, or at first what silences
    /// that are over do.
    pub(crate) fn hazards(&self, table: &Ledger, look: Look) -> Hazards {
        if table.len() <= AT_ONCE {
            return Round::at_once(table, look, PARTS).hazards;
        }
        self.found.as_ref().map(|found| found.hazards.clone()).unwrap_or_else(|| {
            let mut hazards = Hazards::new(table.population());
            hazards.ready();
            hazards
        })
    }
}

/// What is known of a client's calls to old versions.
pub(crate) fn past(client: &Client<'_>) -> Past {
    Past {
        rhythm: client.rhythm,
        span_s: client.old.last_s.saturating_sub(client.old.first_s),
        moved: client.new.requests > 0
            && client.new.last_s > client.old.last_s
            && !client.flags.has(Flags::WAVERED),
    }
}

pub(crate) fn silent_s(client: &Client<'_>, look: Look) -> u32 {
    look.now_s.saturating_sub(client.old.last_s)
}

#[cfg(test)]
#[path = "survey/tests.rs"]
mod tests;
