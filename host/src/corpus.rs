//! The corpora of the fuzz targets that read files which others wrote, through the targets'
//! own functions. Those that need a running engine: `tests/corpus.rs`.

#![allow(clippy::panic, reason = "a test falls over")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

#[path = "../../tests/worlds/src/chance.rs"]
#[allow(dead_code, reason = "worlds use the rest of it")]
mod chance;
#[path = "../../fuzz/src/corpus.rs"]
mod files;
#[path = "../../fuzz/src/plan.rs"]
mod plan;

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds_logs");

const PLANS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds_plan"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import"),
];

#[test]
fn every_line_of_the_corpus_of_logs_is_a_request_or_refused() {
    files::every_file(LOGS, crate::replay::hostile::run);
}

#[test]
fn every_plan_and_resource_of_the_corpus_is_read_or_refused() {
    for folder in PLANS {
        files::every_file(folder, plan::run);
    }
}

/// As in `tests/worlds/tests/corpus.rs`.
#[test]
#[ignore = "takes as long as one likes: CROSSFADE_RUNS=100000 cargo test -p crossfade --lib corpus -- --ignored"]
fn what_comes_of_the_corpora_of_files_by_chance() {
    files::by_chance(LOGS, crate::replay::hostile::run);
    for folder in PLANS {
        files::by_chance(folder, plan::run);
    }
}
