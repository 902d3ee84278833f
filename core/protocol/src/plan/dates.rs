//! Dates: freeze windows, deprecation and sunset, brownouts.

use serde::Serialize;

use super::instant::{Instant, read_instant, require_instant};

use crate::limits::{KEY_BYTES_MAX, PINS_MAX};
use crate::read::Node;
use crate::share::{Minutes, Share};

/// A window in which no step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// Its first moment.
    pub from: Instant,
    /// The first moment after it.
    pub to: Instant,
}

pub(super) fn read_freeze(node: &Node<'_, '_>) -> Option<Freeze> {
    let fields = node.object()?;
    let from = require_instant(&fields, "from");
    let to = require_instant(&fields, "to");
    fields.refuse_unknown();
    let (from, to) = (from?, to?);
    if to <= from {
        return node.note("`to` is not after `from`");
    }
    Some(Freeze { from, to })
}

/// What clients of the old version are told (RFC 9745, RFC 8594), and what they get
/// once it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deprecation {
    /// When the old version became, or becomes, deprecated.
    pub deprecated_at: Instant,
    /// When it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset_at: Option<Instant>,
    /// Where the migration is described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What a call gets after the sunset.
    pub after: OldVersionAfter,
}

/// What a call to the old version gets after its sunset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OldVersionAfter {
    /// 410 Gone.
    #[default]
    Gone,
    /// 308 to the successor.
    Redirect,
}

pub(super) fn read_deprecation(node: &Node<'_, '_>) -> Option<Deprecation> {
    let fields = node.object()?;
    let deprecated_at = require_instant(&fields, "deprecated_at");
    let sunset_node = fields.get("sunset_at");
    let sunset_at = sunset_node.as_ref().map(read_instant);
    let link = fields.get("link").map(|node| read_link(&node));
    let after = fields.get("after").map(|node| {
        node.word(&[("gone", OldVersionAfter::Gone), ("redirect", OldVersionAfter::Redirect)])
    });
    fields.refuse_unknown();
    let deprecated_at = deprecated_at?;
    let sunset_at = sunset_at.map_or(Some(None), |at| at.map(Some))?;
    if sunset_at.is_some_and(|sunset| sunset < deprecated_at) {
        // RFC 9745, section 4: the sunset must not be earlier than the deprecation.
        return sunset_node?.wrong("earlier than `deprecated_at`");
    }
    Some(Deprecation {
        deprecated_at,
        sunset_at,
        link: link.map_or(Some(None), |link| link.map(Some))?,
        after: after.unwrap_or(Some(OldVersionAfter::Gone))?,
    })
}

/// An absolute http(s) URI that cannot break out of a `Link` header.
fn read_link(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text(KEY_BYTES_MAX)?;
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
    if plain && (text.starts_with("https://") || text.starts_with("http://")) {
        Some(text.to_owned())
    } else {
        node.wrong("not an http(s) address without spaces, quotes or angle brackets")
    }
}

/// A window in which a share of the old version's calls is refused on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brownout {
    /// Its first moment.
    pub start: Instant,
    /// How long it lasts.
    pub minutes: Minutes,
    /// Share of the old version's clients that are refused.
    pub percentage: Share,
    /// Keys that are spared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<String>,
}

pub(super) fn read_brownout(node: &Node<'_, '_>) -> Option<Brownout> {
    let fields = node.object()?;
    let start = require_instant(&fields, "start");
    let minutes = fields.require("minutes", "how long it lasts").and_then(|node| {
        node.minutes()?;
        node.number(|m| m > 0.0, "not a length above 0").and_then(Minutes::from_number)
    });
    let percentage = fields
        .require("percentage", "the share of the old version's clients that is refused")
        .and_then(|node| node.share());
    let exempt = fields.get("exempt").map(|node| {
        let items = node.list(PINS_MAX)?;
        let keys: Vec<_> = items.iter().map(|n| n.text(KEY_BYTES_MAX).map(str::to_owned)).collect();
        keys.into_iter().collect::<Option<Vec<_>>>()
    });
    fields.refuse_unknown();
    Some(Brownout {
        start: start?,
        minutes: minutes?,
        percentage: percentage?,
        exempt: exempt.unwrap_or(Some(Vec::new()))?,
    })
}
