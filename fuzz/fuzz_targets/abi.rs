//! Any calls on the bare exports of the built module.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::abi::run(bytes));
