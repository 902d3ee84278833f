use std::io::Write as _;

use super::*;
use crate::serve::store::suite::{self, state};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn why(error: StoreError) -> String {
    error.to_string()
}

#[test]
fn it_does_what_every_store_must() {
    let directory = directory();
    suite::play(|name| Sqlite::open(&directory.path().join(name)).unwrap());
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let directory = directory();
    let first = Sqlite::open(directory.path()).unwrap();
    let error = Sqlite::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(why(error).contains("one `crossfade serve` at a time"));
    drop(first);
    Sqlite::open(directory.path()).unwrap();
}

#[test]
fn other_peoples_files_are_refused_and_left_as_they_are() {
    type Make = dyn Fn(&Path);
    let cases: [(&str, &Make, &str); 3] = [
        ("text", &|path| fs::write(path, "hello").unwrap(), "is no SQLite file"),
        (
            "another program's",
            &|path| {
                let other = Connection::open(path).unwrap();
                other.execute_batch("CREATE TABLE theirs (x); PRAGMA user_version=1").unwrap();
            },
            "of another program",
        ),
        (
            "a newer format",
            &|path| {
                drop(Sqlite::open(path.parent().unwrap()).unwrap());
                let ours = Connection::open(path).unwrap();
                ours.execute_batch("PRAGMA user_version=99").unwrap();
            },
            "has format 99, this program knows 1",
        ),
    ];
    for (name, make, message) in cases {
        let directory = directory();
        let path = directory.path().join(FILE);
        make(&path);
        let before = fs::read(&path).unwrap();
        let error = why(Sqlite::open(directory.path()).unwrap_err());
        assert!(
            error.contains(message) && error.contains("nothing was changed"),
            "{name}: {error}"
        );
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
    }
}

#[test]
fn rot_is_noticed_wherever_it_is() {
    let commit = |calls: &str| {
        let mut commit = Commit { at_ms: 1, ..Commit::default() };
        commit.calls.push(crate::serve::calls::Call::Handle { lines: calls.as_bytes(), now_ms: 1 });
        commit
    };
    let statements = [
        "UPDATE calls SET calls = x'00' WHERE seq = 1",
        "DELETE FROM calls WHERE seq = 2",
        "UPDATE checkpoint SET snapshot = x'00'",
        "UPDATE checkpoint SET engine = 'another'",
    ];
    for statement in statements {
        let directory = directory();
        let mut store = Sqlite::open(directory.path()).unwrap();
        store.checkpoint(&state(3)).unwrap();
        ["a", "b", "c"].iter().for_each(|calls| store.commit(&commit(calls)).unwrap());
        drop(store);
        let path = directory.path().join(FILE);
        Connection::open(&path).unwrap().execute(statement, []).unwrap();
        let error = why(Sqlite::open(directory.path()).unwrap().load().unwrap_err());
        assert!(error.contains("is damaged"), "{statement}: {error}");
    }
}

#[test]
fn a_file_that_is_cut_or_overwritten_is_refused() {
    let directory = directory();
    let mut store = Sqlite::open(directory.path()).unwrap();
    store.checkpoint(&state(200_000)).unwrap();
    drop(store);
    let path = directory.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let mut file = File::options().write(true).truncate(true).open(&path).unwrap();
    file.write_all(&whole[..whole.len() / 2]).unwrap();
    drop(file);
    let error = why(Sqlite::open(directory.path()).unwrap_err());
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), &whole[..whole.len() / 2], "it was left as it was");
}

#[test]
fn the_directory_is_for_nobody_but_us() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = directory();
    let made = directory.path().join("a/b");
    Sqlite::open(&made).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_file_of_a_program_without_receipts_is_read_and_gets_room_for_them() {
    let directory = directory();
    drop(Sqlite::open(directory.path()).unwrap());
    let path = directory.path().join(FILE);
    Connection::open(&path).unwrap().execute("DROP TABLE receipt", []).unwrap();
    let mut store = Sqlite::open_read_only(directory.path()).unwrap();
    assert!(store.load().unwrap().receipts.is_empty());
    drop(store);
    let mut store = Sqlite::open(directory.path()).unwrap();
    assert!(store.load().unwrap().receipts.is_empty());
    store.checkpoint(&state(3)).unwrap();
}

#[test]
fn only_a_flush_that_failed_leaves_open_what_was_kept() {
    use rusqlite::ffi::{Error, SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE};
    for (code, unclear) in
        [(SQLITE_IOERR_FSYNC, true), (SQLITE_FULL, false), (SQLITE_IOERR_WRITE, false)]
    {
        let error = rusqlite::Error::SqliteFailure(Error::new(code), None);
        assert_eq!(is_unclear(&error), unclear, "{error}");
    }
}
