//! Compiled modules, kept between starts: compiling takes half a second, loading the
//! compiled form a few milliseconds.
//!
//! The cache is a convenience. Whatever is wrong with it is said in a warning, and the
//! module is compiled as if there were none.

mod trusted;

use std::cmp::Reverse;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, process};

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::{Engine, Module};

use trusted::Distrust;

/// Names the cache's directory; empty for no cache at all.
pub const DIR_VARIABLE: &str = "CROSSFADE_CACHE_DIR";

/// Compiled modules kept, and their size in all. Each is 2-4 MB; the least recently
/// used go first.
const FILES_MAX: usize = 16;
const BYTES_MAX: u64 = 256 << 20;

/// After this long a half-written file is a dead process's.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(3600);

const COMPILED: &str = "cwasm";
const TEMPORARY: &str = "tmp";

/// Where compiled modules are kept, if anywhere.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: Option<PathBuf>,
}

impl Cache {
    /// No cache: every load compiles.
    pub fn none() -> Cache {
        Cache { dir: None }
    }

    /// A cache in this directory, made (mode 0700) when something is to be kept.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Cache {
        Cache { dir: Some(dir.into()) }
    }

    /// The user's cache: `$CROSSFADE_CACHE_DIR` (empty for none), else
    /// `$XDG_CACHE_HOME/crossfade`, else `~/.cache/crossfade`, else none.
    pub fn from_env() -> Cache {
        if let Some(dir) = env::var_os(DIR_VARIABLE) {
            return if dir.is_empty() { Cache::none() } else { Cache::in_dir(dir) };
        }
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let dir = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Cache { dir: dir.map(|dir| dir.join("crossfade")) }
    }

    /// The module made of `wasm`: from the cache, or compiled and then kept there.
    ///
    /// # Errors
    /// `wasm` does not validate or compile. Never because of the cache.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
        let Some(dir) = &self.dir else {
            return Module::from_binary(engine, wasm);
        };
        if let Err(why) = prepare(dir) {
            warn!(
                "compiled modules are not cached in {}: {why}; {DIR_VARIABLE} names another place",
                dir.display()
            );
            return Module::from_binary(engine, wasm);
        }
        let key = Key::new(engine, wasm);
        let path = dir.join(key.file_name());
        match trusted::load(engine, &path, &key.0) {
            Ok(module) => return Ok(module),
            Err(Distrust::Absent) => debug!("{} is not there yet: compiling", path.display()),
            Err(why) => warn!("cached module {} {why}: compiling anew", path.display()),
        }
        let module = Module::from_binary(engine, wasm)?;
        let kept = module
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|compiled| keep(&path, &trusted::seal(&key.0, &compiled)));
        match kept {
            Ok(()) => prune(dir, &path),
            Err(why) => warn!("cannot keep the compiled module in {}: {why}", path.display()),
        }
        Ok(module)
    }
}

/// What a compiled module was made of: the module's bytes, and everything in the
/// engine (version, settings, processor) that shapes the code.
struct Key([u8; 32]);

impl Key {
    fn new(engine: &Engine, wasm: &[u8]) -> Key {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.update(Sha256::digest(wasm));
        Key(hasher.0.finalize().into())
    }

    fn file_name(&self) -> String {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}.{COMPILED}")
    }
}

/// Lets anything `Hash` be digested. The standard hasher may change with the
/// compiler, and has 64 bits.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never asked for: the digest is taken from the field.
    fn finish(&self) -> u64 {
        0
    }
}

/// Makes the directory if need be, and refuses one that others can write to: code
/// that was planted there would be run.
fn prepare(dir: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("it cannot be made ({error})"))?;
    let found = fs::metadata(dir).map_err(|error| error.to_string())?;
    trusted::only_ours(&found)
}

