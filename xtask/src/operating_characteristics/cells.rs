//! What the study prints: see `web/sim/examples/operating_characteristics/study`.

use serde::Deserialize;

/// Everything, and how to get it again.
#[derive(Debug, Deserialize)]
pub(super) struct Study {
    pub(super) runs: u32,
    pub(super) seed: u64,
    pub(super) cells: Vec<Cell>,
}

/// One scenario, and what each rule did in it; ours is the first.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Cell {
    pub(super) scenario: String,
    pub(super) says: String,
    pub(super) matching: String,
    pub(super) bar: Bar,
    pub(super) runs: u32,
    pub(super) rules: Vec<Did>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bar {
    Healthy,
    First,
    Near,
    None,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Did {
    pub(super) rule: String,
    pub(super) rolled_back: u32,
    pub(super) too_early: u32,
    pub(super) seconds: Quantiles,
    pub(super) harmed_requests: Quantiles,
    pub(super) harmed_clients: Quantiles,
    pub(super) inconclusive: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Quantiles {
    pub(super) median: Option<u64>,
    pub(super) p95: Option<u64>,
}

/// Of so many runs, in how many a healthy version may be rolled back for a rule to be
/// called honest.
pub(super) const HONEST: f64 = 0.05;

impl Cell {
    pub(super) fn is_healthy(&self) -> bool {
        self.bar == Bar::Healthy
    }

    /// How often the rule at this place rolls a healthy version back in the same traffic.
    pub(super) fn false_rate(&self, cells: &[Cell], rule: usize) -> Option<f64> {
        let healthy = cells.iter().find(|cell| cell.scenario == self.matching)?;
        let did = healthy.rules.get(rule)?;
        Some(f64::from(did.rolled_back) / f64::from(healthy.runs.max(1)))
    }

    pub(super) fn is_honest(&self, cells: &[Cell], rule: usize) -> bool {
        self.false_rate(cells, rule).is_some_and(|rate| rate <= HONEST)
    }
}

/// The upper end of the 95 % interval of a rate (Wilson 1927).
pub(super) fn upper_end(hits: u32, runs: u32) -> f64 {
    let (k, n, z) = (f64::from(hits), f64::from(runs.max(1)), 1.959_963_985);
    let p = k / n;
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((p + z * z / (2.0 * n) + spread) / (1.0 + z * z / n)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_end_is_wilsons() {
        assert!((upper_end(0, 1_000) - 0.003_827).abs() < 1e-6);
        assert!((upper_end(10, 100) - 0.174_366).abs() < 1e-5);
        assert!((upper_end(5, 5) - 1.0).abs() < 1e-12);
    }
}
