//! The store: a log that only its newest reader may write to, a lease, and lines that
//! standbys hand on. A model, held to the contract of [`Store`] and to what the store on
//! NATS does.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossfade_core::Engine;
use serde_json::Value;

use crate::mutant::Mutant;
use crate::serve::calls::Calls;
use crate::serve::store::{
    AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Receipt, Saved, Store, StoreError,
};

/// How long a lease is good for, and how long its holder trusts in it.
const LEASE_MS: u64 = 3_000;
const TRUST_MS: u64 = 2_300;

/// What becomes of the next commit of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not kept.
    Fails,
    /// It is kept, and said not to be.
    KeptAndFails,
    /// The server dies before it is kept.
    DiesBefore,
    /// The server dies after it is kept, before anybody is answered.
    DiesAfter,
}

#[derive(Debug)]
enum Entry {
    Commit {
        at_ms: u64,
        calls: Vec<u8>,
        position: u64,
    },
    Checkpoint(Box<Checkpoint>, u64),
    /// A checkpoint that was cut off: nobody reads it.
    Torn,
}

/// A line that a standby handed on.
#[derive(Debug)]
struct Line {
    position: u64,
    subject: String,
    line: Vec<u8>,
}

/// What all servers of a world share.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) now_ms: u64,
    pub(crate) mutant: Option<Mutant>,
    /// Whether a lease decides who leads; else there is but one server.
    pub(crate) fleet: bool,
    entries: Vec<Entry>,
    /// The number of the first of them.
    first: u64,
    /// Who may write: whoever read last.
    writer: Option<(usize, u64)>,
    lease: Option<(usize, u64)>,
    lines: Vec<Line>,
    handed: u64,
    pub(crate) policies: Vec<PolicyRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) audit: Vec<AuditRow>,
    receipts: Vec<Receipt>,
    last_at_ms: u64,
    /// By server.
    pub(crate) unreachable: Vec<bool>,
    pub(crate) fates: Vec<Option<Fate>>,
    pub(crate) died: Vec<bool>,
    /// Commits since the state was last compared with what can be read.
    since_compared: u64,
    pub(crate) compare_every: u64,
    /// What must never be.
    pub(crate) wrong: Option<String>,
}

thread_local! {
    static MIRROR: RefCell<Option<Mirror>> = const { RefCell::new(None) };
}

/// The engine as it was when a commit was kept, and what could be read then.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) engine: Engine,
    pub(crate) saved: Saved,
    pub(crate) at_ms: u64,
}

/// That of the newest commit that is to be compared, once.
pub(crate) fn take_mirror() -> Option<Mirror> {
    MIRROR.take()
}

