//! Any traffic, to the native build of the Envoy filter.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::filter::run(bytes));
