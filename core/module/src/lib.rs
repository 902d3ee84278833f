//! `crossfade.wasm`: the engine behind the exports of `docs/abi.md`, and nothing else.
//!
//! *Does:* name the engine that answers, and carry the exchanges by which a host can see
//! that it does. *Does not:* hold any logic; the exports
//! expand from [`crossfade_core::export_abi`] so that no library carries them.

crossfade_core::export_abi!(crossfade_core::Engine, vectors: include_bytes!("vectors.txt"));
