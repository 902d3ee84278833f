//! The ledger: who called which version, and who will call the old one again.
//!
//! *Does:* keep a row for each client, bounded and mergeable; tell exact figures from
//! sampled ones; say from each client's own rhythm whether it will come back.
//!
//! *Does not:* read a clock, speak the protocol, decide where a request goes, or do I/O.

pub use crossfade_protocol as protocol;

pub mod again;
pub mod forecast;
pub mod readiness;
pub mod rhythm;
pub mod sick;

mod absorb;
mod heaviest;
mod sample;
mod save;
mod select;
mod software;
mod sources;
mod table;

pub use heaviest::Heavy;
pub use sample::{Counted, Side};
pub use select::{Filter, Order, Selected};
pub use sources::SourcesFull;
pub use table::{Call, Client, Flags, Ledger, On, PARTS};
