//! Shares, weights and durations: the numbers of a plan, parsed once into integers.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::limits::{MINUTES_MAX, WEIGHT_MAX};

/// Buckets that a key can fall into; a share owns a whole number of them.
pub const BUCKETS: u16 = 10_000;

/// A share of the traffic in hundredths of a percent, 0 to 10,000.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Share(u16);

impl Share {
    /// Nothing.
    pub const ZERO: Share = Share(0);
    /// Everything.
    pub const FULL: Share = Share(BUCKETS);

    /// The share of a percentage, or `None` unless it is 0 to 100 in steps of 0.01.
    pub fn from_percent(percent: f64) -> Option<Share> {
        let hundredths = hundredths(percent, 100.0)?;
        u16::try_from(hundredths).ok().map(Share)
    }

    /// The share of `buckets` out of 10,000, or `None` when there are more.
    pub fn from_buckets(buckets: u16) -> Option<Share> {
        (buckets <= BUCKETS).then_some(Share(buckets))
    }

    /// How many of the 10,000 buckets it owns.
    pub fn buckets(self) -> u16 {
        self.0
    }

    /// The share as a percentage, 0.0 to 100.0.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Share {
    /// `10 %`, `0.05 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl Serialize for Share {
    /// As a percentage: `10`, or `0.05`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(u64::from(self.0), serializer)
    }
}

/// What is said of a number that is no share.
pub const NOT_A_PERCENTAGE: &str = "not a percentage: 0 to 100 in steps of 0.01";

/// The weight of one version in a split, in hundredths: 0 to 1,000,000 in steps of 0.01.
///
/// Weights need not sum to anything; only their proportions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weight(u32);

impl Weight {
    /// The weight of a number, or `None` when it is negative, too large or too fine.
    pub fn from_number(number: f64) -> Option<Weight> {
        u32::try_from(hundredths(number, f64::from(WEIGHT_MAX))?).ok().map(Weight)
    }

    /// Hundredths of the number written.
    pub fn hundredths(self) -> u32 {
        self.0
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(u64::from(self.0), serializer)
    }
}

/// A length of time, written in minutes and kept in milliseconds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Minutes(u64);

impl Minutes {
    /// No time at all.
    pub const ZERO: Minutes = Minutes(0);

    /// From a number of minutes, rounded to the millisecond; `None` when it is
    /// negative or longer than ten years.
    pub fn from_number(minutes: f64) -> Option<Minutes> {
        let fits = (0.0..=f64::from(MINUTES_MAX)).contains(&minutes);
        fits.then(|| Minutes(round(minutes * 60_000.0)))
    }

    /// From whole milliseconds.
    pub fn from_ms(ms: u64) -> Minutes {
        Minutes(ms)
    }

    /// The length in milliseconds.
    pub fn ms(self) -> u64 {
        self.0
    }

    /// The length in minutes.
    pub fn minutes(self) -> f64 {
        self.0 as f64 / 60_000.0
    }
}

impl Serialize for Minutes {
    /// As a number of minutes, whole where it is whole.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(60_000) {
            serializer.serialize_u64(self.0 / 60_000)
        } else {
            serializer.serialize_f64(self.minutes())
        }
    }
}

fn serialize_hundredths<S: Serializer>(hundredths: u64, serializer: S) -> Result<S::Ok, S::Error> {
    if hundredths.is_multiple_of(100) {
        serializer.serialize_u64(hundredths / 100)
    } else {
        serializer.serialize_f64(hundredths as f64 / 100.0)
    }
}

/// `number` in hundredths, when it is a whole number of them from 0 to `max`.
///
/// Exact: a literal such as `0.07` is the double nearest to it, and so is the
/// quotient 7 / 100, so the two compare equal.
fn hundredths(number: f64, max: f64) -> Option<u64> {
    if !(0.0..=max).contains(&number) {
        return None;
    }
    let hundredths = round(number * 100.0);
    (hundredths as f64 / 100.0 == number).then_some(hundredths)
}

/// Nearest whole number of a non-negative, finite one; the same on every platform.
fn round(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_of_a_percent_is_a_share_and_nothing_finer() {
        for buckets in 0..=BUCKETS {
            let text = format!("{}.{:02}", buckets / 100, buckets % 100);
            let share = Share::from_percent(text.parse().unwrap()).unwrap();
            assert_eq!(share.buckets(), buckets, "{text}");
            let json = serde_json::to_string(&share).unwrap();
            assert_eq!(Share::from_percent(json.parse().unwrap()), Some(share), "{json}");
        }
        for bad in [-0.01, -1.0, 100.01, 101.0, 0.005, 33.333, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Share::from_percent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_whole_share_is_written_without_a_point() {
        assert_eq!(serde_json::to_string(&Share::from_percent(50.0)).unwrap(), "50");
        assert_eq!(serde_json::to_string(&Share::from_percent(0.05)).unwrap(), "0.05");
    }

    #[test]
    fn minutes_keep_milliseconds() {
        assert_eq!(Minutes::from_number(0.001).unwrap().ms(), 60);
        assert_eq!(serde_json::to_string(&Minutes::from_number(90.0)).unwrap(), "90");
        assert_eq!(serde_json::to_string(&Minutes::from_number(0.5)).unwrap(), "0.5");
        assert_eq!(Minutes::from_number(-1.0), None);
        assert_eq!(Minutes::from_number(f64::from(MINUTES_MAX) + 1.0), None);
        assert_eq!(Minutes::from_number(f64::NAN), None);
    }

    #[test]
    fn weights_stop_at_their_limit() {
        let max = f64::from(WEIGHT_MAX);
        assert!(Weight::from_number(max).is_some());
        assert!(Weight::from_number(max + 1.0).is_none());
        assert!(Weight::from_number(0.005).is_none());
    }
}
