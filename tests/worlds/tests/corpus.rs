//! The checked-in corpora of the fuzz targets, through the targets' own functions, on the
//! stable toolchain.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

use std::path::{Path, PathBuf};

use crossfade_worlds::chance::Chance;

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
///
/// `CROSSFADE_RUNS` inputs of each target, from the number `CROSSFADE_SEED`.
#[test]
#[ignore = "takes as long as one likes: CROSSFADE_RUNS=100000 cargo test -p crossfade-worlds --test corpus -- --ignored"]
fn what_comes_of_the_corpora_by_chance() {
    let number = |name: &str, otherwise| {
        std::env::var(name).map_or(otherwise, |text| text.parse::<u64>().unwrap())
    };
    let (runs, first) = (number("CROSSFADE_RUNS", 1_000), number("CROSSFADE_SEED", 0));
    let targets: [(&str, Target); 4] = [
        ("seeds", handle::run),
        ("seeds_filter", filter::run),
        ("seeds_ledger", ledger::run),
        ("seeds_bodies", crossfade_worlds::bodies::run),
    ];
    for (corpus, run) in targets {
        let mut names: Vec<_> =
            std::fs::read_dir(folder(corpus)).unwrap().map(|file| file.unwrap().path()).collect();
        names.sort();
        let files: Vec<_> = names.iter().map(|name| std::fs::read(name).unwrap()).collect();
        for seed in first..first + runs {
            let bytes = mutated(&files, &mut Chance::new(seed));
            let text = bytes.escape_ascii().to_string();
            if let Err(panic) = std::panic::catch_unwind(|| run(&bytes)) {
                eprintln!("{corpus}: CROSSFADE_SEED={seed} CROSSFADE_RUNS=1: {text}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn mutated(files: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.of(files).clone();
    for _ in 0..1 + chance.below(6) {
        let at = chance.below(bytes.len() as u64 + 1) as usize;
        let end = (at + chance.below(40) as usize).min(bytes.len());
        match chance.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let other = chance.of(files);
                let from = chance.below(other.len() as u64) as usize;
                let until = (from + chance.below(200) as usize).min(other.len());
                bytes.splice(at..at, other[from..until].iter().copied());
            }
            2 => {
                let lines = b"0123456789\n{}[]\",:-\\\xff\0";
                bytes.insert(at, *chance.of(lines));
            }
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            _ => {
                let numbers =
                    ["0", "255", "65536", "4294967295", "18446744073709551615", "-1", "1e400"];
                bytes.splice(at..at, chance.of(&numbers).bytes());
            }
        }
    }
    bytes
}
