//! How often a client calls, in eight bytes: gaps between its calls, counted by length.

use borsh::{BorshDeserialize, BorshSerialize};

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// Lengths of gap that are told apart.
pub const CLASSES: usize = 16;

/// Where each class of gaps begins, in seconds. A shorter gap is one burst and not counted.
///
/// Wide where an answer does not depend on it, an octave or less from a day on. What
/// people set jobs to (a day, a weekend, a week, two, a month, two, a quarter, half a year,
/// a year) lies well inside a class, never at its border.
pub const BORDERS_S: [u32; CLASSES] = [
    30,
    150,
    12 * MINUTE,
    45 * MINUTE,
    3 * HOUR,
    9 * HOUR,
    18 * HOUR,
    36 * HOUR,
    108 * HOUR,
    10 * DAY,
    20 * DAY,
    40 * DAY,
    75 * DAY,
    135 * DAY,
    270 * DAY,
    450 * DAY,
];

/// What a gap of each class is called: the interval that people set there.
const USUAL_S: [u32; CLASSES] = [
    MINUTE,
    5 * MINUTE,
    20 * MINUTE,
    HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    3 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    91 * DAY,
    182 * DAY,
    365 * DAY,
    730 * DAY,
];

/// How many gaps each of the sixteen values of a counter stands for.
///
/// Four values are exact, since a first and a second gap say most. Beyond them a counter
/// is approximate (Morris, *Counting large numbers of events in small registers*, 1978):
/// counted exactly, a single outage of three days would outweigh the fifteen gaps of five
/// minutes that had room beside it, and not the thousands that there were.
const LEVELS: [u32; 16] =
    [0, 1, 2, 3, 4, 6, 10, 20, 40, 100, 250, 700, 2_000, 6_000, 20_000, 65_536];

/// Values of a counter up to here are exact.
const EXACT: usize = 4;

/// The gaps between one client's calls: sixteen counters of four bits.
///
/// When a counter would overflow, all are about halved. None that was counted becomes
/// nothing: an interval that a client has once shown is never forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Rhythm(pub u64);

impl Rhythm {
    /// A client that has called once.
    pub const NEW: Rhythm = Rhythm(0);

    /// Counts a gap of `seconds` that a call at `at_s` ended.
    ///
    /// The time stands in for chance where a counter is approximate, so that the same
    /// calls give the same bytes everywhere.
    #[must_use]
    pub fn gap(self, seconds: u32, at_s: u32) -> Rhythm {
        self.count(seconds, 1, at_s)
    }

    /// Counts `times` gaps of about `seconds` each, the last of which ended at `at_s`.
    #[must_use]
    pub fn count(self, seconds: u32, times: u32, at_s: u32) -> Rhythm {
        let Some(class) = class(seconds) else { return self };
        let mut rhythm = self;
        let mut level = self.level(class);
        let sum = LEVELS[level].saturating_add(times);
        if sum > LEVELS[15] {
            rhythm = self.halved();
            level = 15;
        } else {
            while level < 15 && LEVELS[level + 1] <= sum {
                level += 1;
            }
            if level < 15 {
                // To the next value with just the probability that makes the mean right.
                let (rest, step) = (sum - LEVELS[level], LEVELS[level + 1] - LEVELS[level]);
                level += usize::from(draw(self.0, at_s) % u64::from(step) < u64::from(rest));
            }
        }
        rhythm.0 = rhythm.0 & !(15 << (4 * class)) | (level as u64) << (4 * class);
        rhythm
    }

    fn level(self, class: usize) -> usize {
        (self.0 >> (4 * class) & 15) as usize
    }

    fn halved(self) -> Rhythm {
        (0..CLASSES).fold(Rhythm::NEW, |halved, class| {
            let level = self.level(class);
            let level = if level <= EXACT { level.div_ceil(2) } else { level - 1 };
            Rhythm(halved.0 | (level as u64) << (4 * class))
        })
    }

    /// About how many gaps of each class were counted.
    pub fn gaps(self) -> [u32; CLASSES] {
        std::array::from_fn(|class| LEVELS[self.level(class)])
    }

    /// The longest class of which a gap was counted.
    pub fn longest(self) -> Option<usize> {
        (self.0 != 0).then(|| (63 - self.0.leading_zeros() as usize) / 4)
    }

    /// No gap was longer than this many seconds, `u32::MAX` for one beyond the last
    /// border; `None` when none was counted.
    pub fn longest_s(self) -> Option<u32> {
        self.longest().map(end_s)
    }

    /// The interval that matters, in seconds: that of the class in which most time passed;
    /// `None` when no gap was counted.
    ///
    /// A job that makes a thousand calls in an hour once a month has a month.
    pub fn typical_s(self) -> Option<u32> {
        self.typical().map(|class| USUAL_S[class])
    }

    /// The class in which most time passed.
    pub(crate) fn typical(self) -> Option<usize> {
        let time = self.times();
        (0..CLASSES).filter(|&class| time[class] > 0).max_by_key(|&class| time[class])
    }

    /// Seconds that passed in gaps of each class, about.
    fn times(self) -> [u64; CLASSES] {
        let gaps = self.gaps();
        std::array::from_fn(|class| u64::from(gaps[class]) * u64::from(USUAL_S[class]))
    }

    /// How regular its calls are, from 0 to 1: the share of all time that passed in gaps
    /// of the typical class, times `n / (n + 1)` for `n` such gaps, since one is no rhythm.
    pub fn regular(self) -> f64 {
        let Some(class) = self.typical() else { return 0.0 };
        let (time, gaps) = (self.times(), f64::from(self.gaps()[class]));
        let all: u64 = time.iter().sum();
        time[class] as f64 / all as f64 * (gaps / (gaps + 1.0))
    }

    /// Silence beyond this many seconds is late: longer gaps took less than a fifth of all
    /// time. `None` when no gap was counted.
    pub fn late_s(self) -> Option<u32> {
        let time = self.times();
        let all: u64 = time.iter().sum();
        let mut longer = 0;
        let late = (0..CLASSES).rev().find(|&class| {
            longer += time[class];
            longer > 0 && longer * 5 >= all
        })?;
        Some(end_s(late))
    }

    /// In how many seconds after its last call the next is due, for a client that has been
    /// silent for `silent_s`: what is most frequent among the intervals that are left.
    /// `None` when it has shown none as long as that.
    pub fn expected_next_s(self, silent_s: u32) -> Option<u32> {
        let gaps = self.gaps();
        let left = |&class: &usize| gaps[class] > 0 && USUAL_S[class] > silent_s;
        let next = (0..CLASSES).filter(left).max_by_key(|&class| (gaps[class], CLASSES - class));
        // In its longest class, though past the middle of it: any moment now.
        next.map(|class| USUAL_S[class])
            .or_else(|| self.longest_s().filter(|&end| end > silent_s).map(|_| silent_s))
    }
}

/// The class of a gap; `None` for one that is too short to count.
pub fn class(seconds: u32) -> Option<usize> {
    BORDERS_S.iter().filter(|&&border| seconds >= border).count().checked_sub(1)
}

/// Where a class ends, in seconds.
pub fn end_s(class: usize) -> u32 {
    BORDERS_S.get(class + 1).copied().unwrap_or(u32::MAX)
}

/// A number that looks like chance, from what was counted and when (the finish of
/// splitmix64; Steele, Lea & Flood 2014).
fn draw(state: u64, at_s: u32) -> u64 {
    let mut z = (state ^ u64::from(at_s).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "rhythm/tests.rs"]
mod tests;
