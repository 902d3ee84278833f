//! Every phase against every other, and a life under random operators and facts.

use proptest::prelude::*;

use super::*;

const DAY_MS: u64 = 86_400_000;

/// Everybody is on the new version, clients have been told, and the sunset is to come.
fn facts() -> Facts {
    Facts {
        now_ms: 100 * DAY_MS,
        share: Share::FULL,
        rollout: Some(rollout::Phase::Completed),
        shadow: None,
        shadow_stopped: false,
        deprecated_ms: Some(90 * DAY_MS),
        sunset_ms: Some(120 * DAY_MS),
        notice_days: 30,
        brownout_runs: false,
        brownouts_left: 0,
        ready: true,
    }
}

/// Facts that fit a phase and speak against nothing.
fn fitting(to: Phase) -> Facts {
    let compared =
        Compared { requests: 1000, mismatches: 10, min_requests: 1000, max_mismatch: 0.01 };
    let shadow = Some(compared);
    let early = Facts { deprecated_ms: None, sunset_ms: None, shadow, ..facts() };
    match to {
        Phase::Shadow => Facts { share: Share::ZERO, rollout: None, ..early },
        Phase::Canary => Facts { share: Share::from_percent(5.0).unwrap(), rollout: None, ..early },
        Phase::Rollout => Facts { rollout: Some(rollout::Phase::Progressing), ..early },
        Phase::Complete => early,
        Phase::Deprecated | Phase::Sunset => Facts { shadow, ..facts() },
        Phase::Brownout => Facts { brownout_runs: true, shadow, ..facts() },
        Phase::Gone => Facts { now_ms: 120 * DAY_MS, shadow, ..facts() },
    }
}

fn at(phase: Phase) -> Life {
    Life { phase, since_ms: 0 }
}

/// With everything in favour, what is left is the order of phases.
#[test]
fn every_phase_to_every_other() {
    // Rows: from; columns: to; in the order of a life. `.` itself, `y` yes, `-` never.
    let table = [
        ".yy-----", // shadow
        "y.yyy---", // canary
        "yy.yy---", // rollout
        "yyy.yy--", // complete
        "yyyy.yy-", // deprecated
        "yyyyy.y-", // brownout
        "yyyyyy.y", // sunset
        "-------.", // gone
    ];
    for (from, row) in Phase::ALL.into_iter().zip(table) {
        for (to, expected) in Phase::ALL.into_iter().zip(row.chars()) {
            let facts = fitting(to);
            let mut life = at(from);
            let got = life.advance(to, &facts, false);
            let is_so = if from == to {
                '.'
            } else if got.is_ok() {
                'y'
            } else {
                '-'
            };
            assert_eq!(is_so, expected, "{from:?} to {to:?}: {got:?}");
            let next = at(from).next(&facts).into_iter().find(|next| next.to == to);
            assert_eq!(next.as_ref().map(|next| next.allowed), (from != to).then_some(got.is_ok()));
            if expected == '-' {
                assert!(at(from).advance(to, &facts, true).is_err(), "{from:?} to {to:?} by force");
                assert!(!next.unwrap().by_force);
                assert_eq!(life, at(from), "what is refused has changed nothing");
            }
        }
    }
}

/// `hard` is what no force helps against.
#[track_caller]
fn check(from: Phase, to: Phase, facts: Facts, hard: bool, why: &str) {
    let refused = at(from).advance(to, &facts, false).unwrap_err().to_string();
    let expected = format!("`{}` cannot follow on `{}` now: {why}", to.as_str(), from.as_str());
    let force = if hard { "" } else { "; `force` overrules it" };
    assert_eq!(refused, expected + force);
    let forced = at(from).advance(to, &facts, true);
    assert_eq!(forced.is_err(), hard, "{forced:?}");
    assert!(forced.is_err() || forced.unwrap().forced);
}

