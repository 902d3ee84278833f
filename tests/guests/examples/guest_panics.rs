//! Panics on a poisoned line.

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

struct Panics;

impl Mischief for Panics {
    #[expect(clippy::panic, reason = "it is what this guest is for")]
    fn act() {
        panic!("this line is \"poison\"");
    }
}

crossfade_core::export_abi!(Spoiled<Engine, Panics>);
