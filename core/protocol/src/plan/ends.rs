//! The two ends of a migration: what is compared before it, and what has to hold before
//! the old version goes.

use serde::Serialize;

use super::brownout::flip;
use crate::limits::{CLIENTS_NATIVE_MAX, DAYS_MAX, NAME_BYTES_MAX, OUTCOME_COUNT_MAX};
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
    let confidence = fields.get("confidence").map(|node| {
        node.number(|c| (0.5..1.0).contains(&c), "not a confidence from 0.5 to below 1")
    });
    let days = |name, least: u64| {
        fields.get(name).map(|node: Node<'_, '_>| match node.value.as_u64() {
            Some(days) if (least..=u64::from(DAYS_MAX)).contains(&days) => Some(days as u32),
            _ => node.wrong(&format!("not a number of days from {least} to {DAYS_MAX}")),
        })
    };
    let horizon = days("horizon_days", 1);
    let (quiet, notice) = (days("quiet_days", 0), days("notice_days", 0));
    let at_most = fields.get("at_most").map(|node| node.whole(CLIENTS_NATIVE_MAX));
    fields.refuse_unknown();
    Some(SunsetPlan {
        confidence: confidence.unwrap_or(Some(usual.confidence))?,
        horizon_days: horizon.unwrap_or(Some(usual.horizon_days))?,
        quiet_days: quiet.unwrap_or(Some(usual.quiet_days))?,
        notice_days: notice.unwrap_or(Some(usual.notice_days))?,
        at_most: at_most.unwrap_or(Some(usual.at_most))?,
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
}

/// Methods that change nothing (RFC 9110, 9.2.1), and whose answers can be compared.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

pub(super) fn read_shadow(node: &Node<'_, '_>) -> Option<Shadow> {
    let fields = node.object()?;
    let percentage = fields
        .require("percentage", "the share of the requests that are mirrored")
        .and_then(|node| node.share());
    let methods = fields.get("methods").map(|node| read_methods(&node));
    let min = fields.get("min_requests").map(|node| node.whole(OUTCOME_COUNT_MAX));
    let max = fields
        .get("max_mismatch")
        .map(|node| node.number(|r| (0.0..1.0).contains(&r), "not a ratio from 0 to below 1"));
    fields.refuse_unknown();
    Some(Shadow {
        percentage: percentage?,
        methods: flip(methods)?.unwrap_or_else(|| SAFE.map(str::to_owned).to_vec()),
        min_requests: min.unwrap_or(Some(1000))?.max(1),
        max_mismatch: max.unwrap_or(Some(0.01))?,
    })
}

fn read_methods(node: &Node<'_, '_>) -> Option<Vec<String>> {
    let items = node.list(SAFE.len())?;
    if items.is_empty() {
        return node.note("mirrors nothing: name at least one of GET, HEAD, OPTIONS");
    }
    let method = |node: &Node<'_, '_>| {
        let text = node.text(NAME_BYTES_MAX)?;
        if SAFE.contains(&text) {
            return Some(text.to_owned());
        }
        node.wrong("not GET, HEAD or OPTIONS: what changes something is never sent twice")
    };
    items.iter().map(method).collect::<Vec<_>>().into_iter().collect()
}
