//! Any bytes as reports of clients and as what the ledger is saved as.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::ledger::run(bytes));
