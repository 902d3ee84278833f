//! What must hold for any counts. Each test prints the seed that replays it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

use std::hash::{BuildHasher, RandomState};

use crossfade_core::gate::cap::cap_failures;
use crossfade_core::gate::config::{
    Bound, BucketTolerance, Cap, FailureConfig, Level, Margin, Points, Tolerance,
};
use crossfade_core::gate::difference::{difference_cs, log_e_diff_bad};
use crossfade_core::gate::evidence::FailureEvidence;
use crossfade_core::gate::failures::FailureGate;
use crossfade_core::gate::interval::ratio_cs;
use crossfade_core::gate::latency::{
    Exceedances, SlowerTest, Thresholds, log_e_not_slower, log_e_slower,
};
use crossfade_core::gate::not_worse::log_e_ok;
use crossfade_core::gate::sample_ratio::log_bf_sample_ratio;
use crossfade_core::gate::segment::{Arm, Segment};
use crossfade_core::gate::sentence::Names;
use crossfade_core::gate::slo::{SloTest, highest_rate, log_e_slo_bad, log_e_slo_ok};
use crossfade_core::gate::tally::{FailureTally, Mergeable, Trials};
use crossfade_core::gate::verdict::Verdict;
use crossfade_core::gate::windows::{Stratum, WindowTest, WindowedTest, Windows};
use crossfade_core::gate::worse::{WorseTest, log_e_outage, log_e_worse, mantel_haenszel_ratio};
use crossfade_core::gate::{bins::Report, slo::Baseline};
use crossfade_core::latency::{Histogram, LATENCY_BUCKETS};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn config() -> ProptestConfig {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0u8));
    println!("PROPTEST_RNG_SEED={seed} cargo test -p crossfade-core --test gate_properties");
    let rng_seed = RngSeed::Fixed(seed);
    ProptestConfig { cases: 192, rng_seed, failure_persistence: None, ..Default::default() }
}

/// Any count at all, with the ends and the small ones made likely.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..20u64,
        3 => 0..100_000u64,
        1 => any::<u64>(),
        1 => prop::sample::select(vec![1 << 53, 1 << 63, u64::MAX - 1, u64::MAX]),
    ]
}

fn trials() -> impl Strategy<Value = Trials> {
    (count(), count()).prop_map(|(a, b)| Trials::new(a.max(b), a.min(b)).unwrap())
}

fn any_segment() -> impl Strategy<Value = Segment> {
    (trials(), trials()).prop_map(|(canary, control)| {
        let (n_t, n_c) = (canary.requests(), control.requests());
        Segment::new(n_t, canary.failures(), n_c, control.failures()).unwrap()
    })
}

/// Counts as traffic makes them, with something failing and something not.
fn segment() -> impl Strategy<Value = Segment> {
    (2..50_000u64, 0.0..1.0f64, 2..50_000u64, 0.0..1.0f64).prop_map(|(n_t, p_t, n_c, p_c)| {
        // Cubed: failures are rarer than successes.
        let failures = |n: u64, p: f64| ((n as f64) * p * p * p) as u64;
        Segment::new(n_t, failures(n_t, p_t), n_c, failures(n_c, p_c)).unwrap()
    })
}

fn margin() -> impl Strategy<Value = Margin> {
    prop_oneof![Just(1.0), Just(10.0), 1.0..10.0f64].prop_map(|m| Margin::new(m).unwrap())
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(0.005), 1e-6..0.5f64].prop_map(|level| Level::new(level).unwrap())
}

fn tolerance() -> impl Strategy<Value = Tolerance> {
    (margin(), 0.0..99.9f64).prop_map(|(m, p)| Tolerance::new(m, Points::new(p).unwrap()))
}

fn withheld() -> impl Strategy<Value = FailureTally> {
    (any_segment(), 0..1000u64).prop_map(|(segment, permille)| {
        let withheld_milli = segment.canary_failures().saturating_mul(permille);
        FailureTally { segment, withheld_milli }
    })
}

