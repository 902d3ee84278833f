//! What counts as healthy.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::read::Node;
use crate::share::Minutes;

/// The health gate of a rollout. `docs/statistics.md` says what the numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Gate {
    /// Failures of the new version against the old one.
    pub failures: FailureGate,
    /// Latency; not gated when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// A bound on the new version's failures that does not depend on the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<FailureSlo>,
    /// What a step does that ends without evidence either way.
    pub on_inconclusive: OnInconclusive,
    /// What happens when reports stop coming.
    pub on_missing_data: MissingDataPolicy,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            failures: FailureGate::default(),
            latency: None,
            slo: None,
            on_inconclusive: OnInconclusive::Hold,
            on_missing_data: MissingDataPolicy::default(),
        }
    }
}

/// Failures of the new version against the old one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct FailureGate {
    /// How many times the old version's failure rate the new one may have before it
    /// counts as worse, 1 or more.
    pub margin: f64,
    /// What "not worse" has to prove.
    pub not_worse: NotWorse,
    /// Chance of rolling a healthy version back, over the whole rollout.
    pub alpha: f64,
    /// Chance of calling a worse version healthy, per step.
    pub beta: f64,
    /// Below this estimated ratio the new version is not taken back, however sure it is
    /// that it is worse; 1 or more.
    pub min_effect: f64,
}

impl Default for FailureGate {
    fn default() -> FailureGate {
        FailureGate {
            margin: 1.0,
            not_worse: NotWorse { ratio: 1.5, points: 0.5 },
            alpha: 0.005,
            beta: 0.05,
            min_effect: 1.1,
        }
    }
}

/// "Not worse" is proven below either bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct NotWorse {
    /// Times the old version's failure rate.
    pub ratio: f64,
    /// Percentage points above the old version's failure rate.
    pub points: f64,
}

/// Latency of the new version: against the old one, against a bound, or both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct LatencyGate {
    /// Whether it is taken back when it is slower than the old one, by more than the 10 %
    /// that the histogram can tell apart.
    pub slower_than_old: bool,
    /// A bound in milliseconds; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo_ms: Option<f64>,
    /// The quantile that must stay under the bound.
    pub quantile: f64,
}

/// At most this share of the new version's requests may fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct FailureSlo {
    /// The share, above 0 and below 1: 0.005 is 0.5 %.
    pub max_failure_ratio: f64,
}

/// What a step does that ends without evidence either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// Waits for evidence.
    Hold,
    /// Goes on: nothing worse was detected.
    Advance,
}

/// What happens when no report has come for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct MissingDataPolicy {
    /// How long nothing may come.
    pub after_minutes: Minutes,
    /// What happens then.
    pub then: MissingData,
}

impl Default for MissingDataPolicy {
    fn default() -> MissingDataPolicy {
        MissingDataPolicy { after_minutes: Minutes::from_ms(600_000), then: MissingData::Hold }
    }
}

/// What missing reports lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingData {
    /// The step waits.
    Hold,
    /// The step goes on.
    Advance,
    /// The new version is taken back.
    RollBack,
}

const INCONCLUSIVE: [(&str, OnInconclusive); 2] =
    [("hold", OnInconclusive::Hold), ("advance", OnInconclusive::Advance)];

const MISSING: [(&str, MissingData); 3] = [
    ("hold", MissingData::Hold),
    ("advance", MissingData::Advance),
    ("roll_back", MissingData::RollBack),
];

/// A gate, with a document's defaults for what is not written.
pub(crate) fn read_gate(node: &Node<'_, '_>) -> Option<Gate> {
    let fields = node.object()?;
    let failures = fields.get("failures").map(|node| read_failures(&node));
    let latency = fields.get("latency").map(|node| read_latency(&node));
    let slo = fields.get("slo").map(|node| read_slo(&node));
    let on_inconclusive = fields.get("on_inconclusive").map(|node| node.word(&INCONCLUSIVE));
    let on_missing = fields.get("on_missing_data").map(|node| read_missing(&node));
    fields.refuse_unknown();
    let default = Gate::default();
    Some(Gate {
        failures: failures.unwrap_or(Some(default.failures))?,
        latency: latency.map_or(Some(None), |latency| latency.map(Some))?,
        slo: slo.map_or(Some(None), |slo| slo.map(Some))?,
        on_inconclusive: on_inconclusive.unwrap_or(Some(default.on_inconclusive))?,
        on_missing_data: on_missing.unwrap_or(Some(default.on_missing_data))?,
    })
}

