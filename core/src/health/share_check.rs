//! What the observed share is made of.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::gate::segment::Arm;

/// Clients of one step that are looked at. Enough to find a share of 10 % that is really
/// 13 %; the first of a step are as random as any.
const CLIENTS_MAX: usize = 2048;

/// Counts by version, each client once.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ShareCheck {
    canary: u64,
    control: u64,
    /// Sorted. Half a hash is enough: one in a thousand full tables misses one client.
    seen: Vec<u32>,
}

impl ShareCheck {
    /// Counts a client, unless it was counted in this step already.
    pub(crate) fn client(&mut self, arm: Arm, client: u64) {
        if self.seen.len() >= CLIENTS_MAX {
            return;
        }
        let client = (client >> 32) as u32;
        if let Err(place) = self.seen.binary_search(&client) {
            self.seen.insert(place, client);
            self.requests(arm, 1);
        }
    }

    /// Counts requests, where each was drawn by itself.
    pub(crate) fn requests(&mut self, arm: Arm, count: u64) {
        let sum = match arm {
            Arm::Canary => &mut self.canary,
            Arm::Control => &mut self.control,
        };
        *sum = sum.saturating_add(count);
    }

    /// Counts of canary and control.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.canary, self.control)
    }
}
