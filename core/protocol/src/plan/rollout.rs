//! The steps of a gradual rollout.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::dates::{Freeze, read_freeze};
use crate::limits::{STEPS_MAX, WINDOWS_MAX};
use crate::read::Node;
use crate::share::{Minutes, Share};

/// How the share of the new version grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollout {
    /// At least one; percentages never fall.
    pub steps: Vec<Step>,
    /// How the new version is taken back.
    pub rollback: RollbackMode,
    /// When no step may begin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
}

/// One step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Step {
    /// Share of the new version.
    pub percentage: Share,
    /// How long it lasts at least.
    pub duration_minutes: Minutes,
    /// How long it may wait for evidence; no bound when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<Minutes>,
    /// Whether a person must promote it.
    #[serde(skip_serializing_if = "Approval::is_none")]
    pub approval: Approval,
    /// How long health is watched after the step has been reached for good; only on the
    /// last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch_minutes: Option<Minutes>,
    /// How much evidence it takes to end the step.
    #[serde(skip_serializing_if = "EvidenceNeed::is_default")]
    pub evidence: EvidenceNeed,
}

/// How much evidence it takes to end a step.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceNeed {
    /// What the gate's `on_inconclusive` says.
    #[default]
    Default,
    /// Proof of health, whatever `on_inconclusive` says, and nothing else: the step lasts
    /// as long as that takes and, without `duration_minutes`, no longer.
    Auto,
}

impl EvidenceNeed {
    fn is_default(&self) -> bool {
        *self == EvidenceNeed::Default
    }
}

/// Whether a step needs a person's word before the next begins.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Goes on by itself.
    #[default]
    None,
    /// Waits for `promote`.
    Manual,
}

impl Approval {
    fn is_none(&self) -> bool {
        *self == Approval::None
    }
}

/// How the new version is taken back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, BorshSerialize, BorshDeserialize,
)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum RollbackMode {
    /// To 0 % at once.
    #[default]
    Instant,
    /// By at most this share each minute, for an old version that cannot take
    /// everything back at once.
    Stepped {
        /// Share given back each minute.
        percentage_per_minute: Share,
    },
}

pub(super) fn read_rollout(node: &Node<'_, '_>) -> Option<Rollout> {
    let fields = node.object()?;
    let steps = fields
        .require("steps", "a list of {percentage, duration_minutes}")
        .and_then(|node| read_steps(&node));
    let rollback = fields.get("rollback").and_then(|node| read_rollback(&node));
    let freeze = fields
        .get("freeze")
        .and_then(|node| Some(node.list(WINDOWS_MAX)?.iter().filter_map(read_freeze).collect()));
    fields.refuse_unknown();
    Some(Rollout {
        steps: steps?,
        rollback: rollback.unwrap_or_default(),
        freeze: freeze.unwrap_or_default(),
    })
}

/// Steps: at least one, percentages above 0 that never fall.
pub(crate) fn read_steps(node: &Node<'_, '_>) -> Option<Vec<Step>> {
    let items = node.list(STEPS_MAX)?;
    if items.is_empty() {
        return node.note("no steps: a rollout needs at least one {percentage, duration_minutes}");
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut complete = true;
    for item in &items {
        let Some(step) = read_step(item) else {
            complete = false;
            continue;
        };
        if let Some(before) = steps.last().filter(|before| step.percentage < before.percentage) {
            complete = false;
            item.note::<()>(format!(
                "{} comes after {}: a rollout never lowers the share",
                step.percentage, before.percentage
            ));
        }
        if let Some(early) = steps.last().filter(|before| before.watch_minutes.is_some()) {
            complete = false;
            item.note::<()>(format!(
                "comes after a step with `watch_minutes` (at {}): only the last step is watched",
                early.percentage
            ));
        }
        steps.push(step);
    }
    complete.then_some(steps)
}

fn read_step(node: &Node<'_, '_>) -> Option<Step> {
    let fields = node.object()?;
    let share_node = fields.require("percentage", "the share of the new version");
    let percentage = share_node.as_ref().and_then(|node| node.share());
    let watch = fields.get("watch_minutes").map(|node| node.minutes());
    let duration = fields.get("duration_minutes");
    let evidence = fields
        .get("evidence")
        .map(|node| node.word(&[("default", EvidenceNeed::Default), ("auto", EvidenceNeed::Auto)]));
    let duration = match (&duration, &watch, &evidence) {
        (Some(node), ..) => node.minutes(),
        // The last step may consist of the watch alone, and a step may last just as long
        // as its evidence takes.
        (None, Some(_), _) | (None, None, Some(Some(EvidenceNeed::Auto))) => Some(Minutes::ZERO),
        (None, None, _) => {
            node.note("`duration_minutes` is missing: how long the step lasts at least")
        }
    };
    let max = fields.get("max_minutes").map(|node| (node.minutes(), node));
    let approval = fields
        .get("approval")
        .map(|node| node.word(&[("none", Approval::None), ("manual", Approval::Manual)]));
    fields.refuse_unknown();
    let percentage = percentage?;
    if percentage == Share::ZERO {
        return share_node?.note("0 % is no step: nothing would be observed");
    }
    let duration_minutes = duration?;
    let max_minutes = match max {
        None => None,
        Some((max, node)) => {
            let max = max?;
            if max < duration_minutes {
                return node.note("shorter than `duration_minutes`");
            }
            Some(max)
        }
    };
    Some(Step {
        percentage,
        duration_minutes,
        max_minutes,
        approval: approval.map_or(Some(Approval::None), |approval| approval)?,
        watch_minutes: watch.map_or(Some(None), |watch| watch.map(Some))?,
        evidence: evidence.unwrap_or(Some(EvidenceNeed::Default))?,
    })
}

fn read_rollback(node: &Node<'_, '_>) -> Option<RollbackMode> {
    let fields = node.object()?;
    let stepped = fields
        .require("mode", "instant or stepped")
        .and_then(|node| node.word(&[("instant", false), ("stepped", true)]));
    let cap = fields.get("percentage_per_minute");
    fields.refuse_unknown();
    match (stepped?, cap) {
        (false, None) => Some(RollbackMode::Instant),
        (false, Some(cap)) => cap.note("an instant rollback has no pace"),
        (true, None) => {
            node.note("`percentage_per_minute` is missing: the pace of a stepped rollback")
        }
        (true, Some(cap)) => {
            let percentage_per_minute = cap.share()?;
            if percentage_per_minute == Share::ZERO {
                return cap.note("a rollback of 0 % a minute would never end");
            }
            Some(RollbackMode::Stepped { percentage_per_minute })
        }
    }
}
