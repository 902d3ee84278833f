//! `cargo xtask test-serve`: the control plane's HTTP API, asked by tools that are not ours.

use std::fs;
use std::path::PathBuf;

use crate::command::{Run, TaskError, root, say};
use crate::test_web;

/// Ask a real `crossfade serve` with OpenFeature's SDK, schemathesis and Prometheus' parsers
///
/// Installs them into .tools, from npm and PyPI, pinned.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const OPENFEATURE: &str = ".tools/openfeature-1.23.0";
const CHECKS: &str = ".tools/schemathesis-4.32.5";

const NPM_HINT: &str = "install node 20 or later, which brings npm (https://nodejs.org)";
const PYTHON_HINT: &str = "install Python 3.10 or later with venv and pip";

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    test_web::require_node()?;
    once(OPENFEATURE, openfeature)?;
    once(CHECKS, checks)?;
    Run::cargo(&["build", "--package=crossfade"]).show()?;
    let program = program()?;
    let program = program.to_string_lossy();
    let files = test_web::test_files("tests/serve")?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    Run::program("node", test_web::NODE_HINT, &[&["--test"], files.as_slice()].concat())
        .env("CROSSFADE", &program)
        .env("CROSSFADE_OPENFEATURE", &root().join(OPENFEATURE).to_string_lossy())
        .show()?;
    let python = root().join(CHECKS).join("bin/python");
    Run::built(python).args(&["tests/serve/api.py", &program]).show()
}

/// Beside this program: both are built by one cargo with one profile.
fn program() -> Result<PathBuf, TaskError> {
    let ours = std::env::current_exe()
        .map_err(|source| TaskError::Read { path: "target".to_owned(), source })?;
    Ok(ours.with_file_name("crossfade"))
}

/// Installs into a folder unless it is there. A mark says that it is whole: an interrupted
/// run leaves none. (A venv cannot be moved, so there is no renaming.)
fn once(folder: &str, install: fn(&str) -> Result<(), TaskError>) -> Result<(), TaskError> {
    let path = root().join(folder);
    if path.join("installed").exists() {
        say(&format!("{folder} is there"));
        return Ok(());
    }
    let write = |source| TaskError::Write { path: folder.to_owned(), source };
    if path.exists() {
        fs::remove_dir_all(&path).map_err(write)?;
    }
    fs::create_dir_all(&path).map_err(write)?;
    install(folder)?;
    fs::write(path.join("installed"), "").map_err(write)?;
    say(&format!("{folder} is installed"));
    Ok(())
}

fn openfeature(folder: &str) -> Result<(), TaskError> {
    for file in ["package.json", "package-lock.json"] {
        let to = root().join(folder).join(file);
        fs::copy(root().join("xtask/tools/openfeature").join(file), &to)
            .map_err(|source| TaskError::Write { path: format!("{folder}/{file}"), source })?;
    }
    let ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    Run::program("npm", NPM_HINT, &[ci.as_slice(), &["--prefix", folder]].concat()).show()
}

fn checks(folder: &str) -> Result<(), TaskError> {
    Run::program("python3", PYTHON_HINT, &["-m", "venv", folder]).show()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let what = ["--no-deps", "-r", "xtask/tools/serve-checks.txt"];
    let python = root().join(folder).join("bin/python");
    Run::built(python).args(&[pip.as_slice(), &what].concat()).show()
}
