//! Restart windows: so that hours of good history do not hide a late regression.
//!
//! A test that only accumulates must first work off all the good data it has seen. So
//! the test is restarted at every slot border, and the restarts are averaged with
//! weights fixed beforehand: still one e-value, spent over the whole rollout.
//!
//! The state is a table of counts per (slot border, stratum), nothing else; it merges
//! by addition in any order. A window is the sum over all later rows, its evidence the
//! sum over its strata.

use borsh::{BorshDeserialize, BorshSerialize};

use super::mixture::{LogSum, log_sum_exp};
use super::slots::{border_at_or_before, border_before, ln_weight, weight};
use super::tally::Mergeable;

/// Strata of one rollout at most: a hundred steps, and as many changes of the share
/// within them.
pub const STRATA_MAX: usize = 256;

/// A stretch with one constant share: a step, or one site of a step. Numbers are given
/// by the caller and mean nothing but "the same" and "not the same".
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Stratum(pub u32);

/// There are [`STRATA_MAX`] strata already; these counts were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rollout has {STRATA_MAX} strata already; end it, or change the share less often")]
pub struct TooManyStrata;

/// Counts per slot border and stratum.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Windows<T> {
    newest: u32,
    /// Ordered by slot, then stratum; every slot is a remembered border.
    rows: Vec<Row<T>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Row<T> {
    slot: u32,
    stratum: Stratum,
    tally: T,
}

impl<T: Mergeable> Default for Windows<T> {
    fn default() -> Windows<T> {
        Windows { newest: 0, rows: Vec::new() }
    }
}

impl<T: Mergeable> Windows<T> {
    /// The newest slot begun.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Begins all slots up to `slot`, and thins out the old borders.
    pub fn advance(&mut self, slot: u32) {
        if slot <= self.newest {
            return;
        }
        self.newest = slot;
        for row in &mut self.rows {
            row.slot = border_at_or_before(row.slot, slot);
        }
        // Rows of one border are neighbours, but their strata may now be interleaved.
        crossfade_protocol::order::sort_by(&mut self.rows, |a, b| {
            (a.slot, a.stratum).cmp(&(b.slot, b.stratum))
        });
        self.rows.dedup_by(|later, earlier| {
            let same = (later.slot, later.stratum) == (earlier.slot, earlier.stratum);
            if same {
                earlier.tally.merge(&later.tally);
            }
            same
        });
    }

    /// Counts `tally` in a slot. Slots may come in any order.
    ///
    /// # Errors
    /// When it would be the 257th stratum.
    pub fn add(&mut self, slot: u32, stratum: Stratum, tally: &T) -> Result<(), TooManyStrata> {
        self.advance(slot);
        let key = (border_at_or_before(slot, self.newest), stratum);
        // Almost always the last row.
        let found = match self.rows.last() {
            Some(row) if (row.slot, row.stratum) == key => Ok(self.rows.len() - 1),
            _ => self.rows.binary_search_by_key(&key, |row| (row.slot, row.stratum)),
        };
        match found {
            Ok(index) => self.rows[index].tally.merge(tally),
            Err(index) => {
                if !self.has(stratum) && self.strata().len() >= STRATA_MAX {
                    return Err(TooManyStrata);
                }
                self.rows.insert(index, Row { slot: key.0, stratum, tally: *tally });
            }
        }
        Ok(())
    }

    /// Adds all that another node counted. Slots and strata must mean the same there.
    ///
    /// # Errors
    /// When there would be more than [`STRATA_MAX`] strata; nothing is added then.
    pub fn merge(&mut self, other: &Windows<T>) -> Result<(), TooManyStrata> {
        let mut strata = self.strata();
        strata.extend(other.strata());
        crossfade_protocol::order::sort(&mut strata);
        strata.dedup();
        if strata.len() > STRATA_MAX {
            return Err(TooManyStrata);
        }
        self.advance(other.newest);
        other.rows.iter().try_for_each(|row| self.add(row.slot, row.stratum, &row.tally))
    }

    /// All counts of one stratum.
    pub fn total(&self, stratum: Stratum) -> T {
        self.since(0, Some(stratum)).first().map_or_else(T::default, |(_, tally)| *tally)
    }

    /// The counts of a window by stratum, in the order of their numbers; of only one
    /// stratum if one is given.
    pub fn since(&self, slot: u32, only: Option<Stratum>) -> Vec<(Stratum, T)> {
        let mut sums: Vec<(Stratum, T)> = Vec::new();
        let first = self.rows.partition_point(|row| row.slot < slot);
        for row in self.rows[first..].iter().filter(|row| only.is_none_or(|o| o == row.stratum)) {
            match sums.binary_search_by_key(&row.stratum, |(stratum, _)| *stratum) {
                Ok(index) => sums[index].1.merge(&row.tally),
                Err(index) => sums.insert(index, (row.stratum, row.tally)),
            }
        }
        sums
    }

