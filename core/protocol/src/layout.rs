//! Weights to buckets: how many of the 10,000 each version owns, and which.
//!
//! Everyone who lays a split out without an engine (a route table for a proxy, a query)
//! has to come to the same buckets, so the arithmetic stands in the contract.

use crate::share::BUCKETS;

/// The plain layout for `weights[i]`, the weight of version `i`: `(end, version)`, each
/// from the end before it (or 0), newest version first; versions without a bucket are
/// left out. All weights zero: everything to version 0.
pub fn plain(weights: &[u32]) -> Vec<(u16, u16)> {
    let mut ranges = Vec::new();
    let mut end = 0;
    for (version, count) in counts(weights).into_iter().enumerate().rev() {
        if count > 0 {
            end += count;
            ranges.push((end, version as u16));
        }
    }
    ranges
}

/// 10,000 buckets divided in proportion to the weights, by largest remainder; on a
/// tie the older version gets the bucket.
pub fn counts(weights: &[u32]) -> Vec<u16> {
    apportion(weights, BUCKETS)
}

/// `total` divided in proportion to the weights, by largest remainder (Hamilton's
/// method); on a tie the earlier entry gets the unit.
pub fn apportion<W: Copy + Into<u64>>(weights: &[W], total: u16) -> Vec<u16> {
    // So that no product or sum overflows. Only weights over 2^40 or so lose a digit.
    // (In u128, whose tables are aligned to 16 bytes, this function corrupted the heap of
    // the optimised wasm module; the compiler's fault, shown by `tests/vectors`.)
    let bits = |n: u64| u64::BITS - n.leading_zeros();
    let largest = weights.iter().map(|w| (*w).into()).max().unwrap_or_default();
    let needed = bits(largest) + bits(total.into()) + bits(weights.len() as u64);
    let shift = needed.saturating_sub(u64::BITS);
    let weight = |w: &W| (*w).into() >> shift;
    let sum: u64 = weights.iter().map(weight).sum();
    if sum == 0 {
        let mut all_to_first = vec![0; weights.len()];
        if let Some(first) = all_to_first.first_mut() {
            *first = total;
        }
        return all_to_first;
    }
    let scaled = weights.iter().map(|w| weight(w) * u64::from(total));
    let parts: Vec<(u64, u64)> = scaled.map(|s| (s / sum, s % sum)).collect();
    let mut counts: Vec<u16> = parts.iter().map(|(whole, _)| *whole as u16).collect();
    let mut remainders: Vec<u64> = parts.iter().map(|(_, rest)| *rest).collect();
    for _ in counts.iter().sum::<u16>()..total {
        // The earliest of the largest; fewer are missing than there are entries.
        let largest = remainders.iter().enumerate().rev().max_by_key(|(_, rest)| **rest);
        let Some((place, _)) = largest else { break };
        counts[place] += 1;
        remainders[place] = 0;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_go_to_the_largest_first() {
        assert_eq!(apportion(&[1u32, 1, 1], 100), [34, 33, 33]);
        assert_eq!(apportion(&[200u32, 800], 100), [20, 80]);
        assert_eq!(apportion(&[1u32, 999], 100), [0, 100]);
        assert_eq!(apportion(&[0u64, 0], 100), [100, 0]);
        assert_eq!(apportion(&[u64::MAX, u64::MAX], 100), [50, 50]);
    }

    #[test]
    fn the_newest_version_has_the_lowest_buckets() {
        assert_eq!(plain(&[90, 10]), [(1000, 1), (10_000, 0)]);
        assert_eq!(plain(&[1, 0, 1]), [(5000, 2), (10_000, 0)]);
        assert_eq!(plain(&[0, 0]), [(10_000, 0)]);
    }
}
