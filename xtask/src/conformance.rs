//! `cargo xtask conformance`: the same cases on every build of the engine.

use crate::command::{Run, TaskError};
use crate::{edge, edge_tools, test_web, web};

/// Play the vectors and generated requests on every build of the engine, and compare
///
/// Builds and installs what it takes. Prints a line for each build, and where one
/// differs; a build that cannot run is a failure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of the generated requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many are generated
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    requests: u64,
}

impl Default for Args {
    fn default() -> Args {
        Args { seed: 1, requests: 10_000 }
    }
}

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    test_web::require_node()?;
    edge_tools::run(&edge_tools::Args {})?;
    edge::run(&edge::Args {})?;
    web::run(&web::Args {})?;
    let (seed, requests) = (args.seed.to_string(), args.requests.to_string());
    let options = ["--", "--seed", &seed, "--requests", &requests];
    let play = |package: &[&str]| {
        let example = ["run", "--quiet", "--example=conformance"];
        Run::cargo(&[example.as_slice(), package].concat()).args(&options).show()
    };
    // A build that fails is no reason not to look at the others. The first is of the
    // default members, so that `cargo test` has compiled what it needs.
    let builds = play(&[]);
    let edge = play(&["--package=crossfade-edge-tests"]);
    builds.and(edge)
}
