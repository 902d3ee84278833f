//! Any bytes as an access log.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::logs(bytes));
