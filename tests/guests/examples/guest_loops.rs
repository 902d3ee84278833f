//! Never answers a poisoned line.

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

struct Loops;

impl Mischief for Loops {
    fn act() {
        loop {
            std::hint::spin_loop();
        }
    }
}

crossfade_core::export_abi!(Spoiled<Engine, Loops>);
