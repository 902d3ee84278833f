//! Scenarios by name, for the page's buttons and `crossfade simulate --scenario`.

use serde::Serialize;

use crate::script::{Kind, Wrong};

/// A scenario that can be asked for by name.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// Its name on a command line.
    pub name: &'static str,
    /// What a button says.
    pub title: &'static str,
    /// What happens, in a sentence.
    pub about: &'static str,
    /// Its faults.
    pub faults: Vec<Wrong>,
}

fn wrong(kind: Kind, size: f64, from_step: u32, from_minutes: u64) -> Wrong {
    let from_ms = from_minutes * 60_000;
    Wrong { kind, size, segment: None, from_step: Some(from_step), from_ms, lasts_ms: None }
}

fn minutes(mut wrong: Wrong, minutes: u64) -> Wrong {
    wrong.lasts_ms = Some(minutes * 60_000);
    wrong
}

/// All of them. "From step 2" is meant as soon as a plan has it.
pub fn scenarios() -> Vec<Named> {
    let broken =
        Wrong { segment: Some("ios".to_owned()), ..wrong(Kind::SegmentBroken, 25.0, 2, 2) };
    vec![
        Named {
            name: "healthy",
            title: "Healthy v2",
            about: "Nothing goes wrong.",
            faults: Vec::new(),
        },
        Named {
            name: "bad-canary",
            title: "v2 fails ×3",
            about: "Two minutes into step 2, v2 begins to fail three times as often as v1.",
            faults: vec![wrong(Kind::V2Errors, 3.0, 2, 2)],
        },
        Named {
            name: "slow-regression",
            title: "v2 fails ×1.8",
            about: "From step 2 on v2 fails a little more often: hard to see, and it adds up.",
            faults: vec![wrong(Kind::V2Errors, 1.8, 2, 0)],
        },
        Named {
            name: "slow-v2",
            title: "v2 slow ×2",
            about: "Two minutes into step 2, v2 begins to take twice as long.",
            faults: vec![wrong(Kind::V2Slow, 2.0, 2, 2)],
        },
        Named {
            name: "old-outage",
            title: "v1 outage",
            about: "In step 2, one in ten requests fails on v1 for five minutes; v2 is healthy.",
            faults: vec![minutes(wrong(Kind::V1Outage, 10.0, 2, 3), 5)],
        },
        Named {
            name: "both-fail",
            title: "Both fail",
            about: "In step 2, what both versions share fails for four minutes.",
            faults: vec![minutes(wrong(Kind::BothFail, 8.0, 2, 3), 4)],
        },
        Named {
            name: "bursts",
            title: "Bad minutes",
            about: "Now and then three in ten requests fail for half a minute, on both versions.",
            faults: vec![wrong(Kind::Bursts, 30.0, 1, 0)],
        },
        Named {
            name: "no-metrics",
            title: "Metrics lost",
            about: "Early in step 2, reports stop coming for half an hour.",
            faults: vec![minutes(wrong(Kind::MetricsLost, 0.0, 2, 1), 30)],
        },
        Named {
            name: "broken-segment",
            title: "Only iOS broken",
            about: "In step 2, a quarter of the requests of iOS apps begins to fail on v2.",
            faults: vec![broken],
        },
    ]
}
