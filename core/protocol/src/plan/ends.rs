//! The two ends of a migration: what is compared before it, and what has to hold before
//! the old version goes.

use serde::Serialize;

use crate::limits::{CLIENTS_NATIVE_MAX, DAYS_MAX, NAME_BYTES_MAX, OUTCOME_COUNT_MAX};
use crate::plan::{Plan, Traffic};
use crate::read::Node;
use crate::share::Share;

/// When the old version may go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SunsetPlan {
    /// How sure one has to be.
    pub confidence: f64,
    /// Whom it takes into account: clients that call again within so many days.
    pub horizon_days: u32,
    /// Days without a call to an old version.
    pub quiet_days: u32,
    /// Days between the deprecation and the sunset.
    pub notice_days: u32,
    /// Clients that may still depend on an old version.
    pub at_most: u64,
}

impl Default for SunsetPlan {
    fn default() -> Self {
        SunsetPlan {
            confidence: 0.95,
            horizon_days: 30,
            quiet_days: 14,
            notice_days: 30,
            at_most: 0,
        }
    }
}

impl SunsetPlan {
    pub(super) fn is_default(&self) -> bool {
        *self == SunsetPlan::default()
    }
}

pub(super) fn read_sunset(node: &Node<'_, '_>) -> Option<SunsetPlan> {
    let usual = SunsetPlan::default();
    let fields = node.object()?;
    let confidence = fields.ratio_or("confidence", (0.5, true), usual.confidence);
    let days = |name, least, usual: u32| {
        fields.whole_or(name, (least, u64::from(DAYS_MAX)), u64::from(usual))
    };
    let horizon = days("horizon_days", 1, usual.horizon_days);
    let quiet = days("quiet_days", 0, usual.quiet_days);
    let notice = days("notice_days", 0, usual.notice_days);
    let at_most = fields.whole_or("at_most", (0, CLIENTS_NATIVE_MAX), usual.at_most);
    fields.refuse_unknown();
    Some(SunsetPlan {
        confidence: confidence?,
        horizon_days: horizon? as u32,
        quiet_days: quiet? as u32,
        notice_days: notice? as u32,
        at_most: at_most?,
    })
}

/// Requests that the new version answers as well, for comparison and for nobody else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shadow {
    /// Share of the requests that are mirrored.
    pub percentage: Share,
    /// Methods that are mirrored: those that change nothing.
    pub methods: Vec<String>,
    /// Comparisons before anything is said.
    pub min_requests: u64,
    /// Share of the answers that may differ.
    pub max_mismatch: f64,
    /// Whether answers of another media type differ, beside those of another status.
    #[serde(skip_serializing_if = "is_true")]
    pub content_type: bool,
    /// Whether mirroring is over: the migration has left the shadow.
    #[serde(skip_serializing_if = "is_false")]
    pub stopped: bool,
}

impl Shadow {
    /// The salt by which it chooses among keys; their buckets below the share are
    /// mirrored. Another than the plan's, or it would be those whom a canary has first.
    pub fn salt(plan_salt: &str) -> String {
        [plan_salt, "/shadow"].concat()
    }
}

impl Plan {
    /// The shadow while requests are mirrored: it is not over, and nobody gets the newest
    /// version by the plan's traffic.
    pub fn mirrors(&self) -> Option<&Shadow> {
        let newest = self.versions.new_version();
        let begun = match &self.traffic {
            Traffic::Stable => false,
            Traffic::Canary(share) => *share != Share::ZERO,
            Traffic::Split { split, .. } => {
                split.0.iter().any(|(name, weight)| name == newest && weight.hundredths() > 0)
            }
        };
        self.shadow.as_ref().filter(|shadow| !shadow.stopped && !begun)
    }
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Methods that change nothing (RFC 9110, 9.2.1), and whose answers can be compared.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

pub(super) fn read_shadow(node: &Node<'_, '_>) -> Option<Shadow> {
    let fields = node.object()?;
    let percentage = fields
        .require("percentage", "the share of the requests that are mirrored")
        .and_then(|node| node.share());
    let methods = match fields.get("methods") {
        None => Some(SAFE.map(str::to_owned).to_vec()),
        Some(node) => read_methods(&node),
    };
    let min = fields.whole_or("min_requests", (0, OUTCOME_COUNT_MAX), 1000);
    let max = fields.ratio_or("max_mismatch", (0.0, true), 0.01);
    let flag = |name, usual| fields.get(name).map_or(Some(usual), |node| node.flag());
    let (content_type, stopped) = (flag("content_type", true), flag("stopped", false));
    fields.refuse_unknown();
    Some(Shadow {
        percentage: percentage?,
        methods: methods?,
        min_requests: min?.max(1),
        max_mismatch: max?,
        content_type: content_type?,
        stopped: stopped?,
    })
}

fn read_methods(node: &Node<'_, '_>) -> Option<Vec<String>> {
    let items = node.list(SAFE.len())?;
    if items.is_empty() {
        return node.note("mirrors nothing: name at least one of GET, HEAD, OPTIONS");
    }
    let mut methods = Vec::new();
    for node in &items {
        match node.text(NAME_BYTES_MAX) {
            Some(text) if SAFE.contains(&text) => methods.push(text.to_owned()),
            _ => drop(node.wrong::<()>(
                "not GET, HEAD or OPTIONS: what changes something is never sent twice",
            )),
        }
    }
    (methods.len() == items.len()).then_some(methods)
}
