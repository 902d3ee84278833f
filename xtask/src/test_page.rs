//! `cargo xtask test-page`: the page in a real Chromium, served by the real program.

use std::path::PathBuf;

use crate::command::{Run, TaskError, root, say};
use crate::test_web::{NODE_HINT, test_files};
use crate::{artefact, fleet_tools, page, wasm_target};

/// Build the page and test it in Chromium
///
/// Runs every web/page/test/*.test.mjs against `crossfade ui` and `crossfade serve`.
/// A pinned nats-server is installed for two of those that share a store, and the engine's
/// module built for a month that passes at once.
/// Chromium is found by CHROMIUM, or by its usual names; on Debian and Ubuntu it is
/// installed with apt where this may be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Names of programs that playwright-core can drive.
const NAMES: [&str; 6] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "headless_shell",
];

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    let browser = chromium()?;
    page::run(&page::Args {})?;
    let program = artefact::program("crossfade", &["--package=crossfade"])?;
    wasm_target::require(wasm_target::TARGET)?;
    let package = ["--package=crossfade-module", "--profile=wasm", "--target", wasm_target::TARGET];
    let module = artefact::wasm("crossfade", &package)?;
    fleet_tools::run(&fleet_tools::Args {})?;
    let tests = test_files("web/page/test")?;
    // One file at a time: browsers that share few processors time out.
    let mut args = vec!["--test", "--test-concurrency=1"];
    args.extend(tests.iter().map(String::as_str));
    Run::program("node", NODE_HINT, &args)
        .env("CHROMIUM", &browser.display().to_string())
        .env("CROSSFADE", &program.display().to_string())
        .env("CROSSFADE_MODULE", &module.display().to_string())
        .env("CROSSFADE_NATS_SERVER", &fleet_tools::nats_server_path().display().to_string())
        .show()
}

fn chromium() -> Result<PathBuf, TaskError> {
    if let Some(found) = find() {
        return Ok(found);
    }
    say("No Chromium was found. Installing chromium-headless-shell:");
    let hint = "install Chromium, or name one with CHROMIUM=/path/to/chromium";
    let apt = |args: &[&str]| Run::program("apt-get", hint, args).show();
    let package = ["install", "-y", "--no-install-recommends", "chromium-headless-shell"];
    // A mirror that is busy for a moment is no reason to give up.
    let installed = apt(&["update"]).and_then(|()| apt(&package).or_else(|_| apt(&package)));
    match (find(), installed) {
        (Some(found), _) => Ok(found),
        (None, Err(source)) => Err(TaskError::NoChromium { source: Some(Box::new(source)) }),
        (None, Ok(())) => Err(TaskError::NoChromium { source: None }),
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()) {
        return Some(root().join(named)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|f| f.join(name)).find(|file| file.is_file()))
}
