//! The gate's formulas against numbers computed with 60 digits.
//!
//! `core/tests/gate_vectors.json` names a function, its arguments and the result; a result
//! must agree to 1e-9, relatively above 1. A function this file does not know fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

use crossfade_core::gate::cap::cap_failures;
use crossfade_core::gate::config::{Bound, Cap, Level, Margin, Points, Tolerance};
use crossfade_core::gate::difference::log_e_diff_bad;
use crossfade_core::gate::interval::ratio_cs;
use crossfade_core::gate::latency::{Exceedances, log_e_not_slower, log_e_slower, log_odds_ratio};
use crossfade_core::gate::not_worse::log_e_ok;
use crossfade_core::gate::sample_ratio::log_bf_sample_ratio;
use crossfade_core::gate::segment::Segment;
use crossfade_core::gate::slo::{log_e_slo_bad, log_e_slo_ok};
use crossfade_core::gate::tally::{FailureTally, Trials};
use crossfade_core::gate::windows::{Stratum, WindowedTest};
use crossfade_core::gate::worse::{WorseTest, log_e_outage, log_e_worse, mantel_haenszel_ratio};
use serde_json::Value;

#[test]
fn every_golden_number_is_met() {
    let text = include_str!("gate_vectors.json");
    let document: Value = serde_json::from_str(text).unwrap();
    let vectors = document["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 30, "only {} vectors", vectors.len());
    for vector in vectors {
        let args = &vector["args"];
        let got = evaluate(vector["fn"].as_str().unwrap(), args);
        let expected = numbers(&vector["out"]);
        assert_eq!(got.len(), expected.len(), "{vector}");
        for (got, expected) in got.iter().zip(&expected) {
            let close = got == expected || (got - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(close, "{vector}: got {got}, not {expected}");
        }
    }
}

fn evaluate(function: &str, args: &Value) -> Vec<f64> {
    match function {
        "log_e_worse" => vec![log_e_worse(&segments(&args["segments"]), margin(args))],
        "ll_outage" => vec![log_e_outage(&segment(&args["segment"]), margin(args))],
        "mh_ratio" => vec![mantel_haenszel_ratio(&segments(&args["segments"])).unwrap()],
        "log_e_worse_windows" => vec![windows(args)],
        "ratio_cs" => {
            let interval = ratio_cs(&segments(&args["segments"]), level(args));
            vec![interval.low, interval.high]
        }
        "log_e_ok" => {
            let ratio = Margin::new(number(&args["r_ni"])).unwrap();
            let tolerance = Tolerance::new(ratio, points(&args["delta"]));
            let found = log_e_ok(&segment(&args["segment"]), tolerance);
            vec![found.ratio, found.difference, found.combined]
        }
        "log_e_diff_bad" => {
            vec![log_e_diff_bad(&segment(&args["segment"]), points(&args["delta0"]))]
        }
        "log_e_slo_bad" => vec![log_e_slo_bad(trials(args), bound(&args["p0"]))],
        "log_e_slo_ok" => vec![log_e_slo_ok(trials(args), bound(&args["p1"]))],
        "log_e_slower" => {
            assert_eq!(args["q"], serde_json::json!([0.5, 0.25, 0.1, 0.05, 0.01]));
            let rows: Vec<[u64; 4]> =
                args["segments"].as_array().unwrap().iter().map(counts).collect();
            vec![log_e_slower(&[exceedances(&rows)])]
        }
        "ll_odds" => {
            let stratum = exceedances(&[counts(&args["segment"]); 5]);
            vec![log_odds_ratio(&stratum, 0, number(&args["odds"]), number(&args["q"]))]
        }
        "log_e_not_slower" => {
            assert_eq!(number(&args["q"]), 0.05);
            let stratum = exceedances(&[counts(&args["segment"]); 5]);
            vec![log_e_not_slower(&stratum, 3)]
        }
        "log_bf_lindon" => {
            let share = number(&args["rho"]);
            // The prior is not an argument of ours; the vector's is the one we use.
            assert_eq!(number(&args["a"]), 1.0);
            assert_eq!(number(&args["b"]), 1.0 / share - 1.0);
            vec![log_bf_sample_ratio(whole(&args["e_t"]), whole(&args["e_c"]), share)]
        }
        "cap_errors" => {
            let cap = Cap::new(number(&args["cap"])).unwrap();
            let share = number(&args["rho"]);
            vec![cap_failures(whole(&args["e_t"]), whole(&args["e_c"]), share, cap)]
        }
        unknown => panic!("no such function: {unknown}"),
    }
}

fn windows(args: &Value) -> f64 {
    assert_eq!((whole(&args["m_restart"]), number(&args["w0"])), (24, 0.5));
    let mut test = WindowedTest::new(WorseTest::from(margin(args)));
    for (slot, row) in args["slots"].as_array().unwrap().iter().enumerate() {
        let row: Vec<u64> = row.as_array().unwrap().iter().map(whole).collect();
        let stratum = Stratum(row[0] as u32);
        let counted = Segment::new(row[1], row[2], row[3], row[4]).unwrap();
        test.enter(stratum);
        test.add(slot as u32, stratum, &FailureTally::from(counted)).unwrap();
    }
    test.judge(&FailureTally::default()).log_e
}

fn exceedances(rows: &[[u64; 4]]) -> Exceedances {
    let column = |i: usize| std::array::from_fn(|row| rows.get(row).map_or(0, |row| row[i]));
    Exceedances::from_counts((rows[0][0], column(1)), (rows[0][2], column(3))).unwrap()
}

fn margin(args: &Value) -> Margin {
    Margin::new(number(&args["r0"])).unwrap()
}

fn level(args: &Value) -> Level {
    Level::new(number(&args["alpha"])).unwrap()
}

fn bound(value: &Value) -> Bound {
    Bound::new(number(value)).unwrap()
}

fn points(fraction: &Value) -> Points {
    Points::new(100.0 * number(fraction)).unwrap()
}

fn trials(args: &Value) -> Trials {
    Trials::new(whole(&args["n"]), whole(&args["e"])).unwrap()
}

fn segments(value: &Value) -> Vec<Segment> {
    value.as_array().unwrap().iter().map(segment).collect()
}

fn segment(value: &Value) -> Segment {
    let [n_t, e_t, n_c, e_c] = counts(value);
    Segment::new(n_t, e_t, n_c, e_c).unwrap()
}

fn counts(value: &Value) -> [u64; 4] {
    std::array::from_fn(|i| whole(&value[i]))
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no count: {value}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// A result is a number, a list of them, or an object of them, written as strings.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::String(text) => vec![text.parse().unwrap()],
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Object(all) => all.values().flat_map(numbers).collect(),
        other => panic!("no result: {other}"),
    }
}
