//! The plan document: one document for everything a migration is.
//!
//! A policy is its compiled routing part. Reading never stops at the first problem:
//! [`Plan::read`] gives the whole plan or every problem in it, each with its path.
//! A plan is written back in the same shape, with defaults left out, so that what
//! `get_config` answers can be read again.

mod brownout;
mod clients;
mod condition;
mod dates;
mod ends;
mod gate;
mod headers;
mod instant;
mod read;
mod refusal;
mod rollout;
mod schema;
mod semver;
mod warnings;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

pub(crate) use brownout::brownout_status;
pub use brownout::{Brownout, StopWhen};
pub use clients::{ClientPlan, IdentitySource, PinBack, PinBackMode, listed_bytes};
pub use condition::{Condition, Test};
pub use dates::{Deprecation, Freeze, OldVersionAfter};
pub use ends::{Shadow, SunsetPlan};
pub use gate::{
    FailureGate, FailureSlo, Gate, LatencyGate, MissingData, MissingDataPolicy, NotWorse,
    OnInconclusive,
};
pub use headers::Headers;
pub use instant::Instant;
pub use refusal::Refusal;
pub use rollout::{Approval, EvidenceNeed, RollbackMode, Rollout, Step};
pub use schema::schema;
pub use semver::{Comparison, Requirement, SdkVersion};

use crate::error::{Problem, Problems};
use crate::share::{Minutes, Share, Weight};

pub(crate) use condition::attribute_text;
pub(crate) use gate::read_gate;
pub(crate) use read::read_split;
pub(crate) use rollout::read_steps;

/// The only bucketing function so far; its name stands in every policy.
pub const HASH: &str = "xxh64/1";

/// One migration, as written down by the people who run it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The API that is being migrated.
    pub api: String,
    /// The versions, oldest first.
    pub versions: Versions,
    /// The bucketing function, always [`HASH`].
    pub hash: &'static str,
    /// Where a request's routing key is found.
    pub key: KeySource,
    /// Where an edge finds the attributes that rules look at. One that is not named here
    /// is absent at an edge: no header of a client counts unless the plan says so.
    #[serde(skip_serializing_if = "AttributeSources::is_empty")]
    pub attributes: AttributeSources,
    /// Mixed into the hash; empty keeps the policy exportable to stock Envoy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// Everything to the stable version, whatever else is written.
    #[serde(skip_serializing_if = "is_false")]
    pub kill_switch: bool,
    /// When a node takes the new version away by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Keys that always get the version named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, String>,
    /// Tried in order; the first that matches decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What decides when no pin and no rule did.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// By key (true) or by draw.
    pub sticky: bool,
    /// The steps of a gradual rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What counts as healthy.
    pub gate: Gate,
    /// What clients of the old version are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Deprecation>,
    /// When a share of the old version's calls is refused on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brownouts: Vec<Brownout>,
    /// How clients are told apart, counted, and treated.
    #[serde(skip_serializing_if = "ClientPlan::is_default")]
    pub clients: ClientPlan,
    /// When the old version may go.
    #[serde(skip_serializing_if = "SunsetPlan::is_default")]
    pub sunset: SunsetPlan,
    /// What is compared before anybody is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// How client identities are kept.
    pub privacy: Privacy,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Plan {
    /// Reads and checks a whole document.
    ///
    /// # Errors
    /// Every problem in it, in document order as far as reading goes.
    pub fn read(document: &Value) -> Result<Plan, Problems> {
        crate::read::read(document, read::plan)
    }

    /// What is allowed but probably not meant.
    pub fn warnings(&self) -> Vec<Problem> {
        warnings::of(self)
    }

    /// The plan of a node that was given none: `v1` to `v2`, everything to `v1`.
    pub fn bare() -> Plan {
        Plan {
            api: "api".to_owned(),
            versions: Versions(vec!["v1".to_owned(), "v2".to_owned()]),
            hash: HASH,
            key: KeySource {
                from: KeyFrom::Attribute("user_id".to_owned()),
                on_missing: OnMissingKey::Stable,
            },
            attributes: AttributeSources::default(),
            salt: String::new(),
            kill_switch: false,
            guard: None,
            pins: BTreeMap::new(),
            rules: Vec::new(),
            traffic: Traffic::default(),
            sticky: true,
            rollout: None,
            // The bare protocol advances unless something was detected; a document holds.
            gate: Gate {
                on_inconclusive: OnInconclusive::Advance,
                on_missing_data: MissingDataPolicy {
                    after_minutes: Minutes::ZERO,
                    then: MissingData::Advance,
                },
                ..Gate::default()
            },
            deprecation: None,
            brownouts: Vec::new(),
            clients: ClientPlan::default(),
            sunset: SunsetPlan::default(),
            shadow: None,
            privacy: Privacy::Plain,
        }
    }
}

/// The versions of the API, oldest first: two to [`VERSIONS_MAX`](crate::limits::VERSIONS_MAX)
/// different names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(pub Vec<String>);

