//! Will a client that is silent call an old version again?
//!
//! A silence is followed through the classes of gaps it reaches ([`rhythm`](crate::rhythm)),
//! and in each it ends with some probability: the hazard of that class. Within the intervals
//! that the client itself has shown, its own gaps say how likely that is. Beyond them it has
//! no experience, and the population's counts: of all silences that went so far beyond what
//! their client had shown before, how many ended in a call?

use borsh::{BorshDeserialize, BorshSerialize};

use crate::rhythm::{BORDERS_S, CLASSES, Rhythm, class, end_s};

/// Whose silences are alike: strangers to a silence; clients that have shown gaps of the
/// class before it, of two before, of none nearer; clients that have moved.
pub(crate) const GROUPS: usize = 5;

/// A client that has called for less than this share of a silence is a stranger to it: in
/// so short a time it could not have shown such a gap.
const STRANGER: u32 = 4;

/// How much the [`PRIOR`] says: as much as this many calls, seen where it expects as many.
const PRIOR_CALLS: f64 = 0.5;

/// After so many calls in one class the prior is not asked any more, unless it expects more.
const SPEAKS: f64 = 3.0;

/// Of 10,000 silences that come to a class, how many end there in a call, before anything
/// is known of a population. By group and class.
///
/// Few periods are longer than a month, so beyond one fewer silences end in every class.
/// The populations of the simulation (`tests/validity`) have about half of this
/// up to 75 days, and less beyond; what is seen of one's own soon outweighs it.
const PRIOR: [[u16; CLASSES]; GROUPS] = [
    [300, 300, 300, 300, 500, 500, 3_000, 3_000, 3_000, 2_000, 3_000, 600, 100, 30, 20, 20],
    [
        3_000, 3_000, 3_000, 3_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 3_000, 1_000,
        500, 300, 200,
    ],
    [
        1_000, 1_000, 1_000, 1_000, 2_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 2_000, 400,
        200, 100, 100,
    ],
    [500, 500, 500, 500, 1_000, 1_000, 1_500, 1_500, 1_500, 1_500, 1_500, 500, 100, 30, 20, 20],
    [5, 5, 5, 5, 5, 5, 5, 20, 20, 20, 20, 10, 5, 3, 2, 2],
];

/// No silence is held to end for certain.
const HAZARD_MAX: f64 = 0.9;

/// How long a client that has shown no interval counts as active.
const NEWCOMER_S: u32 = 86_400;

/// A client's past with the old versions, until its last call to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The gaps between its calls.
    pub rhythm: Rhythm,
    /// Seconds from its first call to its last.
    pub span_s: u32,
    /// Whether it has called the newest version since.
    pub moved: bool,
}

impl Past {
    /// With whom it is compared, once its silence has come to `class`; `None` where its own
    /// gaps speak.
    fn group(&self, class: usize) -> Option<usize> {
        if self.moved {
            return Some(4);
        }
        let Some(longest) = self.rhythm.longest() else { return Some(0) };
        let beyond = class.checked_sub(longest + 1)?;
        let stranger = self.span_s < BORDERS_S[class] / STRANGER;
        Some(if stranger { 0 } else { 1 + beyond.min(2) })
    }

    /// Seconds after its last call until when it is asked whether it has called: the
    /// horizon, and at least the end of the longest interval that it has shown. Else a
    /// quarterly job would be given up in its second month.
    fn until_s(&self, silent_s: u32, horizon_s: u32) -> u32 {
        let shown_s = if self.moved { None } else { self.rhythm.longest_s() };
        silent_s.saturating_add(horizon_s).max(shown_s.unwrap_or(0))
    }

