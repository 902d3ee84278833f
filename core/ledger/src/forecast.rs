//! When so few clients will depend on an old version that it can go.
//!
//! Assumes that each client that is left leaves with the same, constant probability a day,
//! by itself (exponential decay, a pure death process), and that the last third of the
//! curve says most about it. Those who leave last are often slower than that: the forecast
//! is made anew with every point, and goes up then.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::readiness::{normal, poisson_at_most};

/// Points that are kept of a curve.
pub const POINTS_MAX: usize = 64;

/// Fewer stretches between points are no trend.
const STRETCHES_MIN: usize = 4;

/// Fewer clients that left are no trend.
const LEFT_MIN: f64 = 5.0;

/// The interval leaves out this much on either side.
const TAIL: f64 = 0.05;

/// Nothing is foretold beyond twenty years.
const FAR_S: f64 = 20.0 * 365.25 * 86_400.0;

/// How many clients were left, over time: at most [`POINTS_MAX`] points.
///
/// When they get too many every second one goes, and new ones are taken half as often.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Curve {
    /// When, in seconds since 1970, and how many.
    points: Vec<(u32, u64)>,
    /// Points closer than this replace each other.
    apart_s: u32,
}

/// When it will be ready, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Hardly before: 5 %.
    pub low_s: u32,
    /// As likely before as after.
    pub ready_s: u32,
    /// Hardly later: 95 %, while the assumption holds.
    pub high_s: u32,
}

impl Curve {
    /// So many were left at `at_s`. Time that went back changes nothing.
    pub fn point(&mut self, at_s: u32, clients: u64) {
        let before = self.points.len().checked_sub(2).map(|at| self.points[at].0);
        if self.points.last().is_some_and(|last| at_s <= last.0) {
            return;
        }
        // The newest point is always there; it stays when it is far enough from the one before.
        if let (Some(before), Some(last)) = (before, self.points.last_mut())
            && last.0 - before < self.apart_s
        {
            *last = (at_s, clients);
            return;
        }
        if self.points.len() == POINTS_MAX {
            let mut at = 0;
            self.points.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            let span_s = at_s - self.points[0].0;
            self.apart_s = span_s / (POINTS_MAX as u32 / 2);
        }
        self.points.push((at_s, clients));
    }

    /// The points, oldest first.
    pub fn points(&self) -> &[(u32, u64)] {
        &self.points
    }

    /// When at most `at_most` will be left; `None` while there is no trend.
    pub fn forecast(&self, at_most: u64) -> Option<Forecast> {
        let (&(first_s, _), &(now_s, left)) = (self.points.first()?, self.points.last()?);
        if left <= at_most {
            return Some(Forecast { low_s: now_s, ready_s: now_s, high_s: now_s });
        }
        if self.points.len() <= STRETCHES_MIN {
            return None;
        }
        let half_life_s = f64::from(now_s - first_s) / 3.0;
        // Weight, clients that left, and client-seconds of each stretch.
        let stretches = self.points.windows(2).map(|two| {
            let ((from_s, before), (to_s, after)) = (two[0], two[1]);
            let weight = libm::exp2(-f64::from(now_s - to_s) / half_life_s);
            let exposed = (before + after) as f64 / 2.0 * f64::from(to_s - from_s);
            (weight, before as f64 - after as f64, exposed)
        });
        let sum = |of: fn((f64, f64, f64)) -> f64| stretches.clone().map(of).sum::<f64>();
        let gone = sum(|(weight, left, _)| weight * left);
        let exposed = sum(|(weight, _, exposed)| weight * exposed);
        let rate = gone / exposed;
        // The variance as the stretches show it, since clients leave in groups, and at least
        // that of clients who leave by themselves.
        let alone = sum(|(weight, left, _)| weight * weight * left.max(0.0));
        let shown: f64 = stretches
            .clone()
            .map(|(weight, left, exposed)| weight * (left - rate * exposed))
            .map(|error| error * error)
            .sum();
        let count = stretches.len() as f64;
        let spread = libm::sqrt(alone.max(shown * count / (count - 1.0))) / exposed;
        let slowest = rate - normal(TAIL) * spread;
        if sum(|(_, left, _)| left) < LEFT_MIN || slowest <= 0.0 {
            return None;
        }
        // Until the mean of those left is so low that no more than asked for are left with
        // probability `tail`.
        let until = |rate: f64, tail: f64| {
            let mean = poisson_at_most(at_most as f64, tail);
            let seconds = libm::log((left as f64 / mean).max(1.0)) / rate;
            now_s.saturating_add(seconds.min(FAR_S) as u32)
        };
        Some(Forecast {
            low_s: until(rate + normal(TAIL) * spread, TAIL),
            ready_s: until(rate, 0.5),
            high_s: until(slowest, 1.0 - TAIL),
        })
    }
}

#[cfg(test)]
#[path = "forecast/tests.rs"]
mod tests;
