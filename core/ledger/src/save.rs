//! The ledger as bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::clients::Identity;
use crossfade_protocol::limits::{AGENTS_MAX, VERSIONS_MAX};

use crate::again::Population;
use crate::heaviest::Callers;
use crate::sample::Threshold;
use crate::software::Names;
use crate::sources::Sources;
use crate::table::{Ledger, read, write};

/// What this writes; another version is not read.
const VERSION: u8 = 1;

/// Everything but the rows.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct Head {
    limit: u64,
    seed: u64,
    newest: u8,
    rows: u64,
    thresholds: [Threshold; 2],
    latest_s: u32,
    left_out: u64,
    dropped_before: u64,
    software: Names,
    reasons: Names,
    sources: Sources,
    callers: Option<Callers>,
    population: Population,
}

impl Ledger {
    /// Writes everything: a version, the head, the rows.
    pub fn save(&self, out: &mut Vec<u8>) {
        let head = Head {
            limit: self.limit as u64,
            seed: self.seed(),
            newest: self.newest,
            rows: self.len() as u64,
            thresholds: self.thresholds,
            latest_s: self.latest_s,
            left_out: self.left_out,
            dropped_before: self.dropped_before,
            software: self.software.clone(),
            reasons: self.reasons.clone(),
            sources: self.sources.clone(),
            callers: self.callers.clone(),
            population: self.population.clone(),
        };
        out.push(VERSION);
        // Writing to memory does not fail; were it to, loading would.
        let written = head.serialize(out);
        debug_assert!(written.is_ok(), "{written:?}");
        out.reserve(self.record_bytes());
        for shard in &self.shards {
            shard.each(&mut |_, row, note, key| write(out, &row, note, key));
        }
    }

    /// The ledger that was saved, or `None` when the bytes do not fit together.
    pub fn load(bytes: &[u8]) -> Option<Ledger> {
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut head = Head::deserialize(&mut rest).ok()?;
        let mut ledger = Ledger::new(usize::try_from(head.limit).ok()?, head.seed);
        let valid = usize::from(head.newest) < VERSIONS_MAX
            && head.sources.is_valid()
            && head.callers.as_ref().is_none_or(Callers::is_valid)
            && head.software.unheld(AGENTS_MAX - 2)
            && head.reasons.unheld(AGENTS_MAX);
        if !valid {
            return None;
        }
        for _ in 0..head.rows {
            let (row, note, key) = read(rest)?;
            rest = rest.get(row.record_bytes()..)?;
            let right = usize::from(row.identity) < Identity::ALL.len()
                && row.old.is_right()
                && row.new.is_right()
                && head.software.held(row.software)
                && head.reasons.held(note.reason);
            if !right {
                return None;
            }
            ledger.add(&row, note, key)?;
        }
        if !rest.is_empty() || ledger.len() > ledger.limit {
            return None;
        }
        head.software.drop_unheld();
        head.reasons.drop_unheld();
        ledger.newest = head.newest;
        ledger.thresholds = head.thresholds;
        ledger.latest_s = head.latest_s;
        ledger.left_out = head.left_out;
        ledger.dropped_before = head.dropped_before;
        ledger.software = head.software;
        ledger.reasons = head.reasons;
        ledger.sources = head.sources;
        ledger.callers = head.callers;
        ledger.population = head.population;
        Some(ledger)
    }
}
