//! The engine as a JavaScript class, for browser pages and Node.
//!
//! *Does:* carry strings, bytes and objects across the border between JavaScript
//! and the linked engine, turn refusals into thrown errors, and play scripts of the
//! simulated world with that engine ([`simulation`]).
//!
//! *Features:* `engine`, on unless switched off: the class [`Engine`]. The page only plays
//! scripts, and its build leaves the class out with everything that nothing else needs:
//! reports between nodes, and snapshots.
//!
//! *Does not:* decide anything, read a clock, draw randomness, or know the engine
//! beyond its messages: what [`Engine::state`] shows was asked for like any client asks.

mod border;
#[cfg(feature = "engine")]
mod engine;
mod linked;
pub mod simulation;

#[cfg(feature = "engine")]
pub use engine::Engine;
use wasm_bindgen::prelude::*;

/// What a broken engine said last, or `undefined`. Works after a
/// `WebAssembly.RuntimeError`.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    border::last_panic()
}
