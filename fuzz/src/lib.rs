//! What the fuzz targets do with their bytes: one function each, which anybody can call.
//!
//! *Does:* make calls of any bytes, so that a mutation of one byte changes one call, and say
//! what must hold. The stable toolchain runs the checked-in corpora through the same
//! functions where nothing has to be compiled for it: `tests/worlds/tests/corpus.rs`.
//!
//! *Does not:* know a fuzzer; `fuzz_targets` does.

#[cfg(feature = "module")]
pub mod abi;
pub mod filter;
pub mod handle;
pub mod ledger;
pub mod script;

/// The host's readers of logs, as they are there.
#[allow(dead_code, unreachable_pub, reason = "the host uses the rest of them")]
#[path = "../../host/src/replay"]
mod replay {
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

/// See `logs.rs`.
pub fn logs(bytes: &[u8]) {
    replay::logs::run(bytes);
}
