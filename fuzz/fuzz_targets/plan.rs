//! Any bytes as a plan in a file, and as a resource to make one of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::plan::run(bytes));