impl Disk {
    pub(crate) fn new(
        now_ms: u64,
        servers: usize,
        mutant: Option<Mutant>,
        compare_every: u64,
    ) -> Disk {
        Disk {
            now_ms,
            mutant,
            fleet: servers > 1,
            unreachable: vec![false; servers],
            fates: vec![None; servers],
            died: vec![false; servers],
            compare_every,
            ..Disk::default()
        }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// Whose writing the log takes.
    pub(crate) fn writer(&self) -> Option<usize> {
        self.writer.map(|(server, _)| server)
    }

    /// Who holds the lease, if there is one.
    pub(crate) fn holder(&self) -> Option<usize> {
        let held = self.lease.filter(|(_, until_ms)| *until_ms > self.now_ms);
        held.map(|(server, _)| server)
    }

    /// Everything that can be read.
    pub(crate) fn saved(&self) -> Saved {
        let mut saved = Saved::default();
        for entry in &self.entries {
            match entry {
                Entry::Commit { at_ms, calls, .. } => {
                    saved.at_ms = *at_ms;
                    saved.calls.extend(Calls::from_bytes(calls.clone()).ok());
                }
                Entry::Checkpoint(checkpoint, _) => {
                    saved.at_ms = checkpoint.at_ms;
                    saved.calls.clear();
                    saved.checkpoint = Some((**checkpoint).clone());
                }
                Entry::Torn => {}
            }
        }
        if self.mutant == Some(Mutant::SkipsACommit) && saved.calls.len() > 4 {
            let place = saved.calls.len() / 2;
            saved.calls.remove(place);
        }
        if self.mutant == Some(Mutant::ForgetsTheTime) {
            saved.at_ms = 0;
        }
        saved.policy = self.policies.last().cloned();
        saved.last_event = self.events.last().map_or(0, |row| row.id);
        saved.last_audit = self.audit.last().map_or(0, |row| row.id);
        if self.mutant != Some(Mutant::ForgetsReceipts) {
            saved.receipts.clone_from(&self.receipts);
        }
        saved
    }

    fn position(&self) -> u64 {
        let of = |entry: &Entry| match entry {
            Entry::Commit { position, .. } | Entry::Checkpoint(_, position) => Some(*position),
            Entry::Torn => None,
        };
        self.entries.iter().rev().find_map(of).unwrap_or(0)
    }

    fn keep(&mut self, commit: &Commit, position: u64) {
        if commit.at_ms < self.last_at_ms {
            let (now, last) = (commit.at_ms, self.last_at_ms);
            self.wrong(format!("time went back: a commit of {now} ms follows one of {last} ms"));
        }
        self.last_at_ms = commit.at_ms;
        let (mut event, mut act) =
            (self.events.last().map_or(0, |row| row.id), self.audit.last().map_or(0, |row| row.id));
        for row in &commit.events {
            if row.id != event + 1 {
                self.wrong(format!("event {} follows event {event}", row.id));
            }
            event = row.id;
        }
        for row in &commit.audit {
            if row.id != act + 1 {
                self.wrong(format!("act {} follows act {act}", row.id));
            }
            act = row.id;
        }
        if let Some(policy) = &commit.policy {
            let before = self.policies.last().map_or(0, |row| row.revision);
            if policy.revision <= before {
                self.wrong(format!("policy {} follows policy {before}", policy.revision));
            }
            self.policies.push(policy.clone());
        }
        self.events.extend(commit.events.iter().cloned());
        self.audit.extend(commit.audit.iter().cloned());
        self.receipts.extend(commit.receipts.iter().cloned());
        if self.mutant != Some(Mutant::ForgetsCommits) {
            let calls = commit.calls.as_bytes().to_vec();
            self.entries.push(Entry::Commit { at_ms: commit.at_ms, calls, position });
        }
        self.since_compared += 1;
        if self.since_compared >= self.compare_every {
            self.since_compared = 0;
            let mirror = |engine| Mirror { engine, saved: self.saved(), at_ms: commit.at_ms };
            MIRROR.set(crate::plugin::last_called().map(mirror));
        }
    }

    fn hand_on(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_slice(line).unwrap_or_default();
            let mut subject = format!("{}.{}", value["node"], value["epoch"]);
            let clients = value.get("clients").is_some();
            if clients && self.mutant != Some(Mutant::KeepsOneLine) {
                subject = format!("{subject}.clients.{}", value["sequence"]);
            }
            let again = self.lines.iter().any(|known| known.subject == subject);
            let sequence = |line: &[u8]| {
                let value: Value = serde_json::from_slice(line).unwrap_or_default();
                value["sequence"].as_u64().unwrap_or_default()
            };
            let older = self
                .lines
                .iter()
                .any(|known| known.subject == subject && sequence(&known.line) > sequence(line));
            if !clients && older && self.mutant != Some(Mutant::KeepsTheLaterLine) {
                continue;
            }
            if clients && again && self.mutant != Some(Mutant::KeepsOneLine) {
                continue;
            }
            // As the stream does: the newest of a subject is kept.
            self.lines.retain(|known| known.subject != subject);
            self.handed += 1;
            self.lines.push(Line { position: self.handed, subject, line: line.to_vec() });
        }
    }
}

/// One server's way to it.
#[derive(Debug)]
pub(crate) struct Store1 {
    disk: Arc<Mutex<Disk>>,
    me: usize,
    /// When the lease was last renewed.
    renewed_ms: Option<u64>,
    /// Where the log ended when it was read, or after the last commit.
    end: Option<u64>,
    /// Up to where handed-on lines were given.
    given: u64,
    known: Option<PolicyRow>,
    /// Which reading of the log this is.
    reading: u64,
}

pub(crate) fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store1 {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>, me: usize) -> Store1 {
        Store1 { disk, me, renewed_ms: None, end: None, given: 0, known: None, reading: 0 }
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Failed { store: "the disk".to_owned(), why: why.to_owned() }
    }

    /// Whether this server may write, as far as it knows.
    fn led(&mut self) -> Result<(), StoreError> {
        match self.try_lead()? {
            Lead::Ours => Ok(()),
            Lead::Others { .. } => Err(StoreError::Superseded),
        }
    }

    /// Whether it may, as far as the log knows.
    fn fenced(&self, disk: &Disk) -> Result<u64, StoreError> {
        let end = self.end.ok_or_else(|| self.failed("it was not read"))?;
        let ours = disk.writer == Some((self.me, self.reading)) && end == disk.end();
        if ours || disk.mutant == Some(Mutant::Unfenced) {
            Ok(end)
        } else {
            Err(StoreError::Superseded)
        }
    }

    /// Begins to write; until the answer is there, nothing is known of the log's end.
    fn begin(&mut self, disk: &Disk) -> Result<(), StoreError> {
        let fenced = match disk.unreachable[self.me] {
            true => Err(self.failed("it cannot be reached")),
            false => self.fenced(disk),
        };
        self.end = None;
        fenced.map(drop)
    }
}

impl Store for Store1 {
    fn name(&self) -> String {
        "the disk".to_owned()
    }

