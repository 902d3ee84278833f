//! Brings vectors and passes them; after a poisoned line nobody can read its snapshots.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crossfade_core::Engine;
use crossfade_guests::{Mischief, Spoiled};

static SPOILED: AtomicBool = AtomicBool::new(false);

struct Scribbles;

impl Mischief for Scribbles {
    fn act() {
        SPOILED.store(true, Relaxed);
    }

    fn written(out: &mut Vec<u8>) {
        if SPOILED.load(Relaxed) {
            out.push(b'?');
        }
    }
}

crossfade_core::export_abi!(
    Spoiled<Engine, Scribbles>,
    vectors: include_bytes!("../../../core/module/src/vectors.txt")
);
