//! What the fuzz targets do with their bytes: one function each, which anybody can call.
//!
//! *Does:* make calls of any bytes, so that a mutation of one byte changes one call, and say
//! what must hold. The stable toolchain runs the checked-in corpora through the same
//! functions: `tests/worlds/tests/corpus.rs`, `host/src/corpus.rs` and `host/tests/corpus.rs`.
//!
//! *Does not:* know a fuzzer; `fuzz_targets` does.

use std::alloc::System;

use cap::Cap;

/// No input of a few kilobytes takes half as much; a length that was believed takes more.
const MEMORY_BYTES_MAX: usize = 512 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MEMORY_BYTES_MAX);

#[cfg(feature = "module")]
pub mod abi;
pub mod filter;
pub mod handle;
pub mod http;
pub mod ledger;
#[cfg(feature = "module")]
pub mod pair;
pub mod plan;
pub mod script;

/// The host's readers of files that others wrote, as they are there: they ask for no module.
#[allow(dead_code, unreachable_pub, reason = "the host uses the rest of them")]
#[path = "../../host/src"]
mod host {
    pub(crate) mod exit;
    pub(crate) mod import;
    pub(crate) mod output;
    pub(crate) mod yaml;
    pub(crate) mod zones;

    /// What an engine found, as the report of an import shows it. There is no module to ask.
    pub(crate) mod policy {
        #[derive(Debug, serde::Serialize)]
        pub(crate) struct Finding {
            pub(crate) path: String,
            pub(crate) message: String,
        }
    }

    pub(crate) mod replay {
        pub(crate) mod clf;
        pub(crate) mod entry;
        pub(crate) mod json;
        pub(crate) mod lines;
        #[path = "../../../fuzz/src/logs.rs"]
        pub(crate) mod logs;
        pub(crate) mod names;
        pub(crate) mod text;
        pub(crate) mod time;
    }
}
use host::{exit, import, output, policy, replay, yaml, zones};

/// See `logs.rs`.
pub fn logs(bytes: &[u8]) {
    replay::logs::run(bytes);
}
