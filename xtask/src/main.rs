//! The repository's own chores: `cargo xtask help` lists them.
//!
//! *Does:* run the builds and checks that plain `cargo build` and `cargo test` cannot:
//! what needs the wasm target, JavaScript, or a fixed order.
//!
//! *Does not:* hold a test of its own, or anything that a user of Crossfade needs:
//! `cargo run` and `cargo install --path host` work without it.

mod artefact;
mod bench;
mod bench_edge;
mod bench_serve;
mod command;
mod conformance;
mod deny;
mod edge;
mod edge_tools;
mod fleet_tools;
mod http;
mod operating_characteristics;
mod page;
mod static_build;
mod test;
mod test_e2e;
mod test_edge;
mod test_fleet;
mod test_page;
mod test_serve;
mod test_web;
mod wasm_target;
mod web;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::say;

/// The chores of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const AFTER_HELP: &str = "\
From a fresh clone, `cargo xtask test` runs everything that continuous integration runs.
It needs rustup, git, node 20 or later, python3 and a C compiler; the wasm target is
added by itself. `cargo xtask help TASK` tells more about one task.";

#[derive(Debug, Subcommand)]
enum Task {
    Bench(bench::Args),
    BenchEdge(bench_edge::Args),
    BenchServe(bench_serve::Args),
    Conformance(conformance::Args),
    Deny(deny::Args),
    Edge(edge::Args),
    EdgeTools(edge_tools::Args),
    FleetTools(fleet_tools::Args),
    OperatingCharacteristics(operating_characteristics::Args),
    Page(page::Args),
    Static(static_build::Args),
    Test(test::Args),
    TestE2e(test_e2e::Args),
    TestEdge(test_edge::Args),
    TestServe(test_serve::Args),
    TestFleet(test_fleet::Args),
    TestPage(test_page::Args),
    TestWeb(test_web::Args),
    Web(web::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Deny(args) => deny::run(&args),
        Task::BenchEdge(args) => bench_edge::run(&args),
        Task::BenchServe(args) => bench_serve::run(&args),
        Task::Edge(args) => edge::run(&args),
        Task::EdgeTools(args) => edge_tools::run(&args),
        Task::FleetTools(args) => fleet_tools::run(&args),
        Task::OperatingCharacteristics(args) => operating_characteristics::run(&args),
        Task::Page(args) => page::run(&args),
        Task::Static(args) => static_build::run(&args),
        Task::Test(args) => test::run(&args),
        Task::TestE2e(args) => test_e2e::run(&args),
        Task::TestEdge(args) => test_edge::run(&args),
        Task::TestServe(args) => test_serve::run(&args),
        Task::TestFleet(args) => test_fleet::run(&args),
        Task::TestPage(args) => test_page::run(&args),
        Task::TestWeb(args) => test_web::run(&args),
        Task::Web(args) => web::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut causes = String::new();
            let mut cause = error.source();
            while let Some(inner) = cause {
                causes = format!("{causes}\n  because: {inner}");
                cause = inner.source();
            }
            say(&format!("error: {error}{causes}"));
            ExitCode::FAILURE
        }
    }
}