#[test]
fn what_has_to_be_the_case() {
    use Phase::*;
    let ten = Share::from_percent(10.0).unwrap();
    let seen = |requests, mismatches| {
        let shadow = fitting(Canary).shadow.map(|s| Compared { requests, mismatches, ..s });
        Facts { shadow, ..fitting(Canary) }
    };
    check(Shadow, Canary, seen(999, 0), false, "answers compared so far: 999, asked for: 1000");
    check(Shadow, Canary, seen(1000, 11), false, "11 of 1000 answers differed, which is too many");
    let canary = fitting(Canary);
    check(Canary, Rollout, canary, true, "no rollout runs: start one first");
    check(Canary, Complete, canary, true, "the new version has 5 %, not 100 %");
    check(Canary, Shadow, canary, true, "the new version has 5 %: take it back to 0 % first");
    let watched = Facts { rollout: Some(rollout::Phase::Watching), ..fitting(Complete) };
    check(Rollout, Complete, watched, true, "a rollout runs: wait for its end, or abort it");
    let undated = fitting(Complete);
    check(Complete, Deprecated, undated, true, "the plan has no `deprecation`");
    let later = Facts { deprecated_ms: Some(101 * DAY_MS), ..facts() };
    let to_come = "the deprecation of 1970-04-12T00:00:00Z is to come";
    check(Complete, Deprecated, later, true, to_come);
    let told = "the old version is deprecated: take `deprecation` out of the plan first";
    check(Deprecated, Complete, facts(), true, told);
    let early = Facts { share: ten, ..facts() };
    check(Canary, Deprecated, early, false, "the new version has 10 %, not 100 %");
    check(Deprecated, Brownout, facts(), true, "no brownout runs");
    check(Complete, Sunset, facts(), true, "`deprecated` has to come between");
    let short = Facts { notice_days: 31, ..facts() };
    let notice = "clients have 30 days of notice, and `sunset.notice_days` asks for 31";
    check(Deprecated, Sunset, short, false, notice);
    let left = Facts { brownouts_left: 2, ready: false, ..facts() };
    let both = "brownouts still to come: 2; \
                clients may still depend on the old version: the checks of the sunset say why";
    check(Deprecated, Sunset, left, false, both);
    let running = Facts { brownout_runs: true, ..facts() };
    let runs = "a brownout runs: wait for its end, or stop it";
    check(Brownout, Sunset, running, false, runs);
    let undated = Facts { sunset_ms: None, ..facts() };
    check(Deprecated, Sunset, undated, true, "the plan has no `deprecation.sunset_at`");
    let to_come = "the sunset of 1970-05-01T00:00:00Z is to come";
    check(Sunset, Gone, facts(), true, to_come);
    let gone = fitting(Gone);
    let unready = Facts { ready: false, ..gone };
    let depend = "clients may still depend on the old version: the checks of the sunset say why";
    check(Sunset, Gone, unready, false, depend);
    let passed =
        "the sunset of 1970-05-01T00:00:00Z has passed and calls are refused: move it first";
    check(Sunset, Deprecated, gone, true, passed);
    check(Gone, Sunset, facts(), true, "the old version is gone, and stays so");
    let refused = at(Canary).advance(Canary, &facts(), true).unwrap_err();
    assert_eq!(refused.to_string(), "the migration is in phase `canary` already");
}

/// Until nothing more happens.
fn settle(phase: Phase, facts: Facts) -> Phase {
    let mut life = at(phase);
    for _ in Phase::ALL {
        if life.observe(&facts).is_none() {
            return life.phase();
        }
    }
    panic!("{phase:?} never settles with {facts:?}");
}

#[test]
fn what_happens_by_itself() {
    use Phase::*;
    let runs = fitting(Rollout);
    for from in [Shadow, Canary, Complete, Deprecated] {
        assert_eq!(settle(from, runs), Rollout);
    }
    assert_eq!(settle(Rollout, fitting(Complete)), Complete);
    let back = Facts { rollout: Some(rollout::Phase::RolledBack), share: Share::ZERO, ..facts() };
    assert_eq!(settle(Rollout, back), Canary);
    assert_eq!(settle(Complete, back), Canary);
    assert_eq!(settle(Deprecated, back), Deprecated);
    let brownout = fitting(Brownout);
    assert_eq!(settle(Deprecated, brownout), Brownout);
    assert_eq!(settle(Complete, brownout), Brownout);
    assert_eq!(settle(Canary, brownout), Canary);
    assert_eq!(settle(Brownout, facts()), Deprecated);
    assert_eq!(settle(Brownout, fitting(Complete)), Complete);
    // A settled end is left by operators alone.
    for facts in Phase::ALL.map(fitting) {
        assert_eq!((settle(Sunset, facts), settle(Gone, facts)), (Sunset, Gone));
    }
    assert_eq!(at(Canary).observe(&fitting(Canary)), None);
}

