//! Five seconds of a play, or a few times as much, as numbers for charts.

use std::collections::VecDeque;

use serde_json::Value;

use crate::town::Town;
use crate::world::Served;

/// How long a row lasts at least, in milliseconds.
pub const ROW_MS: u64 = 5_000;

/// What the numbers of a row are. Times are milliseconds, `NaN` is "not known". `v1` and
/// `v2` stand for the stable and the new version.
pub const COLUMNS: [&str; 26] = [
    "to_ms",
    "v1_requests",
    "v1_failures",
    "v2_requests",
    "v2_failures",
    "harmed_requests",
    "harmed_clients",
    "asked_percent",
    "v1_clients",
    "v2_clients",
    "v1_p50_ms",
    "v1_p99_ms",
    "v2_p50_ms",
    "v2_p99_ms",
    "ratio",
    "ratio_low",
    "ratio_high",
    "worse",
    "healthy",
    "slower",
    "slo",
    "step",
    "step_minutes",
    "reported",
    "step_v2_requests",
    "step_v2_failures",
];

/// A row's numbers, in the order of [`COLUMNS`].
pub type Row = [f64; COLUMNS.len()];

/// Quantiles are those of the last minute.
const ROWS_OF_LATENCY: usize = 12;
const GROWTH: f64 = 1.1;
/// Latencies from 1 ms to some 4 hours.
const BUCKETS: usize = 176;

/// Rows that are ready, and the one that is being filled.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    ready: Vec<f64>,
    served: [Served; 2],
    harmed_clients: u64,
    asked_percent: f64,
    reported: bool,
    latency: Quantiles,
}

impl Rows {
    pub(super) fn add(&mut self, town: &Town, asked_percent: f64) {
        let tick = &town.tick;
        self.served[0].add(&tick.old);
        self.served[1].add(&tick.new);
        self.harmed_clients += tick.harmed_clients;
        self.asked_percent = asked_percent;
        self.reported |= tick.reported;
        for side in 0..2 {
            for (ms, count) in town.latency_ms(side).iter().zip(&town.well[side]) {
                self.latency.add(side, *ms, *count);
            }
        }
    }

    /// Ends the row; without `shown` it becomes a part of the next one that is.
    pub(super) fn end(&mut self, reply: Option<&Value>, on: [u32; 2], to_ms: u64, shown: bool) {
        self.latency.end_row();
        if !shown {
            return;
        }
        let [old, new] = std::mem::take(&mut self.served);
        let harmed_clients = std::mem::take(&mut self.harmed_clients);
        let reported = std::mem::take(&mut self.reported);
        let nothing = Value::Null;
        let reply = reply.unwrap_or(&nothing);
        // What was found before v2 was taken back is no evidence about what comes after.
        let is_over = ["rolled_back", "aborted", "undone", "completed"]
            .iter()
            .any(|phase| reply["phase"] == *phase);
        let evidence = if is_over { &nothing } else { &reply["evidence"] };
        let failures = &evidence["failures"];
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let [v1_p50, v1_p99] = self.latency.quantiles(0);
        let [v2_p50, v2_p99] = self.latency.quantiles(1);
        let row: Row = [
            to_ms as f64,
            old.requests as f64,
            old.failures as f64,
            new.requests as f64,
            new.failures as f64,
            new.harmed as f64,
            harmed_clients as f64,
            self.asked_percent,
            f64::from(on[0]),
            f64::from(on[1]),
            v1_p50,
            v1_p99,
            v2_p50,
            v2_p99,
            number(&failures["ratio"]),
            number(&failures["ratio_interval"]["low"]),
            number(&failures["ratio_interval"]["high"]),
            towards_worse(evidence),
            towards_healthy(evidence),
            part(&evidence["latency"], "log_e_slower", "threshold_slower"),
            part(&evidence["slo"], "log_e_bad", "threshold_bad"),
            number(&reply["step"]),
            number(&reply["step_minutes"]),
            f64::from(u8::from(reported)),
            number(&failures["step"]["canary_requests"]),
            number(&failures["step"]["canary_failures"]),
        ];
        self.ready.extend_from_slice(&row);
    }

    pub(super) fn take(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.ready)
    }
}

/// Evidence as a part of what it takes: 1 decides. `NaN` where there is none.
fn part(test: &Value, evidence: &str, threshold: &str) -> f64 {
    match (test[evidence].as_f64(), test[threshold].as_f64()) {
        (Some(evidence), Some(threshold)) if threshold > 0.0 => evidence / threshold,
        _ => f64::NAN,
    }
}