    /// Rows kept: 40 bytes each for failures, 176 for latencies, written out in full.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    fn has(&self, stratum: Stratum) -> bool {
        self.rows.iter().any(|row| row.stratum == stratum)
    }

    fn strata(&self) -> Vec<Stratum> {
        let mut strata: Vec<Stratum> = self.rows.iter().map(|row| row.stratum).collect();
        crossfade_protocol::order::sort(&mut strata);
        strata.dedup();
        strata
    }
}

/// A test with `C` alternatives whose evidence adds up over strata.
pub trait WindowTest<const C: usize> {
    /// What it counts.
    type Tally: Mergeable;

    /// The log-likelihood ratio of each alternative for one stratum; all 0 for the
    /// default tally.
    fn log_components(&self, tally: &Self::Tally) -> [f64; C];

    /// No component is larger than this; at least 0. Cheap: no logarithms.
    ///
    /// A likelihood ratio of a binomial is at most its maximum, which is at most
    /// Pearson's chi-square.
    fn upper_bound(&self, tally: &Self::Tally) -> f64;
}

/// Writes a test down as what it was made from: its tables are made again.
macro_rules! written_as {
    ($test:ty, $from:ty) => {
        impl borsh::BorshSerialize for $test {
            fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
                borsh::BorshSerialize::serialize(&<$from>::from(*self), writer)
            }
        }

        impl borsh::BorshDeserialize for $test {
            fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<$test> {
                <$from>::deserialize_reader(reader).map(<$test>::from)
            }
        }
    };
}
pub(super) use written_as;

/// The evidence of all windows together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windowed {
    /// Logarithm of the weighted mixture of all windows.
    pub log_e: f64,
    /// The slot with which the leading window begins: the one with the largest part.
    pub leading_slot: u32,
    /// The leading window's weight.
    pub leading_weight: f64,
}

/// Windows and the test that judges them.
///
/// One stratum, the current one, grows while the others rest. What the others say in
/// each window is computed once and kept until one of them changes or a slot begins.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct WindowedTest<Test: WindowTest<C>, const C: usize> {
    test: Test,
    #[borsh(bound(serialize = "", deserialize = ""))]
    windows: Windows<Test::Tally>,
    current: Stratum,
    /// The windows, newest first; empty when they have to be prepared again.
    #[borsh(skip)]
    prepared: Vec<Window<C>>,
}

/// A window, and what all strata but the current one say in it.
#[derive(Debug, Clone, Copy)]
struct Window<const C: usize> {
    slot: u32,
    ln_weight: f64,
    rest: [f64; C],
    rest_largest: f64,
}

impl<Test: WindowTest<C>, const C: usize> WindowedTest<Test, C> {
    /// A test that has seen nothing.
    pub fn new(test: Test) -> WindowedTest<Test, C> {
        let (windows, current) = (Windows::default(), Stratum::default());
        WindowedTest { test, windows, current, prepared: Vec::new() }
    }

    /// The counts.
    pub fn windows(&self) -> &Windows<Test::Tally> {
        &self.windows
    }

    /// The stratum that open counts belong to.
    pub fn current(&self) -> Stratum {
        self.current
    }

    /// Makes another stratum the current one.
    pub fn enter(&mut self, stratum: Stratum) {
        if stratum != self.current {
            self.prepared.clear();
        }
        self.current = stratum;
    }

    /// Begins all slots up to `slot`.
    pub fn advance(&mut self, slot: u32) {
        if slot > self.windows.newest {
            self.prepared.clear();
        }
        self.windows.advance(slot);
    }

    /// Counts `tally` in a slot.
    ///
    /// # Errors
    /// As [`Windows::add`].
    pub fn add(
        &mut self,
        slot: u32,
        stratum: Stratum,
        tally: &Test::Tally,
    ) -> Result<(), TooManyStrata> {
        self.advance(slot);
        if stratum != self.current {
            self.prepared.clear();
        }
        self.windows.add(slot, stratum, tally)
    }

    /// Changes the counts of the windows that begin with `slot` or later.
    pub(crate) fn change_since(&mut self, slot: u32, change: &mut dyn FnMut(&mut Test::Tally)) {
        self.prepared.clear();
        let slot = border_at_or_before(slot, self.windows.newest);
        for row in self.windows.rows.iter_mut().filter(|row| row.slot >= slot) {
            change(&mut row.tally);
        }
    }

