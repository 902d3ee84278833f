//! Names taken out of a file, down to its bytes.

use rusqlite::{Row, params};
use serde_json::Value;

use super::super::{Scrubbed, StoreError, scrub};
use super::Sqlite;

/// Rows as they are to be.
#[derive(Default)]
struct Changes {
    policies: Vec<(i64, String)>,
    events: Vec<(i64, String)>,
    audit: Vec<(i64, String)>,
    views: Vec<String>,
    reasons: Vec<(i64, String)>,
}

impl Sqlite {
    /// See [`Store::scrub`](super::Store::scrub). The file is written anew, so that nothing
    /// is left in pages that are free, and so is the log of writes beside it.
    pub(super) fn scrub_names(&mut self, names: &[String]) -> Result<Scrubbed, StoreError> {
        let mut scrubbed = Scrubbed::default();
        let mut changes = self.changes(names, &mut scrubbed)?;
        // A row that has two of the names was found twice.
        let Changes { policies, events, audit, views, reasons } = &mut changes;
        for rows in [&mut *policies, events, audit, reasons] {
            rows.sort();
            rows.dedup();
        }
        views.sort();
        views.dedup();
        scrubbed.left.dedup();
        scrubbed.rows =
            (policies.len() + events.len() + audit.len() + views.len() + reasons.len()) as u64;
        self.write_changes(&changes).map_err(|error| self.failed(&error))?;
        self.connection.execute_batch("VACUUM").map_err(|error| self.failed(&error))?;
        let busy: i64 = self.one("PRAGMA wal_checkpoint(TRUNCATE)", [])?.unwrap_or(1);
        if busy != 0 {
            let path = self.path.display();
            scrubbed.left.push(format!(
                "{path}-wal, which somebody else reads: ask again once they have closed it"
            ));
        }
        scrubbed.left.push("blocks of the disk that the file system has not yet used again".into());
        Ok(scrubbed)
    }

    fn changes(&self, names: &[String], out: &mut Scrubbed) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        let newest = super::signed(self.last("policy", "revision")?);
        for name in names {
            let name = scrub::in_json(name);
            let pair = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
            let sql = "SELECT revision, document FROM policy WHERE instr(document, ?)";
            for (revision, document) in self.all(sql, [&name], pair)? {
                let document: Value = serde_json::from_str(&document).unwrap_or_default();
                let Some(without) = scrub::policy(&document, names) else { continue };
                if revision == newest {
                    // What the engine has: only another plan can change that.
                    let places = scrub::changed(&document, &without).join("`, `");
                    out.left.push(format!(
                        "the policy in force, where an operator wrote it (`{places}`): put \
                         another, and then forget it once more"
                    ));
                } else {
                    changes.policies.push((revision, without.to_string()));
                }
            }
            let sql = "SELECT id, body FROM event WHERE instr(body, ?)";
            for (id, body) in self.all(sql, [&name], pair)? {
                let body = scrub::event(&body, names);
                changes.events.extend(body.map(|body| (id, body.get().to_owned())));
            }
            let sql = "SELECT name FROM view WHERE instr(body, ?)";
            changes.views.extend(self.all(sql, [&name], |row| row.get(0))?);
        }
        for name in names {
            let pair = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
            let sql = "SELECT id, why FROM audit WHERE instr(why, ?)";
            for (id, why) in self.all(sql, [name], pair)? {
                changes.audit.extend(scrub::sentence(&why, names).map(|why| (id, why)));
            }
            let sql = "SELECT revision, why FROM policy WHERE instr(why, ?)";
            for (revision, why) in self.all(sql, [name], pair)? {
                changes.reasons.extend(scrub::sentence(&why, names).map(|why| (revision, why)));
            }
        }
        Ok(changes)
    }

    fn write_changes(&mut self, changes: &Changes) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for (sql, rows) in [
            ("UPDATE policy SET why = ?2 WHERE revision = ?1", &changes.reasons),
            ("UPDATE policy SET document = ?2 WHERE revision = ?1", &changes.policies),
            ("UPDATE event SET body = ?2 WHERE id = ?1", &changes.events),
            ("UPDATE audit SET why = ?2 WHERE id = ?1", &changes.audit),
        ] {
            for (id, text) in rows {
                transaction.execute(sql, params![id, text])?;
            }
        }
        // The next commit with views writes them anew.
        for name in &changes.views {
            transaction.execute("DELETE FROM view WHERE name = ?", [name])?;
        }
        transaction.commit()
    }
}
