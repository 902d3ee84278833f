//! Builds `crossfade.wasm` so that plain `cargo run`, `cargo test` and
//! `cargo install --path host` need no other tool, and tells `src/module.rs` where
//! it lies (`CROSSFADE_BUILTIN`). Chooses the page's files (`CROSSFADE_PAGE_DIR`).
//!
//! `CROSSFADE_MODULE_WASM=FILE` embeds a module that was built elsewhere instead.

mod nested_cargo;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nested_cargo::TARGET;

const PREBUILT: &str = "CROSSFADE_MODULE_WASM";

/// What the module is made of, from the workspace's root.
const SOURCES: [&str; 5] =
    ["core", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=nested_cargo.rs");
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    if let Err(why) = page() {
        println!("cargo::error={why}");
        return ExitCode::FAILURE;
    }
    match module() {
        Ok(path) => {
            println!("cargo::rustc-env=CROSSFADE_BUILTIN={}", path.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

/// Which files `src/page.rs` serves: the page, where `cargo xtask page` has built it.
fn page() -> Result<(), String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let built = host.join("../web/page/dist");
    // The folder is always there: what is not cannot be watched.
    println!("cargo::rerun-if-changed={}", built.display());
    let folder = match built.join("index.html").is_file() {
        true => built,
        false => host.join("placeholder"),
    };
    println!("cargo::rustc-env=CROSSFADE_PAGE_DIR={}", folder.display());
    Ok(())
}

fn module() -> Result<PathBuf, String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("the host crate has no parent directory")?;
    if let Some(path) = env::var_os(PREBUILT).filter(|path| !path.is_empty()) {
        // Cargo runs a build script in its package's directory; a relative path is
        // meant from where the user stands, which is usually the workspace's root.
        let path = root.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        return match path.is_file() {
            true => Ok(path),
            false => Err(format!("{PREBUILT} points at {}, which is no file", path.display())),
        };
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    ensure_target()?;
    let target_dir = PathBuf::from(variable("OUT_DIR")?).join("module");
    match nested_cargo::build(root, &target_dir, "wasm", &["--package", "crossfade-module"]) {
        Ok(modules) => Ok(modules.join("crossfade.wasm")),
        Err(why) => {
            eprintln!("{why}");
            Err(format!(
                "the engine does not compile to {TARGET}; `cargo build --package \
                 crossfade-module --profile wasm --target {TARGET}` shows why"
            ))
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}; run this through cargo"))
}

/// Sees to the wasm target's standard library. `targets` in `rust-toolchain.toml` is
/// silently ignored with `RUSTUP_AUTO_INSTALL=0`, so rustup is asked once, by name.
fn ensure_target() -> Result<(), String> {
    if has_target()? {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    if has_target()? {
        return Ok(());
    }
    let why = match added {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Err(error) => format!("rustup cannot be run: {error}"),
    };
    Err(format!(
        "the engine is compiled to {TARGET}, which this toolchain lacks: run \
         `rustup target add {TARGET}` (tried: {why}), or set {PREBUILT} to a built module"
    ))
}

fn has_target() -> Result<bool, String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run {rustc}: {error}"))?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
