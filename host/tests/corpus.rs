//! The corpora of the fuzz targets that need the built module, through the targets' own
//! functions, on the stable toolchain.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]
#![allow(unreachable_pub, reason = "the fuzz targets call what is public there")]

mod support;

#[path = "../../fuzz/src/abi.rs"]
mod abi;
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
    let directory = tempfile::tempdir().unwrap();
    let (plan, data) = (directory.path().join("plan.yaml"), directory.path().join("data"));
    std::fs::write(&plan, PLAN).unwrap();
    let server = Server::start(&data, Some(&plan), &[]);
    let address = server.url.split("://").nth(1).unwrap().parse().unwrap();
    let token = std::fs::read_to_string(data.join("operator.token")).unwrap();
    let control = http::Control { address, token: token.trim().to_owned() };
    corpus::every_file(folder("seeds_http"), |bytes| control.run(bytes));
    assert!(server.end().code().is_some(), "it died");
}
