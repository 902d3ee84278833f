//! Splits: which version owns which bucket.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::layout;
use crossfade_protocol::share::{BUCKETS, Share};

/// A table of bucket ranges, one version each, that covers all 10,000.
///
/// The plain layout puts the newest version first, so that the new version of two
/// owns `[0, n)` and a growing weight only ever adds to it. [`Split::reweighted`]
/// keeps every bucket where it is unless it has to move.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Split {
    /// `(end, version)`: from the previous end (or 0) up to `end`, exclusive.
    ranges: Vec<(u16, u16)>,
}

impl Split {
    /// The plain layout for `weights[i]`, the weight of version `i`.
    ///
    /// All weights zero: everything to version 0. (A plan cannot say that.)
    pub fn new(weights: &[u32]) -> Split {
        Split { ranges: layout::plain(weights) }
    }

    /// A table written out: `(end, version)` with ends that rise to 10,000.
    pub fn from_ranges(ranges: Vec<(u16, u16)>) -> Split {
        debug_assert_eq!(ranges.last().map(|range| range.0), Some(BUCKETS));
        Split { ranges }
    }

    /// The table as `(end, version)`.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// The share of the buckets that `version` owns.
    pub fn share_of(&self, version: u16) -> Share {
        let mut from = 0;
        let mut owned = 0;
        for (end, owner) in &self.ranges {
            if *owner == version {
                owned += end - from;
            }
            from = *end;
        }
        Share::from_buckets(owned).unwrap_or_default()
    }

    /// The version that owns `bucket`.
    pub fn version(&self, bucket: u16) -> u16 {
        let range = self.ranges.iter().find(|(end, _)| bucket < *end);
        range.map_or(0, |(_, version)| *version)
    }

    /// A table for other weights in which the least possible number of buckets has
    /// changed its owner: half the sum of the differences.
    ///
    /// Version 0 gives its lowest buckets away, every other its highest, so that with
    /// two versions the result is the plain layout again.
    pub fn reweighted(&self, weights: &[u32]) -> Split {
        let target = layout::counts(weights);
        let mut owners = self.owners();
        let mut surplus: Vec<i32> = target.iter().map(|count| -i32::from(*count)).collect();
        for owner in &owners {
            if let Some(surplus) = surplus.get_mut(usize::from(*owner)) {
                *surplus += 1;
            }
        }
        let mut free = vec![false; owners.len()];
        let mut give = |bucket: usize, from_stable: bool, surplus: &mut Vec<i32>| {
            let owner = usize::from(owners[bucket]);
            // An owner that is no longer in the list gives everything.
            let gives = surplus.get(owner).is_none_or(|surplus| *surplus > 0);
            if gives && (owner == 0) == from_stable {
                if let Some(surplus) = surplus.get_mut(owner) {
                    *surplus -= 1;
                }
                free[bucket] = true;
            }
        };
        for bucket in 0..usize::from(BUCKETS) {
            give(bucket, true, &mut surplus);
        }
        for bucket in (0..usize::from(BUCKETS)).rev() {
            give(bucket, false, &mut surplus);
        }
        // Newest versions take the lowest free buckets, as in the plain layout.
        let mut takers = (0..target.len()).rev().flat_map(|version| {
            std::iter::repeat_n(version as u16, usize::try_from(-surplus[version]).unwrap_or(0))
        });
        for (owner, _) in owners.iter_mut().zip(free).filter(|(_, free)| *free) {
            *owner = takers.next().unwrap_or(0);
        }
        Split::of_owners(&owners)
    }

    fn owners(&self) -> Vec<u16> {
        let mut owners = Vec::with_capacity(usize::from(BUCKETS));
        for (end, version) in &self.ranges {
            owners.resize(usize::from(*end), *version);
        }
        owners.resize(usize::from(BUCKETS), 0);
        owners
    }

    fn of_owners(owners: &[u16]) -> Split {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (bucket, owner) in owners.iter().enumerate() {
            let end = bucket as u16 + 1;
            match ranges.last_mut() {
                Some((last_end, version)) if version == owner => *last_end = end,
                _ => ranges.push((end, *owner)),
            }
        }
        Split { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_new_version_owns_the_lowest_buckets() {
        assert_eq!(Split::new(&[90, 10]).ranges(), [(1000, 1), (10_000, 0)]);
        assert_eq!(Split::new(&[1, 1, 1]).ranges(), [(3333, 2), (6666, 1), (10_000, 0)]);
        assert_eq!(Split::new(&[0, 5]).ranges(), [(10_000, 1)]);
    }

    #[test]
    fn a_share_counts_all_ranges_of_a_version() {
        let split = Split::from_ranges(vec![(100, 1), (400, 0), (1000, 1), (10_000, 2)]);
        assert_eq!([0, 1, 2, 3].map(|v| split.share_of(v).buckets()), [300, 700, 9000, 0]);
    }

    #[test]
    fn two_versions_always_come_back_to_the_plain_layout() {
        let mut split = Split::new(&[100, 0]);
        for canary in [1, 5, 50, 20, 100, 3, 0] {
            split = split.reweighted(&[100 - canary, canary]);
            assert_eq!(split, Split::new(&[100 - canary, canary]));
        }
    }

    fn moved(a: &Split, b: &Split) -> u32 {
        (0..BUCKETS).filter(|bucket| a.version(*bucket) != b.version(*bucket)).count() as u32
    }

    proptest! {
        #[test]
        fn reweighting_moves_exactly_the_least_number_of_buckets(
            history in prop::collection::vec(prop::collection::vec(0u32..1000, 4), 2..8)
        ) {
            let mut split = Split::new(&history[0]);
            for weights in &history[1..] {
                let next = split.reweighted(weights);
                let tally = |split: &Split| {
                    let mut n = [0i32; 4];
                    (0..BUCKETS).for_each(|b| n[usize::from(split.version(b))] += 1);
                    n
                };
                let (before, after) = (tally(&split), tally(&next));
                let wanted: Vec<i32> = layout::counts(weights).into_iter().map(i32::from).collect();
                prop_assert_eq!(after.to_vec(), wanted);
                let least: u32 = before.iter().zip(after).map(|(a, b)| a.abs_diff(b)).sum::<u32>() / 2;
                prop_assert_eq!(moved(&split, &next), least);
                split = next;
            }
        }

        #[test]
        fn raising_the_new_version_never_takes_a_bucket_from_it(
            low in 0u32..=10_000, high in 0u32..=10_000
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let before = Split::new(&[10_000 - low, low]);
            let after = Split::new(&[10_000 - high, high]);
            for bucket in 0..BUCKETS {
                prop_assert!(before.version(bucket) == 0 || after.version(bucket) == 1);
            }
        }
    }
}
