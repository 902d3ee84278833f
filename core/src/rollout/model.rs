//! The state machine against random operators, verdicts, clocks and crashes.
//!
//! Shown after every single input: a rollback wins over everything and latches; the share
//! of a rollout that was taken back never rises again but by `retry`; no step is skipped
//! or run twice unless an operator promoted; the share is that of a step; a step never
//! begins in a freeze window; and a state written down and read back (a crash) goes on
//! the same.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Input {
    Advance(Judged, i64),
    Command(Command),
    Crash,
}

fn input() -> impl Strategy<Value = Input> {
    let verdict = prop_oneof![
        6 => Just(Verdict::Healthy),
        6 => Just(Verdict::Inconclusive),
        1 => Just(Verdict::Unhealthy),
    ];
    let missing = prop_oneof![
        12 => Just(None),
        1 => Just(Some(MissingData::Hold)),
        1 => Just(Some(MissingData::Advance)),
        1 => Just(Some(MissingData::RollBack)),
    ];
    let judged = (verdict, missing, prop::bool::weighted(0.1))
        .prop_map(|(verdict, missing, blocked)| Judged { verdict, missing, blocked });
    // Mostly forward, now and then an hour back.
    let jump = prop_oneof![8 => 0i64..40, 1 => Just(-60), 1 => 0i64..2000];
    let command = prop::sample::select(vec![
        Command::Pause,
        Command::Resume,
        Command::Promote { full: false },
        Command::Promote { full: true },
        Command::Abort,
        Command::Retry,
        Command::Undo,
    ]);
    prop_oneof![
        10 => (judged, jump).prop_map(|(judged, jump)| Input::Advance(judged, jump)),
        3 => command.prop_map(Input::Command),
        1 => Just(Input::Crash),
    ]
}

fn any_course() -> impl Strategy<Value = Course> {
    let any_step = (0u16..2000, 0u64..60, prop::option::of(0u64..60), any::<bool>(), any::<bool>());
    let steps = prop::collection::vec(any_step, 1..5).prop_map(|list| {
        let mut buckets = 0;
        let mut steps: Vec<Step> = Vec::new();
        for (more, minutes, extra, manual, auto) in list {
            buckets = (buckets + 1 + more).min(10_000);
            steps.push(Step {
                percentage: Share::from_buckets(buckets).unwrap(),
                duration_minutes: Minutes::from_ms(minutes * MINUTE),
                max_minutes: extra.map(|extra| Minutes::from_ms((minutes + extra) * MINUTE)),
                approval: if manual { Approval::Manual } else { Approval::None },
                watch_minutes: None,
                evidence: if auto { EvidenceNeed::Auto } else { EvidenceNeed::Default },
            });
        }
        steps
    });
    let watch = prop::option::of(0u64..60);
    let freeze = prop::collection::vec((0u64..400, 1u64..60), 0..3);
    (steps, watch, freeze, any::<bool>(), prop::option::of(1u16..4000)).prop_map(
        |(mut steps, watch, freeze, advance, stepped)| {
            if let Some(last) = steps.last_mut() {
                last.watch_minutes = watch.map(|watch| Minutes::from_ms(watch * MINUTE));
            }
            let rollback = match stepped.and_then(Share::from_buckets) {
                Some(percentage_per_minute) => RollbackMode::Stepped { percentage_per_minute },
                None => RollbackMode::Instant,
            };
            Course {
                steps,
                on_inconclusive: if advance {
                    OnInconclusive::Advance
                } else {
                    OnInconclusive::Hold
                },
                rollback,
                freeze_ms: freeze
                    .into_iter()
                    .map(|(at, len)| (at * MINUTE, (at + len) * MINUTE))
                    .collect(),
            }
        },
    )
}

/// What must hold between two moments, whatever came between them.
fn check_move(
    before: &Rollout,
    after: &Rollout,
    input: &Input,
    now_ms: u64,
) -> Result<(), TestCaseError> {
    let retried = matches!(input, Input::Command(Command::Retry));
    let undone = matches!(input, Input::Command(Command::Undo));
    let promoted = matches!(input, Input::Command(Command::Promote { .. }));
    // Nobody new is exposed once the new version is being taken back.
    if before.phase().is_back() && !retried {
        prop_assert!(after.phase().is_back(), "{:?} left a rollback", after.phase());
        prop_assert!(after.share() <= before.share());
    }
    // Worse always wins while anything is exposed to win over.
    if let Input::Advance(judged, _) = input
        && judged.verdict == Verdict::Unhealthy
        && before.phase().is_active()
    {
        prop_assert!(after.phase().is_back(), "{:?} ignored a proven regression", after.phase());
    }
    // A higher share needs a step that begins, outside of every freeze window.
    if after.share() > before.share() && !undone {
        let frozen =
            after.course().freeze_ms.iter().any(|(from, to)| *from <= now_ms && now_ms < *to);
        let full = matches!(input, Input::Command(Command::Promote { full: true }));
        prop_assert!(!frozen || full, "a step began in a freeze window");
    }
    // Steps come one after the other, each once.
    let (from, to) = (before.step().0, after.step().0);
    if !promoted && !retried {
        prop_assert!(to == from || to == from + 1, "from step {from} to step {to}");
        prop_assert!(after.passed() == before.passed() || after.passed() == before.passed() + 1);
    }
    // While it moves, the share is exactly that of its step.
    if matches!(
        after.phase(),
        Phase::Progressing | Phase::Held | Phase::AwaitingApproval | Phase::TimedOut
    ) {
        prop_assert_eq!(after.share(), after.course().steps[to - 1].percentage);
    }
    if matches!(after.phase(), Phase::RolledBack | Phase::Aborted) {
        prop_assert_eq!(after.share(), Share::ZERO);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_machine_never_leaves_its_table(
        course in any_course(),
        before in 0u16..3000,
        inputs in prop::collection::vec(input(), 1..60),
    ) {
        let start_ms = 120 * MINUTE;
        let before = Share::from_buckets(before).unwrap();
        let (mut rollout, _) = Rollout::start(course, before, start_ms);
        let mut now_ms = start_ms;
        for input in &inputs {
            let earlier = rollout.clone();
            match input {
                Input::Advance(judged, minutes) => {
                    now_ms = now_ms.saturating_add_signed(minutes * MINUTE as i64);
                    let changes = rollout.advance(judged, now_ms);
                    if changes.is_empty() {
                        // Nothing changed, so nothing changes when asked again.
                        prop_assert_eq!(&rollout, &earlier);
                    }
                }
                Input::Command(command) => {
                    if rollout.command(*command, now_ms).is_err() {
                        prop_assert_eq!(&rollout, &earlier);
                    }
                }
                Input::Crash => {
                    let bytes = borsh::to_vec(&rollout).unwrap();
                    rollout = borsh::from_slice(&bytes).unwrap();
                    prop_assert_eq!(&rollout, &earlier);
                }
            }
            check_move(&earlier, &rollout, input, now_ms)?;
        }
    }
}
