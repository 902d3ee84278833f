//! Files that are no engine: each has an error of its own that says what is wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;

use crossfade::{Cache, Module, ModuleError};
use support::guest;

fn load(wasm: &[u8]) -> Result<Module, ModuleError> {
    Module::load("guest.wasm", wasm, &Cache::none())
}

fn check(wasm: &[u8], expected: &str) {
    let error = load(wasm).expect_err("this is no engine");
    assert_eq!(error.to_string(), expected);
}

fn check_text(text: &str, expected: &str) {
    check(&wat::parse_str(text).unwrap(), expected);
}

const VERSION_1: &str = r#"(func (export "crossfade_abi_version") (result i32) i32.const 1)"#;

#[test]
fn a_file_that_is_not_there() {
    let error = Module::from_file("/nonexistent/engine.wasm".as_ref()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read module /nonexistent/engine.wasm: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_does_not_end() {
    let error = Module::from_file("/dev/zero".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "module /dev/zero is over 64 MiB, the most that is read");
}

#[test]
fn a_file_that_is_not_wasm() {
    check(b"", "guest.wasm is not a WebAssembly module: the file is empty");
    check(b"#!/bin/sh", r"guest.wasm is not a WebAssembly module: it does not begin with \0asm");
    check(
        b"(module)",
        "guest.wasm is not a WebAssembly module: it looks like the text format; compile it with wat2wasm first",
    );
    check(
        b"\0asm\x0d\0\x01\0",
        "guest.wasm is not a WebAssembly module: it is a component; a core module is needed (target wasm32-unknown-unknown)",
    );
}

#[test]
fn a_truncated_file() {
    let whole = fs::read(guest("guest_counts")).unwrap();
    for len in [9, 100, whole.len() / 2, whole.len() - 1] {
        let error = load(&whole[..len]).unwrap_err();
        assert!(matches!(error, ModuleError::Invalid { .. }), "{len}: {error}");
        let text = error.to_string();
        assert!(text.starts_with("module guest.wasm is truncated, damaged, or "), "{text}");
    }
    load(&whole).unwrap();
}

#[test]
fn a_module_that_wants_something_from_its_host() {
    check_text(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (import "env" "now" (func)))"#,
        "module guest.wasm imports `wasi_snapshot_preview1.fd_write`, `env.now`; a plugin gets \
         nothing from its host: no clock, no randomness, no I/O",
    );
}

#[test]
fn a_module_of_another_kind() {
    let expected = "module guest.wasm exports no `crossfade_abi_version() -> u32`: it is not a Crossfade engine";
    check_text("(module)", expected);
    check_text(
        r#"(module (func (export "crossfade_abi_version") (result i64) i64.const 1))"#,
        expected,
    );
}

#[test]
fn a_module_of_another_abi_version() {
    check_text(
        r#"(module (func (export "crossfade_abi_version") (result i32) i32.const 2))"#,
        "module guest.wasm speaks ABI 2, this host speaks 1: build both from one release",
    );
}

#[test]
fn a_module_that_lacks_exports_is_told_all_of_them() {
    check_text(
        &format!(
            r#"(module {VERSION_1} (func (export "crossfade_input") (param i32) (result i32) i32.const 0))"#
        ),
        "module guest.wasm lacks the exports memory, crossfade_init, crossfade_handle, \
         crossfade_route, crossfade_tick, crossfade_totals, crossfade_merge, crossfade_snapshot, \
         crossfade_restore, crossfade_last_panic",
    );
}

#[test]
fn a_module_whose_exports_have_other_types_is_told_all_of_them() {
    let functions: String = [
        ("crossfade_input", "(param i32) (result i32)", "i32.const 0"),
        ("crossfade_init", "(param i32 f64 i64) (result i32)", "i32.const 0"),
        ("crossfade_handle", "(param i32 f64) (result i32)", "i32.const 0"),
        ("crossfade_route", "(param i32 i32)", ""),
        ("crossfade_tick", "(param f64) (result i32)", "i32.const 0"),
        ("crossfade_totals", "(result i32)", "i32.const 0"),
        ("crossfade_merge", "(param i32) (result i32)", "i32.const 0"),
        ("crossfade_snapshot", "(result i32)", "i32.const 0"),
        ("crossfade_restore", "(param i32) (result i32)", "i32.const 0"),
    ]
    .map(|(name, shape, body)| format!(r#"(func (export "{name}") {shape} {body})"#))
    .concat();
    check_text(
        &format!(
            r#"(module {VERSION_1} {functions} (memory (export "memory") i64 1)
               (global (export "crossfade_last_panic") i32 (i32.const 0)))"#
        ),
        "module guest.wasm has exports of the wrong type: `memory` is no plain 32-bit memory; \
         `crossfade_init` is (i32, f64, i64) -> i32, not (i32, f64, i32, i32) -> i32; \
         `crossfade_route` is (i32, i32) -> nothing, not (i32, i32) -> i32; \
         `crossfade_last_panic` is no function",
    );
}

#[test]
fn a_module_that_traps_or_loops_before_it_has_begun() {
    for (body, why) in [
        ("unreachable", "wasm trap: wasm `unreachable` instruction executed"),
        ("(loop (br 0))", "wasm trap: interrupt"),
    ] {
        let text = format!("(module {VERSION_1} (func $start {body}) (start $start))");
        let error = load(&wat::parse_str(text).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("module guest.wasm cannot be started: "), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_module_that_asks_for_all_memory_at_once() {
    let error = load(&wat::parse_str("(module (memory 65536))").unwrap()).unwrap_err();
    assert!(matches!(error, ModuleError::Start { .. }), "{error}");
}
