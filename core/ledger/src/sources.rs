//! Whose reports have been taken in, and up to which.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::limits::{SOURCE_SILENT_MS, TOTALS_SOURCES_MAX};

use crate::save;

/// What was heard of each run of each node, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    known: Vec<Source>,
    /// Of those that made room for others, by their hashes, the highest: one that comes back
    /// goes on behind it. The last that went is the last.
    folded: Vec<(u64, u64)>,
}

const SILENT_S: u32 = (SOURCE_SILENT_MS / 1000) as u32;

#[derive(Debug, Clone)]
struct Source {
    node: String,
    epoch: u64,
    highest: u64,
    heard_s: u32,
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
    fn hash(node: &str, epoch: u64) -> u64 {
        crossfade_protocol::clients::client_hash(node.as_bytes(), Identity::Key) ^ epoch
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
        let source = self.place(node, epoch).ok().and_then(|at| self.known.get(at));
        source.map_or(0, |source| source.highest)
    }

    /// Whether this report is a new one; from now on it is not. One that comes after 64 later
    /// ones is taken for an old one.
    pub(crate) fn take(
        &mut self,
        node: &str,
        epoch: u64,
        sequence: u64,
        now_s: u32,
    ) -> Result<bool, SourcesFull> {
        let at = match self.place(node, epoch) {
            Ok(at) => at,
            // The number of no report.
            Err(_) if sequence == 0 => return Ok(false),
            Err(_) => self.add(node, epoch, now_s)?,
        };
        let Some(source) = self.known.get_mut(at) else { return Ok(false) };
        source.heard_s = source.heard_s.max(now_s);
        Ok(source.take(sequence))
    }

    /// A newcomer, or one that comes back: nothing was heard of it, or all up to the highest.
    fn add(&mut self, node: &str, epoch: u64, now_s: u32) -> Result<usize, SourcesFull> {
        if self.known.len() >= TOTALS_SOURCES_MAX {
            self.fold(now_s);
        }
        let at = self.place(node, epoch).err().filter(|_| self.known.len() < TOTALS_SOURCES_MAX);
        let at = at.ok_or(SourcesFull)?;
        let hash = Source::hash(node, epoch);
        let folded = self.folded.iter().position(|entry| entry.0 == hash);
        let highest = folded.map_or(0, |at| self.folded.remove(at).1);
        let node = node.to_owned();
        self.known.insert(at, Source { node, epoch, highest, heard_s: now_s, missing: 0 });
        Ok(at)
    }

    /// Makes room: of those who were silent for a day only the highest is kept.
    fn fold(&mut self, now_s: u32) {
        for source in std::mem::take(&mut self.known) {
            if now_s.saturating_sub(source.heard_s) < SILENT_S {
                self.known.push(source);
            } else {
                self.folded.push((Source::hash(&source.node, source.epoch), source.highest));
            }
        }
        let more = self.folded.len().saturating_sub(2 * TOTALS_SOURCES_MAX);
        self.folded.drain(..more);
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        save::number(out, self.known.len() as u64);
        for Source { node, epoch, highest, heard_s, missing } in &self.known {
            save::entry(out, node.as_bytes(), *epoch, *highest);
            save::number(out, *missing);
            save::number(out, (*heard_s).into());
        }
        save::number(out, self.folded.len() as u64);
        for (hash, highest) in &self.folded {
            save::number(out, *hash);
            save::number(out, *highest);
        }
    }

    /// What was saved: in order, and no more than there may be.
    pub(crate) fn load(from: &mut &[u8]) -> Option<Sources> {
        let mut sources = Sources::default();
        for _ in 0..save::read_number(from)? {
            let (node, epoch, highest) = save::read_entry(from)?;
            let missing = save::read_number(from)?;
            let heard_s = u32::try_from(save::read_number(from)?).ok()?;
            let node = std::str::from_utf8(node).ok()?;
            let at = sources.place(node, epoch).err()?;
            if at < sources.known.len() || at >= TOTALS_SOURCES_MAX {
                return None;
            }
            let node = node.to_owned();
            sources.known.push(Source { node, epoch, highest, heard_s, missing });
        }
        for _ in 0..save::read_number(from)? {
            sources.folded.push((save::read_number(from)?, save::read_number(from)?));
        }
        Some(sources)
    }

    fn place(&self, node: &str, epoch: u64) -> Result<usize, usize> {
        self.known.binary_search_by(|it| (it.node.as_str(), it.epoch).cmp(&(node, epoch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_counts_once_in_whatever_order_they_come() {
        // 7 is not a divisor of 65: every one of them comes once, up to 64 late.
        let mut sources = Sources::default();
        let mut take = |n| sources.take("edge", 1, n, 9).unwrap();
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
            assert!(sources.take(node, 1, sequence, 9).unwrap());
        }
        let mut saved = Vec::new();
        sources.save(&mut saved);
        let mut loaded = Sources::load(&mut saved.as_slice()).unwrap();
        let again = [("b", 7), ("b", 8), ("b", 9), ("a", 2), ("a", 2)];
        let new = again.map(|(node, sequence)| loaded.take(node, 1, sequence, 9).unwrap());
        assert_eq!(new, [false, true, false, true, false]);
    }

    #[test]
    fn runs_that_were_silent_for_a_day_make_room_and_count_once_when_they_come_back() {
        const DAY_S: u32 = 86_400;
        let mut sources = Sources::default();
        for epoch in 0..TOTALS_SOURCES_MAX as u64 {
            // Half of them are still there a day later.
            let heard_s = DAY_S * (epoch % 2) as u32;
            assert_eq!(sources.take("isolate", epoch, 3, heard_s), Ok(true));
        }
        assert_eq!(sources.take("new", 1, 1, DAY_S - 1), Err(SourcesFull));
        assert_eq!(sources.take("new", 1, 1, DAY_S), Ok(true), "the silent ones make room");
        assert_eq!(sources.known.len(), TOTALS_SOURCES_MAX / 2 + 1);
        let mut saved = Vec::new();
        sources.save(&mut saved);
        let mut loaded = Sources::load(&mut saved.as_slice()).unwrap();
        for sources in [&mut sources, &mut loaded] {
            let mut take = |epoch, sequence| sources.take("isolate", epoch, sequence, DAY_S);
            assert_eq!([take(4, 3), take(4, 2), take(4, 4)], [Ok(false), Ok(false), Ok(true)]);
            assert_eq!([take(5, 3), take(5, 2), take(5, 4)], [Ok(false), Ok(true), Ok(true)]);
            assert_eq!(sources.get("isolate", 4), 4);
        }
    }
}
