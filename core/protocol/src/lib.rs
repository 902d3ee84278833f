//! The contract between everything that decides and everything that asks.
//!
//! *Does:* name the messages and read them from JSON, define the plan document
//! and find every problem in it, define [`Totals`](totals::Totals), the ABI's
//! names and version, and every limit.
//!
//! *Does not:* decide, count, keep state, read a clock, or do I/O.

pub mod abi;
pub mod limits;
pub mod reason;

pub use reason::Reason;
