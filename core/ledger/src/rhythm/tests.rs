use super::*;

/// A client that called at the start and then after each of these gaps.
fn rhythm(gaps_s: impl IntoIterator<Item = u32>) -> Rhythm {
    let mut at_s = 1_700_000_000;
    gaps_s.into_iter().fold(Rhythm::NEW, |rhythm, gap_s| {
        at_s += gap_s;
        rhythm.gap(gap_s, at_s)
    })
}

fn repeat(gap_s: u32, times: usize) -> impl Iterator<Item = u32> {
    std::iter::repeat_n(gap_s, times)
}

#[test]
fn what_people_set_jobs_to_is_what_they_are_shown() {
    for usual in USUAL_S {
        // Also when a job is a tenth early or late.
        for gap in [usual, usual / 10 * 9, usual / 10 * 11] {
            assert_eq!(rhythm([gap, gap]).typical_s(), Some(usual), "{gap}");
        }
    }
    assert_eq!(Rhythm::NEW.typical_s(), None);
}

#[test]
fn classes_begin_at_their_borders() {
    assert_eq!(class(0), None);
    for (at, border) in BORDERS_S.into_iter().enumerate() {
        assert_eq!(class(border), Some(at));
        assert_eq!(class(border - 1), at.checked_sub(1));
    }
    assert_eq!(class(u32::MAX), Some(15));
    assert_eq!((end_s(14), end_s(15)), (BORDERS_S[15], u32::MAX));
}

#[test]
fn a_monthly_job_of_a_thousand_calls_has_a_month() {
    // Ten minutes of calls, none of them counted; and ten hours of calls, all of them.
    for between_s in [1, 36] {
        let year = (0..12).flat_map(|_| repeat(between_s, 1_000).chain([30 * DAY]));
        assert_eq!(rhythm(year).typical_s(), Some(30 * DAY));
    }
}

#[test]
fn an_outage_is_not_the_rhythm_of_who_calls_every_five_minutes() {
    for outage_s in [3 * DAY, 14 * DAY] {
        let steady = || repeat(5 * MINUTE, 20_000);
        let rhythm = rhythm(steady().chain([outage_s]).chain(steady()));
        assert_eq!(rhythm.typical_s(), Some(5 * MINUTE));
        assert_eq!(rhythm.longest_s(), Some(end_s(class(outage_s).unwrap())));
        assert!(rhythm.regular() > 0.7, "{}", rhythm.regular());
        assert_eq!(rhythm.late_s(), Some(12 * MINUTE));
    }
}

#[test]
fn counts_are_right_on_average() {
    for times in [5, 17, 60, 600, 6_000] {
        let runs = 200;
        let sum: f64 = (0..runs)
            .map(|run| {
                let counted = (0..times)
                    .fold(Rhythm::NEW, |rhythm, at| rhythm.gap(DAY, 1_000_003 * run + at * 300));
                f64::from(counted.gaps()[6])
            })
            .sum();
        let mean = sum / f64::from(runs) / f64::from(times);
        assert!((0.75..1.25).contains(&mean), "{times}: {mean}");
    }
}

#[test]
fn many_at_once_count_like_one_by_one() {
    let few = Rhythm::NEW.count(DAY, 4, 0);
    assert_eq!(few, rhythm(repeat(DAY, 4)));
    for times in [5u32, 33, 4_000, u32::MAX] {
        let mean: f64 =
            (0..500).map(|at| f64::from(Rhythm::NEW.count(DAY, times, at).gaps()[6])).sum();
        let right = f64::from(times.min(65_536));
        assert!((mean / 500.0 / right - 1.0).abs() < 0.15, "{times}: {}", mean / 500.0);
    }
    assert_eq!(few.count(DAY, 0, 7), few);
}

#[test]
fn an_interval_once_shown_is_never_forgotten() {
    let rhythm = rhythm([30 * DAY].into_iter().chain(repeat(MINUTE, 400_000)));
    assert_eq!(rhythm.longest_s(), Some(40 * DAY));
    assert_eq!(rhythm.gaps()[10], 1);
    assert!(rhythm.gaps()[0] > 10_000);
}

#[test]
fn a_new_interval_is_taken_up_soon() {
    // A year of every five minutes, then monthly.
    let turned = rhythm(repeat(5 * MINUTE, 100_000).chain(repeat(30 * DAY, 8)));
    assert_eq!(turned.typical_s(), Some(30 * DAY));
}

#[test]
fn regular_is_who_keeps_to_one_interval() {
    let nightly = rhythm(repeat(DAY, 60)).regular();
    let weekdays = rhythm((0..12).flat_map(|_| repeat(DAY, 4).chain([3 * DAY]))).regular();
    let twice = rhythm([DAY, DAY]).regular();
    // Gaps of every length.
    let any = rhythm(USUAL_S.into_iter().chain(USUAL_S.map(|gap| gap / 10 * 11))).regular();
    assert!(nightly > 0.9 && (0.4..0.75).contains(&weekdays), "{nightly} {weekdays}");
    assert!(any < 0.5 && (0.6..0.7).contains(&twice), "{any} {twice}");
    assert_eq!(Rhythm::NEW.regular(), 0.0);
}

#[test]
fn a_weekend_is_not_late() {
    let weekdays = rhythm((0..12).flat_map(|_| repeat(DAY, 4).chain([3 * DAY])));
    assert_eq!(weekdays.late_s(), Some(108 * HOUR));
    // Only in the day, and every night: most time passes at night.
    let days = rhythm((0..30).flat_map(|_| repeat(5 * MINUTE, 96).chain([16 * HOUR])));
    assert_eq!(days.late_s(), Some(18 * HOUR));
    assert_eq!(Rhythm::NEW.late_s(), None);
}

#[test]
fn the_next_call_is_expected_at_the_most_usual_of_what_is_left() {
    let bursts = rhythm((0..4).flat_map(|_| repeat(5 * MINUTE, 50).chain([30 * DAY])));
    assert_eq!(bursts.expected_next_s(0), Some(5 * MINUTE));
    assert_eq!(bursts.expected_next_s(HOUR), Some(30 * DAY));
    assert_eq!(bursts.expected_next_s(33 * DAY), Some(33 * DAY));
    assert_eq!(bursts.expected_next_s(40 * DAY), None);
    assert_eq!(Rhythm::NEW.expected_next_s(0), None);
}
