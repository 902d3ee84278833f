use super::*;
use crossfade_protocol::request::Command;

mod model;

const MINUTE: u64 = 60_000;

fn step(percentage: f64, minutes: f64) -> Step {
    Step {
        percentage: Share::from_percent(percentage).unwrap(),
        duration_minutes: Minutes::from_number(minutes).unwrap(),
        max_minutes: None,
        approval: Approval::None,
        watch_minutes: None,
        evidence: EvidenceNeed::Default,
    }
}

fn course(steps: &[Step]) -> Course {
    Course {
        steps: steps.to_vec(),
        on_inconclusive: OnInconclusive::Hold,
        rollback: RollbackMode::Instant,
        freeze_ms: Vec::new(),
    }
}

const HEALTHY: Judged = Judged { verdict: Verdict::Healthy, missing: None, blocked: false };
const UNHEALTHY: Judged = Judged { verdict: Verdict::Unhealthy, ..HEALTHY };
const UNDECIDED: Judged = Judged { verdict: Verdict::Inconclusive, ..HEALTHY };

fn two_steps(on_inconclusive: OnInconclusive) -> Rollout {
    let course = Course { on_inconclusive, ..course(&[step(10.0, 60.0), step(50.0, 240.0)]) };
    Rollout::start(course, Share::ZERO, 0).0
}

#[track_caller]
fn check(rollout: &Rollout, phase: Phase, percent: f64) {
    assert_eq!((rollout.phase(), rollout.share().percent()), (phase, percent));
}