    /// Adds all that another node counted.
    ///
    /// # Errors
    /// As [`Windows::merge`].
    pub fn merge(&mut self, other: &Windows<Test::Tally>) -> Result<(), TooManyStrata> {
        self.prepared.clear();
        self.windows.merge(other)
    }

    /// The evidence if it reaches `threshold`, with `open` counted for the current
    /// stratum in the newest slot. Far cheaper than [`WindowedTest::judge`] when it is
    /// nowhere near, and of the same opinion.
    pub fn reaches(&mut self, open: &Test::Tally, threshold: f64) -> Option<Windowed> {
        self.prepare();
        let mut largest = f64::NEG_INFINITY;
        let (mut tally, mut bound) = (*open, self.test.upper_bound(open));
        let mut rows = self.current_rows();
        for window in &self.prepared {
            if rows.add_since(window.slot, &mut tally) {
                bound = self.test.upper_bound(&tally);
            }
            largest = largest.max(window.ln_weight + window.rest_largest + bound);
        }
        if largest + libm::log(self.prepared.len() as f64) < threshold {
            return None;
        }
        Some(self.judge(open)).filter(|windowed| windowed.log_e >= threshold)
    }

    /// The evidence, with `open` counted for the current stratum in the newest slot.
    pub fn judge(&mut self, open: &Test::Tally) -> Windowed {
        self.prepare();
        let mut tally = *open;
        let mut current = self.test.log_components(&tally);
        let mut rows = self.current_rows();
        let mut sum = LogSum::default();
        let mut leading = (f64::NEG_INFINITY, 0);
        for window in &self.prepared {
            if rows.add_since(window.slot, &mut tally) {
                current = self.test.log_components(&tally);
            }
            let mut components = window.rest;
            components.iter_mut().zip(current).for_each(|(sum, part)| *sum += part);
            let part = window.ln_weight + log_sum_exp(&components);
            sum.add(part);
            if part >= leading.0 {
                leading = (part, window.slot);
            }
        }
        // Each window is the average of its components: one division for all of them.
        let log_e = sum.value() - libm::log(C as f64);
        Windowed { log_e, leading_slot: leading.1, leading_weight: weight(leading.1) }
    }

    fn current_rows(&self) -> Rows<'_, Test::Tally> {
        Rows { rows: &self.windows.rows, only: self.current }
    }

    /// Sums up, window by window, what all strata but the current one say. Always from
    /// the counts alone, so the result does not depend on what was asked before.
    fn prepare(&mut self) {
        if !self.prepared.is_empty() {
            return;
        }
        let Windows { newest, ref rows } = self.windows;
        let mut rows = rows.iter().rev().filter(|row| row.stratum != self.current).peekable();
        let mut strata: Vec<(Stratum, Test::Tally, [f64; C])> = Vec::new();
        let (mut rest, mut rest_largest) = ([0.0; C], 0.0);
        let mut border = Some(newest);
        while let Some(slot) = border {
            let mut grew = false;
            while let Some(row) = rows.next_if(|row| row.slot >= slot) {
                grew = true;
                let index = strata
                    .binary_search_by_key(&row.stratum, |(stratum, ..)| *stratum)
                    .unwrap_or_else(|index| {
                        strata.insert(index, (row.stratum, Test::Tally::default(), [0.0; C]));
                        index
                    });
                let (_, tally, components) = &mut strata[index];
                tally.merge(&row.tally);
                *components = self.test.log_components(tally);
            }
            if grew {
                rest = [0.0; C];
                for (_, _, components) in &strata {
                    rest.iter_mut().zip(components).for_each(|(sum, part)| *sum += part);
                }
                rest_largest = rest.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            }
            self.prepared.push(Window { slot, ln_weight: ln_weight(slot), rest, rest_largest });
            border = border_before(slot, newest);
        }
    }
}

/// The rows of one stratum that were not added up yet, newest last.
struct Rows<'a, T> {
    rows: &'a [Row<T>],
    only: Stratum,
}

impl<T: Mergeable> Rows<'_, T> {
    /// Adds the rows from `slot` on; true when there were any.
    fn add_since(&mut self, slot: u32, tally: &mut T) -> bool {
        let mut grew = false;
        while let Some((row, older)) = self.rows.split_last()
            && row.slot >= slot
        {
            self.rows = older;
            if row.stratum == self.only {
                tally.merge(&row.tally);
                grew = true;
            }
        }
        grew
    }
}
