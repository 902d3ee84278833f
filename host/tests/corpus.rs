//! The corpora of the fuzz targets that need the built module, through the targets' own
//! functions, on the stable toolchain.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

mod support;

#[path = "../../fuzz/src/abi.rs"]
mod abi;
#[path = "../../tests/worlds/src/chance.rs"]
#[allow(dead_code, reason = "worlds use the rest of it")]
mod chance;
#[path = "../../fuzz/src/corpus.rs"]
mod corpus;
#[path = "../../fuzz/src/http.rs"]
mod http;
#[path = "../../fuzz/src/pair.rs"]
mod pair;
#[path = "../../fuzz/src/script.rs"]
mod script;

use std::path::{Path, PathBuf};

use support::serve::{PLAN, Server};

fn folder(corpus: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(corpus)
}

#[test]
fn the_module_takes_every_call_of_the_corpus_without_a_trap() {
    corpus::every_file(folder("seeds_abi"), abi::run);
}

#[test]
fn the_module_answers_every_line_of_the_corpus_as_the_native_engine_does() {
    let module = support::builtin_module();
    corpus::every_file(folder("seeds"), |bytes| pair::run(&module, bytes));
}

#[test]
fn the_server_answers_every_request_of_the_corpus() {
    with_server(|control| {
        corpus::every_file(folder("seeds_http"), |bytes| control.run(bytes));
    });
}

/// As in `tests/worlds/tests/corpus.rs`.
#[test]
#[ignore = "takes as long as one likes: CROSSFADE_RUNS=100000 cargo test -p crossfade --test corpus -- --ignored"]
fn what_comes_of_the_corpora_by_chance() {
    corpus::by_chance(folder("seeds_abi"), abi::run);
    let module = support::builtin_module();
    corpus::by_chance(folder("seeds"), |bytes| pair::run(&module, bytes));
    with_server(|control| corpus::by_chance(folder("seeds_http"), |bytes| control.run(bytes)));
}

fn with_server(run: impl FnOnce(&http::Control)) {
    let directory = tempfile::tempdir().unwrap();
    let (plan, data) = (directory.path().join("plan.yaml"), directory.path().join("data"));
    std::fs::write(&plan, PLAN).unwrap();
    let server = Server::start(&data, Some(&plan), &[]);
    let address = server.url.split("://").nth(1).unwrap().parse().unwrap();
    let token = std::fs::read_to_string(data.join("operator.token")).unwrap();
    let control = http::Control { address, token: token.trim().to_owned() };
    run(&control);
    assert!(server.end().code().is_some(), "it died");
}
