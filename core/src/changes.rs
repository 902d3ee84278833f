//! What a node's clients did since its last report of them: bounded, and reported once.
//!
//! A client costs one look-up a request. When there are too many, those are kept whose
//! [`client_hash`] is small enough, so that samples of many nodes fit together; what the
//! others did is counted as dropped. A report that was made is given again, byte for byte,
//! until it is acknowledged or refused; what happens meanwhile goes into the next one. So
//! everything that was recorded is in exactly one report, or dropped.

mod rows;
mod text;

use crossfade_protocol::clients::{ClientRow, ClientsReport, Declared, Identity, client_hash};
use crossfade_protocol::limits::{
    CLIENTS_REPORT_BYTES_MAX, EDGE_CLIENTS_BYTES_MAX, EDGE_CLIENTS_MAX, KEY_BYTES_MAX, VERSIONS_MAX,
};

use rows::{Row, Rows};
use text::Head;

/// One call of a client, or something that is known of its calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'c> {
    /// Who: not empty. What is not UTF-8 is replaced, what is too long is cut.
    pub key: &'c [u8],
    /// Where that comes from.
    pub identity: Identity,
    /// The version it was decided to go to, by its [place](Changes::place) in the buffer.
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
    /// What rows call versions by.
    versions: Vec<String>,
    /// Where the policy's versions are in there.
    places: Vec<u8>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
            places: Vec::new(),
            theta: u64::MAX,
            dropped: 0,
            dropped_ever: 0,
            sequence: 0,
            more: false,
            in_flight: None,
        }
    }

    /// Takes the versions of a policy. Rows keep theirs, unless there are too many names:
    /// then what they tell is dropped.
    pub fn set_versions(&mut self, names: &[String]) {
        let new = names.iter().filter(|name| self.place(name).is_none()).count();
        if self.rows.len() == 0 || self.versions.len() + new > VERSIONS_MAX {
            let gone = self.rows.retain(|_| false);
            self.leave_out(gone);
            self.versions.clear();
        }
        self.places.clear();
        for name in names.iter().take(VERSIONS_MAX) {
            if self.place(name).is_none() {
                self.versions.push(name.clone());
            }
            self.places.extend(self.place(name));
        }
    }

    /// The place of a version, by its name.
    pub fn place(&self, name: &str) -> Option<u8> {
        self.versions.iter().position(|known| known == name).map(|place| place as u8)
    }

    /// The place of the policy's version of this number; one that nothing has, for a number
    /// that the policy does not have.
    pub fn place_of(&self, version: u16) -> u8 {
        self.places.get(usize::from(version)).copied().unwrap_or(u8::MAX)
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
        self.record_from(cut(key, KEY_BYTES_MAX), call, now_s, now_s);
    }

    /// Adds what a row tells, whose versions are by the policy's numbers.
    pub fn add(&mut self, row: &ClientRow) {
        let key = cut(&row.key, KEY_BYTES_MAX);
        for count in &row.counts {
            let call = Call {
                identity: row.identity,
                version: self.place_of(count.version.into()),
                requests: count.requests,
                failures: count.failures,
                ..Call::default()
            };
            self.record_from(key, &call, count.first_s, count.last_s);
        }
        let call = Call {
            identity: row.identity,
            version: self.place_of(row.on.into()),
            refused: row.refused,
            agent: row.agent.as_deref(),
            says: row.says.as_ref(),
            ..Call::default()
        };
        self.record_from(key, &call, 0, 0);
    }

    fn record_from(&mut self, key: &str, call: &Call<'_>, first_s: u32, last_s: u32) {
        let theta = self.theta;
        let wanted = || theta == u64::MAX || client_hash(key.as_bytes(), call.identity) <= theta;
        if key.is_empty()
            || usize::from(call.version) >= self.versions.len()
            || !self.rows.record(key, call, (first_s, last_s), wanted)
        {
            return self.leave_out(call.requests);
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
            let (mut clients, mut bytes) = (0, 0);
            for row in self.rows.iter().filter(|row| hash(row) <= theta) {
                clients += 1;
                bytes += row.bytes();
            }
            if clients <= EDGE_CLIENTS_MAX / 2 && bytes <= EDGE_CLIENTS_BYTES_MAX / 2 {
                break;
            }
        }
        self.theta = theta;
        let gone = self.rows.retain(|row| hash(row) <= theta);
        self.leave_out(gone);
    }

    /// So many requests are of clients that no report tells of.
    pub fn leave_out(&mut self, requests: u64) {
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

    /// A report without anything new in it: its number is that of the one before.
    pub fn nothing(&self, node: &str, epoch: u64, revision: u64) -> String {
        self.head(node, epoch, revision).text(self, &[])
    }

    fn head<'n>(&self, node: &'n str, epoch: u64, revision: u64) -> Head<'n> {
        Head { node, epoch, revision, more: false }
    }

    fn cut_report(&mut self, node: &str, epoch: u64, revision: u64) -> InFlight {
        self.sequence = self.sequence.saturating_add(1);
        let mut head = Head { more: true, ..self.head(node, epoch, revision) };
        let room = CLIENTS_REPORT_BYTES_MAX.saturating_sub(head.text(self, &[]).len());
        let mut clients = Vec::new();
        let requests = self.rows.take(|row| {
            let before = clients.len();
            text::row(&mut clients, row);
            let fits = clients.len() <= room;
            if !fits {
                clients.truncate(before);
            }
            fits
        });
        self.more = self.rows.len() > 0;
        head.more = self.more;
        let text = head.text(self, &clients);
        if !self.more {
            // From here on everybody is counted again.
            self.theta = u64::MAX;
        }
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

    /// All of it, for a snapshot: the report that it would make, however long, and the one
    /// in flight. In the place of the epoch is the seed, in that of the revision what was
    /// dropped ever.
    pub(crate) fn save(&self) -> Vec<String> {
        let mut clients = Vec::new();
        self.rows.iter().for_each(|row| text::row(&mut clients, row));
        let head = Head { more: self.more, ..self.head("n", self.rows.seed(), self.dropped_ever) };
        let all = head.text(self, &clients);
        std::iter::once(all)
            .chain(self.in_flight.iter().map(|report| report.text.clone()))
            .collect()
    }

    /// What was saved; `None` when it is damaged.
    pub(crate) fn load(saved: &[String], names: &[String]) -> Option<Changes> {
        let read = |text: &String| ClientsReport::read(text.as_bytes()).ok();
        let all = saved.first().and_then(read)?;
        let mut changes = Changes { sequence: all.sequence, ..Changes::new(all.epoch) };
        changes.set_versions(&all.versions);
        all.clients.iter().for_each(|row| changes.add(row));
        (changes.theta, changes.dropped) = (all.theta, all.dropped);
        (changes.dropped_ever, changes.more) = (all.revision, all.more);
        changes.set_versions(names);
        if let Some(text) = saved.get(1) {
            let report = read(text)?;
            let counts = report.clients.iter().flat_map(|client| &client.counts);
            let requests = counts.map(|count| count.requests).sum();
            let (sequence, dropped) = (report.sequence, report.dropped);
            changes.in_flight = Some(InFlight { sequence, text: text.clone(), requests, dropped });
        }
        Some(changes)
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
