//! Modules on trial: one that fails soon after it took over makes room for the one before.

use super::{Module, Plugin, PluginError};

impl Plugin {
    /// Like [`reload`](Self::reload), but on trial: if the new module fails on any call
    /// before [`end_trial`](Self::end_trial), the old one takes over again, with the state
    /// and every call accepted since. A trial also ends when so much has been served that
    /// the state is snapshot again.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_on_trial(&mut self, module: Module) -> Result<(), PluginError> {
        let before = self.module.clone();
        self.reload(module)?;
        self.before = Some(before);
        self.fell_back = None;
        Ok(())
    }

    /// The module on trial has done well: from now on it is replaced by itself.
    pub fn end_trial(&mut self) {
        self.before = None;
    }

    /// Whether the module on trial has failed, and [`fell_back`](Self::fell_back) was not
    /// asked yet.
    pub fn has_fallen_back(&self) -> bool {
        self.fell_back.is_some()
    }

    /// Why the module on trial failed, once; the one before runs again then.
    pub fn fell_back(&mut self) -> Option<String> {
        self.fell_back.take()
    }

    /// To be called when the running module has failed.
    pub(super) fn fall_back(&mut self, why: &dyn std::fmt::Display) {
        if let Some(before) = self.before.take() {
            tracing::error!(
                "module {} failed on trial, {} takes over again: {why}",
                self.module.name(),
                before.name()
            );
            self.module = before;
            self.fell_back = Some(why.to_string());
        }
    }
}
