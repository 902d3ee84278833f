//! What the host's tests share. Each test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

#[cfg(target_os = "linux")]
pub(crate) mod disk;
pub(crate) mod http;
#[path = "../../nested_cargo.rs"]
mod nested_cargo;
pub(crate) mod process;
pub(crate) mod serve;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crossfade::module::BUILTIN_WASM;
use crossfade::{Cache, Module, Plugin, PluginOptions, Start};

/// Path of `NAME.wasm` from `tests/guests`, which is built at the first call.
pub(crate) fn guest(name: &str) -> PathBuf {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    let guests = GUESTS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        built(root, &["--package", "crossfade-guests", "--examples"]).join("examples")
    });
    guests.join(format!("{name}.wasm"))
}

/// The module of `examples/plugin`, built.
pub(crate) fn example_plugin() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    built(root, &["--package", "crossfade-tenants"]).join("tenants.wasm")
}

fn built(root: &Path, what: &[&str]) -> PathBuf {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    nested_cargo::build(root, &target_dir, "guest", what)
        .unwrap_or_else(|error| panic!("{what:?} does not build: {error}"))
}

/// Where the test run keeps compiled modules: not in the user's cache.
pub(crate) fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A guest of `tests/guests`, compiled.
pub(crate) fn guest_module(name: &str) -> Module {
    let path = guest(name);
    let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Module::load(name, &wasm, &Cache::in_dir(cache_dir())).unwrap()
}

/// A guest of `tests/guests`, running.
pub(crate) fn plugin(name: &str, options: PluginOptions) -> Plugin {
    let (plugin, said) = Plugin::start(guest_module(name), options, Start::default()).unwrap();
    assert_eq!(said, b"");
    plugin
}

/// The built-in module, compiled.
pub(crate) fn builtin_module() -> Module {
    Module::load("built-in", BUILTIN_WASM, &Cache::in_dir(cache_dir())).unwrap()
}

/// The built-in engine, running.
pub(crate) fn builtin() -> Plugin {
    Plugin::start(builtin_module(), PluginOptions::default(), Start::default()).unwrap().0
}

/// A text's lines.
pub(crate) fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).expect("replies are UTF-8").lines().collect()
}
