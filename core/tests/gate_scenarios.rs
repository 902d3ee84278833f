//! The gates as a controller uses them: steps, nodes, thresholds, and their size.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

use crossfade_core::gate::Evidence;
use crossfade_core::gate::bins::Report;
use crossfade_core::gate::clients::BIN_CLIENTS_MAX;
use crossfade_core::gate::config::{Bound, FailureConfig, LatencyConfig, Level, SloConfig};
use crossfade_core::gate::data::DataState;
use crossfade_core::gate::evidence::SampleRatioEvidence;
use crossfade_core::gate::failures::FailureGate;
use crossfade_core::gate::latency_gate::LatencyGate;
use crossfade_core::gate::segment::{Arm, Segment};
use crossfade_core::gate::slo::SloBound;
use crossfade_core::gate::slo_gate::SloGate;
use crossfade_core::gate::tally::Trials;
use crossfade_core::gate::verdict::{Rule, Verdict};
use crossfade_core::gate::windows::Stratum;
use crossfade_core::latency::{Histogram, LATENCY_BUCKETS};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn failures() -> FailureGate {
    FailureGate::new(FailureConfig::default(), Stratum(0), 0, 4 * HOUR)
}

fn segment(n_t: u64, e_t: u64, n_c: u64, e_c: u64) -> Segment {
    Segment::new(n_t, e_t, n_c, e_c).unwrap()
}

/// Latencies around 1.1^30 ms (17 ms), shifted up by some buckets.
fn latencies(requests: u64, shift: usize) -> [u64; LATENCY_BUCKETS] {
    let mut counts = [0; LATENCY_BUCKETS];
    for bucket in 20..60 {
        counts[bucket + shift] = requests / 40;
    }
    counts
}

#[test]
fn health_must_be_proven_afresh_in_every_step() {
    let mut gate = failures();
    gate.record_total(&segment(5_000, 5, 45_000, 45), 0).unwrap();
    assert_eq!(gate.judge().verdict, Verdict::Healthy);
    gate.enter_step(Stratum(1), HOUR, HOUR).unwrap();
    assert_eq!(gate.judge().rule, Rule::FailuresUndecided);
    assert_eq!(gate.step(), Segment::default());
}

#[test]
fn what_was_held_against_v2_in_one_step_counts_in_the_next() {
    let mut gate = failures();
    // Not enough in either step, enough in both.
    let half = segment(1_000, 7, 9_000, 18);
    gate.record_total(&half, 0).unwrap();
    assert_eq!(gate.judge().verdict, Verdict::Inconclusive);
    gate.enter_step(Stratum(1), HOUR, HOUR).unwrap();
    gate.record_total(&segment(5_000, 30, 5_000, 9), HOUR).unwrap();
    assert_eq!(gate.judge().rule, Rule::Worse, "{}", gate.evidence().sentence());
}

#[test]
fn a_burst_in_one_bin_is_capped_and_an_aggregated_one_is_not() {
    let history = segment(10_000, 10, 90_000, 90);
    let mut gate = failures();
    gate.record_total(&history, 0).unwrap();
    for client in 0..200 {
        let (at_ms, version, failed) = (1_000, Arm::Canary, true);
        gate.record(&Report { at_ms, version, failed, client: client << 4 }, 1_000).unwrap();
    }
    assert_ne!(gate.judge().verdict, Verdict::Unhealthy);
    gate.tick(10_000).unwrap();
    assert_ne!(gate.judge().verdict, Verdict::Unhealthy);
    assert!(gate.evidence().withheld_failures > 195.0);
    assert_eq!(gate.step().canary_failures(), 210, "nothing is withheld from what is counted");

    let mut gate = failures();
    gate.record_total(&history, 0).unwrap();
    gate.record_total(&segment(200, 200, 0, 0), 1_000).unwrap();
    assert_eq!(gate.judge().verdict, Verdict::Unhealthy);
}

