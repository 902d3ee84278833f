//! A compiled module that speaks the ABI, ready to be started as often as one likes.

mod shape;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crossfade_protocol::abi;
use wasmtime::{InstancePre, Linker, Store};

use crate::cache::Cache;
use crate::exit::{Exit, Failure};
use crate::runtime::{self, Limiter};

/// The engine that this build carries.
pub const BUILTIN_WASM: &[u8] = include_bytes!(env!("CROSSFADE_BUILTIN"));

/// A module file over this size is not read. The built-in one is under 820 KB.
pub const MODULE_BYTES_MAX: u64 = 64 << 20;

/// Memory and time for the one call that is made while loading: the version.
const PROBE_MEMORY_BYTES_MAX: usize = 1 << 30;
const PROBE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(1);

/// A compiled, checked module. Cloning shares it.
///
/// ```no_run
/// let module = crossfade::Module::builtin()?;
/// assert_eq!(module.name(), "built-in");
/// # Ok::<(), crossfade::ModuleError>(())
/// ```
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    name: String,
    pre: InstancePre<Limiter>,
}

/// Why a file is no module that this host can run.
///
/// Each message names the module and says what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("cannot read module {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is over [`MODULE_BYTES_MAX`].
    #[error("module {name} is over {} MiB, the most that is read", MODULE_BYTES_MAX >> 20)]
    TooLarge {
        /// The module.
        name: String,
    },
    /// The bytes are something else.
    #[error("{name} is not a WebAssembly module: {why}")]
    NotWasm {
        /// The module.
        name: String,
        /// What they seem to be.
        why: &'static str,
    },
    /// It begins like a module but does not validate or compile.
    #[error("module {name} is truncated, damaged, or needs a feature that is off here: {why}")]
    Invalid {
        /// The module.
        name: String,
        /// What the compiler said.
        why: String,
    },
    /// It wants functions, memories or globals from its host.
    #[error(
        "module {name} imports {}; a plugin gets nothing from its host: no clock, no randomness, no I/O",
        names.join(", ")
    )]
    Imports {
        /// The module.
        name: String,
        /// `module.field` of every import.
        names: Vec<String>,
    },
    /// It is a module, but not of this kind.
    #[error("module {name} exports no `{}() -> u32`: it is not a Crossfade engine", abi::VERSION)]
    NoVersion {
        /// The module.
        name: String,
    },
    /// It speaks another version of the ABI.
    #[error(
        "module {name} speaks ABI {found}, this host speaks {expected}: build both from one release"
    )]
    AbiVersion {
        /// The module.
        name: String,
        /// Its version.
        found: u32,
        /// [`abi::ABI_VERSION`].
        expected: u32,
    },
    /// It lacks exports that the ABI requires.
    #[error("module {name} lacks the export{} {}", plural(names), names.join(", "))]
    MissingExports {
        /// The module.
        name: String,
        /// Every one that is missing.
        names: Vec<&'static str>,
    },
    /// Its exports are not of the ABI's types.
    #[error("module {name} has exports of the wrong type: {}", problems.join("; "))]
    WrongTypes {
        /// The module.
        name: String,
        /// What each is, and should be.
        problems: Vec<String>,
    },
    /// It could not even be asked for its version.
    #[error("module {name} cannot be started: {why}")]
    Start {
        /// The module.
        name: String,
        /// What wasmtime said.
        why: String,
    },
    /// Nothing can be run on this machine.
    #[error("WebAssembly cannot be run here: {0}")]
    Runtime(String),
}

fn plural<T>(items: &[T]) -> &'static str {
    if items.len() == 1 { "" } else { "s" }
}

impl From<ModuleError> for Failure {
    /// How a command ends that cannot do without the module.
    fn from(error: ModuleError) -> Failure {
        let exit = match error {
            ModuleError::Read { .. } => Exit::Io,
            ModuleError::Runtime(_) => Exit::Internal,
            _ => Exit::Data,
        };
        Failure::new(exit, error)
    }
}

