//! The counts that are judged: from two options, or a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crossfade_protocol::json;
use crossfade_protocol::limits::{LINE_BYTES_MAX, PROBLEMS_MAX};
use crossfade_protocol::request::Counts;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::counted;
use crate::policy;

/// Requests, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pair {
    requests: u64,
    failures: u64,
}

impl Pair {
    /// Reads `100000,100`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub(super) fn read(text: &str) -> Result<Pair, String> {
        let numbers: Vec<Option<u64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        match numbers.as_slice() {
            [Some(requests), Some(failures)] if failures <= requests => {
                Ok(Pair { requests: *requests, failures: *failures })
            }
            [Some(_), Some(_)] => Err("more failures than requests: requests come first".into()),
            _ => Err("two whole numbers are needed, such as 100000,100".into()),
        }
    }
}

/// One segment of both versions.
///
/// # Errors
/// A count is over the engine's limit.
pub(super) fn from_pairs(control: Pair, canary: Pair) -> Result<Counts, Failure> {
    let segment = json!({
        "canary_requests": canary.requests,
        "canary_failures": canary.failures,
        "control_requests": control.requests,
        "control_failures": control.failures,
    });
    Counts::read(&segment).map_err(|problems| Failure::new(Exit::Usage, problems))
}

/// A segment a line; blank lines are passed over.
///
/// # Errors
/// The file cannot be read, is too long, or has lines that are no segments: all of them
/// are named.
pub(super) fn from_file(path: &Path) -> Result<Vec<Counts>, Failure> {
    let name = policy::name(path);
    let bytes = read(path)
        .map_err(|error| Failure::new(Exit::Io, format!("cannot read {name}: {error}")))?;
    if bytes.len() > LINE_BYTES_MAX {
        let text = format!("{name}: longer than {LINE_BYTES_MAX} bytes, more than an engine reads");
        return Err(Failure::new(Exit::Data, text));
    }
    let mut segments = Vec::new();
    let mut problems = Vec::new();
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match segment(line) {
            Ok(counts) => segments.push(counts),
            Err(found) => {
                problems.extend(found.iter().map(|what| format!("{name}:{}: {what}", place + 1)));
            }
        }
    }
    if segments.is_empty() && problems.is_empty() {
        return Err(Failure::new(Exit::Data, format!("{name}: no segments: nothing to judge")));
    }
    if problems.is_empty() {
        return Ok(segments);
    }
    let count = counted(problems.len() as u64, "problem");
    problems.truncate(PROBLEMS_MAX);
    Err(Failure::new(Exit::Data, format!("{name} has {count}:\n{}", problems.join("\n"))))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What one line says, or everything that is wrong with it.
fn segment(line: &[u8]) -> Result<Counts, Vec<String>> {
    let text = std::str::from_utf8(line)
        .map_err(|error| vec![format!("not UTF-8 at byte {}", error.valid_up_to() + 1)])?;
    let value = json::parse(text.trim()).map_err(|problem| vec![problem])?;
    Counts::read(&value).map_err(|problems| problems.list.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_counts() {
        assert_eq!(Pair::read("10,3"), Ok(Pair { requests: 10, failures: 3 }));
        assert_eq!(Pair::read("0, 0"), Ok(Pair::default()));
        for text in ["", "10", "10,3,1", "10,-1", "10,0.5", "3,10", "18446744073709551616,0"] {
            assert!(Pair::read(text).is_err(), "{text}");
        }
    }
}