fn latencies(count: impl Strategy<Value = u64>) -> impl Strategy<Value = [u64; LATENCY_BUCKETS]> {
    prop::collection::vec((0..LATENCY_BUCKETS, count), 0..20).prop_map(|all| {
        let mut counts = [0u64; LATENCY_BUCKETS];
        all.into_iter().for_each(|(i, n)| counts[i] = counts[i].saturating_add(n));
        counts
    })
}

fn more_failures(segment: &Segment, version: Arm) -> Option<Segment> {
    let (t, c) = (segment.canary(), segment.control());
    let (e_t, e_c) = match version {
        Arm::Canary => (t.failures().checked_add(1)?, c.failures()),
        Arm::Control => (t.failures(), c.failures().checked_add(1)?),
    };
    Segment::new(t.requests(), e_t, c.requests(), e_c).ok()
}

/// Equal up to rounding.
fn at_least(a: f64, b: f64) -> bool {
    a >= b - 1e-9 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_count_whatever_gives_nan_or_infinity(
        segments in prop::collection::vec(any_segment(), 0..4),
        margin in margin(), tolerance in tolerance(), alpha in level(),
        bound in prop_oneof![1e-12..1.0f64, Just(0.5)], share in 0.0001..0.9999f64,
    ) {
        finite(log_e_worse(&segments, margin))?;
        for segment in &segments {
            finite(log_e_outage(segment, margin))?;
            let ok = log_e_ok(segment, tolerance);
            finite(ok.ratio)?;
            finite(ok.difference)?;
            finite(ok.combined)?;
            finite(log_e_diff_bad(segment, tolerance.points()))?;
            let bound = Bound::new(bound).unwrap();
            finite(log_e_slo_bad(segment.canary(), bound))?;
            finite(log_e_slo_ok(segment.canary(), bound))?;
            finite(highest_rate(segment.canary(), alpha))?;
            let (n_t, n_c) = (segment.canary_requests(), segment.control_requests());
            finite(log_bf_sample_ratio(n_t, n_c, share))?;
            let (e_t, e_c) = (segment.canary_failures(), segment.control_failures());
            finite(cap_failures(e_t, e_c, share, Cap::new(3.5).unwrap()))?;
            let _ = Baseline { trials: segment.control(), measured_at_ms: 0 }.bound(alpha);
        }
        let ratio = ratio_cs(&segments, alpha);
        prop_assert!(ratio.low.is_finite() && ratio.low >= 0.0 && ratio.low <= ratio.high, "{ratio:?}");
        for segment in &segments {
            let difference = difference_cs(segment, alpha);
            prop_assert!(-1.0 <= difference.low && difference.low <= difference.high);
            prop_assert!(difference.high <= 1.0);
        }
        let config = FailureConfig { margin, alpha, not_worse: tolerance, ..Default::default() };
        let evidence = FailureEvidence::of_segments(&segments, &config);
        prop_assert!(!evidence.sentence(Names::default()).contains("NaN") && !evidence.sentence(Names::default()).contains("inf"));
    }

    #[test]
    fn latencies_of_any_count_give_no_nan_or_infinity(
        canary in latencies(count()), control in latencies(count()), buckets in 0..8u8,
    ) {
        let tolerance = BucketTolerance::new(buckets).unwrap();
        let mut histogram = Histogram::default();
        control.iter().enumerate().for_each(|(bucket, n)| histogram.add(bucket, *n));
        if let Some(thresholds) = Thresholds::freeze(&histogram) {
            let counted = Exceedances::of(&thresholds, tolerance, &canary, &control);
            let slower = log_e_slower(&[counted, counted]);
            prop_assert!(slower.is_finite(), "{slower}");
            for threshold in 0..6 {
                let ok = log_e_not_slower(&counted, threshold);
                prop_assert!(ok.is_finite(), "{ok}");
            }
        }
    }

    #[test]
    fn counts_merge_to_the_same_bytes_in_any_order(
        counts in prop::collection::vec((0..400u32, 0..4u32, withheld()), 1..60),
        order in any::<prop::sample::Index>(), split in any::<prop::sample::Index>(),
        reversed in any::<bool>(),
    ) {
        let table = |counts: &[(u32, u32, FailureTally)]| {
            let mut windows = Windows::default();
            for (slot, stratum, tally) in counts {
                windows.add(*slot, Stratum(*stratum), tally).unwrap();
            }
            windows
        };
        let bytes = |windows: &Windows<FailureTally>| borsh::to_vec(windows).unwrap();
        let straight = bytes(&table(&counts));
        let mut shuffled = counts.clone();
        shuffled.rotate_left(order.index(counts.len()));
        if reversed {
            shuffled.reverse();
        }
        prop_assert_eq!(&bytes(&table(&shuffled)), &straight);
        let (one, other) = shuffled.split_at(split.index(counts.len()));
        let (mut forth, mut back) = (table(one), table(other));
        back.merge(&table(one)).unwrap();
        forth.merge(&table(other)).unwrap();
        prop_assert_eq!(&bytes(&forth), &straight);
        prop_assert_eq!(&bytes(&back), &straight);
    }

    #[test]
    fn one_more_canary_failure_never_makes_v2_look_better(
        before in prop::collection::vec(segment(), 0..3), last in segment(),
        margin in margin(), tolerance in tolerance(),
    ) {
        if let Some(failed) = more_failures(&last, Arm::Canary) {
            let with = |last| log_e_worse(&[before.clone(), vec![last]].concat(), margin);
            prop_assert!(at_least(with(failed), with(last)));
            prop_assert!(at_least(log_e_outage(&failed, margin), log_e_outage(&last, margin)));
            let (ok, was) = (log_e_ok(&failed, tolerance), log_e_ok(&last, tolerance));
            prop_assert!(at_least(was.combined, ok.combined));
        }
    }

    #[test]
    fn one_more_control_failure_never_makes_v2_look_worse(
        before in prop::collection::vec(segment(), 0..3), last in segment(),
        margin in margin(), tolerance in tolerance(),
    ) {
        if let Some(failed) = more_failures(&last, Arm::Control) {
            let with = |last| log_e_worse(&[before.clone(), vec![last]].concat(), margin);
            prop_assert!(at_least(with(last), with(failed)));
            let (ok, was) = (log_e_ok(&failed, tolerance), log_e_ok(&last, tolerance));
            prop_assert!(at_least(ok.combined, was.combined));
        }
    }

    #[test]
    fn a_stricter_level_gives_wider_intervals_and_never_more_alarms(
        segments in prop::collection::vec(segment(), 1..4), one in level(), other in level(),
    ) {
        let (strict, loose) = if one < other { (one, other) } else { (other, one) };
        let last = &segments[segments.len() - 1];
        for (wide, narrow) in [
            (ratio_cs(&segments, strict), ratio_cs(&segments, loose)),
            (difference_cs(last, strict), difference_cs(last, loose)),
        ] {
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high, "{wide:?} {narrow:?}");
        }
        let judge = |alpha| {
            let config = FailureConfig { alpha, ..FailureConfig::default() };
            FailureEvidence::of_segments(&segments, &config).finding.verdict
        };
        prop_assert!(judge(strict) != Verdict::Unhealthy || judge(loose) == Verdict::Unhealthy);
    }

    #[test]
    fn the_intervals_hold_what_was_observed(segment in segment(), alpha in level()) {
        if let Some(ratio) = mantel_haenszel_ratio(&[segment]) {
            let interval = ratio_cs(&[segment], alpha);
            let holds = interval.low <= ratio * (1.0 + 1e-12) && ratio <= interval.high * (1.0 + 1e-12);
            prop_assert!(holds, "{ratio} {interval:?}");
        }
        let rate = |trials: Trials| trials.rate().unwrap();
        let difference = rate(segment.canary()) - rate(segment.control());
        let interval = difference_cs(&segment, alpha);
        prop_assert!(interval.contains(difference), "{difference} {interval:?}");
    }

    #[test]
    fn the_cap_takes_only_from_an_excess_and_bends_nothing(
        e_t in 0..5_000u64, e_c in 0..5_000u64, share in 0.0001..0.9999f64, cap in 0.5..10.0f64,
    ) {
        let cap = Cap::new(cap).unwrap();
        let counted = cap_failures(e_t, e_c, share, cap);
        prop_assert!((0.0..=e_t as f64).contains(&counted), "{counted}");
        let more = cap_failures(e_t + 1, e_c, share, cap);
        prop_assert!(more >= counted - 1e-6, "{counted} {more}");
        if counted < e_t as f64 {
            let part = |x: f64, expected: f64| if x > 0.0 { x * libm::log(x / expected) } else { 0.0 };
            let m = counted + e_c as f64;
            let nats = part(counted, m * share) + part(e_c as f64, m * (1.0 - share));
            let limit = cap.get().max(-libm::log(share));
            prop_assert!((nats - limit).abs() < 1e-6, "{nats} {limit}");
        }
    }

    #[test]
    fn the_cheap_bound_holds_and_both_ways_to_judge_agree(
        counts in prop::collection::vec((0..60u32, 0..3u32, segment(), 0..900u64), 1..12),
        open in segment(), margin in margin(), bound in 0.001..0.9f64,
        canary in latencies(0..9_999u64), control in latencies(0..9_999u64), threshold in -5.0..50.0f64,
    ) {
        let worse = WorseTest::from(margin);
        let mut test = WindowedTest::new(worse);
        test.enter(Stratum(2));
        for (slot, stratum, segment, permille) in &counts {
            let withheld_milli = segment.canary_failures() * permille;
            let tally = FailureTally { segment: *segment, withheld_milli };
            test.add(*slot, Stratum(*stratum), &tally).unwrap();
            check_bound(&worse, &tally)?;
        }
        let open = FailureTally::from(open);
        let full = test.judge(&open);
        let found = test.reaches(&open, threshold);
        prop_assert_eq!(found.is_some(), full.log_e >= threshold);
        prop_assert!(found.is_none_or(|found| found == full));
        check_bound(&SloTest::from(Bound::new(bound).unwrap()), &open.segment.canary())?;
        let mut histogram = Histogram::default();
        control.iter().enumerate().for_each(|(bucket, n)| histogram.add(bucket, *n));
        if let Some(thresholds) = Thresholds::freeze(&histogram) {
            let none = BucketTolerance::new(0).unwrap();
            let counted = Exceedances::of(&thresholds, none, &canary, &control);
            check_bound(&SlowerTest::default(), &counted)?;
        }
    }

    #[test]
    fn a_gate_that_was_written_down_and_read_goes_on_the_same(
        events in prop::collection::vec((0..40u64, 0..12u8, any::<bool>(), 0..30u64), 1..120),
        stop in any::<prop::sample::Index>(),
    ) {
        let start = 1_700_000_000_000;
        let config = FailureConfig::default();
        let mut gate = FailureGate::new(config, Stratum(0), start, 3_600_000);
        let (mut now_ms, mut step) = (start, 0);
        let stop = stop.index(events.len());
        let mut other: Option<FailureGate> = None;
        for (index, (seconds, kind, failed, client)) in events.into_iter().enumerate() {
            if index == stop {
                let bytes = borsh::to_vec(&gate).unwrap();
                other = Some(borsh::from_slice(&bytes).unwrap());
            }
            now_ms += seconds * 1_000;
            let act = |gate: &mut FailureGate| match kind {
                0 => gate.enter_step(Stratum(step + 1), now_ms, 3_600_000).unwrap(),
                1 => gate.tick(now_ms).unwrap(),
                2 => {
                    let counts = Segment::new(client + 1, client / 5, 9 * client, client / 3).unwrap();
                    gate.record_total(&counts, now_ms).unwrap();
                }
                _ => {
                    let version = if client % 3 == 0 { Arm::Canary } else { Arm::Control };
                    let at_ms = now_ms.saturating_sub(u64::from(kind) * 700);
                    let report = Report { at_ms, version, failed, client: client << 4 };
                    gate.record(&report, now_ms).unwrap();
                }
            };
            act(&mut gate);
            if let Some(other) = &mut other {
                act(other);
            }
            step += u32::from(kind == 0);
            if let Some(other) = &mut other {
                prop_assert_eq!(gate.judge(), other.judge());
            }
        }
        let mut other = other.unwrap();
        let bytes = |gate: &mut FailureGate| {
            (borsh::to_vec(gate).unwrap(), serde_json::to_string(&gate.evidence()).unwrap())
        };
        prop_assert_eq!(bytes(&mut gate), bytes(&mut other));
    }
}

