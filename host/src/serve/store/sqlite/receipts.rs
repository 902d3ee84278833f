//! Receipts in a table of their own, which files of earlier programs do not have.

use rusqlite::{Connection, Row, params};

use super::super::{Receipt, StoreError};
use super::{Sqlite, signed, whole};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS receipt (
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
";

impl Sqlite {
    /// Makes the table. A program that does not know it leaves it alone.
    pub(super) fn make_receipts(&self) -> Result<(), StoreError> {
        self.connection.execute_batch(SCHEMA).map_err(|error| self.failed(&error))
    }

    pub(super) fn saved_receipts(&self) -> Result<Vec<Receipt>, StoreError> {
        let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'receipt'";
        if self.one::<i64>(there, [])? == Some(0) {
            return Ok(Vec::new());
        }
        let sql = "SELECT at_ms, who, key, request, reply, revision FROM receipt ORDER BY rowid";
        let read = |row: &Row<'_>| {
            Ok(Receipt {
                at_ms: whole(row.get(0)?),
                who: row.get(1)?,
                key: row.get(2)?,
                request: row.get(3)?,
                reply: row.get(4)?,
                revision: whole(row.get(5)?),
            })
        };
        self.all(sql, [], read)
    }
}

/// Adds these, as a part of a transaction.
pub(super) fn put(connection: &Connection, receipts: &[Receipt]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?)";
    for Receipt { at_ms, who, key, request, reply, revision } in receipts {
        let row = params![signed(*at_ms), who, key, request, reply, signed(*revision)];
        connection.prepare_cached(sql)?.execute(row)?;
    }
    Ok(())
}
