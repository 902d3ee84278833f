//! Takes its time over every line, and is never stuck: a large batch misses a deadline
//! that each of its lines would meet.

use crossfade_guests::{Counter, Mischief, Spoiled};

struct Dawdles;

/// About a millisecond.
const ROUNDS: u32 = 10_000_000;

impl Mischief for Dawdles {
    fn line(_: &[u8]) {
        Dawdles::act();
    }

    fn act() {
        for round in 0..ROUNDS {
            std::hint::black_box(round);
        }
    }
}

crossfade_core::export_abi!(Spoiled<Counter, Dawdles>);
