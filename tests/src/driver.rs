//! The builds of the engine that vectors are played on.

#[cfg(feature = "host")]
mod wasm;

use std::error::Error;

use crossfade_core::Engine;
use crossfade_core::guest::Guest;
use crossfade_protocol::abi::RouteWord;

#[cfg(feature = "host")]
pub use wasm::Wasm;

/// Why a build could not even answer: a trap, a refused snapshot, a file not found.
pub type DriverError = Box<dyn Error + Send + Sync>;

/// One build of the engine.
///
/// Outputs are the bytes that the build gave, whole.
pub trait Driver {
    /// What to call it in a failure.
    fn name(&self) -> &'static str;

    /// Starts a fresh engine in the place of the last, and gives what it said.
    ///
    /// # Errors
    /// When the build broke.
    fn start(&mut self, init: &[u8], now_ms: u64, seed: u64) -> Result<Vec<u8>, DriverError>;

    /// Serves JSON lines.
    ///
    /// # Errors
    /// When the build broke; a refusal is an answer.
    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<Vec<u8>, DriverError>;

    /// Decides for one key without JSON.
    ///
    /// # Errors
    /// When the build broke.
    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, DriverError>;

    /// Lets time act.
    ///
    /// # Errors
    /// When the build broke.
    fn tick(&mut self, now_ms: u64) -> Result<Vec<u8>, DriverError>;

    /// This build's cumulative counts.
    ///
    /// # Errors
    /// When the build broke.
    fn totals(&mut self) -> Result<Vec<u8>, DriverError>;

    /// Takes in another node's counts.
    ///
    /// # Errors
    /// When the build broke; a refusal is an answer.
    fn merge(&mut self, totals: &[u8]) -> Result<Vec<u8>, DriverError>;

    /// The whole state, which every build writes with the same bytes.
    ///
    /// # Errors
    /// When the build broke.
    fn snapshot(&mut self) -> Result<Vec<u8>, DriverError>;

    /// Takes a snapshot back, in place of the present state.
    ///
    /// # Errors
    /// When the build broke, or refused the snapshot.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), DriverError>;

    /// Starts a fresh engine from the last one's snapshot.
    ///
    /// # Errors
    /// When the build broke, or refused its own snapshot.
    fn reload(&mut self, now_ms: u64) -> Result<(), DriverError>;
}

/// The seed of an engine that is about to take over another's state: any but the
/// original, so that state which a snapshot forgets is noticed.
pub const RELOAD_SEED: u64 = 0xC0FF_EE00_0000_0001;

/// The engine linked into this process.
#[derive(Debug)]
pub struct Native {
    engine: Engine,
}

impl Native {
    /// An engine with nothing in it.
    pub fn new() -> Native {
        Native { engine: Engine::init(b"", 0, 0, &mut Vec::new()) }
    }

    /// What the policy in force calls a version; `None` when it has fewer.
    ///
    /// # Errors
    /// When the engine's own answer cannot be read.
    pub fn version_name(&mut self, index: usize) -> Result<Option<String>, serde_json::Error> {
        let mut out = Vec::new();
        self.engine.ask(r#"{"type":"get_config","msg_id":0}"#, &mut out);
        let config: serde_json::Value = serde_json::from_slice(&out)?;
        let versions = &config["document"]["versions"];
        let name = match index {
            0 => versions.get("from"),
            1 => versions.get("to"),
            _ => None,
        };
        Ok(versions.get(index).or(name).and_then(|name| name.as_str()).map(str::to_owned))
    }
}

impl Default for Native {
    fn default() -> Self {
        Native::new()
    }
}

impl Driver for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn start(&mut self, init: &[u8], now_ms: u64, seed: u64) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine = Engine::init(init, now_ms, seed, &mut out);
        Ok(out)
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine.handle(lines, now_ms, &mut out);
        Ok(out)
    }

    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, DriverError> {
        Ok(self.engine.route(key, draw))
    }

    fn tick(&mut self, now_ms: u64) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine.tick(now_ms, &mut out);
        Ok(out)
    }

    fn totals(&mut self) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine.totals(&mut out);
        Ok(out)
    }

    fn merge(&mut self, totals: &[u8]) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine.merge(totals, &mut out);
        Ok(out)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, DriverError> {
        let mut out = Vec::new();
        self.engine.snapshot(&mut out);
        Ok(out)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), DriverError> {
        let mut out = Vec::new();
        self.engine.restore(snapshot, &mut out);
        if out.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(&out).into()) }
    }

    fn reload(&mut self, now_ms: u64) -> Result<(), DriverError> {
        let snapshot = self.snapshot()?;
        let mut fresh = Engine::init(b"", now_ms, RELOAD_SEED, &mut Vec::new());
        let mut out = Vec::new();
        fresh.restore(&snapshot, &mut out);
        if !out.is_empty() {
            return Err(String::from_utf8_lossy(&out).into());
        }
        self.engine = fresh;
        Ok(())
    }
}
