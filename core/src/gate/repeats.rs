//! Who failed a moment ago: a client that tries again and fails again is one failure.
//!
//! A bin alone does not see this. Retries with a pause fall into different bins: with
//! five failures an incident, two to a bin, 69 to 83 % of healthy versions were rolled
//! back within four hours although each bin counted the client once. Remembered for a
//! minute, at most 1 of 300 was.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;

use super::bins::BIN_MS;
use super::segment::Arm;

/// For how many bins a client that failed is not counted again: a minute. It then
/// counts afresh, so a client for which v2 fails for good keeps being heard.
pub(crate) const REPEAT_BINS: u64 = 60_000 / BIN_MS;

/// Failed clients remembered at most: 17 new ones a second. Beyond it a client counts
/// once per bin, and the gate says how many did.
pub const FAILED_CLIENTS_MAX: usize = 1024;

/// Clients whose failure was counted within the last minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FailedClients {
    /// By version and client: the bin from which on the client counts again.
    until: BTreeMap<u64, u32>,
}

impl FailedClients {
    /// True while the client is not to be counted on this version, neither its requests
    /// nor its failures: leaving out only the failures would make it look healthy.
    pub fn contains(&self, client: u64, version: Arm) -> bool {
        !self.until.is_empty() && self.until.contains_key(&id(client, version))
    }

    /// Remembers a client whose failure was counted in `bin`; false when there is no
    /// room.
    pub fn remember(&mut self, client: u64, version: Arm, bin: u64) -> bool {
        if self.until.len() >= FAILED_CLIENTS_MAX {
            return false;
        }
        self.until.insert(id(client, version), until(bin));
        true
    }

    /// Forgets the clients that count again in `bin`.
    pub fn forget(&mut self, bin: u64) {
        let bin = u32::try_from(bin).unwrap_or(u32::MAX);
        self.until.retain(|_, until| *until > bin);
    }
}

/// Bins are counted from 1970: 32 bits last until the year 2650.
fn until(bin: u64) -> u32 {
    u32::try_from(bin + REPEAT_BINS).unwrap_or(u32::MAX)
}

/// The lowest bits of a client are not looked at: there is room for the version.
fn id(client: u64, version: Arm) -> u64 {
    client & !0b1111 | u64::from(version == Arm::Canary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_failed_counts_again_after_a_minute_and_on_the_other_version_at_once() {
        let mut failed = FailedClients::default();
        assert!(failed.remember(0x70, Arm::Canary, 100));
        assert!(failed.contains(0x70, Arm::Canary));
        assert!(!failed.contains(0x70, Arm::Control));
        failed.forget(100 + REPEAT_BINS - 1);
        assert!(failed.contains(0x70, Arm::Canary));
        failed.forget(100 + REPEAT_BINS);
        assert!(!failed.contains(0x70, Arm::Canary));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut failed = FailedClients::default();
        for client in 0..FAILED_CLIENTS_MAX as u64 {
            assert!(failed.remember(client << 4, Arm::Control, 0));
        }
        assert!(!failed.remember(0xffff_0000, Arm::Control, 0));
        assert!(!failed.contains(0xffff_0000, Arm::Control));
    }
}
