//! Whether a module's imports and exports are those of the ABI, all problems at once.

use crossfade_protocol::abi;
use wasmtime::{ExternType, FuncType, ValType};

use super::ModuleError;

/// Parameters of an export, as letters: `i` for an `i32`, `d` for an `f64`.
/// Every export returns one `i32`.
fn parameters(export: &str) -> &'static str {
    match export {
        abi::INIT => "idii",
        abi::HANDLE => "id",
        abi::ROUTE => "ii",
        abi::TICK => "d",
        abi::INPUT | abi::MERGE | abi::RESTORE => "i",
        _ => "",
    }
}

pub(super) fn check_imports(name: &str, module: &wasmtime::Module) -> Result<(), ModuleError> {
    let names: Vec<String> =
        module.imports().map(|import| format!("`{}.{}`", import.module(), import.name())).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(ModuleError::Imports { name: name.to_owned(), names })
}

pub(super) fn check_exports(name: &str, module: &wasmtime::Module) -> Result<(), ModuleError> {
    let mut missing = Vec::new();
    let mut problems = Vec::new();
    match module.get_export(abi::MEMORY) {
        None => missing.push(abi::MEMORY),
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => {}
        Some(_) => problems.push(format!("`{}` is no plain 32-bit memory", abi::MEMORY)),
    }
    for export in abi::FUNCTIONS {
        let expected = parameters(export);
        match module.get_export(export) {
            None => missing.push(export),
            Some(ExternType::Func(found)) if matches(&found, expected) => {}
            Some(ExternType::Func(found)) => problems.push(format!(
                "`{export}` is {}, not {}",
                describe_found(&found),
                describe(expected)
            )),
            Some(_) => problems.push(format!("`{export}` is no function")),
        }
    }
    if !missing.is_empty() {
        return Err(ModuleError::MissingExports { name: name.to_owned(), names: missing });
    }
    if !problems.is_empty() {
        return Err(ModuleError::WrongTypes { name: name.to_owned(), problems });
    }
    Ok(())
}

fn letter(kind: &ValType) -> char {
    match kind {
        ValType::I32 => 'i',
        ValType::F64 => 'd',
        _ => '?',
    }
}

fn matches(found: &FuncType, expected: &str) -> bool {
    found.params().map(|kind| letter(&kind)).eq(expected.chars())
        && found.results().map(|kind| letter(&kind)).eq(['i'])
}

fn describe(parameters: &str) -> String {
    let names: Vec<&str> =
        parameters.chars().map(|letter| if letter == 'd' { "f64" } else { "i32" }).collect();
    format!("({}) -> i32", names.join(", "))
}

fn describe_found(found: &FuncType) -> String {
    let list = |kinds: Vec<String>| kinds.join(", ");
    format!(
        "({}) -> {}",
        list(found.params().map(|kind| kind.to_string()).collect()),
        match found.results().map(|kind| kind.to_string()).collect::<Vec<_>>() {
            results if results.is_empty() => "nothing".to_owned(),
            results => list(results),
        }
    )
}
