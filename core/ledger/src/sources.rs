//! Whose reports have been taken in, and up to which.

use crossfade_protocol::limits::TOTALS_SOURCES_MAX;

use crate::save;

/// The highest sequence of each run of each node.
#[derive(Debug, Clone, Default)]
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

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        save::number(out, self.0.len() as u64);
        for (node, epoch, highest) in &self.0 {
            save::entry(out, node.as_bytes(), *epoch, *highest);
        }
    }

    /// What was saved: in order, and no more than there may be.
    pub(crate) fn load(from: &mut &[u8]) -> Option<Sources> {
        let mut sources = Sources::default();
        for _ in 0..save::read_number(from)? {
            let (node, epoch, highest) = save::read_entry(from)?;
            let node = std::str::from_utf8(node).ok()?;
            let at = sources.place(node, epoch).err()?;
            if at < sources.0.len() || at >= TOTALS_SOURCES_MAX {
                return None;
            }
            sources.0.push((node.to_owned(), epoch, highest));
        }
        Some(sources)
    }

    fn place(&self, node: &str, epoch: u64) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, run, _)| (name.as_str(), *run).cmp(&(node, epoch)))
    }
}
