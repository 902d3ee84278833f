//! Panics on a poisoned line, and on being told to refuse it.

use crossfade_guests::{Counter, Mischief, POISON, Spoiled, contains};

struct Stubborn;

impl Mischief for Stubborn {
    fn line(line: &[u8]) {
        if contains(line, POISON) || contains(line, b"\"type\":\"refuse\"") {
            Stubborn::act();
        }
    }

    #[expect(clippy::panic, reason = "it is what this guest is for")]
    fn act() {
        panic!("no");
    }
}

crossfade_core::export_abi!(Spoiled<Counter, Stubborn>);