/// Failures of twenty clients each in these seconds; how many of them are withheld.
fn withheld(seconds: &[u64]) -> f64 {
    let mut gate = failures();
    gate.record_total(&segment(10_000, 10, 90_000, 90), 0).unwrap();
    for second in seconds {
        for client in 0..20 {
            let (at_ms, version, failed) = (second * 1_000, Arm::Canary, true);
            let client = second << 16 | client << 4;
            gate.record(&Report { at_ms, version, failed, client }, at_ms).unwrap();
        }
    }
    gate.evidence().withheld_failures
}

#[test]
fn neighbouring_bins_share_what_they_may_say() {
    // A pod that fails across the border of two bins is still one event.
    let (one, two, apart) = (withheld(&[4]), withheld(&[4, 6]), withheld(&[4, 600]));
    assert!(one > 18.0 && one < 20.0, "{one}");
    assert!((apart - 2.0 * one).abs() < 0.01, "{apart}");
    assert!(two > apart + 0.01 && two < 40.0, "{two}");
    // What fails on and on keeps being heard: 1.25 nats a bin, half a lone failure.
    let bins: Vec<u64> = (0..12).map(|bin| 4 + 5 * bin).collect();
    let heard = 12.0 * 20.0 - withheld(&bins);
    assert!((7.0..9.0).contains(&heard), "{heard}");
}

#[test]
fn two_nodes_merged_are_as_good_as_one() {
    let (mut one, mut other, mut both) = (failures(), failures(), failures());
    for (minute, node) in [(1, 0), (3, 1), (700, 1), (701, 0), (90, 0), (702, 1)] {
        let counts = segment(500 + minute, minute / 50, 4_500, 5);
        let gate = if node == 0 { &mut one } else { &mut other };
        gate.record_total(&counts, minute * MINUTE).unwrap();
        both.record_total(&counts, minute * MINUTE).unwrap();
    }
    other.tick(702 * MINUTE).unwrap();
    one.tick(702 * MINUTE).unwrap();
    let windows = other.windows().clone();
    one.merge(&windows).unwrap();
    let json = |gate: &mut FailureGate| serde_json::to_string(&gate.evidence()).unwrap();
    assert_eq!(json(&mut one), json(&mut both));
}

#[test]
fn latency_is_not_judged_before_v1_was_measured() {
    let none = Histogram::default();
    let mut gate = LatencyGate::new(LatencyConfig::default(), &none, Stratum(0), 0, HOUR);
    for request in 0..1_999 {
        gate.record(Arm::Control, 20.0, request).unwrap();
        gate.record(Arm::Canary, 9_000.0, request).unwrap();
    }
    gate.tick(5_000).unwrap();
    assert_eq!(gate.judge().rule, Rule::LatencyUnmeasured);
    gate.record(Arm::Control, 20.0, 5_001).unwrap();
    gate.tick(10_000).unwrap();
    assert_eq!(gate.judge().rule, Rule::LatencyUndecided, "what came before is not judged");
    assert!(gate.thresholds().is_some());
}

#[test]
fn a_slower_version_is_found_an_equal_one_is_proven_and_ten_percent_are_tolerated() {
    let mut past = Histogram::default();
    latencies(4_000, 0).iter().enumerate().for_each(|(bucket, n)| past.add(bucket, *n));
    let judged = |shift| {
        let config = LatencyConfig::default();
        let mut gate = LatencyGate::new(config, &past, Stratum(0), 0, HOUR);
        gate.record_total(&latencies(4_000, shift), &latencies(36_000, 0), MINUTE).unwrap();
        (gate.judge(), gate.evidence())
    };
    assert_eq!(judged(0).0.rule, Rule::NotWorse);
    assert_ne!(judged(1).0.verdict, Verdict::Unhealthy);
    let (finding, evidence) = judged(3);
    assert_eq!(finding.rule, Rule::Slower);
    let text = Evidence::assemble(DataState::Ok, None, Some(evidence), None, None, None).sentence();
    assert!(text.starts_with("v2 is more than 10 % slower than v1: "), "{text}");
}

