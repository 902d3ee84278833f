//! The engine as people run it.

use crossfade::{Module, Plugin, PluginOptions, Start};
use crossfade_protocol::abi::RouteWord;

use super::{Driver, DriverError, RELOAD_SEED};

/// The wasm module that the host carries, in the host.
#[derive(Debug)]
pub struct Wasm {
    module: Module,
    plugin: Plugin,
}

impl Wasm {
    /// An engine with nothing in it.
    ///
    /// # Errors
    /// The module cannot be loaded or started.
    pub fn new() -> Result<Wasm, DriverError> {
        let module = Module::builtin()?;
        let (plugin, _) =
            Plugin::start(module.clone(), PluginOptions::default(), Start::default())?;
        Ok(Wasm { module, plugin })
    }

    fn fresh(&self, start: Start) -> Result<(Plugin, Vec<u8>), DriverError> {
        Ok(Plugin::start(self.module.clone(), PluginOptions::default(), start)?)
    }

    /// A plugin hides a fault by replacing its instance; a vector must not cause one.
    fn unbroken(&self) -> Result<(), DriverError> {
        match self.plugin.restarts() {
            0 => Ok(()),
            restarts => Err(format!("the module failed and was restarted {restarts} times").into()),
        }
    }
}

impl Driver for Wasm {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn start(&mut self, init: &[u8], now_ms: u64, seed: u64) -> Result<Vec<u8>, DriverError> {
        let (plugin, said) = self.fresh(Start { document: init.to_vec(), seed, now_ms })?;
        self.plugin = plugin;
        Ok(said)
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<Vec<u8>, DriverError> {
        let out = self.plugin.handle(lines, now_ms)?.to_vec();
        self.unbroken()?;
        Ok(out)
    }

    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, DriverError> {
        let word = self.plugin.route(key, draw)?;
        self.unbroken()?;
        Ok(word)
    }

    fn tick(&mut self, now_ms: u64) -> Result<Vec<u8>, DriverError> {
        Ok(self.plugin.tick(now_ms)?.to_vec())
    }

    fn totals(&mut self) -> Result<Vec<u8>, DriverError> {
        Ok(self.plugin.totals()?.to_vec())
    }

    fn merge(&mut self, totals: &[u8]) -> Result<Vec<u8>, DriverError> {
        Ok(self.plugin.merge(totals)?.to_vec())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), DriverError> {
        Ok(self.plugin.restore(snapshot)?)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, DriverError> {
        Ok(self.plugin.snapshot()?.to_vec())
    }

    fn reload(&mut self, now_ms: u64) -> Result<(), DriverError> {
        let snapshot = self.snapshot()?;
        let (mut fresh, _) =
            self.fresh(Start { document: Vec::new(), seed: RELOAD_SEED, now_ms })?;
        fresh.restore(&snapshot)?;
        self.plugin = fresh;
        Ok(())
    }
}
