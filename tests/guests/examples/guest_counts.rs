//! Behaves.

crossfade_core::export_abi!(crossfade_guests::Counter);
