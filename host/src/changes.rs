//! When a file has changed, and come to rest.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a file is looked at. A change counts when it has lasted from one look to
/// the next: whoever writes it may still be writing.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What changes when a file is written to, or another put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Tells when a file has changed, and come to rest.
#[derive(Debug)]
pub(crate) struct Changes {
    watched: PathBuf,
    /// As it was when it was used last.
    loaded: Option<Stamp>,
    /// As it was at the last look.
    last: Option<Stamp>,
}

impl Changes {
    /// As the file is now, it has been used.
    pub(crate) fn new(path: &Path) -> Changes {
        let mut changes = Changes { watched: path.to_owned(), loaded: None, last: None };
        changes.loaded = changes.stamp();
        changes.last = changes.loaded;
        changes
    }

    /// Looks again; `true` once for each change that has come to rest.
    pub(crate) fn look(&mut self) -> bool {
        let now = self.stamp();
        let rests = now == self.last;
        self.last = now;
        // A file that is gone is about to be replaced.
        if rests && now.is_some() && now != self.loaded {
            self.loaded = now;
            return true;
        }
        false
    }

    fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(&self.watched).ok()?;
        Some(Stamp {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_when_it_has_come_to_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut changes = Changes::new(&path);
        assert!(!changes.look());
        fs::write(&path, "half").unwrap();
        assert!(!changes.look(), "it may still be written to");
        fs::write(&path, "whole!").unwrap();
        assert!(!changes.look(), "it has just been written to");
        assert!(changes.look());
        assert!(!changes.look(), "this change has been told of");
        fs::remove_file(&path).unwrap();
        assert!(!changes.look());
        assert!(!changes.look(), "a file that is gone is no change");
        fs::write(&path, "another").unwrap();
        assert!(!changes.look());
        assert!(changes.look());
    }
}
