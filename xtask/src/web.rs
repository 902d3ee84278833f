//! `cargo xtask web`: the façade's module and its JavaScript, into `web/pkg`.

use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use crate::command::{Run, TaskError, root, say};
use crate::wasm_target;

/// Build the engine for JavaScript into web/pkg
///
/// Compiles crossfade-web to wasm and writes the glue that loads it, with TypeScript
/// types. One set of files serves browsers (`await init()`) and Node (`initSync` with
/// the bytes of the .wasm file).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// See [`Args`].
pub(crate) fn run(_: &Args) -> Result<(), TaskError> {
    wasm_target::require()?;
    let module = compile()?;
    let package = root().join("web/pkg");
    write_glue(&module, &package)?;
    let written = package.join("crossfade_web_bg.wasm");
    let bytes = std::fs::metadata(&written)
        .map_err(|source| TaskError::Read { path: written.display().to_string(), source })?
        .len();
    say(&format!("web/pkg: crossfade_web.js and {} KB of wasm", bytes.div_ceil(1000)));
    Ok(())
}

fn compile() -> Result<PathBuf, TaskError> {
    let build = Run::cargo(&[
        "build",
        "--package=crossfade-web",
        "--target",
        wasm_target::TARGET,
        "--profile=page",
        "--message-format=json-render-diagnostics",
    ])
    .without_native_flags();
    let command = build.shown().to_owned();
    say(&format!("$ {command}"));
    module_among(&build.output()?).ok_or(TaskError::NoModule { command })
}

/// The path of the façade's module in cargo's messages. Asked of cargo, because only
/// cargo knows every way in which the target folder can be set.
fn module_among(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "crossfade_web")
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn write_glue(module: &Path, package: &Path) -> Result<(), TaskError> {
    let generate = || {
        Bindgen::new()
            .input_path(module)
            .web(true)?
            // Without it `init()` does not know where its .wasm file is; the library's
            // default differs from the command's.
            .omit_default_module_path(false)
            .typescript(true)
            .remove_name_section(true)
            .remove_producers_section(true)
            .generate(package)
    };
    generate().map_err(|cause| TaskError::Glue {
        module: module.display().to_string(),
        why: format!("{cause:#}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let messages = concat!(
            "not json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"filenames":["/t/serde.wasm"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"crossfade_web"},"filenames":["/t/x.d","/t/x.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(module_among(messages), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(module_among(""), None);
    }
}
