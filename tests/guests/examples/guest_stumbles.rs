//! Counts, and panics on a poisoned line.

use crossfade_guests::{Counter, Mischief, Spoiled};

struct Stumbles;

impl Mischief for Stumbles {
    #[expect(clippy::panic, reason = "it is what this guest is for")]
    fn act() {
        panic!("this line is \"poison\"");
    }
}

crossfade_core::export_abi!(Spoiled<Counter, Stumbles>);
