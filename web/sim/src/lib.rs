//! A simulated world for rollouts: traffic, faults, and a clock that runs as fast as the
//! machine.
//!
//! *Does:* draw what two versions of an API serve, tick by tick, from a seed: requests,
//! clients, failures, latencies, and the faults laid over them. Writes each tick as
//! `report_outcomes` lines, and drives a rollout of any engine that answers messages.
//! The same scenario and seed give the same bytes on every platform.
//!
//! *Does not:* know an engine, decide anything, judge anything, read a clock, or do I/O.
//!
//! [`World`] alone is enough to feed several judges with the same traffic;
//! [`Rehearsal`] plays a whole rollout against one [`Engine`].
//!
//! ```
//! use crossfade_protocol::Share;
//! use crossfade_sim::{Fault, Scenario, Traffic, World};
//!
//! // 40 requests a second, 0.2 % fail; after ten minutes v2 fails five times as often.
//! let scenario = Scenario::new(Traffic::new(40.0, 0.002).unwrap())
//!     .with_from(600_000, Fault::Times(5.0));
//! let mut world = World::new(&scenario, 7);
//! let share = Share::from_percent(10.0).unwrap();
//! let mut failures = 0;
//! for _ in 0..720 {
//!     failures += world.tick(share).new.failures;
//! }
//! assert_eq!(failures, 141);
//! ```

mod chance;
mod engine;
mod fault;
mod play;
mod rehearsal;
mod report;
mod scenario;
mod scenarios;
mod script;
mod spells;
mod town;
mod traffic;
mod world;

pub use chance::Chance;
pub use engine::{Engine, Happened, happened};
pub use fault::{Burst, Fault, Laid, PodBlips, Retries, Side};
pub use play::{
    COLUMNS, Outcome, PLAY_TICK_MS, Phase, Play, PlayEnd, ROW_MS, Router, Row, Told, init_document,
};
pub use rehearsal::{End, Rehearsal, RehearsalError, Step, Story, WALL_CLOCK};
pub use report::Reporter;
pub use scenario::{Scenario, TICK_MS};
pub use scenarios::{Named, scenarios};
pub use script::{Demand, Kind, Mix, Order, SEGMENTS, START_MS, Script, ScriptError, Wrong};
pub use town::{Asking, ClientCard, Crowd, Habit, Town};
pub use traffic::{Latency, Traffic, TrafficError};
pub use world::{Served, Tick, World};
