use super::*;
use crate::health::Evidence;
use crossfade_protocol::request::Counts;

const MINUTE: u64 = 60_000;

fn steps(list: &[(f64, f64)]) -> Vec<Step> {
    let step = |(percentage, minutes): &(f64, f64)| Step {
        percentage: Share::from_percent(*percentage).unwrap(),
        duration_minutes: Minutes::from_number(*minutes).unwrap(),
        max_minutes: None,
        approval: Default::default(),
        watch_minutes: None,
    };
    list.iter().map(step).collect()
}

fn judged(verdict: Verdict) -> Judgement {
    let evidence = Evidence { counts: Counts::default(), z: None, z_limit: 2.576 };
    Judgement { verdict, evidence, because: "as the test says".to_owned() }
}

fn started(on_inconclusive: OnInconclusive) -> Rollout {
    Rollout::start(steps(&[(10.0, 60.0), (50.0, 240.0)]), on_inconclusive, Share::ZERO, 0).0
}

fn check(rollout: &Rollout, phase: Phase, percent: f64) {
    assert_eq!((rollout.phase(), rollout.share().percent()), (phase, percent));
}

#[test]
fn a_step_lasts_its_time_and_not_a_millisecond_less() {
    let mut rollout = started(OnInconclusive::Advance);
    let nothing = judged(Verdict::Inconclusive);
    assert_eq!(rollout.next_ms(), Some(60 * MINUTE));
    assert!(rollout.advance(&nothing, 60 * MINUTE - 1).is_empty());
    check(&rollout, Phase::Progressing, 10.0);
    rollout.advance(&nothing, 60 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
    rollout.advance(&nothing, 300 * MINUTE);
    check(&rollout, Phase::Completed, 50.0);
    assert_eq!((rollout.passed(), rollout.next_ms()), (2, None));
}

#[test]
fn one_call_passes_one_step_however_late_it_comes() {
    let mut rollout = started(OnInconclusive::Advance);
    rollout.advance(&judged(Verdict::Inconclusive), 10_000 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn without_evidence_a_step_is_held_until_it_comes() {
    let mut rollout = started(OnInconclusive::Hold);
    let events = rollout.advance(&judged(Verdict::Inconclusive), 60 * MINUTE);
    assert!(matches!(events.as_slice(), [What::Held { step: 1, .. }]));
    assert!(rollout.advance(&judged(Verdict::Inconclusive), 61 * MINUTE).is_empty());
    check(&rollout, Phase::Held, 10.0);
    rollout.advance(&judged(Verdict::Healthy), 62 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn worse_rolls_back_at_once_even_when_paused_and_latches() {
    for pause in [false, true] {
        let mut rollout = started(OnInconclusive::Advance);
        if pause {
            rollout.command(Command::Pause, 1).unwrap();
        }
        rollout.advance(&judged(Verdict::Unhealthy), 2);
        check(&rollout, Phase::RolledBack, 0.0);
        assert!(rollout.advance(&judged(Verdict::Healthy), 1_000 * MINUTE).is_empty());
        let full = Command::Promote { full: true };
        for command in [Command::Pause, Command::Resume, full, Command::Abort, Command::Undo] {
            let refused = rollout.command(command, 3).unwrap_err();
            assert!(refused.0.contains("rolled_back"), "{}", refused.0);
        }
        rollout.command(Command::Retry, 4).unwrap();
        check(&rollout, Phase::Progressing, 10.0);
    }
}

#[test]
fn a_paused_rollout_ignores_a_healthy_verdict_and_its_clock_stands() {
    let mut rollout = started(OnInconclusive::Advance);
    rollout.command(Command::Pause, 30 * MINUTE).unwrap();
    assert!(rollout.advance(&judged(Verdict::Healthy), 500 * MINUTE).is_empty());
    assert_eq!(rollout.step_elapsed(500 * MINUTE).minutes(), 30.0);
    rollout.command(Command::Resume, 500 * MINUTE).unwrap();
    assert_eq!(rollout.next_ms(), Some(530 * MINUTE));
    assert!(rollout.command(Command::Resume, 500 * MINUTE).is_err());
}

#[test]
fn an_operator_may_promote_abort_retry_and_undo() {
    let mut rollout = started(OnInconclusive::Hold);
    rollout.command(Command::Promote { full: false }, 1).unwrap();
    check(&rollout, Phase::Progressing, 50.0);
    rollout.command(Command::Promote { full: false }, 2).unwrap();
    check(&rollout, Phase::Completed, 50.0);
    assert!(rollout.command(Command::Abort, 3).is_err());
    rollout.command(Command::Undo, 3).unwrap();
    check(&rollout, Phase::Undone, 0.0);
    rollout.command(Command::Retry, 4).unwrap();
    rollout.command(Command::Promote { full: true }, 5).unwrap();
    check(&rollout, Phase::Completed, 50.0);

    let mut rollout = started(OnInconclusive::Hold);
    rollout.command(Command::Abort, 1).unwrap();
    check(&rollout, Phase::Aborted, 0.0);
    assert!(rollout.command(Command::Promote { full: true }, 2).is_err());
}

#[test]
fn a_refused_command_names_one_that_would_do() {
    let check = |rollout: &mut Rollout, command, expected: &str| {
        let Refused(text) = rollout.command(command, 9).unwrap_err();
        assert!(text.contains(expected), "{text}");
    };
    let mut rollout = started(OnInconclusive::Hold);
    check(&mut rollout, Command::Retry, "cannot retry a rollout that is progressing: `pause");
    check(&mut rollout, Command::Resume, "cannot resume a rollout that is progressing: `pause");
    rollout.command(Command::Pause, 1).unwrap();
    check(&mut rollout, Command::Pause, "cannot pause a rollout that is paused: `resume_rollout`");
    rollout.command(Command::Promote { full: true }, 2).unwrap();
    check(&mut rollout, Command::Abort, "cannot abort a rollout that is completed: `undo_rollout`");
    rollout.command(Command::Undo, 3).unwrap();
    check(&mut rollout, Command::Undo, "cannot undo a rollout that is undone: `retry_rollout`");
}

#[test]
fn undo_restores_the_share_from_before() {
    let before = Share::from_percent(5.0).unwrap();
    let (mut rollout, _) =
        Rollout::start(steps(&[(50.0, 1.0)]), OnInconclusive::Advance, before, 0);
    rollout.command(Command::Undo, 1).unwrap();
    check(&rollout, Phase::Undone, 5.0);
}