fn check_bound<const C: usize, T: WindowTest<C>>(
    test: &T,
    tally: &T::Tally,
) -> Result<(), TestCaseError> {
    let bound = test.upper_bound(tally);
    for component in test.log_components(tally) {
        prop_assert!(at_least(bound, component), "{bound} {component} {tally:?}");
    }
    Ok(())
}

fn finite(number: f64) -> Result<(), TestCaseError> {
    prop_assert!(number.is_finite(), "{number}");
    Ok(())
}

#[test]
fn a_stratum_too_many_is_refused_and_changes_nothing() {
    let mut windows = Windows::default();
    let one = FailureTally::from(Segment::new(1, 0, 1, 0).unwrap());
    for stratum in 0..256 {
        windows.add(0, Stratum(stratum), &one).unwrap();
    }
    let before = windows.clone();
    assert!(windows.add(0, Stratum(256), &one).is_err());
    let mut other = Windows::default();
    other.add(5, Stratum(300), &one).unwrap();
    assert!(windows.merge(&other).is_err());
    assert_eq!(windows, before);
    windows.add(0, Stratum(255), &one).unwrap();
    let mut two = one;
    two.merge(&one);
    assert_eq!(windows.total(Stratum(255)), two);
}

proptest! {
    #![proptest_config(config())]

    /// What is excused makes less of "worse", leaves "healthy" as it was, and takes no more
    /// than there is.
    #[test]
    fn what_is_excused_never_speaks_for_worse(
        counts in prop::collection::vec((segment(), 0..20u64), 1..6),
        since in 0..100u64, failures in prop_oneof![0..50u64, count()],
    ) {
        const MINUTE_MS: u64 = 60_000;
        let mut gate = FailureGate::new(FailureConfig::default(), Stratum(0), 0, 24 * MINUTE_MS);
        let mut now_ms = 0;
        for (step, (counts, minutes)) in (1..).zip(counts) {
            now_ms += minutes * MINUTE_MS;
            gate.record_total(&counts, now_ms).unwrap();
            if minutes % 7 == 3 {
                gate.enter_step(Stratum(step), now_ms, 24 * MINUTE_MS).unwrap();
            }
        }
        let before = gate.evidence();
        gate.excuse(since * MINUTE_MS, failures, now_ms);
        let after = gate.evidence();
        prop_assert!(at_least(before.log_e_worse, after.log_e_worse), "{before:?}\n{after:?}");
        prop_assert_eq!(before.log_e_ok, after.log_e_ok);
        prop_assert_eq!(before.step, after.step);
        gate.excuse(0, u64::MAX, now_ms);
        let none = gate.evidence();
        prop_assert!(none.log_e_worse <= 1e-9, "{none:?}");
    }
}
