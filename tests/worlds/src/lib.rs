//! Whole fleets in one process, from one number: edges, controllers, their store, the
//! network between them, clients, operators, and all that goes wrong with each.
//!
//! A world has two phases. In the first one anything may fail, and nothing wrong may be
//! seen ([`check`]). Then all faults end, and within a bounded time everything has to come
//! right. The same seed gives the same world, to the byte.
//!
//! *Does:* run the engine, the Envoy filter and the control plane's own files (controller,
//! batches, calls, clock, jobs: everything in `host/src/serve` that does no I/O) as they
//! stand, on a virtual clock.
//!
//! *Does not:* open a socket or a file. Modelled, as thinly as can be, are the network, the
//! store (a log with a lease, by the contract of `Store`), the machine's clocks, the HTTP
//! routes, and the plugin, which is the native engine here and never traps.

pub mod bodies;
pub mod chance;
pub mod check;
mod client;
mod disk;
mod edge;
mod faults;
mod ledger;
mod liveness;
pub mod mutant;
mod network;
mod operator;
mod plan;
pub mod runner;
mod server;
mod world;

pub use world::{Played, play};

/// The engine, in the place of the plugin that runs it in the program.
mod module;
mod plugin;

#[allow(dead_code, reason = "the host uses the rest of them")]
#[path = "../../../host/src/units.rs"]
mod units;

/// The control plane, as it is in the host.
#[allow(dead_code, unused_imports, reason = "the host's HTTP side uses the rest of them")]
#[path = "../../../host/src/serve"]
mod serve {
    pub(crate) mod calls;
    pub(crate) mod clock;
    pub(crate) mod controller;
    pub(crate) mod engine;
    pub(crate) mod history;
    pub(crate) mod job;
    #[path = "../../../tests/worlds/src/machine.rs"]
    pub(crate) mod machine;
    #[path = "../../../tests/worlds/src/no_module.rs"]
    pub(crate) mod module;
    pub(crate) mod receipts;
    pub(crate) mod shared;

    pub(crate) mod store {
        mod contract;
        pub(crate) mod scrub;

        pub(crate) use contract::{
            AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Receipt, Saved, Scrubbed,
            Store, StoreError, View,
        };
    }
}