/// Above 0 and below 1.
fn probability(node: &Node<'_, '_>) -> Option<f64> {
    node.number(|p| p > 0.0 && p < 1.0, "not a probability above 0 and below 1")
}

fn read_failures(node: &Node<'_, '_>) -> Option<FailureGate> {
    let default = FailureGate::default();
    let fields = node.object()?;
    let margin = fields.get("margin").map(|node| {
        node.number(
            |m| (1.0..=10.0).contains(&m),
            "not a margin: 1 (as good as the old version) to 10",
        )
    });
    let not_worse = fields.get("not_worse").map(|node| {
        let fields = node.object()?;
        let ratio = fields
            .get("ratio")
            .map(|node| node.number(|r| r > 1.0 && r <= 10.0, "not a ratio above 1, up to 10"));
        let points = fields.get("points").map(|node| {
            node.number(|p| p > 0.0 && p <= 50.0, "not percentage points above 0, up to 50")
        });
        fields.refuse_unknown();
        Some(NotWorse {
            ratio: ratio.unwrap_or(Some(default.not_worse.ratio))?,
            points: points.unwrap_or(Some(default.not_worse.points))?,
        })
    });
    let alpha = fields.get("alpha").map(|node| probability(&node));
    let beta = fields.get("beta").map(|node| probability(&node));
    let min_effect = fields.get("min_effect").map(|node| {
        node.number(|m| (1.0..=10.0).contains(&m), "not a ratio of failure rates from 1 to 10")
    });
    fields.refuse_unknown();
    Some(FailureGate {
        margin: margin.unwrap_or(Some(default.margin))?,
        not_worse: not_worse.unwrap_or(Some(default.not_worse))?,
        alpha: alpha.unwrap_or(Some(default.alpha))?,
        beta: beta.unwrap_or(Some(default.beta))?,
        min_effect: min_effect.unwrap_or(Some(default.min_effect))?,
    })
}

fn read_latency(node: &Node<'_, '_>) -> Option<LatencyGate> {
    let fields = node.object()?;
    let slower = fields.get("slower_than_old").map(|node| node.flag());
    let slo_ms = fields.get("slo_ms").map(|node| {
        node.number(|ms| ms > 0.0 && ms <= 180_000.0, "not milliseconds above 0, up to 180000")
    });
    let quantile = fields.get("quantile").map(|node| probability(&node));
    fields.refuse_unknown();
    let slo_ms = slo_ms.map_or(Some(None), |ms| ms.map(Some))?;
    let slower_than_old = slower.unwrap_or(Some(true))?;
    if slo_ms.is_none() && !slower_than_old {
        return node.note("asks nothing: give `slo_ms`, or leave `slower_than_old` on");
    }
    Some(LatencyGate { slower_than_old, slo_ms, quantile: quantile.unwrap_or(Some(0.99))? })
}

fn read_slo(node: &Node<'_, '_>) -> Option<FailureSlo> {
    let fields = node.object()?;
    let max = fields
        .require("max_failure_ratio", "the share of requests that may fail, such as 0.005")
        .and_then(|node| node.number(|r| r > 0.0 && r < 1.0, "not a ratio above 0 and below 1"));
    fields.refuse_unknown();
    Some(FailureSlo { max_failure_ratio: max? })
}

fn read_missing(node: &Node<'_, '_>) -> Option<MissingDataPolicy> {
    let default = MissingDataPolicy::default();
    let fields = node.object()?;
    let after = fields.get("after_minutes").map(|node| node.minutes());
    let then = fields.get("then").map(|node| node.word(&MISSING));
    fields.refuse_unknown();
    Some(MissingDataPolicy {
        after_minutes: after.unwrap_or(Some(default.after_minutes))?,
        then: then.unwrap_or(Some(default.then))?,
    })
}
