//! The example of a host in Rust, run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

#[path = "../../examples/rust/main.rs"]
mod example;

use crossfade::module::BUILTIN_WASM;

#[test]
fn the_host_of_the_example_gets_decisions() {
    // In the buckets 4497 and 603, of a canary that has those below 4500.
    let answers = example::ask(BUILTIN_WASM, &["user123", "user3", "user1"]).unwrap();
    let versions: Vec<_> =
        answers.lines().map(|line| line.contains("\"version\":\"v2\"")).collect();
    assert_eq!(versions.len(), 3, "{answers}");
    assert!(versions[0] && versions[1], "{answers}");
    let refused = example::ask(b"no module", &[]).unwrap_err();
    assert!(!refused.to_string().is_empty());
}
