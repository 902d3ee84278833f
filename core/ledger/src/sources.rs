//! Whose reports have been taken in, and up to which.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::limits::TOTALS_SOURCES_MAX;

/// The highest sequence of each run of each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Sources(Vec<(String, u64, u64)>);

/// There are too many nodes, or runs of them, already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcesFull;

impl Sources {
    pub(crate) fn get(&self, node: &str, epoch: u64) -> u64 {
        self.place(node, epoch)
            .ok()
            .and_then(|at| self.0.get(at))
            .map_or(0, |(.., highest)| *highest)
    }

    /// Whether this report is a new one; from now on it is not.
    pub(crate) fn take(
        &mut self,
        node: &str,
        epoch: u64,
        sequence: u64,
    ) -> Result<bool, SourcesFull> {
        match self.place(node, epoch) {
            Ok(at) => Ok(self.0.get_mut(at).is_some_and(|(.., highest)| {
                let new = sequence > *highest;
                *highest = sequence.max(*highest);
                new
            })),
            Err(_) if self.0.len() >= TOTALS_SOURCES_MAX => Err(SourcesFull),
            Err(at) => {
                self.0.insert(at, (node.to_owned(), epoch, sequence));
                Ok(true)
            }
        }
    }

    /// In order, and no more than there may be.
    pub(crate) fn is_valid(&self) -> bool {
        let in_order = self.0.is_sorted_by(|a, b| (&a.0, a.1) < (&b.0, b.1));
        in_order && self.0.len() <= TOTALS_SOURCES_MAX
    }

    fn place(&self, node: &str, epoch: u64) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, run, _)| (name.as_str(), *run).cmp(&(node, epoch)))
    }
}
