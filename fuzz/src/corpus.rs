//! A checked-in corpus, file by file, on any toolchain: for tests.

use std::path::Path;

/// Runs a fuzz target's function on every file of a folder, and on some cuts of each.
///
/// # Panics
/// The function does, or the folder has no two files.
pub fn every_file(folder: impl AsRef<Path>, mut run: impl FnMut(&[u8])) {
    let folder = folder.as_ref();
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = files.map(|file| file.expect("it is listed").path()).collect();
    paths.sort();
    assert!(paths.len() > 1, "{folder:?} has {} files", paths.len());
    for path in paths {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        // The test's output, which is shown when it fails, then names the file.
        println!("{}", path.display());
        run(&bytes);
        for part in 1..4 {
            run(&bytes[..bytes.len() * part / 4]);
        }
    }
}
