//! Brownouts: windows in which a share of the old version's calls is refused on purpose.

use serde::Serialize;

use super::instant::{Instant, is_local, read_instant};
use crate::limits::{OUTCOME_COUNT_MAX, PINS_MAX, WINDOWS_MAX};
use crate::read::{Fields, Node};
use crate::share::{Minutes, Share};

/// A window in which a share of the old version's calls is refused on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brownout {
    /// Unique in the plan: whom it hits depends on it. Its start, when none is given.
    pub name: String,
    /// Its first moment.
    pub start: Instant,
    /// Where the start was read off a clock on the wall, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How long it lasts.
    pub minutes: Minutes,
    /// Share of the old version's clients that are refused.
    pub percentage: Share,
    /// What they get.
    #[serde(skip_serializing_if = "is_unavailable")]
    pub status: u16,
    /// Keys that are spared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<String>,
    /// How long before its start answers announce it.
    #[serde(skip_serializing_if = "is_a_week")]
    pub announce_minutes: Minutes,
    /// When it is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<StopWhen>,
    /// When it was stopped, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Instant>,
}

/// What stops a brownout before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StopWhen {
    /// So many clients were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u64>,
    /// So many calls were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

impl Brownout {
    /// What a refused call gets unless the plan says otherwise: 503 Service Unavailable.
    pub const STATUS: u16 = 503;

    /// What no refused call can get, and the header that would have to come with it (RFC
    /// 9110, 15.5.2, 15.5.6, 15.5.8 and 15.5.22): a refusal has no value for it.
    pub const UNFIT: [(u16, &str); 4] =
        [(401, "www-authenticate"), (405, "allow"), (407, "proxy-authenticate"), (426, "upgrade")];

    /// A brownout is announced a week ahead unless the plan says otherwise.
    pub fn announced() -> Minutes {
        Minutes::from_ms(7 * 86_400_000)
    }

    /// Its first moment, in milliseconds since 1970.
    pub fn start_ms(&self) -> u64 {
        self.start.unix_ms()
    }

    /// The first moment after it; its start, when it was stopped before.
    pub fn end_ms(&self) -> u64 {
        let planned_ms = self.start_ms().saturating_add(self.minutes.ms());
        let stopped_ms = self.stopped_at.map_or(planned_ms, Instant::unix_ms);
        stopped_ms.clamp(self.start_ms(), planned_ms)
    }

    /// The first moment at which answers announce it.
    pub fn announce_ms(&self) -> u64 {
        self.start_ms().saturating_sub(self.announce_minutes.ms())
    }

    /// Whether it is running then.
    pub fn is_on(&self, now_ms: u64) -> bool {
        (self.start_ms()..self.end_ms()).contains(&now_ms)
    }

    /// Whether it is over then: it has ended, or was called off before its start.
    pub fn is_over(&self, now_ms: u64) -> bool {
        let end_ms = self.end_ms();
        end_ms <= now_ms || end_ms == self.start_ms()
    }

    /// Its start and end as ISO 8601 writes an interval.
    pub fn interval(&self) -> String {
        format!("{}/{}", self.start, Instant::of_ms(self.end_ms()))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_unavailable(status: &u16) -> bool {
    *status == Brownout::STATUS
}

fn is_a_week(minutes: &Minutes) -> bool {
    *minutes == Brownout::announced()
}

/// The list, with names that differ.
pub(super) fn read_brownouts(node: &Node<'_, '_>) -> Option<Vec<Brownout>> {
    let mut brownouts: Vec<Brownout> = Vec::new();
    for node in node.list(WINDOWS_MAX)? {
        let Some(brownout) = read_brownout(&node) else { continue };
        if brownouts.iter().any(|other| other.name == brownout.name) {
            // Two of one name would hit the same clients.
            node.note::<()>(format!(
                "the name `{}` is taken by an earlier brownout",
                crate::json::shown(&brownout.name)
            ));
        }
        brownouts.push(brownout);
    }
    Some(brownouts)
}

fn read_brownout(node: &Node<'_, '_>) -> Option<Brownout> {
    let fields = node.object()?;
    let name = fields.name_or_none("name");
    let time_zone = fields.name_or_none("time_zone");
    let start = fields.require("start", "a time with its zone").and_then(|node| {
        match (&time_zone, node.value.as_str()) {
            (Some(Some(zone)), Some(text)) if is_local(text) => node.wrong(&format!(
                "a time in {}: the engine knows no time zones; write the offset, such as \
                 2027-06-01T10:00+02:00 (`crossfade` does so when it reads a plan)",
                crate::json::shown(zone)
            )),
            _ => read_instant(&node),
        }
    });
    let minutes = fields.require("minutes", "how long it lasts").and_then(|node| {
        node.minutes()?;
        node.number(|m| m > 0.0, "not a length above 0").and_then(Minutes::from_number)
    });
    let percentage = fields
        .require("percentage", "the share of the old version's clients that is refused")
        .and_then(|node| node.share());
    let status = brownout_status(&fields);
    let exempt = fields.keys_or_none("exempt", PINS_MAX);
    let announce = match fields.get("announce_minutes") {
        None => Some(Brownout::announced()),
        Some(node) => node.minutes(),
    };
    let stop_when = fields.get("stop_when").map(|node| read_stop_when(&node));
    let stopped_at = fields.get("stopped_at").map(|node| read_instant(&node));
    fields.refuse_unknown();
    let start = start?;
    Some(Brownout {
        name: name?.unwrap_or_else(|| start.to_string()),
        start,
        time_zone: time_zone?,
        minutes: minutes?,
        percentage: percentage?,
        status: status?,
        exempt: exempt?,
        announce_minutes: announce?,
        stop_when: flip(stop_when)?,
        stopped_at: flip(stopped_at)?,
    })
}

/// What clients get who are refused: of a plan's brownout, and of one that begins at once.
pub(crate) fn brownout_status(fields: &Fields<'_, '_>) -> Option<u16> {
    let status = fields.whole_or("status", (400, 599), Brownout::STATUS.into())? as u16;
    let unfit = Brownout::UNFIT.iter().find(|(unfit, _)| *unfit == status);
    match unfit.and_then(|(_, header)| Some((header, fields.get("status")?))) {
        None => Some(status),
        Some((header, node)) => node.wrong(&format!(
            "a status that must come with the header `{header}`, for which a refusal has no \
             value; 403, 404, 410, 429 and 503 need none"
        )),
    }
}

fn read_stop_when(node: &Node<'_, '_>) -> Option<StopWhen> {
    let fields = node.object()?;
    let count = |name| fields.get(name).map(|node: Node<'_, '_>| node.whole(OUTCOME_COUNT_MAX));
    let (clients, calls) = (count("clients"), count("calls"));
    fields.refuse_unknown();
    if clients.is_none() && calls.is_none() {
        return node.note("stops nothing: give `clients`, `calls`, or both");
    }
    Some(StopWhen { clients: flip(clients)?, calls: flip(calls)? })
}

/// An absent field is well; one that could not be read is not.
pub(super) fn flip<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |read| read.map(Some))
}
