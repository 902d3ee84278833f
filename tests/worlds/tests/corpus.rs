//! The checked-in corpora of the fuzz targets, through the targets' own functions, on the
//! stable toolchain. Those of logs and of the ABI are in the host's tests.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

use std::path::Path;

#[path = "../../../fuzz/src/filter.rs"]
mod filter;
#[path = "../../../fuzz/src/handle.rs"]
mod handle;
#[path = "../../../fuzz/src/ledger.rs"]
mod ledger;
#[path = "../../../fuzz/src/script.rs"]
mod script;

/// Runs every file of a corpus, and some cuts of each.
fn every_file(corpus: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(corpus);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut seen = 0;
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        run(&bytes);
        for part in 1..4 {
            run(&bytes[..bytes.len() * part / 4]);
        }
        seen += 1;
    }
    assert!(seen > 1, "{folder:?} has {seen} files");
}

#[test]
fn engines_answer_every_line_of_the_corpus() {
    every_file("seeds", handle::run);
}

#[test]
fn the_filter_lets_every_request_of_the_corpus_pass() {
    every_file("seeds_filter", filter::run);
}

#[test]
fn the_ledger_takes_or_refuses_every_report_and_snapshot_of_the_corpus() {
    every_file("seeds_ledger", ledger::run);
}

#[test]
fn the_control_plane_answers_every_body_of_the_corpus_and_keeps_what_it_acknowledged() {
    every_file("seeds_bodies", crossfade_worlds::bodies::run);
}
