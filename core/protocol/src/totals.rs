//! What one node has counted since it started.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::limits::NAME_BYTES_MAX;

/// Cumulative counts of one node since its epoch.
///
/// Sent upwards as often as one likes: a lost, repeated or overtaken report changes
/// nothing, since only the newest of each node and epoch counts. A node that restarts
/// draws a new epoch and counts from zero again; its old epoch keeps what it had.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
pub struct Totals {
    /// The node's name.
    pub node: String,
    /// The id of this run of the node.
    #[serde(with = "hex")]
    pub epoch: u64,
    /// Grows with every report of this epoch.
    pub sequence: u64,
    /// Revision of the policy that was in force when this was written.
    pub revision: u64,
    /// Counts by version, in the policy's order.
    pub versions: Vec<VersionTotals>,
}

impl Totals {
    /// Reads a report.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &[u8]) -> Result<Totals, Fault> {
        let totals: Totals =
            crate::json::read(json).map_err(|e| Fault::malformed(format!("not totals: {e}")))?;
        // Every source is kept, so its name is bounded.
        if totals.node.is_empty() || totals.node.len() > NAME_BYTES_MAX {
            let text = format!(
                "not totals: a node's name has 1 to {NAME_BYTES_MAX} bytes, this has {}",
                totals.node.len()
            );
            return Err(Fault::malformed(text));
        }
        Ok(totals)
    }

    /// Writes the report as one line.
    pub fn write(&self, out: &mut Vec<u8>) {
        crate::reply::write_json(out, self);
        out.push(b'\n');
    }
}

/// Counts of one version.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
pub struct VersionTotals {
    /// The version's name.
    pub version: String,
    /// Requests that were decided to go to it.
    pub routed: u64,
    /// Requests whose outcome was reported.
    pub requests: u64,
    /// How many of those failed.
    pub failures: u64,
    /// Latency counts as `[bucket, count]`, buckets in order, empty ones left out.
    pub latency: Vec<(u8, u64)>,
    /// What it answered that nobody got. A snapshot keeps it in a part of its own.
    #[serde(default, skip_serializing_if = "ShadowTotals::is_nothing")]
    #[borsh(skip)]
    pub shadow: ShadowTotals,
}

/// Requests that an old version answered and this one was asked as well, for comparison.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(default)]
pub struct ShadowTotals {
    /// Answers that were compared, those that never came among them.
    pub compared: u64,
    /// How many of those differed from the old version's.
    pub differed: u64,
    /// How many of those that differed were failures: 500 to 599, or no answer in time.
    pub failures: u64,
    /// Requests that should have been mirrored and were not, for want of room or time.
    pub dropped: u64,
}

impl ShadowTotals {
    fn is_nothing(&self) -> bool {
        *self == ShadowTotals::default()
    }

    /// What can be: of the compared some differed, and of those some failed.
    #[must_use]
    pub fn bounded(self) -> ShadowTotals {
        let differed = self.differed.min(self.compared);
        ShadowTotals { differed, failures: self.failures.min(differed), ..self }
    }

    /// With another's counts.
    #[must_use]
    pub fn plus(self, other: ShadowTotals) -> ShadowTotals {
        self.with(other, u64::saturating_add)
    }

    /// What was counted since `before`; what went back counts as nothing.
    #[must_use]
    pub fn since(self, before: ShadowTotals) -> ShadowTotals {
        self.with(before, u64::saturating_sub).bounded()
    }

    /// The larger of each count.
    #[must_use]
    pub fn max(self, other: ShadowTotals) -> ShadowTotals {
        self.with(other, u64::max)
    }

    fn with(self, other: ShadowTotals, what: fn(u64, u64) -> u64) -> ShadowTotals {
        ShadowTotals {
            compared: what(self.compared, other.compared),
            differed: what(self.differed, other.differed),
            failures: what(self.failures, other.failures),
            dropped: what(self.dropped, other.dropped),
        }
    }
}

/// 64-bit ids as text, since JSON numbers end at 2^53 for many readers.
pub(crate) mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{id:016x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| D::Error::custom("not 16 hexadecimal digits"))
    }

    /// Rust reads a plus sign as well.
    pub(crate) fn read(text: &str) -> Option<u64> {
        let digits = Some(text).filter(|text| !text.starts_with('+'))?;
        u64::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_name_is_bounded_just_at_the_limit() {
        let read = |bytes: usize| {
            let node = "n".repeat(bytes);
            let report = format!(
                r#"{{"node":"{node}","epoch":"1","sequence":1,"revision":1,"versions":[]}}"#
            );
            Totals::read(report.as_bytes())
        };
        assert!(read(1).is_ok() && read(NAME_BYTES_MAX).is_ok());
        for bytes in [0, NAME_BYTES_MAX + 1] {
            let text = read(bytes).unwrap_err().text;
            assert_eq!(
                text,
                format!("not totals: a node's name has 1 to 128 bytes, this has {bytes}")
            );
        }
    }
}
