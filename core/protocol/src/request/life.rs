//! Messages about brownouts, and about the life of a migration as a whole.

use super::read::flip;
use crate::limits::{KEY_BYTES_MAX, OUTCOME_COUNT_MAX, PINS_MAX};
use crate::plan::brownout_status;
use crate::read::Fields;
use crate::share::{Minutes, Share};
use crate::totals::ShadowTotals;

/// Something that is asked about brownouts.
#[derive(Debug, Clone, PartialEq)]
pub enum Brownouts {
    /// `get_brownouts`: which there are, whom they hit, and what came of it.
    List,
    /// `start_brownout`: one that begins now.
    Start {
        /// What it is called.
        name: String,
        /// How long it lasts.
        minutes: Minutes,
        /// Share of the old version's clients that are refused.
        percentage: Share,
        /// What they get.
        status: u16,
        /// Keys that are spared.
        exempt: Vec<String>,
    },
    /// `stop_brownout`: one that is running, or has not begun.
    Stop {
        /// Its name.
        name: String,
        /// Why, for the record.
        reason: String,
    },
}

/// Something that is asked about the life of the migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lives {
    /// `get_life`: where it stands, and where it may go.
    Get,
    /// `advance_life`: to another phase.
    Advance {
        /// The phase, by its name.
        to: String,
        /// Why, for the record.
        reason: String,
        /// Although something stands in the way that may be overruled.
        force: bool,
    },
}

pub(super) fn start(fields: &Fields<'_, '_>) -> Option<Brownouts> {
    let name = flip(fields.get("name").map(|node| node.name().map(str::to_owned)));
    let minutes = fields.require("minutes", "how long it lasts").and_then(|node| {
        node.minutes()?;
        node.number(|m| m > 0.0, "not a length above 0").and_then(Minutes::from_number)
    });
    let percentage = fields
        .require("percentage", "the share of the old version's clients that is refused")
        .and_then(|node| node.share());
    let status = brownout_status(fields);
    let exempt = fields.keys_or_none("exempt", PINS_MAX);
    Some(Brownouts::Start {
        name: name?.unwrap_or_else(|| "manual".to_owned()),
        minutes: minutes?,
        percentage: percentage?,
        status: status?,
        exempt: exempt?,
    })
}

pub(super) fn stop(fields: &Fields<'_, '_>) -> Option<Brownouts> {
    let name = fields.require("name", "which brownout").and_then(|node| node.name());
    let reason = reason(fields);
    Some(Brownouts::Stop { name: name?.to_owned(), reason: reason? })
}

pub(super) fn advance(fields: &Fields<'_, '_>) -> Option<Lives> {
    let to = fields.require("to", "a phase").and_then(|node| node.name());
    let reason = reason(fields);
    let force = flip(fields.get("force").map(|node| node.flag()));
    Some(Lives::Advance { to: to?.to_owned(), reason: reason?, force: force?.unwrap_or_default() })
}

pub(super) fn shadow(fields: &Fields<'_, '_>) -> Option<ShadowTotals> {
    let compared = fields.require("compared", "how many answers were compared");
    let compared = compared.and_then(|node| node.whole(OUTCOME_COUNT_MAX));
    let count = |name, max| fields.whole_or(name, (0, max), 0);
    let most = compared.unwrap_or(OUTCOME_COUNT_MAX);
    let differed = count("differed", most);
    let failures = count("failures", differed.unwrap_or(most));
    let dropped = count("dropped", OUTCOME_COUNT_MAX);
    Some(ShadowTotals {
        compared: compared?,
        differed: differed?,
        failures: failures?,
        dropped: dropped?,
    })
}

fn reason(fields: &Fields<'_, '_>) -> Option<String> {
    let reason = flip(fields.get("reason").map(|node| node.text(KEY_BYTES_MAX)))?;
    Some(reason.unwrap_or_default().to_owned())
}
