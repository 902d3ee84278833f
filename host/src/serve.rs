//! `crossfade serve`: the control plane.
#![expect(dead_code, reason = "its parts come one by one")]

mod calls;
mod store;