    /// Each class that a silence goes through between two moments, and how much of it.
    fn through(&self, from_s: u32, until_s: u32) -> impl Iterator<Item = (usize, f64)> {
        let first = class(from_s).unwrap_or(0);
        (first..CLASSES).take_while(move |&at| at == first || BORDERS_S[at] < until_s).map(
            move |at| {
                let (start_s, end_s) = (BORDERS_S[at], end_s(at));
                // The last class has no end; a doubling is taken for a whole.
                let (start, whole) = (LN_BORDERS[at], LN_BORDERS[at + 1]);
                let from = if start_s >= from_s { start } else { ln(from_s) };
                let until = if at + 1 < CLASSES && end_s <= until_s { whole } else { ln(until_s) };
                (at, ((until - from) / (whole - start)).max(0.0))
            },
        )
    }
}

/// The logarithms of [`BORDERS_S`], and of twice the last: a million clients are asked.
const LN_BORDERS: [f64; CLASSES + 1] = [
    3.4011973816621555,
    5.0106352940962555,
    6.579251212010101,
    7.90100705199242,
    9.287301413112312,
    10.38591370178042,
    11.079060882340366,
    11.772208062900312,
    12.87082035156842,
    13.669328047786193,
    14.362475228346138,
    15.055622408906084,
    15.684231068328458,
    16.272017733230577,
    16.96516491379052,
    17.475990537556513,
    18.169137718116456,
];

fn ln(seconds: u32) -> f64 {
    libm::log(f64::from(seconds.max(1)))
}

/// How silences ended that were longer than anything their client had shown before.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Population {
    /// By group and class: silences that came to the end of the class.
    passed: [[u32; CLASSES]; GROUPS],
    /// By group and class: silences that a call ended within the class.
    returned: [[u32; CLASSES]; GROUPS],
}

impl Population {
    /// A client called an old version again, after `gap_s`; `past` is what was known of it
    /// before.
    pub fn returned(&mut self, past: &Past, gap_s: u32) {
        let Some(last) = class(gap_s) else { return };
        let known = if past.moved { 0 } else { past.rhythm.longest().map_or(0, |it| it + 1) };
        for at in known..=last {
            let Some(group) = past.group(at) else { continue };
            let table = if at == last { &mut self.returned } else { &mut self.passed };
            let count = &mut table[group][at];
            *count = count.saturating_add(1);
        }
    }
}

/// The population's experience, with the silences that last until now: first each of them
/// is [watched](Hazards::watch), then [`Hazards::ready`] makes an answer possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Hazards {
    /// By group and class: silences that went through it.
    passed: [[f64; CLASSES]; GROUPS],
    returned: [[f64; CLASSES]; GROUPS],
    /// By group and class: what survives it, as `−ln` of a probability.
    rate: [[f64; CLASSES]; GROUPS],
    /// By group and class: of how many calls that is known, the prior's among them.
    calls: [[f64; CLASSES]; GROUPS],
}

impl Hazards {
    /// Of a population whose silent clients are yet to be watched.
    pub fn new(population: &Population) -> Hazards {
        let float = |table: &[[u32; CLASSES]; GROUPS]| table.map(|row| row.map(f64::from));
        Hazards {
            passed: float(&population.passed),
            returned: float(&population.returned),
            rate: [[0.0; CLASSES]; GROUPS],
            calls: [[0.0; CLASSES]; GROUPS],
        }
    }

    /// Writes everything as numbers.
    pub fn save(&self, out: &mut Vec<u64>) {
        for table in [&self.passed, &self.returned, &self.rate, &self.calls] {
            out.extend(table.as_flattened().iter().map(|number| number.to_bits()));
        }
    }

    /// What was saved; `None` when there are too few numbers.
    pub fn load(from: &mut dyn Iterator<Item = u64>) -> Option<Hazards> {
        let mut hazards = Hazards::new(&Population::default());
        let Hazards { passed, returned, rate, calls } = &mut hazards;
        for table in [passed, returned, rate, calls] {
            for number in table.as_flattened_mut() {
                *number = f64::from_bits(from.next()?);
            }
        }
        Some(hazards)
    }

