//! The bars, and which of them were missed.

use super::cells::{Bar, Cell, upper_end};

/// At most so many healthy versions rolled back, by the upper end of the interval.
const FALSE_MAX: f64 = 0.01;

/// At most so many times as long as the fastest honest rule.
const NEAR_MAX: f64 = 1.5;

/// Bars that are known to be missed, and why.
const KNOWN: [(&str, &str); 1] = [(
    "x2-s50",
    "GrowthBook's test may be wrong ten times as often, which is worth most at even shares; \
     ours took 110 s before the guard against blips became stricter",
)];

/// A scenario and its bar.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) scenario: String,
    pub(super) holds: bool,
    /// What was asked, and what it is.
    pub(super) says: String,
}

impl Judged {
    /// Why it is known to be missed.
    pub(super) fn known(&self) -> Option<&'static str> {
        KNOWN.iter().find(|(scenario, _)| *scenario == self.scenario).map(|(_, why)| *why)
    }
}

/// Every bar there is among these.
pub(super) fn all(cells: &[Cell]) -> Vec<Judged> {
    cells.iter().filter_map(|cell| judge(cell, cells)).collect()
}

fn judge(cell: &Cell, cells: &[Cell]) -> Option<Judged> {
    let ours = cell.rules.first()?;
    let judged = |holds, says| Some(Judged { scenario: cell.scenario.clone(), holds, says });
    if cell.is_healthy() {
        let upper = upper_end(ours.rolled_back, cell.runs);
        let says = format!(
            "{} of {} rolled back, at most {:.2} %; 1 % is allowed",
            ours.rolled_back,
            cell.runs,
            100.0 * upper
        );
        return judged(upper <= FALSE_MAX, says);
    }
    let times = match cell.bar {
        Bar::First => 1.0,
        Bar::Near => NEAR_MAX,
        Bar::Healthy | Bar::None => return None,
    };
    let others = cell.rules.iter().enumerate().skip(1);
    let fastest = others
        .filter(|(rule, _)| cell.is_honest(cells, *rule))
        .filter_map(|(_, did)| did.seconds.median.map(|seconds| (seconds, did.rule.as_str())))
        .min();
    let (Some(seconds), fastest) = (ours.seconds.median, fastest) else {
        return judged(false, "found in fewer than half of the runs".to_owned());
    };
    match fastest {
        None => judged(true, format!("{seconds} s, and no other honest rule finds it")),
        Some((other, name)) => {
            let holds = seconds as f64 <= times * other as f64;
            let allowed = times * other as f64;
            judged(
                holds,
                format!("{seconds} s; {name} takes {other} s, {allowed:.0} s are allowed"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operating_characteristics::cells::{Did, Quantiles};

    fn did(rule: &str, rolled_back: u32, median: Option<u64>) -> Did {
        let seconds = Quantiles { median, p95: None };
        Did {
            rule: rule.to_owned(),
            rolled_back,
            too_early: 0,
            seconds,
            harmed_requests: seconds,
            harmed_clients: seconds,
            inconclusive: None,
        }
    }

    fn cells(bar: Bar, ours: u64) -> Vec<Cell> {
        let cell = |scenario: &str, bar, rules| Cell {
            scenario: scenario.to_owned(),
            says: String::new(),
            matching: "quiet".to_owned(),
            bar,
            runs: 1_000,
            rules,
        };
        vec![
            cell(
                "quiet",
                Bar::Healthy,
                vec![did("us", 3, None), did("calm", 50, None), did("wolf", 51, None)],
            ),
            cell(
                "worse",
                bar,
                vec![
                    did("us", 900, Some(ours)),
                    did("calm", 900, Some(60)),
                    did("wolf", 1_000, Some(5)),
                ],
            ),
        ]
    }

    fn holds(bar: Bar, ours: u64) -> bool {
        all(&cells(bar, ours))[1].holds
    }

    #[test]
    fn only_honest_rules_are_raced_against() {
        assert!(holds(Bar::First, 60) && !holds(Bar::First, 61));
        assert!(holds(Bar::Near, 90) && !holds(Bar::Near, 91));
        assert_eq!(all(&cells(Bar::None, 999)).len(), 1);
    }

    #[test]
    fn the_upper_end_of_the_interval_counts() {
        let mut cells = cells(Bar::None, 1);
        assert!(all(&cells)[0].holds);
        cells[0].rules[0].rolled_back = 4;
        assert!(!all(&cells)[0].holds);
    }
}
