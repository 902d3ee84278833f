//! Loading the module again: when asked to, and when its file has changed.
//!
//! Compiling happens here, on a thread of its own, while the old engine serves; the main
//! loop only swaps.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;

use tracing::debug;

use crate::changes::{Changes, LOOK_EVERY};
use crate::module::{Module, ModuleError};

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
        let watched = self.path.as_deref().filter(|_| self.watch);
        let mut changes = watched.map(Changes::new);
        thread::Builder::new().name("reload".into()).spawn(move || {
            loop {
                let wanted = match changes {
                    None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(_) => requests.recv_timeout(LOOK_EVERY),
                };
                match wanted {
                    // Several signals at once are one wish.
                    Ok(()) => while requests.try_recv().is_ok() {},
                    Err(RecvTimeoutError::Timeout)
                        if changes.as_mut().is_some_and(Changes::look) =>
                    {
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
