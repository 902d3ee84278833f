//! Whose reports have been taken in, and up to which.

use crossfade_protocol::limits::TOTALS_SOURCES_MAX;

use crate::save;

/// What was heard of each run of each node, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Debug, Clone)]
struct Source {
    node: String,
    epoch: u64,
    highest: u64,
    /// Those right below the highest that were not heard, the nearest in the lowest bit. One
    /// may still be under way: a report that a standby handed on arrives later than the next
    /// one, which went to the leader.
    missing: u64,
}

/// There are too many nodes, or runs of them, already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcesFull;

/// The lowest so many bits.
fn ones(count: u64) -> u64 {
    if count < 64 { (1 << count) - 1 } else { u64::MAX }
}

impl Source {
    /// Nothing before this one was heard.
    fn new(node: &str, epoch: u64, sequence: u64) -> Source {
        let missing = ones(sequence.saturating_sub(1));
        Source { node: node.to_owned(), epoch, highest: sequence, missing }
    }

    fn take(&mut self, sequence: u64) -> bool {
        match sequence.checked_sub(self.highest) {
            Some(0) => false,
            Some(ahead) => {
                let shifted = if ahead < 64 { self.missing << ahead } else { 0 };
                self.missing = shifted | ones(ahead - 1);
                self.highest = sequence;
                true
            }
            None => {
                let behind = self.highest - sequence - 1;
                let bit = if behind < 64 { 1 << behind } else { 0 };
                let new = self.missing & bit != 0;
                self.missing &= !bit;
                new
            }
        }
    }
}

impl Sources {
    pub(crate) fn get(&self, node: &str, epoch: u64) -> u64 {
        let source = self.place(node, epoch).ok().and_then(|at| self.0.get(at));
        source.map_or(0, |source| source.highest)
    }

    /// Whether this report is a new one; from now on it is not. One that comes after 64 later
    /// ones is taken for an old one.
    pub(crate) fn take(
        &mut self,
        node: &str,
        epoch: u64,
        sequence: u64,
    ) -> Result<bool, SourcesFull> {
        match self.place(node, epoch) {
            Ok(at) => Ok(self.0.get_mut(at).is_some_and(|source| source.take(sequence))),
            // The number of no report.
            Err(_) if sequence == 0 => Ok(false),
            Err(_) if self.0.len() >= TOTALS_SOURCES_MAX => Err(SourcesFull),
            Err(at) => {
                self.0.insert(at, Source::new(node, epoch, sequence));
                Ok(true)
            }
        }
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        save::number(out, self.0.len() as u64);
        for Source { node, epoch, highest, missing } in &self.0 {
            save::entry(out, node.as_bytes(), *epoch, *highest);
            save::number(out, *missing);
        }
    }

    /// What was saved: in order, and no more than there may be.
    pub(crate) fn load(from: &mut &[u8]) -> Option<Sources> {
        let mut sources = Sources::default();
        for _ in 0..save::read_number(from)? {
            let (node, epoch, highest) = save::read_entry(from)?;
            let missing = save::read_number(from)?;
            let node = std::str::from_utf8(node).ok()?;
            let at = sources.place(node, epoch).err()?;
            if at < sources.0.len() || at >= TOTALS_SOURCES_MAX {
                return None;
            }
            sources.0.push(Source { node: node.to_owned(), epoch, highest, missing });
        }
        Some(sources)
    }

    fn place(&self, node: &str, epoch: u64) -> Result<usize, usize> {
        self.0.binary_search_by(|it| (it.node.as_str(), it.epoch).cmp(&(node, epoch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_counts_once_in_whatever_order_they_come() {
        // 7 is not a divisor of 65: every one of them comes once, up to 64 late.
        let mut sources = Sources::default();
        let mut take = |n| sources.take("edge", 1, n).unwrap();
        let order: Vec<u64> = (0..65).map(|n| n * 7 % 65 + 1).collect();
        assert!(!take(0), "the number of no report, also of a newcomer");
        assert!(order.iter().all(|n| take(*n)));
        assert!(!order.iter().any(|n| take(*n)));
        // 0 is the number of no report, and what is too late is an old one.
        assert!(!take(0) && take(200) && !take(66) && take(136) && !take(136));
        assert_eq!(sources.get("edge", 1), 200);
    }

    #[test]
    fn what_was_missing_is_missing_after_a_restart() {
        let mut sources = Sources::default();
        for (node, sequence) in [("b", 9), ("a", 3), ("b", 7)] {
            assert!(sources.take(node, 1, sequence).unwrap());
        }
        let mut saved = Vec::new();
        sources.save(&mut saved);
        let mut loaded = Sources::load(&mut saved.as_slice()).unwrap();
        let again = [("b", 7), ("b", 8), ("b", 9), ("a", 2), ("a", 2)];
        let new = again.map(|(node, sequence)| loaded.take(node, 1, sequence).unwrap());
        assert_eq!(new, [false, true, false, true, false]);
    }
}
