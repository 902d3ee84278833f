//! Dates: freeze windows, deprecation and sunset.

use serde::Serialize;

use super::instant::{Instant, read_instant, require_instant};

use super::brownout::flip;
use crate::limits::KEY_BYTES_MAX;
use crate::read::Node;

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
    /// Where the sunset is explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset_link: Option<String>,
    /// Where the newest version is: an origin, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// What a call gets after the sunset.
    pub after: OldVersionAfter,
}

impl Deprecation {
    /// The successor, if it is nothing but an origin: without its last `/`.
    ///
    /// A redirected call keeps its path and query then; an address with a path of its own
    /// is where all of them go.
    pub fn successor_origin(&self) -> Option<&str> {
        let origin = self.successor.as_deref()?;
        let origin = origin.strip_suffix('/').unwrap_or(origin);
        let (_, authority) = origin.split_once("://")?;
        (!authority.contains(['/', '?', '#'])).then_some(origin)
    }
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
    let sunset_link = fields.get("sunset_link").map(|node| read_link(&node));
    let successor_node = fields.get("successor");
    let successor = successor_node.as_ref().map(read_link);
    let after = fields.get("after").map(|node| {
        node.word(&[("gone", OldVersionAfter::Gone), ("redirect", OldVersionAfter::Redirect)])
    });
    fields.refuse_unknown();
    if after == Some(Some(OldVersionAfter::Redirect)) && successor_node.is_none() {
        fields.node().note::<()>(
            "`after: redirect` leads nowhere: add `successor`, such as https://api.example.com",
        );
    }
    let deprecated_at = deprecated_at?;
    let sunset_at = flip(sunset_at)?;
    if sunset_at.is_some_and(|sunset| sunset < deprecated_at) {
        // RFC 9745, section 4: the sunset must not be earlier than the deprecation.
        return sunset_node?.wrong("earlier than `deprecated_at`");
    }
    Some(Deprecation {
        deprecated_at,
        sunset_at,
        link: flip(link)?,
        sunset_link: flip(sunset_link)?,
        successor: flip(successor)?,
        after: after.unwrap_or(Some(OldVersionAfter::Gone))?,
    })
}

/// An absolute http(s) URI that cannot break out of a `Link` header.
fn read_link(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text(KEY_BYTES_MAX)?;
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if plain && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#'])) {
        Some(text.to_owned())
    } else {
        node.wrong("not an http(s) address without spaces, quotes or angle brackets")
    }
}
