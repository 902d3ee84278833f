//! `crossfade completions`.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use support::process::{crossfade, run};

#[test]
fn every_shell_gets_a_script_that_knows_the_options() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(crossfade(&["completions", shell]), b"");
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("memory-limit"), "{shell}");
    }
    assert_eq!(run(crossfade(&["completions", "tcsh"]), b"").status.code(), Some(64));
}

#[test]
fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = crossfade(&["completions", "bash"]).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(74));
}
