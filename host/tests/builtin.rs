//! The module that this build carries: what it takes from a host (nothing), what it
//! offers, and its size.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use crossfade::module::BUILTIN_WASM;
use crossfade::{Plugin, PluginOptions, Start};
use crossfade_protocol::abi;
use support::builtin_module as builtin;
use wasmtime::{Engine, Module};

/// The engine must load quickly in a browser and on an edge node.
const SIZE_BYTES_MAX: usize = 850 << 10;

fn module() -> Module {
    Module::from_binary(&Engine::default(), BUILTIN_WASM).unwrap()
}

#[test]
fn it_imports_nothing() {
    let imports: Vec<String> = module().imports().map(|import| format!("{import:?}")).collect();
    assert_eq!(imports, [""; 0]);
}

/// Beside the ABI, the linker adds two constants that mark where data ends.
#[test]
fn it_exports_the_abi_and_nothing_else() {
    let module = module();
    let mut exports: Vec<&str> = module.exports().map(|export| export.name()).collect();
    exports.sort_unstable();
    let mut expected = vec!["__data_end", "__heap_base", abi::MEMORY];
    expected.extend(abi::FUNCTIONS);
    expected.sort_unstable();
    assert_eq!(exports, expected);
}

#[test]
fn it_keeps_to_its_size_budget() {
    let size = BUILTIN_WASM.len();
    assert!(
        size <= SIZE_BYTES_MAX,
        "crossfade.wasm has {size} bytes, the budget is {SIZE_BYTES_MAX}"
    );
}

/// Panic messages name source files: as the repository does, not as the builder's disk.
#[test]
fn it_does_not_tell_where_it_was_built() {
    for directory in [env!("CARGO_MANIFEST_DIR"), env!("HOME")] {
        let told =
            BUILTIN_WASM.windows(directory.len()).any(|window| window == directory.as_bytes());
        assert!(!told, "crossfade.wasm contains {directory}");
    }
}

/// The schema is for editors, and would be a tenth of the module.
#[test]
fn it_does_not_carry_the_schema() {
    let mark = b"json-schema.org";
    assert!(!BUILTIN_WASM.windows(mark.len()).any(|window| window == mark));
    assert!(crossfade_protocol::plan::schema().to_string().contains("json-schema.org"));
}

/// The init document that `docs/abi.md` shows is one that the engine takes.
#[test]
fn it_takes_the_init_document_of_its_manual() {
    let page = include_str!("../../docs/abi.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (document, _) = rest.split_once("```").unwrap();
    let start = Start { document: document.as_bytes().to_vec(), ..Start::default() };
    let (mut plugin, said) = Plugin::start(builtin(), PluginOptions::default(), start).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "");
    let totals = String::from_utf8(plugin.totals().unwrap().to_vec()).unwrap();
    assert!(totals.contains("edge-7") && totals.contains("00f1e2d3c4b5a697"), "{totals}");
}
