//! Latency: a histogram that merges by addition.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

/// Buckets of the histogram.
pub const LATENCY_BUCKETS: usize = 128;

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.1;

/// `LOWER_MS[i]` is where bucket `i` begins: 1.1^i milliseconds, by repeated
/// multiplication, so that it has the same bits everywhere.
pub const LOWER_MS: [f64; LATENCY_BUCKETS] = {
    let mut bounds = [1.0; LATENCY_BUCKETS];
    let mut i = 1;
    while i < LATENCY_BUCKETS {
        bounds[i] = bounds[i - 1] * GROWTH;
        i += 1;
    }
    bounds
};

/// Counts of latencies in 128 buckets that grow by 10 %, from 1 ms to about 3 minutes:
/// a quantile is known within 10 %. Shorter ones are in the first bucket, longer ones
/// in the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; LATENCY_BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; LATENCY_BUCKETS] }
    }
}

impl Histogram {
    /// The bucket of a latency; NaN is in the first.
    pub fn bucket(latency_ms: f64) -> usize {
        LOWER_MS.partition_point(|lower| *lower <= latency_ms).saturating_sub(1)
    }

    /// Counts `count` requests that took `latency_ms`.
    pub fn record(&mut self, latency_ms: f64, count: u64) {
        self.add(Histogram::bucket(latency_ms), count);
    }

    /// Adds to one bucket; a bucket that does not exist is the last.
    pub fn add(&mut self, bucket: usize, count: u64) {
        let slot = &mut self.counts[bucket.min(LATENCY_BUCKETS - 1)];
        *slot = slot.saturating_add(count);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// The counts.
    pub fn counts(&self) -> &[u64; LATENCY_BUCKETS] {
        &self.counts
    }

    /// Requests counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Upper end, in milliseconds, of the bucket that holds the `q`-quantile, or `None`
    /// while nothing was counted. The last bucket has no upper end: its lower one is given.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        // The smallest rank that reaches the quantile, 1 to total.
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0u64;
        let bucket = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        Some(LOWER_MS[(bucket + 1).min(LATENCY_BUCKETS - 1)])
    }

    /// `[bucket, count]` of the buckets that are not empty, in order.
    pub fn sparse(&self) -> Vec<(u8, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (bucket as u8, *count)).collect()
    }

    /// The histogram of sparse counts.
    pub fn from_sparse(counts: &[(u8, u64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (bucket, count) in counts {
            histogram.add(usize::from(*bucket), *count);
        }
        histogram
    }
}

/// Written down without its empty buckets.
impl BorshSerialize for Histogram {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.sparse().serialize(writer)
    }
}

impl BorshDeserialize for Histogram {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Histogram> {
        let sparse: Vec<(u8, u64)> = Vec::deserialize_reader(reader)?;
        Ok(Histogram::from_sparse(&sparse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_where_they_say() {
        for (bucket, lower) in LOWER_MS.iter().enumerate() {
            assert_eq!(Histogram::bucket(*lower), bucket);
            assert_eq!(Histogram::bucket(lower * 1.099), bucket);
        }
        assert_eq!(Histogram::bucket(0.0), 0);
        assert_eq!(Histogram::bucket(f64::NAN), 0);
        assert_eq!(Histogram::bucket(1e12), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_one_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for ms in 1..=1000 {
            histogram.record(f64::from(ms), 1);
        }
        for (q, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0), (0.0, 1.0)] {
            let got = histogram.quantile_ms(q).unwrap();
            assert!(got > exact && got <= exact * GROWTH * 1.001, "{q}: {got}");
        }
    }

    #[test]
    fn merging_is_adding_and_sparse_is_lossless() {
        let mut a = Histogram::default();
        a.record(5.0, 3);
        a.record(70.0, u64::MAX);
        let mut b = Histogram::default();
        b.record(70.0, 2);
        b.merge(&a);
        assert_eq!(b.counts()[Histogram::bucket(70.0)], u64::MAX);
        assert_eq!(Histogram::from_sparse(&b.sparse()), b);
    }
}
