//! Building one module or program and learning where cargo put it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Run, TaskError, root, say};

/// Runs `cargo build` with these arguments and gives the path of the module that the
/// target of this name became. Asked of cargo, because only cargo knows every way in
/// which the target folder can be set.
pub(crate) fn wasm(target_name: &str, args: &[&str]) -> Result<PathBuf, TaskError> {
    let messages = ["--message-format=json-render-diagnostics"];
    let build = Run::cargo(&[&["build"], args, messages.as_slice()].concat());
    let build = build.without_native_flags();
    let command = build.shown().to_owned();
    say(&format!("$ {command}"));
    among(&build.output()?, target_name).ok_or(TaskError::NoModule { command })
}

/// Runs `cargo build` with these arguments and gives the path of the program of this name.
pub(crate) fn program(target_name: &str, args: &[&str]) -> Result<PathBuf, TaskError> {
    program_with(target_name, args, &[])
}

/// As [`program`], with variables of the environment.
pub(crate) fn program_with(
    target_name: &str,
    args: &[&str],
    variables: &[(String, String)],
) -> Result<PathBuf, TaskError> {
    let messages = ["--message-format=json-render-diagnostics"];
    let mut build = Run::cargo(&[&["build"], args, messages.as_slice()].concat());
    for (name, value) in variables {
        build = build.env(name, value);
    }
    let command = build.shown().to_owned();
    say(&format!("$ {command}"));
    executable(&build.output()?, target_name).ok_or(TaskError::NoProgram { command })
}

fn executable(messages: &str, target_name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == target_name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Copies a module to a place within the repository, and says how large it is.
pub(crate) fn place(module: &Path, place: &str) -> Result<(), TaskError> {
    let bytes = fs::copy(module, root().join(place))
        .map_err(|source| TaskError::Write { path: place.to_owned(), source })?;
    say(&format!("{place}: {} KB", bytes.div_ceil(1000)));
    Ok(())
}

fn among(messages: &str, target_name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == target_name)
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
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
        assert_eq!(among(messages, "crossfade_web"), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(among("", "crossfade_web"), None);
    }

    #[test]
    fn a_program_is_found_and_a_library_of_its_name_is_not() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"crossfade"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"crossfade"},"executable":"/t/crossfade"}"#,
        );
        assert_eq!(executable(messages, "crossfade"), Some(PathBuf::from("/t/crossfade")));
        assert_eq!(executable(messages, "other"), None);
    }
}
