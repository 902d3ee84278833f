//! Any bytes, to the built wasm module in the host and to the native engine.

#![no_main]

use std::sync::LazyLock;

use crossfade::Module;
use libfuzzer_sys::fuzz_target;

static MODULE: LazyLock<Module> =
    LazyLock::new(|| Module::builtin().expect("the module that was built with the host loads"));

fuzz_target!(|bytes: &[u8]| crossfade_fuzz::pair::run(&MODULE, bytes));
