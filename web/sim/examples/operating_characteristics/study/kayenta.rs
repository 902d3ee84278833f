//! Kayenta's judge on failure ratios by minute, run every half hour.

use crossfade_sim::{Chance, Tick};

use super::rules::Rule;

/// Ticks of 5 s in a minute and in half an hour.
const MINUTE: u64 = 12;
const HALF_HOUR: u64 = 30 * MINUTE;

/// z of a two-sided 98 % interval.
const Z: f64 = 2.326_347_874_040_841;

/// The part of the shift that is tolerated.
const TOLERANCE: f64 = 0.25;

/// Mann-Whitney at 98 % between the minutes of the canary and of a baseline as large as
/// the canary, from the beginning; "High" is a score of 0, below the 75 that go on.
/// Minutes without requests are left out.
#[derive(Debug)]
pub(crate) struct Kayenta {
    ticks: u64,
    canary: Arm,
    baseline: Arm,
    /// Draws the baseline out of v1's requests.
    chance: Chance,
}

#[derive(Debug, Default)]
struct Arm {
    requests: u64,
    failures: u64,
    minutes: Vec<f64>,
}

impl Arm {
    fn end_minute(&mut self) {
        if self.requests > 0 {
            self.minutes.push(self.failures as f64 / self.requests as f64);
        }
        (self.requests, self.failures) = (0, 0);
    }
}

impl Kayenta {
    /// A judge that draws its baseline with this seed.
    pub(crate) fn new(seed: u64) -> Kayenta {
        let (canary, baseline) = Default::default();
        Kayenta { ticks: 0, canary, baseline, chance: Chance::new(seed) }
    }

    /// A part of v1's requests that is as large as v2's in the mean.
    fn draw_baseline(&mut self, tick: &Tick) {
        let all = tick.old.requests;
        let part = (tick.new.requests as f64 / all.max(1) as f64).min(1.0);
        let failures = (0..tick.old.failures).filter(|_| self.chance.happens(part)).count() as u64;
        // Those that went well are so many that their mean will do.
        let well = ((all - tick.old.failures) as f64 * part).round() as u64;
        self.baseline.requests += well + failures;
        self.baseline.failures += failures;
    }
}

impl Rule for Kayenta {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        self.ticks += 1;
        if tick.reported {
            self.canary.requests += tick.new.requests;
            self.canary.failures += tick.new.failures;
            self.draw_baseline(tick);
        }
        if self.ticks.is_multiple_of(MINUTE) {
            self.canary.end_minute();
            self.baseline.end_minute();
        }
        self.ticks.is_multiple_of(HALF_HOUR)
            && is_high(&self.canary.minutes, &self.baseline.minutes)
    }
}

/// Whether the canary is classified "High".
fn is_high(canary: &[f64], baseline: &[f64]) -> bool {
    if canary.is_empty() || baseline.is_empty() {
        return false;
    }
    // The interval lies above a shift when the test rejects that shift; a tolerated shift
    // is never below zero, so most cases end here.
    if z_at(canary, baseline, 0.0) <= Z {
        return false;
    }
    let mean = |minutes: &[f64]| minutes.iter().sum::<f64>() / minutes.len() as f64;
    let (canary_mean, baseline_mean) = (mean(canary), mean(baseline));
    if canary_mean > 0.0 && baseline_mean > 0.0 && canary_mean < baseline_mean {
        return false;
    }
    z_at(canary, baseline, TOLERANCE * shift(canary, baseline).abs()) > Z
}

/// The Hodges-Lehmann estimate: the median of all differences.
fn shift(canary: &[f64], baseline: &[f64]) -> f64 {
    let mut differences: Vec<f64> =
        canary.iter().flat_map(|x| baseline.iter().map(move |y| x - y)).collect();
    let middle = differences.len() / 2;
    *differences.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The normal score of the rank sum of `canary - by` against `baseline`, corrected for
/// ties and continuity.
fn z_at(canary: &[f64], baseline: &[f64], by: f64) -> f64 {
    let mut all: Vec<(f64, bool)> = canary.iter().map(|x| (x - by, true)).collect();
    all.extend(baseline.iter().map(|y| (*y, false)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut ties, mut from) = (0.0, 0.0, 0);
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let size = same.len() as f64;
        let rank = from as f64 + 0.5 * (size + 1.0);
        rank_sum += rank * same.iter().filter(|(_, is_canary)| *is_canary).count() as f64;
        ties += size * size * size - size;
        from += same.len();
    }
    let (x, y) = (canary.len() as f64, baseline.len() as f64);
    let n = x + y;
    let off = rank_sum - x * (x + 1.0) / 2.0 - x * y / 2.0;
    let variance = x * y / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return 0.0;
    }
    (off - 0.5 * f64::from(i8::from(off > 0.0) - i8::from(off < 0.0))) / variance.sqrt()
}