    fn try_lead(&mut self) -> Result<Lead, StoreError> {
        let mut disk = lock(&self.disk);
        if !disk.fleet {
            return match disk.unreachable[self.me] {
                true => Err(self.failed("input/output error")),
                false => Ok(Lead::Ours),
            };
        }
        let now_ms = disk.now_ms;
        let free = disk.lease.is_none_or(|(who, until_ms)| who == self.me || until_ms <= now_ms);
        let unfenced = disk.mutant == Some(Mutant::Unfenced);
        if !disk.unreachable[self.me] && (free || (unfenced && now_ms.is_multiple_of(3))) {
            disk.lease = Some((self.me, now_ms + LEASE_MS));
            self.renewed_ms = Some(now_ms);
        }
        let ours = self.renewed_ms.is_some_and(|at| now_ms.saturating_sub(at) < TRUST_MS);
        if ours {
            return Ok(Lead::Ours);
        }
        self.end = None;
        let other = disk.lease.filter(|(who, _)| *who != self.me);
        Ok(Lead::Others { address: other.map(|(who, _)| format!("server-{who}")) })
    }

    fn leads(&self) -> bool {
        let disk = lock(&self.disk);
        let trusts = |at_ms| disk.now_ms.saturating_sub(at_ms) < TRUST_MS;
        !disk.fleet
            || disk.mutant == Some(Mutant::AnswersWithoutLease)
            || self.renewed_ms.is_some_and(trusts)
    }

    fn load(&mut self) -> Result<Saved, StoreError> {
        self.end = None;
        self.led()?;
        let mut disk = lock(&self.disk);
        if disk.unreachable[self.me] {
            return Err(self.failed("it cannot be reached"));
        }
        self.reading = disk.writer.map_or(0, |(_, reading)| reading) + 1;
        disk.writer = Some((self.me, self.reading));
        self.end = Some(disk.end());
        self.given = disk.position();
        Ok(disk.saved())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.led()?;
        let disk = Arc::clone(&self.disk);
        let mut disk = lock(&disk);
        self.begin(&disk)?;
        let fate = disk.fates[self.me].take();
        let (kept, said) = match fate {
            None => (true, true),
            Some(Fate::Fails | Fate::DiesBefore) => (false, false),
            Some(Fate::KeptAndFails | Fate::DiesAfter) => (true, false),
        };
        disk.died[self.me] = matches!(fate, Some(Fate::DiesBefore | Fate::DiesAfter));
        if kept {
            disk.keep(commit, self.given);
        }
        if !said {
            let why = "no answer".to_owned();
            return Err(match disk.mutant {
                Some(Mutant::ClaimsNotDone) => self.failed(&why),
                _ => StoreError::Unclear { store: self.name(), why },
            });
        }
        self.end = Some(disk.end());
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.led()?;
        let disk = Arc::clone(&self.disk);
        let mut disk = lock(&disk);
        self.begin(&disk)?;
        let position = disk.position();
        if disk.fates[self.me].take().is_some() {
            disk.entries.push(Entry::Torn);
            return Err(self.failed("no answer"));
        }
        disk.entries.push(Entry::Checkpoint(Box::new(checkpoint.clone()), position));
        disk.receipts.clone_from(&checkpoint.receipts);
        // What stands before it is not needed.
        let before = disk.entries.len() - 1;
        disk.entries.drain(..before);
        disk.first += before as u64;
        self.end = Some(disk.end());
        Ok(())
    }

    fn policy(&mut self) -> Result<Option<PolicyRow>, StoreError> {
        let disk = lock(&self.disk);
        if !disk.unreachable[self.me] {
            self.known = disk.policies.last().cloned();
        }
        Ok(self.known.clone())
    }

    fn incoming(&mut self, _: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let disk = lock(&self.disk);
        if disk.unreachable[self.me] || self.end.is_none() {
            return Ok(Vec::new());
        }
        let given = self.given;
        let new = disk.lines.iter().filter(|line| line.position > given);
        let lines = new.map(|line| line.line.clone()).collect();
        self.given = disk.handed;
        Ok(lines)
    }

    fn forward(&mut self, totals: &[u8]) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk);
        if !disk.fleet {
            return Err(StoreError::Superseded);
        }
        if disk.unreachable[self.me] {
            return Err(self.failed("it cannot be reached"));
        }
        disk.hand_on(totals);
        Ok(())
    }

    fn events(&mut self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        let disk = lock(&self.disk);
        Ok(disk.events.iter().filter(|row| row.id > after).take(limit).cloned().collect())
    }

    fn audit(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let disk = lock(&self.disk);
        Ok(disk.audit.iter().filter(|row| row.id > after).take(limit).cloned().collect())
    }

    fn audit_before(&mut self, before: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let disk = lock(&self.disk);
        let rows: Vec<_> = disk.audit.iter().filter(|row| row.id < before).cloned().collect();
        Ok(rows[rows.len().saturating_sub(limit)..].to_vec())
    }

    fn policies(&mut self, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, StoreError> {
        let disk = lock(&self.disk);
        let rows = disk.policies.iter().rev().filter(|row| row.revision <= up_to);
        Ok(rows.take(limit).cloned().collect())
    }
}