/// How near the gate is to taking v2 back: the nearest of its tests, any of which does.
fn towards_worse(evidence: &Value) -> f64 {
    [
        part(&evidence["failures"], "log_e_worse", "threshold_worse"),
        part(&evidence["latency"], "log_e_slower", "threshold_slower"),
        part(&evidence["slo"], "log_e_bad", "threshold_bad"),
        part(&evidence["latency_slo"], "log_e_bad", "threshold_bad"),
    ]
    .into_iter()
    .fold(f64::NAN, f64::max)
}

/// How near the gate is to calling v2 healthy: the farthest of its tests, all of which
/// must.
fn towards_healthy(evidence: &Value) -> f64 {
    [
        part(&evidence["failures"], "log_e_ok", "threshold_ok"),
        part(&evidence["latency"], "log_e_not_slower", "threshold_not_slower"),
        part(&evidence["slo"], "log_e_ok", "threshold_ok"),
        part(&evidence["latency_slo"], "log_e_ok", "threshold_ok"),
    ]
    .into_iter()
    .fold(f64::NAN, f64::min)
}

/// Quantiles of the latencies of the last rows.
#[derive(Debug, Clone)]
struct Quantiles {
    now: [Vec<u32>; 2],
    sum: [Vec<u32>; 2],
    past: VecDeque<[Vec<u32>; 2]>,
}

impl Default for Quantiles {
    fn default() -> Quantiles {
        let empty = || [vec![0; BUCKETS], vec![0; BUCKETS]];
        Quantiles { now: empty(), sum: empty(), past: VecDeque::new() }
    }
}

impl Quantiles {
    fn add(&mut self, side: usize, ms: f64, count: u32) {
        if count == 0 {
            return;
        }
        let place = (libm::log(ms.max(1.0)) / libm::log(GROWTH)) as usize;
        self.now[side][place.min(BUCKETS - 1)] += count;
    }

    fn end_row(&mut self) {
        let mut row = match self.past.len() {
            ROWS_OF_LATENCY => self.past.pop_front(),
            _ => None,
        };
        for side in 0..2 {
            if let Some(oldest) = &row {
                self.sum[side].iter_mut().zip(&oldest[side]).for_each(|(sum, old)| *sum -= old);
            }
            self.sum[side].iter_mut().zip(&self.now[side]).for_each(|(sum, now)| *sum += now);
        }
        let empty = row.get_or_insert_with(|| [vec![0; BUCKETS], vec![0; BUCKETS]]);
        empty.iter_mut().for_each(|side| side.fill(0));
        std::mem::swap(&mut self.now, empty);
        self.past.extend(row);
    }

    /// The median and the 99th percentile; `NaN` while there is none.
    fn quantiles(&self, side: usize) -> [f64; 2] {
        let counts = &self.sum[side];
        let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        [0.5, 0.99].map(|quantile| {
            let wanted = quantile * all as f64;
            let mut below = 0.0;
            for (place, count) in counts.iter().enumerate() {
                let upto = below + f64::from(*count);
                if *count > 0 && upto >= wanted {
                    // Between the borders of the bucket, as evenly as logarithms go.
                    let inside = (wanted - below) / f64::from(*count);
                    return libm::exp((place as f64 + inside) * libm::log(GROWTH));
                }
                below = upto;
            }
            f64::NAN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_minute() {
        let mut latency = Quantiles::default();
        assert!(latency.quantiles(0)[0].is_nan());
        for row in 0..30 {
            latency.add(0, if row < 15 { 500.0 } else { 20.0 }, 99);
            latency.add(0, 100.0, 1);
            latency.end_row();
        }
        let [median, high] = latency.quantiles(0);
        assert!((median / 20.0 - 1.0).abs() < 0.1, "{median}");
        assert!(high < 110.0 && latency.quantiles(1)[1].is_nan(), "{high}");
    }

    #[test]
    fn the_nearest_test_takes_back_and_the_farthest_must_be_healthy() {
        let evidence = serde_json::json!({
            "failures": {"log_e_worse": 1.0, "threshold_worse": 4.0, "log_e_ok": 3.0, "threshold_ok": 3.0},
            "slo": {"log_e_bad": 2.0, "threshold_bad": 4.0, "log_e_ok": 1.0, "threshold_ok": 4.0},
        });
        assert_eq!((towards_worse(&evidence), towards_healthy(&evidence)), (0.5, 0.25));
        assert!(towards_worse(&Value::Null).is_nan() && towards_healthy(&Value::Null).is_nan());
    }
}