#[test]
fn a_step_lasts_its_time_and_not_a_millisecond_less() {
    let mut rollout = two_steps(OnInconclusive::Advance);
    assert_eq!(rollout.next_ms(0), Some(60 * MINUTE));
    assert!(rollout.advance(&HEALTHY, 60 * MINUTE - 1).is_empty());
    check(&rollout, Phase::Progressing, 10.0);
    rollout.advance(&UNDECIDED, 60 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
    rollout.advance(&UNDECIDED, 300 * MINUTE);
    check(&rollout, Phase::Completed, 50.0);
    assert_eq!((rollout.passed(), rollout.next_ms(300 * MINUTE)), (2, None));
}

#[test]
fn one_call_passes_one_step_however_late_it_comes() {
    let mut rollout = two_steps(OnInconclusive::Advance);
    rollout.advance(&UNDECIDED, 10_000 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn without_evidence_a_step_is_held_until_it_comes() {
    let mut rollout = two_steps(OnInconclusive::Hold);
    assert_eq!(rollout.advance(&UNDECIDED, 60 * MINUTE), [Change::Held { step: 1 }]);
    assert!(rollout.advance(&UNDECIDED, 61 * MINUTE).is_empty());
    check(&rollout, Phase::Held, 10.0);
    rollout.advance(&HEALTHY, 62 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn a_step_that_finds_no_evidence_times_out_and_waits_for_a_person() {
    let long = Step { max_minutes: Minutes::from_number(90.0), ..step(10.0, 60.0) };
    let mut rollout = Rollout::start(course(&[long, step(50.0, 1.0)]), Share::ZERO, 0).0;
    rollout.advance(&UNDECIDED, 60 * MINUTE);
    assert_eq!(rollout.next_ms(60 * MINUTE), Some(90 * MINUTE));
    rollout.advance(&UNDECIDED, 90 * MINUTE);
    check(&rollout, Phase::TimedOut, 10.0);
    assert!(rollout.advance(&HEALTHY, 91 * MINUTE).is_empty(), "its named exit is a person");
    rollout.command(Command::Resume, 100 * MINUTE).unwrap();
    assert_eq!(rollout.next_ms(100 * MINUTE), Some(160 * MINUTE), "it has its time again");
    rollout.advance(&HEALTHY, 160 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn evidence_auto_lasts_as_long_as_the_evidence_takes() {
    let auto = Step { evidence: EvidenceNeed::Auto, ..step(10.0, 0.0) };
    let course =
        Course { on_inconclusive: OnInconclusive::Advance, ..course(&[auto, step(50.0, 1.0)]) };
    let mut rollout = Rollout::start(course, Share::ZERO, 0).0;
    rollout.advance(&UNDECIDED, 500 * MINUTE);
    check(&rollout, Phase::Held, 10.0);
    rollout.advance(&HEALTHY, 500 * MINUTE + 1);
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn worse_rolls_back_at_once_from_every_active_phase_and_latches() {
    let manual = Step { approval: Approval::Manual, ..step(10.0, 1.0) };
    let limited = Step { max_minutes: Minutes::from_number(1.0), ..step(10.0, 1.0) };
    let watched = Step { watch_minutes: Minutes::from_number(9.0), ..step(10.0, 1.0) };
    for (step, judged, phase) in [
        (step(10.0, 9.0), HEALTHY, Phase::Progressing),
        (step(10.0, 1.0), UNDECIDED, Phase::Held),
        (manual, HEALTHY, Phase::AwaitingApproval),
        (limited, UNDECIDED, Phase::TimedOut),
        (watched, HEALTHY, Phase::Watching),
    ] {
        for pause in [false, true] {
            let mut rollout = Rollout::start(course(&[step]), Share::ZERO, 0).0;
            rollout.advance(&judged, MINUTE);
            check(&rollout, phase, 10.0);
            if pause {
                rollout.command(Command::Pause, MINUTE).unwrap();
            }
            rollout.advance(&UNHEALTHY, MINUTE + 1);
            check(&rollout, Phase::RolledBack, 0.0);
            assert!(rollout.was_rolled_back());
            assert!(rollout.advance(&HEALTHY, 1_000 * MINUTE).is_empty());
            let full = Command::Promote { full: true };
            for command in [Command::Pause, Command::Resume, full, Command::Abort, Command::Undo] {
                let refused = rollout.command(command, 3 * MINUTE).unwrap_err();
                assert!(refused.0.contains("rolled_back"), "{}", refused.0);
            }
            rollout.command(Command::Retry, 4 * MINUTE).unwrap();
            check(&rollout, Phase::Progressing, 10.0);
            assert!(!rollout.was_rolled_back());
        }
    }
}

#[test]
fn a_stepped_rollback_gives_back_its_share_minute_by_minute() {
    let rollback =
        RollbackMode::Stepped { percentage_per_minute: Share::from_percent(20.0).unwrap() };
    let mut rollout =
        Rollout::start(Course { rollback, ..course(&[step(50.0, 60.0)]) }, Share::ZERO, 0).0;
    rollout.advance(&UNHEALTHY, MINUTE);
    check(&rollout, Phase::RollingBack, 30.0);
    assert_eq!(rollout.next_ms(MINUTE), Some(2 * MINUTE));
    assert!(rollout.advance(&HEALTHY, 2 * MINUTE - 1).is_empty());
    rollout.advance(&HEALTHY, 2 * MINUTE);
    check(&rollout, Phase::RollingBack, 10.0);
    // A clock that goes back gives nothing back.
    assert!(rollout.advance(&HEALTHY, 0).is_empty());
    assert!(rollout.command(Command::Promote { full: true }, 2 * MINUTE).is_err());
    rollout.advance(&HEALTHY, 3 * MINUTE);
    check(&rollout, Phase::RolledBack, 0.0);
}

#[test]
fn a_second_abort_ends_a_stepped_rollback_at_once() {
    let rollback =
        RollbackMode::Stepped { percentage_per_minute: Share::from_percent(1.0).unwrap() };
    let mut rollout =
        Rollout::start(Course { rollback, ..course(&[step(50.0, 60.0)]) }, Share::ZERO, 0).0;
    rollout.command(Command::Abort, 0).unwrap();
    check(&rollout, Phase::RollingBack, 49.0);
    rollout.command(Command::Abort, 1).unwrap();
    check(&rollout, Phase::Aborted, 0.0);
}

#[test]
fn missing_data_do_what_the_policy_says_and_a_wrong_share_blocks() {
    let missing = |missing| Judged { missing: Some(missing), ..UNDECIDED };
    let mut rollout = two_steps(OnInconclusive::Advance);
    rollout.advance(&missing(MissingData::Hold), 60 * MINUTE);
    check(&rollout, Phase::Held, 10.0);
    rollout.advance(&Judged { blocked: true, ..HEALTHY }, 61 * MINUTE);
    check(&rollout, Phase::Held, 10.0);
    rollout.advance(&missing(MissingData::Advance), 62 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);
    rollout.advance(&missing(MissingData::RollBack), 63 * MINUTE);
    check(&rollout, Phase::RolledBack, 0.0);
}

#[test]
fn a_manual_step_waits_for_its_promotion() {
    let manual = Step { approval: Approval::Manual, ..step(10.0, 1.0) };
    let mut rollout = Rollout::start(course(&[manual, step(50.0, 1.0)]), Share::ZERO, 0).0;
    let changes = rollout.advance(&HEALTHY, MINUTE);
    assert_eq!(changes, [Change::StepPassed { step: 1 }, Change::ApprovalNeeded { step: 1 }]);
    assert!(rollout.advance(&HEALTHY, 900 * MINUTE).is_empty());
    rollout.command(Command::Promote { full: false }, 900 * MINUTE).unwrap();
    check(&rollout, Phase::Progressing, 50.0);
}

#[test]
fn no_step_begins_in_a_freeze_window() {
    let freeze_ms = vec![(30 * MINUTE, 90 * MINUTE), (90 * MINUTE, 100 * MINUTE)];
    let steps = [step(10.0, 60.0), step(50.0, 1.0)];
    let mut rollout = Rollout::start(Course { freeze_ms, ..course(&steps) }, Share::ZERO, 0).0;
    let changes = rollout.advance(&HEALTHY, 60 * MINUTE);
    assert_eq!(changes[1], Change::Frozen { step: 2, until_ms: 100 * MINUTE });
    check(&rollout, Phase::Frozen, 10.0);
    assert!(rollout.command(Command::Promote { full: true }, 61 * MINUTE).is_err());
    assert!(rollout.advance(&HEALTHY, 100 * MINUTE - 1).is_empty());
    rollout.advance(&HEALTHY, 100 * MINUTE);
    check(&rollout, Phase::Progressing, 50.0);

    let late = Course { freeze_ms: vec![(0, 5)], ..course(&steps) };
    let mut rollout = Rollout::start(late, Share::ZERO, 0).0;
    check(&rollout, Phase::Frozen, 0.0);
    rollout.advance(&UNDECIDED, 5);
    check(&rollout, Phase::Progressing, 10.0);
}

#[test]
fn the_last_share_is_watched_and_not_while_nothing_comes() {
    let last = Step { watch_minutes: Minutes::from_number(60.0), ..step(100.0, 1.0) };
    let mut rollout = Rollout::start(course(&[last]), Share::ZERO, 0).0;
    rollout.advance(&HEALTHY, MINUTE);
    check(&rollout, Phase::Watching, 100.0);
    let blind = Judged { missing: Some(MissingData::Hold), ..UNDECIDED };
    assert!(rollout.advance(&blind, 61 * MINUTE).is_empty());
    rollout.advance(&UNDECIDED, 62 * MINUTE);
    check(&rollout, Phase::Completed, 100.0);
}

#[test]
fn a_paused_rollout_ignores_a_healthy_verdict_and_its_clock_stands() {
    let mut rollout = two_steps(OnInconclusive::Advance);
    rollout.command(Command::Pause, 30 * MINUTE).unwrap();
    assert!(rollout.advance(&HEALTHY, 500 * MINUTE).is_empty());
    assert_eq!(rollout.step_elapsed(500 * MINUTE).minutes(), 30.0);
    rollout.command(Command::Resume, 500 * MINUTE).unwrap();
    assert_eq!(rollout.next_ms(500 * MINUTE), Some(530 * MINUTE));
    assert!(rollout.command(Command::Resume, 500 * MINUTE).is_err());
}

#[test]
fn an_operator_may_promote_abort_retry_and_undo() {
    let mut rollout = two_steps(OnInconclusive::Hold);
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

    let mut rollout = two_steps(OnInconclusive::Hold);
    rollout.command(Command::Abort, 1).unwrap();
    check(&rollout, Phase::Aborted, 0.0);
    assert!(!rollout.was_rolled_back());
    assert!(rollout.command(Command::Promote { full: true }, 2).is_err());
}

#[test]
fn a_refused_command_names_one_that_would_do() {
    let check = |rollout: &mut Rollout, command, expected: &str| {
        let Refused(text) = rollout.command(command, 9).unwrap_err();
        assert!(text.contains(expected), "{text}");
    };
    let mut rollout = two_steps(OnInconclusive::Hold);
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
    let mut rollout = Rollout::start(course(&[step(50.0, 1.0)]), before, 0).0;
    rollout.command(Command::Undo, 1).unwrap();
    check(&rollout, Phase::Undone, 5.0);
}
