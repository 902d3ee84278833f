//! The `crossfade` program.

fn main() {}
