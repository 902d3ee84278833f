use super::*;
use crate::again::Population;
use crate::rhythm::Rhythm;

const DAY: u32 = 86_400;
const MONTH: u32 = 30 * DAY;

fn hazards() -> Hazards {
    let mut hazards = Hazards::new(&Population::default());
    hazards.ready();
    hazards
}

fn every(gap_s: u32, times: u32) -> Past {
    Past { rhythm: Rhythm::NEW.count(gap_s, times, 1), span_s: gap_s * times, moved: false }
}

#[test]
fn nobody_is_nobody_and_of_a_sample_not_even_that() {
    let hazards = hazards();
    let nobody = Readiness::new(MONTH, 10);
    let all = nobody.depend(&hazards, 0.95, 1.0);
    assert_eq!((all.at_most, all.exact, all.clients), (0, true, 0));
    let sampled = nobody.depend(&hazards, 0.95, 0.01);
    // `3 / theta` at 95 %, and a little more, since half of the error is for who calls.
    assert!((300..400).contains(&sampled.at_most) && !sampled.exact, "{sampled:?}");
}

#[test]
fn the_number_is_that_of_a_sum_of_unlike_coins() {
    // Against all 2^12 outcomes, spelled out.
    let chances: Vec<f64> = (1..=12).map(|n| f64::from(n) / 13.0).collect();
    let mut exactly = vec![0.0; COUNTED + 1];
    exactly[0] = 1.0;
    chances.iter().for_each(|&chance| toss(&mut exactly, chance));
    let mut right = [0.0; 13];
    for outcome in 0u32..1 << 12 {
        let coin = |(n, chance): (usize, &f64)| {
            if outcome >> n & 1 == 1 { *chance } else { 1.0 - *chance }
        };
        right[outcome.count_ones() as usize] +=
            chances.iter().enumerate().map(coin).product::<f64>();
    }
    for (n, right) in right.iter().enumerate() {
        assert!((exactly[n] - right).abs() < 1e-14, "{n}");
    }
    assert!(exactly[13..].iter().all(|&chance| chance == 0.0));
}

#[test]
fn active_clients_are_counted_one_by_one_and_many_of_them_nearly() {
    let hazards = hazards();
    for clients in [1, 20, 100, 128, 129, 10_000] {
        let mut readiness = Readiness::new(MONTH, 3);
        for id in 0..clients {
            readiness.add(&hazards, &|| id, &every(7 * DAY, 100), DAY);
        }
        let depend = readiness.depend(&hazards, 0.95, 1.0);
        let at_most = clients as f64 * 1.02 + 2.0;
        assert!(depend.at_most as f64 <= at_most, "{clients}: {depend:?}");
        assert!(depend.at_most as f64 >= clients as f64 * 0.98, "{clients}: {depend:?}");
        assert_eq!(depend.last_in_s, Some(6 * DAY));
        let [low, high] =
            [0.5, 0.99].map(|confidence| readiness.depend(&hazards, confidence, 1.0).at_most);
        assert!(low <= depend.at_most && depend.at_most <= high);
    }
}

#[test]
fn a_sample_widens_it() {
    let hazards = hazards();
    let mut readiness = Readiness::new(MONTH, 0);
    (0..50).for_each(|id| _ = readiness.add(&hazards, &|| id, &every(DAY, 100), 3_600));
    let (all, sample) =
        (readiness.depend(&hazards, 0.95, 1.0), readiness.depend(&hazards, 0.95, 0.1));
    assert_eq!(all.at_most, 50);
    assert!((sample.expected / all.expected - 10.0).abs() < 1e-9);
    assert!((600..720).contains(&sample.at_most), "{sample:?}");
}

#[test]
fn candidates_are_the_likeliest_and_say_when() {
    let hazards = hazards();
    let mut readiness = Readiness::new(MONTH, 3);
    let gone = every(300, 1_000);
    let silent = [
        (gone, 200 * DAY),
        (every(MONTH, 8), 20 * DAY),
        (gone, 201 * DAY),
        (every(MONTH, 2), 38 * DAY),
        (gone, 202 * DAY),
    ];
    for (id, (past, silent_s)) in (0..).zip(silent) {
        readiness.add(&hazards, &|| id, &past, silent_s);
    }
    let found: Vec<_> = readiness.candidates().iter().map(|it| (it.id, it.due_in_s)).collect();
    assert_eq!(found[..2], [(1, Some(10 * DAY)), (3, Some(0))]);
    assert_eq!(found.len(), 3);
    assert_eq!(readiness.depend(&hazards, 0.95, 1.0).last_in_s, Some(10 * DAY));
}

#[test]
fn who_shares_a_hazard_is_wrong_together() {
    let hazards = hazards();
    let mut readiness = Readiness::new(MONTH, 0);
    // A hundred strangers, of whom nothing is known: two are expected, or twenty.
    (0..100).for_each(|id| _ = readiness.add(&hazards, &|| id, &every(30, 0), 50 * DAY));
    let depend = readiness.depend(&hazards, 0.95, 1.0);
    assert!((2.0..8.0).contains(&depend.expected), "{depend:?}");
    assert!(depend.at_most as f64 > 2.5 * depend.expected, "{depend:?}");
}

#[test]
fn the_quantiles_are_those_of_the_tables() {
    for (error, right) in [(0.5, 0.0), (0.05, 1.644_853_627), (0.025, 1.959_963_985)] {
        assert!((normal(error) - right).abs() < 1e-8, "{error}");
    }
    // Garwood 1936: exact limits for 0, 1, 5 and 50 at 95 %.
    for (seen, right) in [(0.0, 2.996), (1.0, 4.744), (5.0, 10.513), (50.0, 63.287)] {
        let mean = poisson_at_most(seen, 0.05);
        assert!((mean / right - 1.0).abs() < 0.005, "{seen}: {mean}");
    }
}
