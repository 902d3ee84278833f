//! `cargo xtask test-edge`: the edges as they run, in a real Envoy and a real workerd, and
//! the pages that tell how.

use crate::command::{Run, TaskError};
use crate::{edge, edge_tools, test_web};

/// Test the filter in a real Envoy, and the Worker in a real workerd
///
/// Installs both and builds what they run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    test_web::require_node()?;
    edge_tools::run(&edge_tools::Args {})?;
    edge::run(&edge::Args {})?;
    edge::trapping_filter()?;
    // Whose exports the tests run in Envoy. Without `--package`, which would select other
    // features, and compile wasmtime anew for them.
    Run::cargo(&["build", "--bin=crossfade"]).show()?;
    let filter = ["test", "--package=crossfade-envoy", "--package=crossfade-edge-tests"];
    Run::cargo(&filter).show()?;
    // The commands of the documentation that need an edge.
    Run::cargo(&["test", "--test=docs", "--", "--ignored"]).show()?;
    let mut files = test_web::test_files("edge/worker/test")?;
    for folder in ["examples/node", "examples/worker"] {
        files.extend(test_web::test_files(folder)?);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    Run::program("node", test_web::NODE_HINT, &[&["--test"], files.as_slice()].concat()).show()
}
