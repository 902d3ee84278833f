//! One machine's store: a SQLite file, in write-ahead mode and flushed at every commit.
//!
//! Anybody can open it beside a running server: `sqlite3 DIR/crossfade.db`. Calls carry
//! a digest, since SQLite itself does not notice a page that has rotted.

mod receipts;
mod scrub;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, params};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Saved, Scrubbed, Store, StoreError,
    View,
};
use crate::serve::calls::Calls;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "crossfade.db";

/// `CrFa`: what tells our files from other people's.
const APPLICATION_ID: i32 = 0x4372_4661;

/// Version of [`SCHEMA`]. A file of a higher one is refused.
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms INTEGER NOT NULL,
    engine TEXT NOT NULL,
    module BLOB,
    snapshot BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    calls BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE policy (
    revision INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE TABLE event (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    why TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE TABLE view (name TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
";

/// Events beyond so many are dropped at a checkpoint, the oldest first; so are policies.
/// Audit rows are kept for good.
const EVENTS_MAX: u64 = 100_000;
const POLICIES_MAX: u64 = 10_000;

/// How long a commit waits for a reader who holds the file, such as a backup.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// The store in a data directory.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    /// Held as long as the store is: the operating system lets go of it when we die.
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the store in this directory, or begins a new one.
    ///
    /// # Errors
    /// Another process has it; it is no store of ours, or damaged; or the disk fails.
    pub(crate) fn open(directory: &Path) -> Result<Sqlite, StoreError> {
        let path = directory.join(FILE);
        make_private(directory).map_err(|error| failed(&path, &error))?;
        let lock = lock(directory, &path)?;
        foreign_bytes(&path)?;
        let connection = Connection::open(&path).map_err(|error| judge(&path, &error))?;
        let mut store = Sqlite { path, connection, _lock: Some(lock) };
        store.prepare()?;
        Ok(store)
    }

    /// Opens a store that is there, to read it only. Another process may have it.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when there is none.
    pub(crate) fn open_read_only(directory: &Path) -> Result<Sqlite, StoreError> {
        let path = directory.join(FILE);
        if !path.exists() {
            let error = "there is no such file: nothing has been stored here";
            return Err(failed(&path, &error));
        }
        foreign_bytes(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&path, flags).map_err(|error| judge(&path, &error))?;
        let store = Sqlite { path, connection, _lock: None };
        store.connection.busy_timeout(BUSY).map_err(|error| store.failed(&error))?;
        match store.pragma("application_id")? {
            APPLICATION_ID => {}
            _ => return Err(store.foreign("is a SQLite file of another program")),
        }
        store.check()?;
        Ok(store)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let set = self.connection.busy_timeout(BUSY);
        set.map_err(|error| self.failed(&error))?;
        let application: i32 = self.pragma("application_id")?;
        let version: i32 = self.pragma("user_version")?;
        let tables: i64 = self.one("SELECT count(*) FROM sqlite_schema", [])?.unwrap_or_default();
        match (application, version) {
            (0, 0) if tables == 0 => return self.create(),
            (APPLICATION_ID, SCHEMA_VERSION) => {}
            (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => {
                let why = format!(
                    "has format {newer}, this program knows {SCHEMA_VERSION}: run the newer one"
                );
                return Err(self.foreign(&why));
            }
            _ => return Err(self.foreign("is a SQLite file of another program")),
        }
        self.check()?;
        self.settings()?;
        self.make_receipts()
    }

    /// Whether all pages are sound.
    fn check(&self) -> Result<(), StoreError> {
        match self.one::<String>("PRAGMA quick_check(1)", [])?.as_deref() {
            Some("ok") => Ok(()),
            said => {
                let said = said.unwrap_or("nothing");
                let why = format!(
                    "is damaged ({said}): restore a backup, or `crossfade data export` what is left"
                );
                Err(self.foreign(&why))
            }
        }
    }

    fn settings(&self) -> Result<(), StoreError> {
        // NORMAL would lose acknowledged commits when the power goes.
        let settings = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;";
        self.connection.execute_batch(settings).map_err(|error| self.failed(&error))
    }

    fn create(&mut self) -> Result<(), StoreError> {
        self.settings()?;
        let schema = format!(
            "BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION_ID}; \
             PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        );
        self.connection.execute_batch(&schema).map_err(|error| self.failed(&error))?;
        self.make_receipts()
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        judge(&self.path, error)
    }

    fn foreign(&self, why: &str) -> StoreError {
        StoreError::Foreign { store: self.name(), why: why.to_owned() }
    }

    fn pragma(&self, name: &str) -> Result<i32, StoreError> {
        let value = self.connection.pragma_query_value(None, name, |row| row.get(0));
        value.map_err(|error| self.failed(&error))
    }

    fn one<T: FromSql>(&self, sql: &str, params: impl Params) -> Result<Option<T>, StoreError> {
        let value = self.connection.query_row(sql, params, |row| row.get(0)).optional();
        value.map_err(|error| self.failed(&error))
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params, read)?.collect()
        };
        rows().map_err(|error| self.failed(&error))
    }

    fn last(&self, table: &str, column: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT max({column}) FROM {table}");
        Ok(self.one::<Option<i64>>(&sql, [])?.flatten().map_or(0, whole))
    }

    fn saved_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let sql = "SELECT at_ms, engine, module, snapshot, digest FROM checkpoint";
        let read = |row: &Row<'_>| {
            let checkpoint = Checkpoint {
                at_ms: whole(row.get(0)?),
                engine: row.get(1)?,
                module: row.get(2)?,
                snapshot: row.get(3)?,
                // They stand beside it.
                receipts: Vec::new(),
            };
            Ok((checkpoint, row.get::<_, Vec<u8>>(4)?))
        };
        let Some((checkpoint, digest)) = self.all(sql, [], read)?.pop() else { return Ok(None) };
        if digest != checkpoint_digest(&checkpoint) {
            return Err(self.foreign("is damaged (the checkpoint is not what was written)"));
        }
        Ok(Some(checkpoint))
    }

    fn saved_calls(&self) -> Result<Vec<Calls>, StoreError> {
        let sql = "SELECT seq, calls, digest FROM calls ORDER BY seq";
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
        };
        let mut before = None;
        let mut list = Vec::new();
        for (seq, bytes, digest) in self.all(sql, [], read)? {
            let sound = digest == Sha256::digest(&bytes).as_slice();
            let follows = before.is_none_or(|before: i64| before + 1 == seq);
            let calls = Calls::from_bytes(bytes).ok().filter(|_| sound && follows);
            let Some(calls) = calls else {
                let why = format!("is damaged (commit {seq} is not what was written)");
                return Err(self.foreign(&why));
            };
            before = Some(seq);
            list.push(calls);
        }
        Ok(list)
    }

    fn write(&mut self, commit: &Commit) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let put = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
                transaction.prepare_cached(sql)?.execute(params).map(|_| ())
            };
            let at_ms = signed(commit.at_ms);
            if !commit.calls.is_empty() {
                let bytes = commit.calls.as_bytes();
                let sql = "INSERT INTO calls (at_ms, calls, digest) VALUES (?, ?, ?)";
                put(sql, params![at_ms, bytes, Sha256::digest(bytes).as_slice()])?;
            }
            if let Some(policy) = &commit.policy {
                let PolicyRow { revision, at_ms, who, why, document } = policy;
                let sql = "INSERT INTO policy VALUES (?, ?, ?, ?, ?)";
                let (revision, at_ms) = (signed(*revision), signed(*at_ms));
                put(sql, params![revision, at_ms, who, why, document.to_string()])?;
            }
            for event in &commit.events {
                let sql = "INSERT INTO event VALUES (?, ?, ?)";
                put(sql, params![signed(event.id), signed(event.at_ms), event.body.get()])?;
            }
            for AuditRow { id, at_ms, who, what, why, revision } in &commit.audit {
                let sql = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)";
                let (id, at_ms, revision) = (signed(*id), signed(*at_ms), signed(*revision));
                put(sql, params![id, at_ms, who, what, why, revision])?;
            }
            receipts::put(&transaction, &commit.receipts)?;
            for View { name, body } in &commit.views {
                let sql = "INSERT OR REPLACE INTO view VALUES (?, ?, ?)";
                put(sql, params![name, at_ms, body])?;
            }
        }
        transaction.commit()
    }
}

