//! The gate: may v2 have more traffic?
//!
//! *Does:* turn counts of requests, failures and latencies of two versions that are
//! served at the same time into a [`Verdict`], with every number that led to it
//! ([`Evidence`]). All tests are anytime-valid: looking after every request costs
//! nothing in false alarms.
//!
//! *Does not:* read a clock, choose what a rollout does with a verdict, or treat
//! missing data as good or bad data: that is [`DataState`], a state of its own.
//!
//! The mathematics is told in `docs/statistics.md`. Throughout, *canary* is the new
//! version (v2), *control* the old one (v1), and evidence is the natural logarithm of
//! an e-value: 0 says nothing, `ln(1/alpha)` is enough to act on.
//!
//! All logarithms and exponentials come from `libm` and all sums run in a fixed
//! order, so a verdict has the same bits on every build.

pub mod bins;
pub mod cap;
pub mod clients;
pub mod config;
pub mod data;
pub mod difference;
mod episode;
pub mod evidence;
pub mod failures;
pub mod interval;
pub mod latency;
pub mod latency_gate;
mod mixture;
pub mod not_worse;
pub mod repeats;
pub mod sample_ratio;
pub mod segment;
mod sentence;
pub mod slo;
pub mod slo_gate;
pub mod slots;
pub mod tally;
pub mod verdict;
pub mod windows;
pub mod worse;

pub use config::{GateConfig, Level, Margin};
pub use data::DataState;
pub use evidence::Evidence;
pub use segment::Segment;
pub use verdict::Verdict;
