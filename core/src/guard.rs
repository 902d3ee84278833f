//! The local guard: a node's own emergency brake.
//!
//! It needs no controller and no comparison: when too large a share of what this node
//! saw of the new version failed, everything goes to the stable version until a newer
//! policy comes.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::plan;

use crate::event::NodeChange;
use crate::tally::Tally;

/// The guard's memory. [`Guard::default`] is armed on counts that begin at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Guard {
    /// Requests and failures of the new version when the policy came into force.
    requests: u64,
    failures: u64,
    tripped: bool,
}

impl Guard {
    /// Armed anew: only what comes from now on counts. `newest` is the new version's
    /// counts so far.
    pub fn armed(newest: &Tally) -> Guard {
        Guard { requests: newest.requests, failures: newest.failures, tripped: false }
    }

    /// Whether it has tripped: everything goes to the stable version.
    pub fn tripped(&self) -> bool {
        self.tripped
    }

    /// Looks at the new version's counts, which only grow, after an outcome; says so
    /// when it trips, and only then. Without a rule it never does. Where the old version is
    /// `gone`, it says that: nobody is sent there.
    pub fn look(
        &mut self,
        rule: Option<&plan::Guard>,
        newest: &Tally,
        gone: bool,
    ) -> Option<NodeChange> {
        let rule = rule.filter(|_| !self.tripped)?;
        let requests = newest.requests.saturating_sub(self.requests);
        let failures = newest.failures.saturating_sub(self.failures);
        let max_failure_ratio = rule.max_failure_ratio;
        self.tripped =
            requests >= rule.min_requests && failures as f64 > max_failure_ratio * requests as f64;
        let tripped = NodeChange::GuardTripped { failures, requests, max_failure_ratio, gone };
        self.tripped.then_some(tripped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(requests: u64, failures: u64) -> Tally {
        Tally { requests, failures, ..Tally::default() }
    }

    #[test]
    fn trips_above_the_ratio_once_there_are_enough_requests() {
        let rule = plan::Guard { max_failure_ratio: 0.2, min_requests: 100 };
        let look = |requests: u64, failures: u64| {
            let mut guard = Guard::armed(&tally(50, 50));
            let event = guard.look(Some(&rule), &tally(50 + requests, 50 + failures), false);
            assert_eq!(event.is_some(), guard.tripped());
            guard.tripped()
        };
        assert!(!look(99, 99));
        assert!(!look(100, 20));
        assert!(look(100, 21));
    }

    #[test]
    fn says_so_once_and_stays_tripped() {
        let rule = plan::Guard { max_failure_ratio: 0.5, min_requests: 1 };
        let mut guard = Guard::armed(&tally(0, 0));
        assert!(guard.look(Some(&rule), &tally(2, 2), false).is_some());
        assert!(guard.look(Some(&rule), &tally(200, 2), false).is_none());
        assert!(guard.tripped());
        assert!(!Guard::default().tripped());
        assert!(Guard::default().look(None, &tally(9, 9), false).is_none());
    }
}
