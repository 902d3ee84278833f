//! Another key in the place of one that must not stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::KEY_FILE;
use crate::serve::access::secret;
use crate::serve::clock::Reading;

/// The file with the key before and the moment from which on it is of no use.
const OLD_KEY_FILE: &str = "privacy.key.old";

/// For how long the key before is kept unless it is said: an interval that hardly any
/// client exceeds.
pub(crate) const GRACE_DAYS: u32 = 35;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The key before.
pub(super) struct Old {
    pub(super) key: String,
    pub(super) until_ms: u64,
}

/// The key before, if there is one that is still of use. One that is not is removed.
///
/// # Errors
/// The file cannot be read, or is not ours.
pub(super) fn before(data: &Path) -> io::Result<Option<Old>> {
    let path = data.join(OLD_KEY_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let old = read(&text).ok_or_else(|| {
        let why = format!("{}: KEY UNTIL_MS is expected", path.display());
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    if Reading::now().wall_ms >= old.until_ms {
        fs::remove_file(&path)?;
        return Ok(None);
    }
    Ok(Some(old))
}

fn read(text: &str) -> Option<Old> {
    let (key, until) = text.trim().split_once(' ')?;
    Some(Old { key: key.to_owned(), until_ms: until.parse().ok()? })
}

/// Draws another key, and keeps the one before for so many days. A key that was kept from
/// before that is gone: its hashes can no longer be found by a name.
///
/// # Errors
/// The directory has no key yet, or a file cannot be written.
pub(crate) fn rotate(data: &Path, grace_days: u32) -> io::Result<u64> {
    let path = data.join(KEY_FILE);
    let key = fs::read_to_string(&path)?;
    let until_ms = Reading::now().wall_ms + u64::from(grace_days) * DAY_MS;
    // The new one is whole before the old one goes, whatever happens in between.
    let new = data.join("privacy.key.new");
    remove(&new)?;
    secret(&new)?;
    let old = data.join(OLD_KEY_FILE);
    remove(&old)?;
    if grace_days > 0 {
        write_private(&old, &format!("{} {until_ms}\n", key.trim()))?;
    }
    fs::rename(&new, &path)?;
    fs::File::open(data)?.sync_all()?;
    Ok(until_ms)
}

fn remove(path: &PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_and_kept_for_its_time() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let file = |name: &str| data.path().join(name);
        assert!(rotate(data.path(), 5).is_err(), "there is no key yet");
        let first = secret(&file(KEY_FILE)).unwrap();
        let until_ms = rotate(data.path(), 5).unwrap();
        let second = secret(&file(KEY_FILE)).unwrap();
        assert_ne!(first, second);
        for name in [KEY_FILE, OLD_KEY_FILE] {
            assert_eq!(fs::metadata(file(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let old = before(data.path()).unwrap().unwrap();
        assert_eq!((old.key, old.until_ms), (first, until_ms));
        rotate(data.path(), 5).unwrap();
        assert_eq!(before(data.path()).unwrap().unwrap().key, second);
        rotate(data.path(), 0).unwrap();
        assert!(before(data.path()).unwrap().is_none());
    }

    #[test]
    fn a_key_whose_time_is_over_is_removed_and_nonsense_is_named() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(OLD_KEY_FILE);
        fs::write(&path, "abc 1000\n").unwrap();
        assert!(before(data.path()).unwrap().is_none());
        assert!(!path.exists());
        fs::write(&path, "abc\n").unwrap();
        assert!(before(data.path()).err().unwrap().to_string().contains("KEY UNTIL_MS"));
    }
}
