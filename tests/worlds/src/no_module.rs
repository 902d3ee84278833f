//! Modules that somebody brought: there are none in a world.

use super::job::Candidate;
use crate::module::ModuleError;

pub(crate) fn stored(_bytes: Vec<u8>) -> Result<Candidate, ModuleError> {
    Err(ModuleError)
}
