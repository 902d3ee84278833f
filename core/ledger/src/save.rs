//! The ledger as bytes: a version, numbers, names, then the rows as they are in memory.

use borsh::{BorshDeserialize as _, BorshSerialize as _};
use crossfade_protocol::clients::Identity;
use crossfade_protocol::limits::{AGENTS_MAX, VERSIONS_MAX};

use crate::again::Population;
use crate::heaviest::Callers;
use crate::sample::Threshold;
use crate::software::Names;
use crate::sources::Sources;
use crate::table::{Ledger, read, write};

/// What this writes; another version is not read.
const VERSION: u8 = 3;

/// How many numbers come first.
const NUMBERS: usize = 18;

impl Ledger {
    /// Writes everything.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let [old, new] = self.thresholds;
        let numbers: [u64; NUMBERS] = [
            self.limit as u64,
            self.seed(),
            self.newest.into(),
            self.len() as u64,
            self.latest_s.into(),
            self.left_out,
            self.dropped_before,
            self.sent_back_s.into(),
            self.untold,
            self.untold_until_s.into(),
            old.now,
            old.floor,
            old.until_s.into(),
            old.heard,
            new.now,
            new.floor,
            new.until_s.into(),
            new.heard,
        ];
        numbers.iter().for_each(|one| number(out, *one));
        // Writing to memory does not fail; were it to, loading would.
        let written = self.population.serialize(out);
        debug_assert!(written.is_ok(), "{written:?}");
        self.software.save(out);
        self.reasons.save(out);
        self.sources.save(out);
        out.push(self.callers.is_some().into());
        if let Some(callers) = &self.callers {
            callers.save(out);
        }
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
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = read_number(&mut rest)?;
        }
        let [
            limit,
            seed,
            newest,
            rows,
            latest_s,
            left_out,
            dropped_before,
            sent_back_s,
            untold,
            untold_until_s,
            sides @ ..,
        ] = numbers;
        let mut ledger = Ledger::new(usize::try_from(limit).ok()?, seed);
        ledger.newest = u8::try_from(newest).ok()?;
        ledger.latest_s = u32::try_from(latest_s).ok()?;
        ledger.left_out = left_out;
        ledger.dropped_before = dropped_before;
        ledger.sent_back_s = u32::try_from(sent_back_s).ok()?;
        (ledger.untold, ledger.untold_until_s) = (untold, u32::try_from(untold_until_s).ok()?);
        let (sides, _) = sides.as_chunks();
        for (threshold, [now, floor, until_s, heard]) in ledger.thresholds.iter_mut().zip(sides) {
            let until_s = u32::try_from(*until_s).ok()?;
            *threshold = Threshold { now: *now, floor: *floor, until_s, heard: *heard };
        }
        ledger.population = Population::deserialize(&mut rest).ok()?;
        let name = |name: &str| ledger.hasher.name(name);
        let software = Names::load(&mut rest, AGENTS_MAX - 2, &name)?;
        let reasons = Names::load(&mut rest, AGENTS_MAX, &name)?;
        (ledger.software, ledger.reasons) = (software, reasons);
        ledger.sources = Sources::load(&mut rest)?;
        let (has_callers, after) = rest.split_first()?;
        rest = after;
        if *has_callers > 0 {
            let hash = |key: &[u8], identity| ledger.hash(key, identity);
            ledger.callers = Some(Callers::load(&mut rest, &hash)?);
        }
        for _ in 0..rows {
            let (row, note, key) = read(rest)?;
            rest = rest.get(row.record_bytes()..)?;
            let right = usize::from(row.identity) < Identity::ALL.len()
                && row.old.is_right()
                && row.new.is_right()
                && ledger.software.held(row.software)
                && ledger.reasons.held(note.reason);
            if !right {
                return None;
            }
            ledger.add(&row, note, key)?;
        }
        let whole = rest.is_empty()
            && ledger.len() <= ledger.limit
            && usize::from(ledger.newest) < VERSIONS_MAX
            && ledger.software.are_held()
            && ledger.reasons.are_held();
        ledger.bytes = ledger.record_bytes();
        whole.then_some(ledger)
    }
}

/// Writes a number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes two numbers and a name or a key.
pub(crate) fn entry(out: &mut Vec<u8>, name: &[u8], one: u64, other: u64) {
    for value in [one, other, name.len() as u64] {
        number(out, value);
    }
    out.extend_from_slice(name);
}

pub(crate) fn read_number(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*number))
}

pub(crate) fn read_entry<'a>(from: &mut &'a [u8]) -> Option<(&'a [u8], u64, u64)> {
    let (one, other) = (read_number(from)?, read_number(from)?);
    let len = usize::try_from(read_number(from)?).ok()?;
    let (name, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some((name, one, other))
}
