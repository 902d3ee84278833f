//! Brings vectors, passes them, takes the state over, and panics on a poisoned line.

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

struct Falters;

impl Mischief for Falters {
    #[expect(clippy::panic, reason = "it is what this guest is for")]
    fn act() {
        panic!("I looked fit");
    }
}

crossfade_core::export_abi!(
    Spoiled<Engine, Falters>,
    vectors: include_bytes!("../../../core/module/src/vectors.txt")
);
