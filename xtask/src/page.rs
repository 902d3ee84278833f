//! `cargo xtask page`: the page, from the engine to files that any server can serve.

use std::fs;
use std::path::Path;

use crate::command::{Run, TaskError, root, say};
use crate::test_web::require_node;
use crate::{wasm_target, web};

/// Build the page into web/page/dist
///
/// Installs what package-lock.json names (where that has changed), builds the engine for
/// JavaScript, checks the types and bundles. The result is files with relative addresses:
/// `crossfade ui` serves them, and so does any static host. The next build of the host
/// takes them into the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const FOLDER: &str = "web/page";
const NPM_HINT: &str = "it comes with node 20 or later (https://nodejs.org)";

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    require_node()?;
    install()?;
    wasm_target::require(wasm_target::TARGET)?;
    // Without what the page's worker does not use: the class `Engine`.
    web::build(&format!("{FOLDER}/src/wasm"), "rehearsal", &["--no-default-features"])?;
    clear(&root().join(FOLDER).join("dist"))?;
    npm(&["run", "--silent", "build"])
}

/// `npm ci`, unless what is installed is what the lock file names.
fn install() -> Result<(), TaskError> {
    let lock = root().join(FOLDER).join("package-lock.json");
    let copy = root().join(FOLDER).join("node_modules/.installed-lock.json");
    let wanted = fs::read(&lock)
        .map_err(|source| TaskError::Read { path: lock.display().to_string(), source })?;
    if fs::read(&copy).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm(&["ci"])?;
    fs::write(&copy, wanted)
        .map_err(|source| TaskError::Write { path: copy.display().to_string(), source })
}

fn npm(args: &[&str]) -> Result<(), TaskError> {
    Run::program("npm", NPM_HINT, &[&["--prefix", FOLDER], args].concat()).show()
}

/// Empties the folder, but for the file that keeps it in the repository: the host watches
/// the folder, and cargo watches nothing that is not there.
fn clear(folder: &Path) -> Result<(), TaskError> {
    let error = |source| TaskError::Write { path: folder.display().to_string(), source };
    // It is there in a clone, and need not be in what was copied from one.
    fs::create_dir_all(folder).map_err(error)?;
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(error)?;
        } else if path.file_name().is_some_and(|name| name != ".gitignore") {
            fs::remove_file(&path).map_err(error)?;
        }
    }
    say(&format!("{}: emptied", folder.display()));
    Ok(())
}
