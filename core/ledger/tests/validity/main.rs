//! What this crate claims of probabilities, tried in simulated worlds.
//!
//! A world is the same for the same seed, and every run prints the command that plays it
//! again. `CROSSFADE_RUNS` sets how many are played.

mod chance;
mod clients;
mod sick;
mod sunset;
