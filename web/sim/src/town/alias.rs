//! Drawing one of many, each with its own weight, with one look.

/// Walker's alias method (Walker 1977; set up as in Vose 1991), on integers, so that a
/// draw is the same everywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Alias {
    /// For each place: below which fraction of 2^32 it is itself, and who it is else.
    cells: Vec<(u32, u32)>,
}

impl Alias {
    pub(super) fn new(weights: &[f64]) -> Alias {
        let sum: f64 = weights.iter().sum();
        let count = weights.len();
        let mut parts: Vec<f64> = weights.iter().map(|w| w / sum * count as f64).collect();
        let mut cells: Vec<(u32, u32)> = (0..count).map(|at| (u32::MAX, at as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|at| parts[*at] < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.last().copied()) {
            cells[less] = ((parts[less] * f64::from(u32::MAX)) as u32, more as u32);
            parts[more] -= 1.0 - parts[less];
            if parts[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Alias { cells }
    }

    /// Who is drawn by these bits; 0 where there is nobody.
    pub(super) fn draw(&self, bits: u32) -> u32 {
        let wide = u64::from(bits) * self.cells.len() as u64;
        let place = (wide >> 32) as usize;
        match self.cells.get(place) {
            Some((below, _)) if (wide as u32) < *below => place as u32,
            Some((_, other)) => *other,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn everyone_is_drawn_by_weight() {
        let weights = [1.0, 0.0, 3.0, 0.5, 5.5];
        let alias = Alias::new(&weights);
        let mut chance = Chance::new(5);
        let mut seen = [0.0; 5];
        (0..100_000).for_each(|_| seen[alias.draw((chance.bits() >> 32) as u32) as usize] += 1.0);
        for (seen, weight) in seen.iter().zip(weights) {
            assert!((seen / 100_000.0 - weight / 10.0).abs() < 0.005, "{weight}: {seen}");
        }
        assert_eq!(Alias::new(&[]).draw(7), 0);
        assert_eq!(Alias::new(&[2.0]).draw(u32::MAX), 0);
    }
}