impl Store for Sqlite {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn try_lead(&mut self) -> Result<Lead, StoreError> {
        Ok(Lead::Ours)
    }

    fn load(&mut self) -> Result<Saved, StoreError> {
        let checkpoint = self.saved_checkpoint()?;
        let calls = self.saved_calls()?;
        let committed = self.last("calls", "at_ms")?;
        let at_ms = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.at_ms).max(committed);
        Ok(Saved {
            checkpoint,
            calls,
            at_ms,
            policy: self.policy()?,
            last_event: self.last("event", "id")?,
            last_audit: self.last("audit", "id")?,
            receipts: self.saved_receipts()?,
        })
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.write(commit).map_err(|error| match is_unclear(&error) {
            true => StoreError::Unclear { store: self.name(), why: error.to_string() },
            false => self.failed(&error),
        })
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let digest = checkpoint_digest(checkpoint);
        let Checkpoint { snapshot, engine, module, at_ms, receipts } = checkpoint;
        let mut write = || {
            let transaction = self.connection.transaction()?;
            let sql = "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?, ?)";
            transaction.execute(sql, params![signed(*at_ms), engine, module, snapshot, digest])?;
            transaction.execute("DELETE FROM calls", [])?;
            transaction.execute("DELETE FROM receipt", [])?;
            receipts::put(&transaction, receipts)?;
            for (table, column, most) in
                [("event", "id", EVENTS_MAX), ("policy", "revision", POLICIES_MAX)]
            {
                let newest = format!("(SELECT max({column}) FROM {table})");
                let sql = format!("DELETE FROM {table} WHERE {column} <= {newest} - ?");
                transaction.execute(&sql, [signed(most)])?;
            }
            transaction.commit()
        };
        write().map_err(|error| self.failed(&error))
    }

    fn policy(&mut self) -> Result<Option<PolicyRow>, StoreError> {
        Ok(self.policies(u64::MAX, 1)?.pop())
    }

    fn scrub(&mut self, names: &[String]) -> Result<Scrubbed, StoreError> {
        self.scrub_names(names)
    }

    fn events(&mut self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT id, at_ms, body FROM event WHERE id > ? ORDER BY id LIMIT ?";
        let read = |row: &Row<'_>| {
            let body = row.get::<_, String>(2)?;
            let body = RawValue::from_string(body).map_err(|error| unreadable(2, error))?;
            Ok(EventRow { id: whole(row.get(0)?), at_ms: whole(row.get(1)?), body })
        };
        self.all(sql, params![signed(after), count(limit)], read)
    }

    fn audit(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT id, at_ms, who, what, why, revision FROM audit \
                   WHERE id > ? ORDER BY id LIMIT ?";
        self.all(sql, params![signed(after), count(limit)], audit_row)
    }

    fn audit_before(&mut self, before: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT id, at_ms, who, what, why, revision FROM audit \
                   WHERE id < ? ORDER BY id DESC LIMIT ?";
        let mut rows = self.all(sql, params![signed(before), count(limit)], audit_row)?;
        rows.reverse();
        Ok(rows)
    }

    fn policies(&mut self, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, StoreError> {
        let sql = "SELECT revision, at_ms, who, why, document FROM policy \
                   WHERE revision <= ? ORDER BY revision DESC LIMIT ?";
        let read = |row: &Row<'_>| {
            let document = row.get::<_, String>(4)?;
            Ok(PolicyRow {
                revision: whole(row.get(0)?),
                at_ms: whole(row.get(1)?),
                who: row.get(2)?,
                why: row.get(3)?,
                document: serde_json::from_str(&document).map_err(|error| unreadable(4, error))?,
            })
        };
        self.all(sql, params![signed(up_to), count(limit)], read)
    }
}

