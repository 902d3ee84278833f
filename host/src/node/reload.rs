//! Loading the module again: when asked to, and when its file has changed.
//!
//! Compiling happens here, on a thread of its own, while the old engine serves; the main
//! loop only swaps.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::debug;

use crate::module::{Module, ModuleError};

/// How often the file is looked at. A change counts when it has lasted from one look to
/// the next: a compiler may still be writing.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where the module comes from, and whether its file is looked at.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: Option<PathBuf>,
    pub(super) watch: bool,
}

impl Source {
    pub(super) fn load(&self) -> Result<Module, ModuleError> {
        match &self.path {
            Some(path) => Module::from_file(path),
            None => Module::builtin(),
        }
    }

    /// Starts the thread that gives `deliver` a module for each request, and for each
    /// change of the file. It ends when `deliver` says `false`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn keep_loading(
        self,
        requests: Receiver<()>,
        deliver: impl Fn(Result<Module, ModuleError>) -> bool + Send + 'static,
    ) -> io::Result<()> {
        let mut changes = Changes::new(self.path.as_deref().filter(|_| self.watch));
        thread::Builder::new().name("reload".into()).spawn(move || {
            loop {
                let wanted = match changes.watched {
                    None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(_) => requests.recv_timeout(LOOK_EVERY),
                };
                match wanted {
                    // Several signals at once are one wish.
                    Ok(()) => while requests.try_recv().is_ok() {},
                    Err(RecvTimeoutError::Timeout) if changes.look() => {
                        debug!("the module's file has changed");
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if !deliver(self.load()) {
                    return;
                }
            }
        })?;
        Ok(())
    }
}

/// What changes when a file is written to, or another put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Tells when a file has changed, and come to rest.
#[derive(Debug)]
struct Changes {
    watched: Option<PathBuf>,
    /// As it was when the module was loaded.
    loaded: Option<Stamp>,
    /// As it was at the last look.
    last: Option<Stamp>,
}

impl Changes {
    fn new(path: Option<&Path>) -> Changes {
        let mut changes = Changes { watched: path.map(Path::to_owned), loaded: None, last: None };
        changes.loaded = changes.stamp();
        changes.last = changes.loaded;
        changes
    }

    fn look(&mut self) -> bool {
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
        let found = fs::metadata(self.watched.as_deref()?).ok()?;
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
        let path = dir.path().join("module.wasm");
        fs::write(&path, "one").unwrap();
        let mut changes = Changes::new(Some(&path));
        assert!(!changes.look());
        fs::write(&path, "half").unwrap();
        assert!(!changes.look(), "it may still be written to");
        fs::write(&path, "whole!").unwrap();
        assert!(!changes.look(), "it has just been written to");
        assert!(changes.look());
        assert!(!changes.look(), "this change has been told of");
        fs::remove_file(&path).unwrap();
        assert!(!changes.look());
        assert!(!changes.look(), "a file that is gone is no module");
        fs::write(&path, "another").unwrap();
        assert!(!changes.look());
        assert!(changes.look());
    }
}
