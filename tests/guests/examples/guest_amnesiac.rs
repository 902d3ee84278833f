//! Panics on a poisoned line, and whenever a snapshot is to be restored.

use crossfade_guests::{Counter, Mischief, Spoiled};

struct Amnesiac;

impl Mischief for Amnesiac {
    fn restore() {
        Amnesiac::act();
    }

    #[expect(clippy::panic, reason = "it is what this guest is for")]
    fn act() {
        panic!("I remember nothing");
    }
}

crossfade_core::export_abi!(Spoiled<Counter, Amnesiac>);
