//! A checked-in corpus on any toolchain, file by file and by chance: for tests.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use super::chance::Chance;

/// Runs a fuzz target's function on every file of a folder, and on some cuts of each.
///
/// # Panics
/// The function does, or the folder has no two files.
pub fn every_file(folder: impl AsRef<Path>, mut run: impl FnMut(&[u8])) {
    for path in files(folder.as_ref()) {
        // The test's output, which is shown when it fails, then names the file.
        println!("{}", path.display());
        let bytes = read(&path);
        run(&bytes);
        for part in 1..4 {
            run(&bytes[..bytes.len() * part / 4]);
        }
    }
}

/// Runs it on what comes of the files of a folder by chance: `CROSSFADE_RUNS` inputs, 1,000
/// unless said, from the number `CROSSFADE_SEED` on.
///
/// # Panics
/// The function does; the number that replays it is printed.
pub fn by_chance(folder: impl AsRef<Path>, mut run: impl FnMut(&[u8])) {
    let number = |name: &str, otherwise| {
        std::env::var(name).map_or(otherwise, |text| text.parse::<u64>().expect("a number"))
    };
    let (runs, first) = (number("CROSSFADE_RUNS", 1_000), number("CROSSFADE_SEED", 0));
    let folder = folder.as_ref();
    let files: Vec<_> = files(folder).iter().map(|path| read(path)).collect();
    for seed in first..first + runs {
        let bytes = mutated(&files, &mut Chance::new(seed));
        let text = bytes.escape_ascii().to_string();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&bytes))) {
            eprintln!("{folder:?}: CROSSFADE_SEED={seed} CROSSFADE_RUNS=1: {text}");
            resume_unwind(panic);
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = found.map(|file| file.expect("it is listed").path()).collect();
    paths.sort();
    assert!(paths.len() > 1, "{folder:?} has {} files", paths.len());
    paths
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn mutated(files: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.of(files).clone();
    for _ in 0..1 + chance.below(6) {
        let at = chance.below(bytes.len() as u64 + 1) as usize;
        let end = (at + chance.below(40) as usize).min(bytes.len());
        match chance.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let other = chance.of(files);
                let from = chance.below(other.len() as u64) as usize;
                let until = (from + chance.below(200) as usize).min(other.len());
                bytes.splice(at..at, other[from..until].iter().copied());
            }
            2 => {
                let lines = b"0123456789\n{}[]\",:-\\\xff\0";
                bytes.insert(at, *chance.of(lines));
            }
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            _ => {
                let numbers =
                    ["0", "255", "65536", "4294967295", "18446744073709551615", "-1", "1e400"];
                bytes.splice(at..at, chance.of(&numbers).bytes());
            }
        }
    }
    bytes
}
