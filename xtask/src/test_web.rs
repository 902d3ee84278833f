//! `cargo xtask test-web`: the façade under Node.

use crate::command::{Run, TaskError, root};
use crate::web;

/// Build web/pkg and test it in Node
///
/// Runs every web/test/*.test.mjs, which also run tests/vectors/*.json on the façade.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The oldest Node whose `node --test` and ES modules do what the tests need.
const NODE_MAJOR_MIN: u32 = 20;
pub(crate) const NODE_HINT: &str = "install node 20 or later (https://nodejs.org)";

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    require_node()?;
    web::run(&web::Args {})?;
    let tests = test_files("web/test")?;
    let mut args = vec!["--test"];
    args.extend(tests.iter().map(String::as_str));
    Run::program("node", NODE_HINT, &args).show()
}

pub(crate) fn require_node() -> Result<(), TaskError> {
    let found = Run::program("node", NODE_HINT, &["--version"]).output()?;
    match major(&found) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(()),
        _ => Err(TaskError::OldNode { found: found.trim().to_owned(), needed: NODE_MAJOR_MIN }),
    }
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The test files by name: Node 20 takes folders and Node 22 patterns, but not each
/// the other.
pub(crate) fn test_files(folder: &str) -> Result<Vec<String>, TaskError> {
    let read_error = |source| TaskError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).map_err(read_error)? {
        let name = entry.map_err(read_error)?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".test.mjs")) {
            files.push(format!("{folder}/{name}"));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }
}
