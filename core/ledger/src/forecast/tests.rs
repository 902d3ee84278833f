use super::*;

const DAY: u32 = 86_400;
const START_S: u32 = 1_800_000_000;

fn curve(days: u32, left: impl Fn(f64) -> f64) -> Curve {
    let mut curve = Curve::default();
    for day in 0..=days {
        curve.point(START_S + day * DAY, libm::round(left(f64::from(day))) as u64);
    }
    curve
}

#[test]
fn an_exponential_is_foretold() {
    // Half of them every ten days: at most one in 93 days.
    let curve = curve(50, |day| 1_000.0 * libm::exp2(-day / 10.0));
    let forecast = curve.forecast(1).unwrap();
    let [low, ready, high] =
        [forecast.low_s, forecast.ready_s, forecast.high_s].map(|at_s| (at_s - START_S) / DAY);
    assert!((90..100).contains(&ready), "{ready}");
    assert!(low < ready && ready < high && high < 180, "{low} {ready} {high}");
}

#[test]
fn what_is_ready_is_ready_now() {
    let curve = curve(9, |day| 10.0 - day);
    assert_eq!(curve.forecast(1).unwrap().high_s, START_S + 9 * DAY);
    assert!(curve.forecast(0).unwrap().ready_s > START_S + 9 * DAY);
}

#[test]
fn no_trend_is_no_forecast() {
    assert_eq!(Curve::default().forecast(0), None);
    assert_eq!(curve(3, |day| 100.0 - 20.0 * day).forecast(0), None);
    assert_eq!(curve(40, |_| 100.0).forecast(0), None);
    assert_eq!(curve(40, |day| 100.0 + day).forecast(0), None);
    assert_eq!(curve(40, |day| 100.0 + 20.0 * (day % 2.0)).forecast(0), None);
    assert_eq!(curve(40, |day| 100.0 - (day / 10.0)).forecast(0), None);
}

#[test]
fn it_was_falling_and_stands_still() {
    let curve = curve(120, |day| 40.0 + 960.0 * libm::exp2(-day / 5.0));
    let high_s = curve.forecast(0).map(|forecast| forecast.high_s);
    assert!(high_s.is_none_or(|high_s| high_s > START_S + 300 * DAY), "{high_s:?}");
}

#[test]
fn a_long_curve_keeps_its_shape_in_few_points() {
    let left = |day: f64| 10_000.0 * libm::exp2(-day / 100.0);
    let mut long = Curve::default();
    for minute in 0..400 * 1_440 {
        let day = f64::from(minute) / 1_440.0;
        long.point(START_S + minute * 60, libm::round(left(day)) as u64);
        assert!(long.points().len() <= POINTS_MAX);
    }
    let points = long.points();
    assert!(points.len() >= POINTS_MAX / 3, "{}", points.len());
    assert_eq!((points[0].0, points[points.len() - 1].0), (START_S, START_S + 575_999 * 60));
    let apart = |two: &[(u32, u64)]| two[1].0 - two[0].0;
    assert!(points.windows(2).all(|two| apart(two) < 30 * DAY), "{points:?}");
    let daily = curve(400, left).forecast(1).unwrap().ready_s;
    let ready_s = long.forecast(1).unwrap().ready_s;
    assert!(ready_s.abs_diff(daily) < 20 * DAY, "{ready_s} {daily}");
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut curve = curve(10, |day| 100.0 - day);
    let before = curve.clone();
    curve.point(START_S, 5);
    curve.point(START_S + 10 * DAY, 5);
    assert_eq!(curve, before);
    curve.point(u32::MAX, 5);
    assert!(curve.forecast(0).is_some_and(|forecast| forecast.high_s == u32::MAX));
}
