//! Nothing wrong is seen in any world, and each check sees what is wrong on purpose.
//!
//! The long form is `cargo test --release -p crossfade-worlds -- --ignored`, 10,000 worlds,
//! or any number by `cargo run --release -p crossfade-worlds -- --seeds 100000 --from N`.

#![expect(clippy::panic, reason = "a test falls over")]

use crossfade_worlds::mutant::Mutant;
use crossfade_worlds::runner::{self, Tally};

/// Seeds that plain `cargo test` plays.
const FEW: u64 = 100;

/// In so many worlds each mutant has to be noticed.
const MUTANT_SEEDS: u64 = 300;

fn play(from: u64, seeds: u64) -> Tally {
    let tally = runner::many(from, seeds, None);
    if let Some((seed, failure)) = &tally.failed {
        panic!("\n{}", runner::told(*seed, failure, None));
    }
    tally
}

#[test]
fn in_a_hundred_worlds_nothing_wrong_is_seen_and_all_of_them_converge() {
    let tally = play(0, FEW);
    assert!(tally.faults > 5 * FEW && tally.calls > 300 * FEW, "little happens: {tally:?}");
    for phase in ["completed", "rolled_back", "aborted"] {
        assert!(tally.phases.contains_key(phase), "no world ends {phase}: {tally:?}");
    }
}

#[test]
#[ignore = "takes a minute, with optimisation: a part of the stage `validity`"]
fn in_ten_thousand_worlds_nothing_wrong_is_seen_and_all_of_them_converge() {
    let tally = play(1_000_000, 10_000);
    // At most `alpha` of the healthy ones, which are half of all, and some luck.
    assert!(tally.false_alarms <= 50, "{tally:?}");
}

#[test]
fn a_seed_gives_the_same_world_every_time() {
    for seed in [3, 44, 58] {
        let (one, other) = (runner::one(seed, None, true), runner::one(seed, None, true));
        assert_eq!((one.failure.as_deref(), one.digest), (None, other.digest), "seed {seed}");
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert!(one.trace.len() > 10, "{:?}", one.trace);
    }
}

/// What is wrong on purpose, and the check that has to see it.
#[test]
fn each_thing_that_is_wrong_on_purpose_is_noticed() {
    for (mutant, checks) in NOTICED {
        let tally = runner::many(0, MUTANT_SEEDS, Some(mutant));
        let Some((seed, failure)) = tally.failed else {
            panic!("{mutant:?} was not noticed in {MUTANT_SEEDS} worlds");
        };
        let check = failure.split_once(':').map_or("", |(check, _)| check);
        assert!(checks.contains(&check), "{mutant:?} in seed {seed}: {failure}");
    }
    let listed: Vec<_> = NOTICED.iter().map(|(mutant, _)| *mutant).collect();
    assert_eq!(listed, Mutant::ALL, "every mutant has its line");
}

const NOTICED: [(Mutant, &[&str]); Mutant::ALL.len()] = [
    (Mutant::TakesOlderPolicies, &["never back", "decides"]),
    (Mutant::AnotherSalt, &["decides", "no flip"]),
    (Mutant::DecidesByChance, &["decides", "no flip", "back is back"]),
    (Mutant::KeepsShareAfterRollback, &["back is back"]),
    (Mutant::WaitsForTheServer, &["decides"]),
    (Mutant::CountsTwice, &["counts"]),
    (Mutant::SwallowsTotals, &["counts"]),
    (Mutant::RepeatsClients, &["clients"]),
    (Mutant::SwallowsClients, &["clients"]),
    (Mutant::KeepsOneLine, &["clients"]),
    (Mutant::KeepsTheLaterLine, &["counts"]),
    (Mutant::ForgetsCommits, &["one state", "log", "counts", "one document"]),
    (Mutant::SkipsACommit, &["one state", "log", "counts", "one document"]),
    (Mutant::Unfenced, &["log", "reads", "one document", "counts", "one state"]),
    (Mutant::ForgetsTheTime, &["log"]),
    (Mutant::ActsTwice, &["commands"]),
    (Mutant::IgnoresKeys, &["commands"]),
    (Mutant::ForgetsReceipts, &["commands"]),
    (Mutant::ClaimsNotDone, &["commands"]),
    (Mutant::AnswersWithoutLease, &["reads"]),
    (Mutant::PromotesByItself, &["proof"]),
    (Mutant::EdgeStaysAway, &["converges"]),
    (Mutant::TimeStops, &["converges"]),
];
