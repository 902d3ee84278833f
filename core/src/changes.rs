//! What a node's clients did since its last report of them: bounded, and reported once.
//!
//! A client costs one look-up a request. When there are too many, those are kept whose
//! [`client_hash`] is small enough, so that samples of many nodes fit together; what the
//! others did is counted as dropped. A report that was made is given again, byte for byte,
//! until it is acknowledged or refused; what happens meanwhile goes into the next one. So
//! everything that was recorded is in exactly one report, or dropped.

mod rows;
mod saved;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::clients::{ClientsReport, Declared, Identity, client_hash};
use crossfade_protocol::limits::{
    AGENT_BYTES_MAX, CLIENTS_REPORT_BYTES_MAX, DECLARED_BYTES_MAX, EDGE_CLIENTS_BYTES_MAX,
    EDGE_CLIENTS_MAX, KEY_BYTES_MAX, VERSIONS_MAX,
};
use crossfade_protocol::reply::{json_text, write_json};

use rows::{Row, Rows};
pub(crate) use saved::Saved;

/// One call of a client, or something that is known of its calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'c> {
    /// Who: not empty. What is not UTF-8 is replaced, what is too long is cut.
    pub key: &'c [u8],
    /// Where that comes from.
    pub identity: Identity,
    /// Place of the version it was decided to go to.
    pub version: u8,
    /// Requests; 0 where they were recorded already.
    pub requests: u64,
    /// How many of them, or of earlier ones, failed.
    pub failures: u64,
    /// How many of them were refused by a brownout or the sunset.
    pub refused: u64,
    /// The software, as [`product`](crossfade_protocol::agent::product) gives it.
    pub agent: Option<&'c str>,
    /// What it says of itself.
    pub says: Option<&'c Declared>,
}

/// The buffer.
#[derive(Debug, Clone)]
pub struct Changes {
    rows: Rows,
    /// What rows call versions by: those of the policy, then those of earlier ones.
    versions: Vec<String>,
    /// Clients are kept whose hash is at most this.
    theta: u64,
    dropped: u64,
    /// All that ever were.
    dropped_ever: u64,
    /// Of the newest report.
    sequence: u64,
    /// Of the newest report, too.
    more: bool,
    in_flight: Option<InFlight>,
}

/// A report that nobody has acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InFlight {
    /// Its number.
    pub sequence: u64,
    /// It, as JSON without a newline.
    pub text: String,
    /// The requests that it tells of.
    pub requests: u64,
    /// The requests that it says were dropped.
    pub dropped: u64,
}

impl Changes {
    /// Empty; `seed` keys its hash, so that no client can choose keys that collide.
    pub fn new(seed: u64) -> Changes {
        Changes {
            rows: Rows::new(seed),
            versions: Vec::new(),
            theta: u64::MAX,
            dropped: 0,
            dropped_ever: 0,
            sequence: 0,
            more: false,
            in_flight: None,
        }
    }

    /// Takes the versions of a policy: their places are those of calls from now on.
    pub fn set_versions(&mut self, names: &[String]) {
        let mut versions: Vec<String> = names.iter().take(VERSIONS_MAX).cloned().collect();
        let mut places = Vec::with_capacity(self.versions.len());
        for (old, name) in self.versions.iter().enumerate() {
            let known = versions.iter().position(|known| known == name);
            let used = || self.rows.iter().any(|row| row.is_on(old as u8));
            if known.is_none() && versions.len() < VERSIONS_MAX && used() {
                versions.push(name.clone());
                places.push(versions.len().checked_sub(1));
            } else {
                places.push(known);
            }
        }
        self.versions = versions;
        let gone = self.rows.renumber(&places);
        self.leave_out(gone);
    }

    /// The place of a version, for a call that was decided under an earlier policy.
    pub fn place(&self, version: &str) -> Option<u8> {
        let place = self.versions.iter().position(|known| known == version)?;
        u8::try_from(place).ok()
    }

    /// Records a call at this second of the clock.
    pub fn record(&mut self, call: &Call<'_>, now_s: u32) {
        let lossy;
        let key = match std::str::from_utf8(call.key) {
            Ok(key) => key,
            Err(_) => {
                lossy = String::from_utf8_lossy(call.key);
                &lossy
            }
        };
        let key = cut(key, KEY_BYTES_MAX);
        if key.is_empty() || usize::from(call.version) >= self.versions.len() {
            self.leave_out(call.requests);
            return;
        }
        let theta = self.theta;
        let wanted = || theta == u64::MAX || client_hash(key.as_bytes(), call.identity) <= theta;
        if !self.rows.record(key, call, now_s, wanted) {
            self.leave_out(call.requests);
        }
        if self.rows.len() > EDGE_CLIENTS_MAX || self.rows.bytes() > EDGE_CLIENTS_BYTES_MAX {
            self.thin_out();
        }
    }

