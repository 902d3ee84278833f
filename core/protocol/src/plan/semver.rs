//! Version requirements of client software: `>=2.4`, `>=2.4, <3`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Serialize, Serializer};

/// A client's version, read leniently: `v2.4` is `2.4.0`.
///
/// Precedence is that of Semantic Versioning 2.0.0, section 11: `2.4.0-rc.1` comes
/// before `2.4.0`, build metadata does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkVersion(Version);

impl FromStr for SdkVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<SdkVersion, String> {
        let text = text.trim();
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let core_len = bare.find(['-', '+']).unwrap_or(bare.len());
        let (core, rest) = bare.split_at(core_len);
        let padded = match core.matches('.').count() {
            0 => Cow::Owned(format!("{core}.0.0{rest}")),
            1 => Cow::Owned(format!("{core}.0{rest}")),
            // The usual case, and a decision reads it: nothing is allocated.
            _ => Cow::Borrowed(bare),
        };
        let not_a_version = |_| format!("`{}` is not a semantic version", crate::json::shown(text));
        Version::parse(&padded).map(SdkVersion).map_err(not_a_version)
    }
}

impl SdkVersion {
    fn compare(&self, other: &SdkVersion) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

/// One comparison of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `=`
    Exactly,
    /// `!=`
    Not,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("!=", Comparison::Not),
    (">", Comparison::Above),
    ("<", Comparison::Below),
    ("=", Comparison::Exactly),
];

/// Comparisons that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement(Vec<(Comparison, SdkVersion)>);

impl Requirement {
    /// Whether `version` satisfies every comparison.
    pub fn matches(&self, version: &SdkVersion) -> bool {
        self.0.iter().all(|(comparison, wanted)| {
            let order = version.compare(wanted);
            match comparison {
                Comparison::AtLeast => order.is_ge(),
                Comparison::Above => order.is_gt(),
                Comparison::AtMost => order.is_le(),
                Comparison::Below => order.is_lt(),
                Comparison::Exactly => order.is_eq(),
                Comparison::Not => order.is_ne(),
            }
        })
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let mut comparisons = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
                part.strip_prefix(sign).map(|version| (*comparison, version))
            });
            let Some((comparison, version)) = found else {
                return Err(format!(
                    "`{}` does not begin with one of >=, >, <=, <, =, !=",
                    crate::json::shown(part)
                ));
            };
            comparisons.push((comparison, version.parse()?));
        }
        Ok(Requirement(comparisons))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (comparison, version)) in self.0.iter().enumerate() {
            let sign =
                COMPARISONS.iter().find(|(_, c)| c == comparison).map_or("", |(sign, _)| sign);
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{sign}{}", version.0)?;
        }
        Ok(())
    }
}

impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requirement: &str, yes: &[&str], no: &[&str]) {
        let requirement: Requirement = requirement.parse().unwrap();
        for version in yes {
            assert!(requirement.matches(&version.parse().unwrap()), "{requirement}: {version}");
        }
        for version in no {
            assert!(!requirement.matches(&version.parse().unwrap()), "{requirement}: {version}");
        }
    }

    #[test]
    fn compares_by_precedence() {
        check(
            ">=2.4",
            &["2.4", "2.4.0", "v2.10.0", "3", "2.5.0-beta"],
            &["2.3.9", "2.4.0-rc.1", "1"],
        );
        check(">=2.4, <3", &["2.4.0", "2.99", "3.0.0-alpha"], &["3.0.0", "2.3"]);
        check("=1.2.3", &["1.2.3", "1.2.3+build.5"], &["1.2.4", "1.2.3-rc"]);
        check("!=1.2.3", &["1.2.4"], &["1.2.3"]);
        check(">1, <=2", &["1.0.1", "2.0.0"], &["1", "2.0.1"]);
    }

    #[test]
    fn says_what_it_cannot_read() {
        assert!("2.4".parse::<Requirement>().unwrap_err().contains("does not begin with"));
        assert!(">=x".parse::<Requirement>().unwrap_err().contains("not a semantic version"));
        assert!("Mozilla/5.0".parse::<SdkVersion>().is_err());
        assert!("1.2.3.4".parse::<SdkVersion>().is_err());
        assert!("".parse::<SdkVersion>().is_err());
    }
}
