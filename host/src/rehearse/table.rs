//! The answer for people.

use std::fmt::Write as _;

use comfy_table::Table;
use crossfade_protocol::words::measured;

use super::Foresight;
use super::numbers::Quantile;
use super::search::{COSTS, Found, GRID, Regression, Smallest, Spread};
use super::warnings::TOO_OFTEN;
use crate::output::counted;
use crate::replay::grouped;
use crate::tables::{self, table};

impl Foresight {
    /// Tables, and how to read them.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let Foresight { requests_per_s, failure_ratio, clients, runs, seed, .. } = self;
        let rate = (failure_ratio * 1e8).round() / 1e6;
        let [old, new] = &self.versions;
        let latency =
            self.latency_ms.map_or(String::new(), |ms| format!(", median latency {ms} ms"));
        let _ = writeln!(
            out,
            "{} a second of {}, {rate} % fail{latency}: {} for each number, seed {seed}",
            measured(*requests_per_s, "request"),
            counted(u64::from(*clients), "client"),
            counted(u64::from(*runs), "simulated rollout"),
        );
        let _ = writeln!(out, "\nWhat each step sees of {new}, against {old}");
        tables::write(&mut out, &steps(&self.steps));
        out += "\
Catches: the smallest increase of failures that is taken back within the step's time in 9 of
10 rollouts; in brackets where that number lies with 95 % certainty. Proven healthy: how long
it takes to prove a version healthy that is as good as the old one.\n";
        let _ = writeln!(
            out,
            "A step passes what is proven to fail less than ×{} as often \
             (`gate.failures.not_worse`).",
            self.passes_up_to
        );
        let _ =
            writeln!(out, "\nWhat it costs until {new} is taken back (or the step's time is over)");
        tables::write(&mut out, &costs(&self.steps));
        out += "\
After, failed requests, clients: half of rollouts / 9 of 10. Counted are failures that the old
version would not have had. What is neither taken back nor passes is held.\n";
        out
    }
}

fn steps(found: &[Found]) -> Table {
    let header = ["Step", "Share", "Time", "Catches", "Proven healthy: half", "9 of 10"];
    table(
        header,
        found.iter().map(|found| {
            [
                found.step.to_string(),
                format!("{} %", found.percentage),
                time(found),
                // What takes back everything catches nothing.
                match found.false_rollback.ratio > TOO_OFTEN {
                    true => "good ones, too".to_owned(),
                    false => smallest(&found.smallest_caught),
                },
                quantile(&found.healthy_minutes.median, found.healthy_minutes.looked_minutes),
                quantile(&found.healthy_minutes.p90, found.healthy_minutes.looked_minutes),
            ]
        }),
    )
}

fn costs(found: &[Found]) -> Table {
    let header =
        ["Step", "Regression", "Taken back", "Passes", "After", "Failed requests", "Clients"];
    let row = |found: &Found, regression: &Regression| {
        [
            found.step.to_string(),
            format!("×{}", regression.ratio),
            percent(regression.caught.ratio),
            percent(regression.passed.ratio),
            spread(&regression.minutes, lasting),
            spread(&regression.failed_requests, count),
            spread(&regression.clients, count),
        ]
    };
    let rows = found.iter().flat_map(|found| {
        let costs = COSTS.iter().filter_map(|ratio| {
            found.regressions.iter().find(|regression| regression.ratio == *ratio)
        });
        costs.map(|regression| row(found, regression)).collect::<Vec<_>>()
    });
    table(header, rows)
}

/// `30 min`, `30 min to 4 h`, or as long as evidence takes.
fn time(found: &Found) -> String {
    match (found.duration_minutes, found.max_minutes) {
        (0.0, None) => "as proof takes".to_owned(),
        (0.0, Some(max)) => format!("up to {}", lasting(max)),
        (min, Some(max)) if max > min => format!("{} to {}", lasting(min), lasting(max)),
        (min, _) => lasting(min),
    }
}

fn smallest(smallest: &Smallest) -> String {
    let times = |ratio: Option<f64>| match ratio {
        Some(ratio) => format!("×{ratio}"),
        None => format!("over ×{}", GRID[GRID.len() - 1]),
    };
    let Smallest { ratio, low, high } = smallest;
    match (ratio, low == high) {
        (None, _) => "nothing".to_owned(),
        (Some(_), true) => times(*ratio),
        (Some(_), false) => format!("{} ({} to {})", times(*ratio), times(*low), times(*high)),
    }
}

fn quantile(quantile: &Quantile, looked_minutes: f64) -> String {
    match quantile.value {
        Some(minutes) => lasting(minutes),
        None => format!("over {}", lasting(looked_minutes)),
    }
}

fn spread(spread: &Spread, shown: impl Fn(f64) -> String) -> String {
    match (spread.median, spread.p90) {
        (Some(median), Some(p90)) => format!("{} / {}", shown(median), shown(p90)),
        _ => "–".to_owned(),
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

fn count(number: f64) -> String {
    grouped(number as u64)
}

/// A length of time in its two largest units: `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn lasting(minutes: f64) -> String {
    let seconds = (minutes * 60.0).round() as u64;
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=3_599 => format!("{} min", (seconds + 30) / 60),
        3_600..=172_799 => {
            let minutes = (seconds + 30) / 60;
            two(minutes / 60, "h", minutes % 60, "min")
        }
        _ => {
            let hours = (seconds + 1_800) / 3_600;
            two(hours / 24, "d", hours % 24, "h")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lasting;

    #[test]
    fn times_are_told_in_two_units_at_most() {
        for (minutes, expected) in [
            (0.5, "30 s"),
            (1.99, "119 s"),
            (2.0, "2 min"),
            (59.4, "59 min"),
            (60.0, "1 h"),
            (61.0, "1 h 1 min"),
            (1440.0, "24 h"),
            (2.0 * 1440.0 + 61.0, "2 d 1 h"),
            (43_200.0, "30 d"),
        ] {
            assert_eq!(lasting(minutes), expected, "{minutes}");
        }
    }
}
