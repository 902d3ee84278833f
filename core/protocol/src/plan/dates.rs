//! Dates: freeze windows, deprecation and sunset, brownouts.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX, PINS_MAX};
use crate::read::{Fields, Node};
use crate::share::{Minutes, Share};

/// A moment, written as `2027-01-31`, `2027-03-01T00:00Z` or RFC 3339; a date is its
/// first moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Timestamp);

impl Instant {
    /// Milliseconds since 1970, 0 for anything earlier.
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or_default()
    }

    /// Seconds since 1970, as RFC 9745 counts them.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// The date as HTTP writes it (RFC 9110, 5.6.7): `Sat, 31 Jul 2027 00:00:00 GMT`.
    pub fn http_date(self) -> String {
        self.0.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn read_instant(node: &Node<'_, '_>) -> Option<Instant> {
    let text = node.text(NAME_BYTES_MAX)?;
    let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
        // Without a zone only a plain date is unambiguous enough.
        let date: Date = text
            .parse::<Date>()
            .ok()
            .filter(|_| text.parse::<DateTime>().is_ok() && !text.contains(['T', 't', ' ']))?;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    timestamp.map(Instant).or_else(|| {
        node.wrong("not a date (2027-01-31) or a time with its zone (2027-03-01T00:00Z)")
    })
}

fn require_instant(fields: &Fields<'_, '_>, name: &'static str) -> Option<Instant> {
    fields.require(name, "a date or a time with its zone").and_then(|node| read_instant(&node))
}

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