#[test]
fn the_shadow_ends_when_somebody_gets_the_new_version_or_the_plan_says_so() {
    let five = Share::from_percent(5.0).unwrap();
    let stays = fitting(Phase::Shadow);
    for (facts, to) in [
        (stays, None),
        (Facts { share: five, ..stays }, Some(Phase::Canary)),
        (Facts { shadow_stopped: true, ..stays }, Some(Phase::Canary)),
        (fitting(Phase::Rollout), Some(Phase::Rollout)),
    ] {
        assert_eq!(at(Phase::Shadow).observe(&facts).map(|moved| moved.to), to, "{facts:?}");
    }
}

#[test]
fn a_life_begins_in_the_shadow_if_there_is_one() {
    assert_eq!(Life::new(true, 5).phase(), Phase::Shadow);
    let life = Life::new(false, 5);
    assert_eq!((life.phase(), life.since_ms()), (Phase::Canary, 5));
    for phase in Phase::ALL {
        assert_eq!(Phase::from_name(phase.as_str()), Some(phase));
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
    }
    assert_eq!(Phase::from_name("dead"), None);
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let share =
        prop::sample::select(vec![Share::ZERO, Share::from_buckets(1).unwrap(), Share::FULL]);
    let rollout = prop::option::of(prop::sample::select(rollout::Phase::ALL.to_vec()));
    let compared = (0u64..20, 0u64..20).prop_map(|(requests, mismatches)| Compared {
        requests,
        mismatches,
        min_requests: 10,
        max_mismatch: 0.1,
    });
    let dates = (0u64..100, prop::option::of(0u64..100), prop::option::of(0u64..100));
    let rest = (0u32..40, any::<bool>(), 0usize..2, any::<bool>(), any::<bool>());
    (share, rollout, prop::option::of(compared), dates, rest).prop_map(
        |(
            share,
            rollout,
            shadow,
            (now, deprecated, sunset),
            (notice, runs, left, ready, stopped),
        )| Facts {
            now_ms: now * DAY_MS,
            share,
            rollout,
            shadow,
            shadow_stopped: stopped,
            deprecated_ms: deprecated.map(|day| day * DAY_MS),
            sunset_ms: sunset.map(|day| day * DAY_MS),
            notice_days: notice,
            brownout_runs: runs,
            brownouts_left: left,
            ready,
        },
    )
}

proptest! {
    /// Whatever is asked of it, by force or not: gone follows on a settled sunset, after its
    /// date, and on an order; it is never left; and every change is one that `next` told.
    #[test]
    fn nothing_is_gone_that_was_not_settled(
        calls in prop::collection::vec((any_facts(), 0usize..9, any::<bool>()), 1..60),
        has_shadow in any::<bool>(),
    ) {
        let mut life = Life::new(has_shadow, 0);
        for (facts, call, force) in calls {
            let before = life;
            let Some(to) = Phase::ALL.get(call).copied() else {
                let moved = life.observe(&facts);
                prop_assert_eq!(moved.is_some(), life != before);
                prop_assert!(life == before || life.phase() < Phase::Sunset);
                continue;
            };
            let told = before.next(&facts).into_iter().find(|next| next.to == to);
            let moved = life.advance(to, &facts, force);
            prop_assert_eq!(
                moved.is_ok(),
                told.is_some_and(|next| next.allowed || (force && next.by_force))
            );
            if before.phase() == Phase::Gone {
                prop_assert_eq!(life, before);
            } else if life.phase() == Phase::Gone {
                prop_assert_eq!(before.phase(), Phase::Sunset);
                prop_assert!(facts.sunset_ms.unwrap() <= facts.now_ms);
            }
            let bytes = borsh::to_vec(&life).unwrap();
            prop_assert_eq!(borsh::from_slice::<Life>(&bytes).unwrap(), life);
        }
    }
}
