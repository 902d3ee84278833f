//! Other engines: what is asked of one before it takes over.

use std::path::Path;

use sha2::{Digest, Sha256};

use crossfade_protocol::abi::VECTORS_SECTION;
use wasmparser::{Parser, Payload};

use super::job::Candidate;
use crate::cache::Cache;
use crate::module::{BUILTIN_WASM, Module, ModuleError};
use crate::plugin::{Plugin, PluginOptions, Start};

/// Why a module is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is no engine.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// It brings nothing to be tested by.
    #[error(
        "it carries no vectors in a section `{VECTORS_SECTION}`: docs/abi.md says how to add them"
    )]
    NoVectors,
    /// It answers otherwise than it says itself.
    #[error("it fails its own vectors: to {asked} it answers {said}, not {expected}")]
    Vectors {
        /// The line that was sent.
        asked: String,
        /// What it should have said.
        expected: String,
        /// What it said.
        said: String,
    },
}

/// An engine that somebody brought, tested by the vectors it carries.
///
/// # Errors
/// See [`Unfit`].
pub(crate) fn tested(name: &str, bytes: Vec<u8>) -> Result<Candidate, Unfit> {
    let vectors = vectors(&bytes).ok_or(Unfit::NoVectors);
    let vectors = vectors.map(|text| String::from_utf8_lossy(text).into_owned());
    let candidate = from_bytes(name, bytes)?;
    play(&candidate.module, &vectors?)?;
    Ok(candidate)
}

/// The section's text, if there is one.
fn vectors(wasm: &[u8]) -> Option<&[u8]> {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).find_map(|payload| match payload {
        Payload::CustomSection(section) if section.name() == VECTORS_SECTION => {
            Some(section.data())
        }
        _ => None,
    })
}

/// Sends each line, and compares the answer.
fn play(module: &Module, vectors: &str) -> Result<(), Unfit> {
    let failed = |asked: &str, expected: &str, said: String| Unfit::Vectors {
        asked: asked.to_owned(),
        expected: expected.to_owned(),
        said,
    };
    let started = Plugin::start(module.clone(), PluginOptions::default(), Start::default());
    let (mut plugin, _) =
        started.map_err(|error| failed("its start", "nothing", error.to_string()))?;
    let mut lines = vectors.lines().filter(|line| !line.trim().is_empty());
    let mut played = 0;
    while let (Some(asked), Some(expected)) = (lines.next(), lines.next()) {
        let pair = (asked.strip_prefix("> "), expected.strip_prefix("< "));
        let (Some(asked), Some(expected)) = pair else { return Err(Unfit::NoVectors) };
        let said = match plugin.handle(format!("{asked}\n").as_bytes(), 0) {
            Ok(said) => String::from_utf8_lossy(said).trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        if said != expected {
            return Err(failed(asked, expected, said));
        }
        played += 1;
    }
    if played == 0 { Err(Unfit::NoVectors) } else { Ok(()) }
}

/// The engine of this build.
///
/// # Errors
/// See [`Module::builtin`].
pub(crate) fn builtin() -> Result<Candidate, ModuleError> {
    Ok(Candidate { module: Module::builtin()?, bytes: None, digest: digest(BUILTIN_WASM) })
}

/// An engine from a file.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn from_file(path: &Path) -> Result<Candidate, ModuleError> {
    let bytes = Module::read_file(path)?;
    from_bytes(&path.display().to_string(), bytes)
}

/// The engine that a store holds.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn stored(bytes: Vec<u8>) -> Result<Candidate, ModuleError> {
    from_bytes("from the store", bytes)
}

/// An engine from bytes. `name` stands for it in messages.
///
/// # Errors
/// See [`ModuleError`].
pub(crate) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Candidate, ModuleError> {
    let module = Module::load(name, &bytes, &Cache::from_env())?;
    let digest = digest(&bytes);
    Ok(Candidate { module, bytes: Some(bytes), digest })
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A custom section in binary form, after a module.
    fn with_vectors(wasm: &[u8], text: &str) -> Vec<u8> {
        let mut section = vec![VECTORS_SECTION.len() as u8];
        section.extend_from_slice(VECTORS_SECTION.as_bytes());
        section.extend_from_slice(text.as_bytes());
        let mut wasm = wasm.to_vec();
        wasm.push(0);
        let mut length = section.len();
        while length >= 0x80 {
            wasm.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        wasm.push(length as u8);
        wasm.extend(section);
        wasm
    }

    #[test]
    fn the_built_in_engine_passes_its_own_vectors() {
        let text = String::from_utf8(vectors(BUILTIN_WASM).unwrap().to_vec()).unwrap();
        assert!(text.matches("> ").count() >= 5, "{text}");
        tested("built-in", BUILTIN_WASM.to_vec()).unwrap();
    }

    #[test]
    fn a_module_that_answers_otherwise_or_brings_nothing_is_not_let_in() {
        let guest = wat::parse_str("(module)").unwrap();
        assert!(matches!(tested("m", guest.clone()), Err(Unfit::NoVectors | Unfit::Module(_))));
        let error = tested("m", with_vectors(&guest, "> a\n< b\n")).unwrap_err();
        assert!(matches!(error, Unfit::Module(ModuleError::NoVersion { .. })), "{error}");
        // The built-in engine's own section comes first; this one is after it, alone.
        let module = Module::builtin().unwrap();
        let line = r#"{"type":"get_users","msg_id":1}"#;
        let right = r#"{"type":"users_response","in_reply_to":1,"version":"v1"}"#;
        play(&module, &format!("> {line}\n< {right}\n")).unwrap();
        let error = play(&module, &format!("> {line}\n< something else\n")).unwrap_err();
        assert!(error.to_string().contains(r#""version":"v1"}, not something else"#), "{error}");
        for nothing in ["", "\n\n", "> half\n", "a\nb\n"] {
            assert!(matches!(play(&module, nothing), Err(Unfit::NoVectors)), "{nothing:?}");
        }
    }
}
