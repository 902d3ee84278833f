//! How long the gate takes for one batch of reports: `cargo run --release --example
//! gate_speed -p crossfade-core`. Prints nanoseconds, the median of many rounds.

use std::hint::black_box;
use std::time::Instant;

use crossfade_core::gate::bins::Report;
use crossfade_core::gate::config::{FailureConfig, LatencyConfig, Margin};
use crossfade_core::gate::failures::FailureGate;
use crossfade_core::gate::latency_gate::LatencyGate;
use crossfade_core::gate::segment::{Arm, Segment};
use crossfade_core::gate::tally::FailureTally;
use crossfade_core::gate::windows::{Stratum, WindowedTest};
use crossfade_core::gate::worse::WorseTest;
use crossfade_core::latency::{Histogram, LATENCY_BUCKETS};

const SLOT_MS: u64 = 600_000;
const STEP_MS: u64 = 24 * SLOT_MS;

fn main() {
    for (steps, slots) in [(1, 24), (1, 48), (20, 24)] {
        let mut now_ms = 0;
        let mut gate = FailureGate::new(FailureConfig::default(), Stratum(0), 0, STEP_MS);
        for step in 0..steps {
            if step > 0 {
                gate.enter_step(Stratum(step), now_ms, STEP_MS).expect("few strata");
            }
            for _ in 0..slots {
                let counts = Segment::new(1_000 + u64::from(step), 10, 9_000, 91);
                gate.record_total(&counts.expect("valid"), now_ms).expect("few strata");
                now_ms += SLOT_MS;
            }
        }
        now_ms -= SLOT_MS;
        let rows = gate.windows().rows();
        let batch = Segment::new(10, 0, 90, 1).expect("valid");
        let ns = median(|| {
            gate.record_total(&batch, now_ms).expect("few strata");
            black_box(gate.judge());
        });
        println!(
            "failures, {steps} steps of {slots} slots ({rows} rows): batch and judgement {ns} ns"
        );
        let mut client = 0;
        let ns = median(|| {
            client += 16;
            let (version, failed) = (Arm::Control, false);
            let report = Report { at_ms: now_ms, version, failed, client };
            black_box(gate.record(&report, now_ms).expect("few strata"));
        });
        println!("failures, one report: {ns} ns");
        let mut exact = WindowedTest::new(WorseTest::from(Margin::NONE));
        exact.enter(Stratum(steps - 1));
        exact.merge(gate.windows()).expect("few strata");
        let ns = median(|| _ = black_box(exact.judge(&FailureTally::default())));
        println!("failures, windows alone, nothing skipped: {ns} ns");
        println!("failures, all evidence: {} ns", median(|| _ = black_box(gate.evidence())));

        let mut past = Histogram::default();
        (20..60).for_each(|bucket| past.add(bucket, 100));
        let mut now_ms = 0;
        let config = LatencyConfig::default();
        let mut gate = LatencyGate::new(config, &past, Stratum(0), 0, STEP_MS);
        let mut control = [0; LATENCY_BUCKETS];
        (20..60).for_each(|bucket| control[bucket] = 225);
        let canary = control.map(|count| count / 9);
        for step in 0..steps {
            if step > 0 {
                gate.enter_step(Stratum(step), now_ms, STEP_MS).expect("few strata");
            }
            for _ in 0..slots {
                gate.record_total(&canary, &control, now_ms).expect("few strata");
                now_ms += SLOT_MS;
            }
        }
        now_ms -= SLOT_MS;
        let ns = median(|| {
            gate.record(Arm::Control, 50.0, now_ms).expect("few strata");
            black_box(gate.judge());
        });
        println!("latency, {steps} steps of {slots} slots: report and judgement {ns} ns");
    }
}

fn median(mut work: impl FnMut()) -> u64 {
    let mut rounds: Vec<u64> = (0..201)
        .map(|_| {
            let start = Instant::now();
            (0..20).for_each(|_| work());
            start.elapsed().as_nanos() as u64 / 20
        })
        .collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}
