//! What the tests of the whole share.
//!
//! *Does:* read `tests/vectors/*.json` and the exchanges of `docs/protocol.md`, generate
//! requests, and play them on any build of the engine.
//!
//! *Does not:* hold tests (they are in `tests/tests`), or anything a product links.

pub mod conformance;
pub mod docs;
pub mod driver;
pub mod runner;
pub mod vectors;
