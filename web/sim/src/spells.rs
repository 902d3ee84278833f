//! Spells: times in which something is wrong, at random.

use crate::chance::Chance;

/// Alternates between good times and spells, both exponentially long.
#[derive(Debug, Clone)]
pub(crate) struct Spells {
    every_ms: f64,
    lasts_ms: f64,
    from_ms: f64,
    until_ms: f64,
}

impl Spells {
    /// Begins in a good time, at `now_ms`.
    pub(crate) fn new(every_s: f64, lasts_s: f64, now_ms: u64, chance: &mut Chance) -> Spells {
        let mut spells = Spells {
            every_ms: every_s * 1_000.0,
            lasts_ms: lasts_s * 1_000.0,
            from_ms: 0.0,
            until_ms: now_ms as f64,
        };
        spells.next(chance);
        spells
    }

    fn next(&mut self, chance: &mut Chance) {
        self.from_ms = self.until_ms + chance.exponential(self.every_ms);
        self.until_ms = self.from_ms + chance.exponential(self.lasts_ms);
    }

    /// Share of the time from `from_ms` to `to_ms` that lies in a spell. Time may not go
    /// back from call to call.
    pub(crate) fn part(&mut self, from_ms: u64, to_ms: u64, chance: &mut Chance) -> f64 {
        let (from, to) = (from_ms as f64, to_ms as f64);
        let mut inside = 0.0;
        while self.from_ms < to {
            inside += (self.until_ms.min(to) - self.from_ms.max(from)).max(0.0);
            // Neither longer than zero: it would never come to an end.
            if self.until_ms >= to || self.every_ms + self.lasts_ms <= 0.0 {
                break;
            }
            self.next(chance);
        }
        inside / (to - from).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_fill_their_part_of_the_time() {
        let mut chance = Chance::new(1);
        let mut spells = Spells::new(60.0, 20.0, 0, &mut chance);
        let parts: Vec<f64> =
            (0..200_000).map(|t| spells.part(t * 5_000, (t + 1) * 5_000, &mut chance)).collect();
        assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)));
        let mean = parts.iter().sum::<f64>() / parts.len() as f64;
        assert!((mean - 0.25).abs() < 0.01, "{mean}");
    }
}
