//! What neighbouring bins may say together: one thing that goes wrong for ten seconds is
//! one event, though it falls into two or three bins.
//!
//! Bins draw on a budget of nats that fills up again with time. A cap on each bin alone
//! does not see that they are neighbours: with 3.5 nats for each, pods that failed half
//! their requests for 5 s now and then had 3 % (share 10 %) to 26 % (share 50 %) of
//! healthy versions rolled back within four hours. What was tried and measured stands in
//! `docs/statistics.md`.

use borsh::{BorshDeserialize, BorshSerialize};

use super::bins::BIN_MS;

/// The budget when it is full, in lone failures: a failure of the canary while nothing
/// else fails is worth `ln(1 / share)` nats.
///
/// In failures and not in nats, because an episode that hits one version is worth no
/// more than that if episodes, too, fall by the share. A little more than one keeps
/// ordinary failures that happen to be neighbours from being cut.
const FULL_FAILURES: f64 = 1.7;

/// What comes back in one bin, in nats: a version that fails on and on says so much in
/// every bin. An outage needs about ten.
const BACK_PER_BIN: f64 = 1.25;

/// The budget of nats that bins in a row share.
#[derive(Debug, Clone, Copy, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Episode {
    /// Nats that were spent, and had not come back when this was last written to.
    spent: f64,
    /// The bin in which that was, counted from 1970.
    bin: u64,
}

impl Episode {
    /// Nats that the bin may say, 0 or more. Infinite where a share has no other side.
    pub(crate) fn left(&self, bin: u64, share: f64) -> f64 {
        (FULL_FAILURES * -libm::log(share) - self.spent_at(bin)).max(0.0)
    }

    /// Notes what a bin said. Bins come in order.
    pub(crate) fn spend(&mut self, bin: u64, nats: f64) {
        *self = Episode { spent: self.spent_at(bin) + nats.max(0.0), bin };
    }

    fn spent_at(&self, bin: u64) -> f64 {
        let bins = bin.saturating_sub(self.bin) as f64;
        (self.spent - bins * BACK_PER_BIN).max(0.0)
    }
}

/// The number of the bin that this time lies in.
pub(crate) fn bin_of(at_ms: u64) -> u64 {
    at_ms / BIN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_comes_back_bin_by_bin_and_no_more_than_that() {
        let mut episode = Episode::default();
        let full = FULL_FAILURES * -libm::log(0.1);
        assert_eq!(episode.left(100, 0.1), full);
        episode.spend(100, full);
        assert_eq!(episode.left(100, 0.1), 0.0);
        assert!((episode.left(102, 0.1) - 2.0 * BACK_PER_BIN).abs() < 1e-12);
        assert_eq!(episode.left(200, 0.1), full);
        episode.spend(102, 1.0);
        assert!((episode.left(103, 0.1) - (3.0 * BACK_PER_BIN - 1.0)).abs() < 1e-12);
    }

    #[test]
    fn a_share_that_grows_leaves_less_and_never_less_than_nothing() {
        let mut episode = Episode::default();
        episode.spend(7, 3.0);
        assert!(episode.left(7, 0.1) > 0.0);
        assert_eq!(episode.left(7, 0.5), 0.0);
        assert_eq!(episode.left(6, 0.5), 0.0);
    }
}