impl Versions {
    /// The version that serves when nothing else decides: the first.
    pub fn stable(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The version that a canary percentage and a rollout lead to: the last.
    pub fn new_version(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Where `name` stands in the list.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|version| version == name)
    }

    /// `v1, v2`, for messages.
    pub fn listed(&self) -> String {
        self.0.join(", ")
    }
}

impl Serialize for Versions {
    /// `{from, to}` for two versions, a list for more.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [from, to] = self.0.as_slice() {
            use serde::ser::SerializeMap as _;
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("from", from)?;
            map.serialize_entry("to", to)?;
            map.end()
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// Where the routing key comes from, and what happens without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// Header, cookie, address or attribute.
    pub from: KeyFrom,
    /// What a request without a key gets where a share would decide.
    pub on_missing: OnMissingKey,
}

/// The part of a request that is the routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFrom {
    /// A request header, by its lower-case name.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The peer's address.
    Address,
    /// An attribute that the adapter supplies.
    Attribute(String),
}

impl Serialize for KeySource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        match &self.from {
            KeyFrom::Header(name) => map.serialize_entry("header", name)?,
            KeyFrom::Cookie(name) => map.serialize_entry("cookie", name)?,
            KeyFrom::Attribute(name) => map.serialize_entry("attribute", name)?,
            KeyFrom::Address => map.serialize_entry("address", &true)?,
        }
        if self.on_missing == OnMissingKey::Random {
            map.serialize_entry("on_missing_key", &self.on_missing)?;
        }
        map.end()
    }
}

/// Where attributes are found in an HTTP request, by their names, in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttributeSources(pub Vec<(String, AttributeSource)>);

impl AttributeSources {
    /// Whether no attribute has a source.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where to find this attribute; `None` where it is absent at an edge.
    pub fn get(&self, name: &str) -> Option<&AttributeSource> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, source)| source)
    }
}

impl Serialize for AttributeSources {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, source)| (name, source)))
    }
}

/// The part of an HTTP request that is an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeSource {
    /// A request header, by its lower-case name.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// What a request without a key gets where a share would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingKey {
    /// The stable version.
    #[default]
    Stable,
    /// A version by draw, as if not sticky.
    Random,
}

/// The local emergency brake: acts in the node, on its own counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Guard {
    /// Share of the new version's requests that may fail, 0 to 1.
    pub max_failure_ratio: f64,
    /// Requests of the new version before it may act.
    pub min_requests: u64,
}

/// A condition and where it leads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// Unique in the policy; the salt of its own split is made from it.
    pub name: String,
    /// When it matches; always, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Where it leads.
    #[serde(flatten)]
    pub then: Then,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// To one version.
    To(String),
    /// To a split of its own.
    Split(Split),
}

/// What decides when no pin and no rule did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Traffic {
    /// The stable version.
    #[default]
    Stable,
    /// The last version for a share of the keys, the stable one for the rest.
    Canary(Share),
    /// Weights for any number of versions.
    Split {
        /// The weights as written.
        split: Split,
        /// Which buckets belong to which version, where history has moved them away
        /// from the plain layout; ranges cover 0 to 10,000 in order.
        layout: Option<Vec<BucketRange>>,
    },
}

impl Serialize for Traffic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        match self {
            Traffic::Stable => {}
            Traffic::Canary(share) => map.serialize_entry("canary_percentage", share)?,
            Traffic::Split { split, layout } => {
                map.serialize_entry("split", split)?;
                if let Some(layout) = layout {
                    map.serialize_entry("split_buckets", layout)?;
                }
            }
        }
        map.end()
    }
}

impl Plan {
    /// The buckets of a split, in order and without gaps: laid out as it says, else by
    /// its weights alone. What a policy of this plan, and of nothing before it, decides by.
    pub fn ranges(&self, split: &Split, layout: Option<&[BucketRange]>) -> Vec<BucketRange> {
        if let Some(layout) = layout {
            return layout.to_vec();
        }
        let weight = |version: &String| {
            split.0.iter().find(|(name, _)| name == version).map_or(0, |(_, w)| w.hundredths())
        };
        let weights: Vec<u32> = self.versions.0.iter().map(weight).collect();
        let mut from = 0;
        let range = |(to, version): (u16, u16)| {
            let version = self.versions.0.get(usize::from(version)).cloned().unwrap_or_default();
            let range = BucketRange { version, from, to };
            from = to;
            range
        };
        crate::layout::plain(&weights).into_iter().map(range).collect()
    }
}

/// Weights by version, in the order written; at least one is above zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split(pub Vec<(String, Weight)>);

impl Serialize for Split {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(version, weight)| (version, weight)))
    }
}

/// A run of buckets that belongs to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketRange {
    /// The version.
    pub version: String,
    /// First bucket.
    pub from: u16,
    /// One past the last bucket.
    pub to: u16,
}

/// How client identities are kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// As they came.
    #[default]
    Plain,
    /// As keyed hashes.
    Hashed,
}
