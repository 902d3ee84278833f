//! Logs in the order of their times, whatever their names sort like.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::replay::entry::Entry;
use crate::replay::lines::Line;
use crate::replay::{ReplayArgs, source};

/// Lines that are looked at for a time; logs begin with comments, if with anything else.
const LINES_LOOKED_AT: u32 = 100;

/// The logs, the one that begins first in front. Standard input can be looked at but once,
/// so with it they stay as they are named; so does a log that has no time where one looks.
pub(super) fn by_time(args: &ReplayArgs) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = args.logs.clone();
    if logs.len() < 2 || logs.iter().any(|log| source::bytes_expected(log).is_none()) {
        return logs;
    }
    let times: Option<Vec<u64>> = logs.iter().map(|log| first_ms(log, args)).collect();
    if let Some(times) = times {
        let mut both: Vec<(u64, PathBuf)> = times.into_iter().zip(logs).collect();
        both.sort_by_key(|(time_ms, _)| *time_ms);
        logs = both.into_iter().map(|(_, log)| log).collect();
    }
    logs
}

fn first_ms(log: &Path, args: &ReplayArgs) -> Option<u64> {
    let mut lines = source::open(log, &Rc::new(Cell::new(0))).ok()?;
    for _ in 0..LINES_LOOKED_AT {
        if let Line::Whole(line) = lines.next().ok()??
            && let Ok(entry) = Entry::read(line, args.format, &args.json_fields)
        {
            return Some(entry.time_ms);
        }
    }
    None
}