#[test]
fn new_steps_freeze_new_thresholds_from_what_v1_did_meanwhile() {
    let mut past = Histogram::default();
    latencies(4_000, 0).iter().enumerate().for_each(|(bucket, n)| past.add(bucket, *n));
    let config = LatencyConfig::default();
    let mut gate = LatencyGate::new(config, &past, Stratum(0), 0, HOUR);
    let before = *gate.thresholds().unwrap();
    // Both become slower together: no alarm, and the next step knows.
    gate.record_total(&latencies(4_000, 10), &latencies(36_000, 10), MINUTE).unwrap();
    assert_ne!(gate.judge().verdict, Verdict::Unhealthy);
    assert_eq!(*gate.thresholds().unwrap(), before);
    gate.enter_step(Stratum(1), HOUR, HOUR).unwrap();
    assert_ne!(*gate.thresholds().unwrap(), before);
    gate.enter_step(Stratum(2), 2 * HOUR, HOUR).unwrap();
    assert!(gate.thresholds().is_some(), "too little since: the last ones stay");
}

#[test]
fn a_wrong_share_blocks_health_but_not_an_alarm() {
    let level = Level::new(0.001).unwrap();
    let share = SampleRatioEvidence::of(2_000, 8_000, 0.1, level, 0);
    let mut gate = failures();
    gate.record_total(&segment(5_000, 5, 45_000, 45), 0).unwrap();
    let evidence = |gate: &mut FailureGate| {
        Evidence::assemble(DataState::Ok, Some(gate.evidence()), None, None, None, Some(share))
    };
    assert_eq!(evidence(&mut gate).finding.rule, Rule::SampleRatioMismatch);
    gate.record_total(&segment(500, 400, 4_500, 5), MINUTE).unwrap();
    assert_eq!(evidence(&mut gate).finding.rule, Rule::Worse);
}

#[test]
fn the_state_of_twenty_steps_with_everything_in_it_is_below_64_kb() {
    let past = {
        let mut past = Histogram::default();
        latencies(4_000, 0).iter().enumerate().for_each(|(bucket, n)| past.add(bucket, *n));
        past
    };
    let step_ms = 24 * 10 * MINUTE;
    let bound = Bound::new(0.005).unwrap();
    let slo = SloConfig::new(bound);
    let mut failures = failures();
    let mut latency = LatencyGate::new(LatencyConfig::default(), &past, Stratum(0), 0, step_ms);
    let mut requests = SloGate::new(slo, SloBound::Declared { bound }, 0, step_ms);
    let mut slow = requests.clone();
    let mut now_ms = 0;
    for step in 0..20 {
        if step > 0 {
            failures.enter_step(Stratum(step), now_ms, step_ms).unwrap();
            latency.enter_step(Stratum(step), now_ms, step_ms).unwrap();
            requests.enter_step(now_ms, step_ms);
            slow.enter_step(now_ms, step_ms);
        }
        for _ in 0..24 {
            failures.record_total(&segment(1_000_000, 1_000, 9_000_000, 9_000), now_ms).unwrap();
            let (canary, control) = (latencies(1_000_000, 0), latencies(9_000_000, 0));
            latency.record_total(&canary, &control, now_ms).unwrap();
            requests.record(&Trials::new(1_000_000, 1_000).unwrap(), now_ms).unwrap();
            slow.record(&Trials::new(1_000_000, 1_000).unwrap(), now_ms).unwrap();
            now_ms += 10 * MINUTE;
        }
    }
    for client in 0..BIN_CLIENTS_MAX as u64 {
        let client = client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (at_ms, version, failed) = (now_ms, Arm::Control, true);
        failures.record(&Report { at_ms, version, failed, client }, now_ms).unwrap();
    }
    let sizes = [
        borsh::to_vec(&failures).unwrap().len(),
        borsh::to_vec(&latency).unwrap().len(),
        borsh::to_vec(&requests).unwrap().len(),
        borsh::to_vec(&slow).unwrap().len(),
    ];
    println!("bytes: {sizes:?}");
    assert!(sizes.iter().sum::<usize>() <= 64 << 10, "{sizes:?}");
}