    /// A client that has not called an old version for `silent_s`.
    pub fn watch(&mut self, past: &Past, silent_s: u32) {
        for (at, part) in past.through(BORDERS_S[0], silent_s) {
            if let Some(group) = past.group(at) {
                self.passed[group][at] += part;
            }
        }
    }

    /// All have been watched. Each class's hazard is calls seen by silences seen, shrunk to
    /// what is expected there (Gamma-Poisson): the prior, times what the class before was
    /// found to be relative to its own.
    pub fn ready(&mut self) {
        for (group, priors) in PRIOR.iter().enumerate() {
            let mut factor = 1.0;
            for (at, prior) in priors.iter().enumerate() {
                let prior = f64::from(*prior) / 10_000.0;
                let returned = self.returned[group][at];
                let silences = self.passed[group][at] + returned;
                // Nearer to the prior than the class before was: the root.
                let expected = prior * libm::sqrt(factor);
                let calls = returned + PRIOR_CALLS;
                let mut hazard = calls / (silences + PRIOR_CALLS / expected);
                if returned >= SPEAKS {
                    hazard = hazard.max(calls / (silences + 1.0));
                }
                factor = hazard / prior;
                self.rate[group][at] = -libm::log1p(-hazard.min(HAZARD_MAX));
                self.calls[group][at] = calls;
            }
        }
    }

    /// A hazard, as a rate, and of how many calls it is known.
    pub(crate) fn hazard(&self, group: usize, class: usize) -> (f64, f64) {
        (self.rate[group][class], self.calls[group][class])
    }

    /// `−ln` of the probability that no call comes until `horizon_s` from now, or within the
    /// longest interval that the client has shown, if that is later.
    pub(crate) fn rate(
        &self,
        past: &Past,
        silent_s: u32,
        horizon_s: u32,
        mut each: impl FnMut(usize, usize, f64),
    ) -> f64 {
        let gaps = past.rhythm.gaps();
        // The product of what is survived by its own gaps: one logarithm for all.
        let (mut rate, mut survived) = (0.0, 1.0);
        // How many of its gaps were longer than those of a class, from the longest down.
        let mut longer = [0_u32; CLASSES];
        for at in (1..CLASSES).rev() {
            longer[at - 1] = longer[at].saturating_add(gaps[at]);
        }
        for (at, part) in past.through(silent_s, past.until_s(silent_s, horizon_s)) {
            match past.group(at) {
                Some(group) => {
                    each(group, at, part);
                    rate += part * self.rate[group][at];
                }
                // Where in its class a call comes is not known: the whole of it lies ahead.
                None => {
                    let longer = f64::from(longer[at]);
                    survived *= (longer + 0.5) / (longer + f64::from(gaps[at]) + 1.0);
                }
            }
        }
        if survived < 1.0 { rate - libm::log(survived) } else { rate }
    }

    /// The probability that a client that has been silent for `silent_s` calls an old version
    /// within `horizon_s` from now, or within the longest interval that it has shown, if that
    /// ends later.
    pub fn probability(&self, past: &Past, silent_s: u32, horizon_s: u32) -> f64 {
        -libm::expm1(-self.rate(past, silent_s, horizon_s, |_, _, _| {}))
    }

    /// What to call a client that has been silent for `silent_s`.
    pub fn state(&self, past: &Past, silent_s: u32, horizon_s: u32, confidence: f64) -> State {
        if !past.moved && silent_s <= past.rhythm.late_s().unwrap_or(NEWCOMER_S) {
            State::Active
        } else if self.probability(past, silent_s, horizon_s) < 1.0 - confidence {
            State::Gone
        } else {
            State::Silent
        }
    }
}

/// Where a client stands with the old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Silent for no longer than is usual for it.
    Active,
    /// Later than its rhythm says.
    Silent,
    /// It will not call again, at the confidence asked for.
    Gone,
}

#[cfg(test)]
#[path = "again/tests.rs"]
mod tests;
