//! The cache of compiled modules, as a user meets it: whatever is wrong with it, the node
//! serves, and says what it did.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::process::{crossfade, run, stderr};
use support::{guest, lines};

/// Serves one line with a small module and this cache; gives what was logged.
fn serve(cache: &Path) -> String {
    let module = guest("guest_counts");
    let mut command =
        crossfade(&["node", "--log-level", "warn", "--module", module.to_str().unwrap()]);
    command.env("CROSSFADE_CACHE_DIR", cache);
    let output = run(command, b"{}\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(lines(&output.stdout).len(), 1);
    stderr(&output)
}

fn only_file(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir).unwrap();
    let file = files.next().expect("a file").unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn a_damaged_file_is_told_of_and_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    assert_eq!(serve(&cache), "", "the first start fills the cache");
    let file = only_file(&cache);
    let good = fs::read(&file).unwrap();
    assert_eq!(serve(&cache), "", "the second finds it");

    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [&flipped[..], &good[..good.len() / 2], b""] {
        fs::write(&file, damaged).unwrap();
        let log = serve(&cache);
        assert!(log.contains("is truncated or damaged: compiling anew"), "{log}");
        assert!(fs::read(&file).unwrap() == good, "it was not replaced");
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_told_of_and_not_used() {
    let cache = tempfile::tempdir().unwrap();
    fs::set_permissions(cache.path(), Permissions::from_mode(0o770)).unwrap();
    let log = serve(cache.path());
    assert!(log.contains("others can write to it, mode 770"), "{log}");
    assert!(log.contains("CROSSFADE_CACHE_DIR names another place"), "{log}");
    assert!(fs::read_dir(cache.path()).unwrap().next().is_none());
}

#[test]
fn a_directory_that_cannot_be_made_is_told_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = serve(&file.path().join("cache"));
    assert!(log.contains("it cannot be made (Not a directory"), "{log}");
}

#[test]
fn no_cache_is_no_trouble() {
    assert_eq!(serve(Path::new("")), "");
}
