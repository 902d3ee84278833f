//! The checked-in corpora of the fuzz targets, through the targets' own functions, on the
//! stable toolchain.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

use std::path::{Path, PathBuf};

use crossfade_worlds::chance;

#[path = "../../../fuzz/src/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/src/filter.rs"]
mod filter;
#[path = "../../../fuzz/src/handle.rs"]
mod handle;
#[path = "../../../fuzz/src/ledger.rs"]
mod ledger;
#[path = "../../../fuzz/src/script.rs"]
mod script;

/// What a fuzz target does with its bytes.
type Target = fn(&[u8]);

fn every_file(corpus: &str, run: Target) {
    corpus::every_file(folder(corpus), run);
}

fn folder(corpus: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(corpus)
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

/// A short walk from the corpora on the stable toolchain; `cargo fuzz` goes much further.
#[test]
#[ignore = "takes as long as one likes: CROSSFADE_RUNS=100000 cargo test -p crossfade-worlds --test corpus -- --ignored"]
fn what_comes_of_the_corpora_by_chance() {
    let targets: [(&str, Target); 4] = [
        ("seeds", handle::run),
        ("seeds_filter", filter::run),
        ("seeds_ledger", ledger::run),
        ("seeds_bodies", crossfade_worlds::bodies::run),
    ];
    for (corpus, run) in targets {
        corpus::by_chance(folder(corpus), run);
    }
}
