//! Any bodies of requests, to the control plane and its store: every request is answered,
//! and what is kept is the state, whatever dies in between.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_worlds::bodies::run(bytes));
