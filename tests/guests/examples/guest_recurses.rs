//! Calls itself without end on a poisoned line.

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

struct Recurses;

/// Not a tail call: the sum is made after the return.
fn descend(depth: u64) -> u64 {
    if std::hint::black_box(depth) == u64::MAX { 0 } else { descend(depth + 1) + depth }
}

impl Mischief for Recurses {
    fn act() {
        std::hint::black_box(descend(0));
    }
}

crossfade_core::export_abi!(Spoiled<Engine, Recurses>);