impl Module {
    /// The engine that this build carries. It is loaded once per process.
    ///
    /// # Errors
    /// [`ModuleError::Runtime`], or [`ModuleError::Start`] when the machine lacks the
    /// (virtual) memory; a build whose module is not sound does not pass its tests.
    pub fn builtin() -> Result<Module, ModuleError> {
        static BUILTIN: OnceLock<Module> = OnceLock::new();
        if let Some(module) = BUILTIN.get() {
            return Ok(module.clone());
        }
        let module = Module::load("built-in", BUILTIN_WASM, &Cache::from_env())?;
        Ok(BUILTIN.get_or_init(|| module).clone())
    }

    /// Loads a module from a file, with the compiled form kept in the user's cache.
    ///
    /// # Errors
    /// See [`ModuleError`]: each way in which a file can be wrong has its own.
    pub fn from_file(path: &Path) -> Result<Module, ModuleError> {
        let name = path.display().to_string();
        Module::load(&name, &read(path, &name)?, &Cache::from_env())
    }

    /// The bytes of a module's file, as many as [`MODULE_BYTES_MAX`].
    pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModuleError> {
        read(path, &path.display().to_string())
    }

    /// Loads a module from bytes. `name` stands for it in messages.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn load(name: &str, wasm: &[u8], cache: &Cache) -> Result<Module, ModuleError> {
        let engine = runtime::engine().map_err(ModuleError::Runtime)?;
        let name = name.to_owned();
        if let Some(why) = foreign_format(wasm) {
            return Err(ModuleError::NotWasm { name, why });
        }
        let module = cache.compile(engine, wasm).map_err(|error| ModuleError::Invalid {
            name: name.clone(),
            why: format!("{error:#}"),
        })?;
        shape::check_imports(&name, &module)?;
        let start = |error: wasmtime::Error| ModuleError::Start {
            name: name.clone(),
            why: format!("{error:#}"),
        };
        let pre = Linker::new(engine).instantiate_pre(&module).map_err(start)?;
        check_version(&name, &pre)?;
        shape::check_exports(&name, &module)?;
        Ok(Module(Arc::new(Loaded { name, pre })))
    }

    /// What stands for this module in messages: its path, or `built-in`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn pre(&self) -> &InstancePre<Limiter> {
        &self.0.pre
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.0.name).finish()
    }
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, ModuleError> {
    let failed = |source| ModuleError::Read { path: path.to_owned(), source };
    let mut wasm = Vec::new();
    // Bounded by what is read, not by the length the file claims: a device has none.
    let file = File::open(path).map_err(failed)?;
    file.take(MODULE_BYTES_MAX + 1).read_to_end(&mut wasm).map_err(failed)?;
    if wasm.len() as u64 > MODULE_BYTES_MAX {
        return Err(ModuleError::TooLarge { name: name.to_owned() });
    }
    Ok(wasm)
}

/// What the bytes are instead of a core module, as far as their first eight tell.
fn foreign_format(wasm: &[u8]) -> Option<&'static str> {
    match wasm {
        [] => Some("the file is empty"),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => None,
        [b'\0', b'a', b's', b'm', _, 0, 1, 0, ..] => {
            Some("it is a component; a core module is needed (target wasm32-unknown-unknown)")
        }
        [b'\0', b'a', b's', b'm', ..] => Some("its version of the format is unknown"),
        [b'(', ..] => Some("it looks like the text format; compile it with wat2wasm first"),
        _ => Some("it does not begin with \\0asm"),
    }
}

/// Asks the module for its version before anything else: another version may well
/// have other exports, and "ABI 2" says more than a list of what is missing.
fn check_version(name: &str, pre: &InstancePre<Limiter>) -> Result<(), ModuleError> {
    let name = || name.to_owned();
    let start =
        |error: wasmtime::Error| ModuleError::Start { name: name(), why: format!("{error:#}") };
    let mut store = Store::new(pre.module().engine(), Limiter::new(PROBE_MEMORY_BYTES_MAX));
    store.limiter(|limiter| limiter);
    store.set_epoch_deadline(runtime::ticks(PROBE_DEADLINE));
    let instance = pre.instantiate(&mut store).map_err(start)?;
    let Ok(version) = instance.get_typed_func::<(), u32>(&mut store, abi::VERSION) else {
        return Err(ModuleError::NoVersion { name: name() });
    };
    match version.call(&mut store, ()).map_err(start)? {
        abi::ABI_VERSION => Ok(()),
        found => Err(ModuleError::AbiVersion { name: name(), found, expected: abi::ABI_VERSION }),
    }
}