/// Writes a file that appears whole or not at all. It is not synced: a file torn by a
/// power cut fails its digest and is made again.
fn keep(path: &Path, sealed: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.{TEMPORARY}", process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(sealed))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes the least recently used files beyond the limits, but never `fresh`.
/// Failures are ignored: another process may be pruning too.
fn prune(dir: &Path, fresh: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut compiled = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(COMPILED) if path != fresh => compiled.push((used, found.size(), path)),
            Some(TEMPORARY) if used.elapsed().is_ok_and(|age| age > TEMPORARY_AGE_MAX) => {
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
    }
    compiled.sort_by_key(|(used, ..)| Reverse(*used));
    let mut bytes = fs::metadata(fresh).map_or(0, |found| found.size());
    for (index, (_, size, path)) in compiled.into_iter().enumerate() {
        bytes += size;
        if index + 1 >= FILES_MAX || bytes > BYTES_MAX {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runtime;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn engine() -> &'static Engine {
        runtime::engine().expect("wasmtime runs here")
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// One cached file of the empty module, in a directory of its own.
    fn filled() -> (tempfile::TempDir, Cache, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("cache");
        let cache = Cache::in_dir(&dir);
        cache.compile(engine(), EMPTY_MODULE).unwrap();
        let [file] = files(&dir).try_into().expect("one file");
        (parent, cache, file)
    }

    fn key() -> [u8; 32] {
        Key::new(engine(), EMPTY_MODULE).0
    }

    #[test]
    fn a_compiled_module_is_kept_privately_and_found_again() {
        let (_parent, _, file) = filled();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let dir = file.parent().unwrap();
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(trusted::load(engine(), &file, &key()).is_ok());
    }

    #[test]
    fn every_kind_of_damage_is_noticed_and_repaired() {
        let (_parent, cache, file) = filled();
        let good = fs::read(&file).unwrap();
        let mut damages: Vec<Vec<u8>> =
            [0, 1, 20, 79, 80, good.len() / 2, good.len() - 1].map(|n| good[..n].to_vec()).into();
        for at in [0, 17, 50, 80, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            damages.push(flipped);
        }
        damages.push([good.as_slice(), b"x"].concat());
        for damaged in damages {
            fs::write(&file, &damaged).unwrap();
            assert!(trusted::load(engine(), &file, &key()).is_err());
            cache.compile(engine(), EMPTY_MODULE).unwrap();
            assert_eq!(fs::read(&file).unwrap(), good, "the damaged file was not replaced");
        }
    }

    #[test]
    fn another_modules_file_under_this_name_is_not_loaded() {
        let (_parent, _, file) = filled();
        let other = [7; 32];
        assert!(matches!(trusted::load(engine(), &file, &other), Err(Distrust::OtherModule)));
    }

    #[test]
    fn a_file_that_others_can_write_to_is_not_loaded() {
        let (_parent, _, file) = filled();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(trusted::load(engine(), &file, &key()), Err(Distrust::NotOurs(_))));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Cache::in_dir(parent.path()).compile(engine(), EMPTY_MODULE).unwrap();
        assert!(files(parent.path()).is_empty());
    }

    #[test]
    fn the_oldest_files_go_first() {
        let (_parent, cache, fresh) = filled();
        let dir = fresh.parent().unwrap();
        let aged = |name: &str, age_s| {
            let path = dir.join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
            path
        };
        let old: Vec<PathBuf> =
            (0..FILES_MAX as u64).map(|i| aged(&format!("{i}.{COMPILED}"), 100 + i)).collect();
        let abandoned = aged("a.1.tmp", 2 * 3600);
        let in_use = aged("b.2.tmp", 1);
        fs::remove_file(&fresh).unwrap();
        cache.compile(engine(), EMPTY_MODULE).unwrap();
        assert!(fresh.exists());
        assert!(old[..FILES_MAX - 1].iter().all(|path| path.exists()));
        assert!(!old[FILES_MAX - 1].exists());
        assert!(!abandoned.exists() && in_use.exists());
    }
}
