//! Takes memory without end on a poisoned line.

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

struct Grows;

impl Mischief for Grows {
    fn act() {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}

crossfade_core::export_abi!(Spoiled<Engine, Grows>);
