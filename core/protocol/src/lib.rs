//! The contract between everything that decides and everything that asks.
//!
//! *Does:* name the messages and read them from JSON, define the plan document
//! and find every problem in it, define [`Totals`](totals::Totals), the ABI's
//! names and version, and every limit, take names out of sentences.
//!
//! *Does not:* decide, count, keep state, read a clock, or do I/O.

pub mod abi;
pub mod agent;
pub mod clients;
pub mod error;
pub mod json;
pub mod layout;
pub mod limits;
pub mod memory;
pub mod names;
pub mod order;
pub mod plan;
pub mod read;
pub mod reason;
pub mod reply;
pub mod request;
pub mod share;
pub mod totals;
pub mod words;

pub use error::{ErrorCode, Fault, Problem, Problems};
pub use plan::Plan;
pub use reason::Reason;
pub use share::{BUCKETS, Share};
