//! Files that others read while we write them, and files that others write.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;

use crate::changes::{Changes, LOOK_EVERY};
use crate::exit::{Exit, Failure};
use crate::signals;

/// What a header of an ordinary server holds, and the filter takes.
const TOKEN_BYTES_MAX: usize = 4096;

/// A token's file: its text without the white space around it.
pub(super) fn token(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Io, format!("cannot read token {shown}: {error}")))?;
    let wrong = |why| Err(Failure::new(Exit::Data, format!("{shown}: {why}")));
    match text.trim() {
        "" => wrong("empty, and should be a token"),
        // As the filter reads it. The text is a secret, so it is not shown.
        token if token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|c| c.is_ascii_graphic()) => {
            wrong("not a token: one line of up to 4096 printable ASCII characters without spaces")
        }
        token => Ok(token.to_owned()),
    }
}

/// Puts a file with this text in the place of another at once: whoever watches sees the
/// old one or the new one. What is no plain file (`/dev/stdout`) is written to.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    write(path, text).map_err(|error| {
        Failure::new(Exit::Io, format!("cannot write {}: {error}", path.display()))
    })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::File::create(&beside).and_then(|mut file| {
        // Who could not read the old one (it may have a token in it) cannot read the new one.
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        // A crash must not leave an empty file under the name.
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // It may not exist; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Writes now, and whenever the plan has changed. Ends with a signal only.
pub(super) fn watch(
    plan: &Path,
    to: &Path,
    mut make: impl FnMut() -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    if plan.as_os_str() == "-" {
        return Err(Failure::new(Exit::Usage, "standard input cannot be watched: give a file"));
    }
    signals::watch(|| {}).map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot wait for signals: {error}"))
    })?;
    let mut changes = Changes::new(plan);
    // A first plan that is wrong is a mistake on the command line, not while editing.
    let mut last = make()?;
    replace(to, &last)?;
    say(&format!("wrote {}; watching {}", to.display(), plan.display()));
    loop {
        thread::sleep(LOOK_EVERY);
        if !changes.look() {
            continue;
        }
        match make().and_then(|text| {
            let changed = text != last;
            if changed {
                replace(to, &text)?;
                last = text;
            }
            Ok(changed)
        }) {
            Ok(true) => say(&format!("wrote {}", to.display())),
            Ok(false) => say(&format!("{} is still right", to.display())),
            Err(failure) => say(&format!("{failure}\n{} stays as it is", to.display())),
        }
    }
}

fn say(line: &str) {
    // Not `eprintln!`: that panics when stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.yaml");
        replace(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let old = fs::File::open(&path).unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(io::read_to_string(old).unwrap(), "one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("no/such/file"), "x").is_err());
    }
}
