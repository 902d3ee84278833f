use super::*;

const DAY: u32 = 86_400;

fn past(gaps: &[(u32, u32)]) -> Past {
    let mut past = Past { rhythm: Rhythm::NEW, span_s: 0, moved: false };
    for &(gap_s, times) in gaps {
        past.span_s += gap_s * times;
        past.rhythm = past.rhythm.count(gap_s, times, 1_700_000_000 + past.span_s);
    }
    past
}

fn alone() -> Hazards {
    let mut hazards = Hazards::new(&Population::default());
    hazards.ready();
    hazards
}

#[test]
fn a_monthly_job_silent_for_20_days_is_not_gone_and_one_of_five_minutes_is() {
    let hazards = alone();
    let monthly = past(&[(30 * DAY, 5)]);
    let steady = past(&[(300, 30_000)]);
    let again = |past| hazards.probability(past, 20 * DAY, 30 * DAY);
    assert!(again(&monthly) > 0.9, "{}", again(&monthly));
    assert!(again(&steady) < 0.25, "{}", again(&steady));
    assert_eq!(hazards.state(&monthly, 20 * DAY, 30 * DAY, 0.95), State::Active);
    assert_eq!(hazards.state(&monthly, 45 * DAY, 30 * DAY, 0.95), State::Silent);
    assert_eq!(hazards.state(&steady, 20 * DAY, 30 * DAY, 0.95), State::Silent);
    assert_eq!(hazards.state(&steady, 80 * DAY, 30 * DAY, 0.95), State::Gone);
    assert_eq!(hazards.state(&steady, 400, 30 * DAY, 0.95), State::Active);
}

#[test]
fn the_population_says_what_a_silence_beyond_all_experience_means() {
    let steady = past(&[(300, 30_000)]);
    // A thousand like it, silent for half a year.
    let mut none_came = Hazards::new(&Population::default());
    (0..1_000).for_each(|_| none_came.watch(&steady, 182 * DAY));
    none_came.ready();
    // And one in three came after a month.
    let mut population = Population::default();
    (0..500).for_each(|_| population.returned(&steady, 30 * DAY));
    let mut many_came = Hazards::new(&population);
    (0..1_000).for_each(|_| many_came.watch(&steady, 182 * DAY));
    many_came.ready();
    let [none, alone, many] = [none_came, alone(), many_came]
        .map(|hazards| hazards.probability(&steady, 20 * DAY, 30 * DAY));
    assert!(none < 0.001 && (0.1..0.3).contains(&alone), "{none} {alone}");
    assert!((0.3..0.5).contains(&many), "{many}");
}

#[test]
fn who_called_once_is_judged_by_others_who_did() {
    let once = past(&[]);
    assert!(alone().probability(&once, 3_600, 30 * DAY) > 0.5);
    assert!(alone().probability(&once, 300 * DAY, 30 * DAY) < 0.001);
    let mut population = Population::default();
    (0..400).for_each(|_| population.returned(&once, 91 * DAY));
    let mut hazards = Hazards::new(&population);
    (0..600).for_each(|_| hazards.watch(&once, 140 * DAY));
    hazards.ready();
    let quarterly = hazards.probability(&once, 70 * DAY, 65 * DAY);
    assert!((0.3..0.5).contains(&quarterly), "{quarterly}");
}

#[test]
fn hours_of_calls_tell_little_of_months() {
    // A session of three hours, and half a year of sessions: both silent for 45 days.
    let session = past(&[(300, 36)]);
    let long = past(&[(300, 50_000)]);
    assert_eq!(session.group(11), Some(0));
    assert_eq!(long.group(11), Some(3));
}

#[test]
fn a_short_horizon_is_no_reason_to_give_up_who_is_within_its_rhythm() {
    let quarterly = past(&[(91 * DAY, 3)]);
    let again = alone().probability(&quarterly, 40 * DAY, DAY);
    assert!(again > 0.8, "{again}");
    // One that has moved is not waited for.
    let moved = Past { moved: true, ..quarterly };
    let again = alone().probability(&moved, 40 * DAY, DAY);
    assert!(again < 0.001, "{again}");
}

#[test]
fn the_moved_are_waited_for_where_many_came_back() {
    let moved = Past { moved: true, ..past(&[(3_600, 1_000)]) };
    let mut population = Population::default();
    (0..100).for_each(|_| population.returned(&moved, 30 * DAY));
    let mut hazards = Hazards::new(&population);
    (0..100).for_each(|_| hazards.watch(&moved, 60 * DAY));
    hazards.ready();
    let again = hazards.probability(&moved, 20 * DAY, 20 * DAY);
    assert!((0.4..0.6).contains(&again), "{again}");
}

#[test]
fn a_longer_silence_never_makes_it_likelier_beyond_all_it_has_shown() {
    let hazards = alone();
    for shown in [past(&[]), past(&[(DAY, 100)]), past(&[(7 * DAY, 20)])] {
        let again: Vec<f64> =
            (4..30).map(|it| hazards.probability(&shown, it * 10 * DAY, 30 * DAY)).collect();
        assert!(again.iter().all(|it| (0.0..=1.0).contains(it)), "{again:?}");
        assert!(again.windows(2).all(|two| two[1] <= two[0] + 1e-12), "{again:?}");
    }
}

#[test]
fn any_times_give_a_probability() {
    let hazards = alone();
    let times = [0, 1, 29, 30, 31, DAY, 450 * DAY, 899 * DAY, u32::MAX - 1, u32::MAX];
    for gaps in [&[][..], &[(30, 1)], &[(DAY, 40_000)], &[(u32::MAX, 1)]] {
        let shown = Past { span_s: u32::MAX, ..past_of(gaps) };
        for moved in [false, true] {
            let shown = Past { moved, ..shown };
            for silent_s in times {
                for horizon_s in times {
                    let again = hazards.probability(&shown, silent_s, horizon_s);
                    assert!((0.0..=1.0).contains(&again), "{gaps:?} {silent_s} {horizon_s}");
                }
            }
        }
    }
}

fn past_of(gaps: &[(u32, u32)]) -> Past {
    let count = |rhythm: Rhythm, &(gap_s, times): &(u32, u32)| rhythm.count(gap_s, times, 7);
    Past { rhythm: gaps.iter().fold(Rhythm::NEW, count), span_s: 0, moved: false }
}

#[test]
fn a_return_within_what_was_shown_says_nothing_new() {
    let mut population = Population::default();
    let nightly = past(&[(DAY, 20)]);
    population.returned(&nightly, DAY);
    population.returned(&nightly, 3_600);
    population.returned(&nightly, 5);
    assert_eq!(population, Population::default());
    population.returned(&nightly, 14 * DAY);
    let sum = |table: &[[u32; CLASSES]; GROUPS]| table.iter().flatten().sum::<u32>();
    // Through three days and a week, and then it came.
    assert_eq!((sum(&population.passed), sum(&population.returned)), (2, 1));
}

#[test]
fn the_logarithms_are_those_of_the_borders() {
    let borders = BORDERS_S.into_iter().chain([2 * BORDERS_S[CLASSES - 1]]);
    assert_eq!(borders.map(ln).collect::<Vec<_>>(), LN_BORDERS);
}