/// The directory, made if it is not there, for nobody but us: it holds identities.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn lock(directory: &Path, store: &Path) -> Result<File, StoreError> {
    let path = directory.join("crossfade.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::InUse { store: store.display().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
    }
}

/// A file that is no SQLite file at all. SQLite itself would take an empty one for new.
fn foreign_bytes(path: &Path) -> Result<(), StoreError> {
    use std::io::Read as _;
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(16).read_to_end(&mut head).map_err(|error| failed(path, &error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, &error)),
    };
    if head.is_empty() || head == *b"SQLite format 3\0" {
        return Ok(());
    }
    let store = path.display().to_string();
    Err(StoreError::Foreign { store, why: "is no SQLite file".to_owned() })
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed { store: path.display().to_string(), why: error.to_string() }
}

fn judge(path: &Path, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Foreign {
            store: path.display().to_string(),
            why: format!("is damaged ({error}): restore a backup"),
        },
        _ => failed(path, error),
    }
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: whole(row.get(0)?),
        at_ms: whole(row.get(1)?),
        who: row.get(2)?,
        what: row.get(3)?,
        why: row.get(4)?,
        revision: whole(row.get(5)?),
    })
}

/// Whether a commit that ended so may be found after a crash: its bytes are written, and the
/// disk did not say that it has them.
fn is_unclear(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(rusqlite::ffi::SQLITE_IOERR_FSYNC)
}

fn unreadable(column: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

fn checkpoint_digest(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(checkpoint.at_ms.to_le_bytes());
    digest.update(&checkpoint.engine);
    digest.update(checkpoint.module.as_deref().unwrap_or_default());
    digest.update(&checkpoint.snapshot);
    digest.finalize().to_vec()
}

/// SQLite has no unsigned numbers; ours stay below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
