//! The native engine behind the plugin's methods, for the control plane's files.

use std::cell::RefCell;
use std::rc::Rc;

use crossfade_core::Engine;
use crossfade_core::guest::Guest;

use crate::module::Module;

/// What the host's may take; nothing is limited here.
#[derive(Debug, Clone, Default)]
pub(crate) struct PluginOptions;

/// As the host's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    pub(crate) document: Vec<u8>,
    pub(crate) seed: u64,
    pub(crate) now_ms: u64,
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    /// Never here: it is the host's to survive.
    #[error("the engine failed")]
    #[expect(dead_code, reason = "the control plane asks for it")]
    Fault(()),
    /// It would not take the state.
    #[error("the engine refuses the state: {0}")]
    Refused(String),
}

thread_local! {
    /// The engine that was called last on this thread.
    static LAST: RefCell<Option<Rc<RefCell<Engine>>>> = const { RefCell::new(None) };
}

/// Another server has its turn: an engine that it does not call is not its own.
pub(crate) fn another_turn() {
    LAST.set(None);
}

/// A copy of the engine that was called last in this turn: within a commit it is that of
/// whoever commits.
pub(crate) fn last_called() -> Option<Engine> {
    LAST.with_borrow(|last| last.as_ref().map(|engine| engine.borrow().clone()))
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Plugin {
    engine: Rc<RefCell<Engine>>,
    out: Vec<u8>,
}

impl Plugin {
    pub(crate) fn start(
        _: Module,
        _: PluginOptions,
        start: Start,
    ) -> Result<(Plugin, Vec<u8>), PluginError> {
        let mut out = Vec::new();
        let engine = Engine::init(&start.document, start.now_ms, start.seed, &mut out);
        Ok((Plugin { engine: Rc::new(RefCell::new(engine)), out: Vec::new() }, out))
    }

    fn call(&mut self, call: impl FnOnce(&mut Engine, &mut Vec<u8>)) -> &[u8] {
        LAST.set(Some(Rc::clone(&self.engine)));
        self.out.clear();
        call(&mut self.engine.borrow_mut(), &mut self.out);
        &self.out
    }

    pub(crate) fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<&[u8], PluginError> {
        Ok(self.call(|engine, out| engine.handle(lines, now_ms, out)))
    }

    pub(crate) fn tick(&mut self, now_ms: u64) -> Result<&[u8], PluginError> {
        Ok(self.call(|engine, out| engine.tick(now_ms, out)))
    }

    pub(crate) fn merge(&mut self, totals: &[u8]) -> Result<&[u8], PluginError> {
        Ok(self.call(|engine, out| engine.merge(totals, out)))
    }

    pub(crate) fn snapshot(&mut self) -> Result<&[u8], PluginError> {
        Ok(self.call(|engine, out| engine.snapshot(out)))
    }

    pub(crate) fn restore(&mut self, snapshot: &[u8]) -> Result<(), PluginError> {
        match self.call(|engine, out| engine.restore(snapshot, out)) {
            [] => Ok(()),
            said => Err(PluginError::Refused(String::from_utf8_lossy(said).into_owned())),
        }
    }

    pub(crate) fn reload_on_trial(&mut self, _: Module) -> Result<(), PluginError> {
        Ok(())
    }

    pub(crate) fn end_trial(&mut self) {}

    pub(crate) fn fell_back(&mut self) -> Option<String> {
        None
    }

    pub(crate) fn has_fallen_back(&self) -> bool {
        false
    }

    pub(crate) fn restarts(&self) -> u64 {
        0
    }

    pub(crate) fn calls_lost(&self) -> u64 {
        0
    }
}

impl Plugin {
    /// Around an engine that there is.
    pub(crate) fn of(engine: Engine) -> Plugin {
        Plugin { engine: Rc::new(RefCell::new(engine)), out: Vec::new() }
    }
}