    /// Keeps fewer clients: half as many as fit, or less.
    #[cold]
    #[inline(never)]
    fn thin_out(&mut self) {
        let hash = |row: &Row| client_hash(row.key().as_bytes(), row.identity());
        let mut theta = self.theta;
        while theta > 0 {
            theta >>= 1;
            let kept = self.rows.iter().filter(|row| hash(row) <= theta);
            let (clients, bytes) =
                kept.fold((0, 0), |(clients, bytes), row| (clients + 1, bytes + row.bytes()));
            if clients <= EDGE_CLIENTS_MAX / 2 && bytes <= EDGE_CLIENTS_BYTES_MAX / 2 {
                break;
            }
        }
        self.theta = theta;
        let gone = self.rows.retain(|row| hash(row) <= theta);
        self.leave_out(gone);
    }

    fn leave_out(&mut self, requests: u64) {
        self.dropped = self.dropped.saturating_add(requests);
        self.dropped_ever = self.dropped_ever.saturating_add(requests);
    }

    /// The report that is to be sent: the one that was not acknowledged, else a new one,
    /// where there is anything to report.
    pub fn next(&mut self, node: &str, epoch: u64, revision: u64) -> Option<&InFlight> {
        if self.in_flight.is_none() && (self.rows.len() > 0 || self.dropped > 0) {
            self.in_flight = Some(self.cut_report(node, epoch, revision));
        }
        self.in_flight.as_ref()
    }

    /// A report without anything new in it: the number is that of the one before.
    pub fn nothing(&self, node: &str, epoch: u64, revision: u64) -> String {
        json_text(&self.report(node, epoch, revision))
    }

    fn report(&self, node: &str, epoch: u64, revision: u64) -> ClientsReport {
        ClientsReport {
            node: node.to_owned(),
            epoch,
            sequence: self.sequence,
            revision,
            more: false,
            theta: self.theta,
            dropped: self.dropped,
            versions: self.versions.clone(),
            clients: Vec::new(),
        }
    }

    fn cut_report(&mut self, node: &str, epoch: u64, revision: u64) -> InFlight {
        self.sequence = self.sequence.saturating_add(1);
        let mut report = ClientsReport { more: true, ..self.report(node, epoch, revision) };
        let head = |report: &ClientsReport| {
            let mut head = Vec::new();
            write_json(&mut head, report);
            head.truncate(head.len().saturating_sub(CLOSING.len()));
            head
        };
        let room = CLIENTS_REPORT_BYTES_MAX.saturating_sub(head(&report).len() + CLOSING.len());
        let mut clients = Vec::new();
        let requests = self.rows.take(|row| {
            let before = clients.len();
            if before > 0 {
                clients.push(b',');
            }
            write_json(&mut clients, &row.to_client());
            let fits = clients.len() <= room;
            if !fits {
                clients.truncate(before);
            }
            fits
        });
        report.more = self.rows.len() > 0;
        let text = [head(&report).as_slice(), &clients, CLOSING].concat();
        self.more = report.more;
        if !report.more {
            // From here on everybody is counted again.
            self.theta = u64::MAX;
        }
        // serde_json writes UTF-8 only.
        let text = String::from_utf8(text).unwrap_or_default();
        let dropped = std::mem::take(&mut self.dropped);
        InFlight { sequence: self.sequence, text, requests, dropped }
    }

    /// Whether the report before this moment could not hold all: the next one may be taken
    /// at once.
    pub fn more(&self) -> bool {
        self.more
    }

    /// The report of this number, or a later one, was taken in.
    pub fn acknowledge(&mut self, sequence: u64) {
        self.in_flight.take_if(|report| report.sequence <= sequence);
    }

    /// The report of this number will never be taken in: what is in it counts as dropped.
    pub fn refused(&mut self, sequence: u64) {
        if let Some(report) = self.in_flight.take_if(|report| report.sequence == sequence) {
            self.dropped = self.dropped.saturating_add(report.dropped);
            self.leave_out(report.requests);
        }
    }

    /// Requests that no report tells or will tell whose they were.
    pub fn dropped_ever(&self) -> u64 {
        self.dropped_ever
    }

    /// Clients in it.
    pub fn clients(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map_or(0, |report| report.text.capacity());
        self.rows.memory_bytes() + in_flight
    }
}

/// What is left of a report after its last client.
const CLOSING: &[u8] = b"]}";

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
