//! Any bytes, to the native engine.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::handle::run(bytes));
