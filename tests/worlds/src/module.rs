//! A compiled module, of which worlds have but one: the engine that is linked in.

/// In the place of the host's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Module;

impl Module {
    pub(crate) fn name(&self) -> &str {
        "linked in"
    }
}

/// Why one cannot be loaded.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("worlds have no modules")]
pub(crate) struct ModuleError;
